import t from 'tap'
import { type HostOptions, syncNow } from '../../helper.ts'
import { connectMesh, fakeMesh, groupsOn, meshHost } from '../mesh-host.ts'

t.setTimeout(60_000)

type Client = { id: string; name: string }

/** A host on a server without groups, worked through its routes. */
async function setUp(t: Parameters<typeof meshHost>[0], clients: Client[], options: HostOptions = {}) {
  const fake = await fakeMesh(t)
  const host = await meshHost(t, { clients, ...options })
  const id = await connectMesh(host, fake)
  const base = `/connections/${id}`
  const call = (method: 'GET' | 'POST' | 'PUT' | 'PATCH', path: string, body?: object, tenant = 't1') =>
    host.call(tenant, method, `${base}${path}`, body)
  const groups = (method: 'GET' | 'POST' | 'PUT', path: string, body?: object) =>
    call(method, `/device-groups/${path}`, body)
  const syncAll = async (body: object = {}) => (await groups('POST', 'sync-all', body)).body
  const status = async (clientRef: string) =>
    (await groups('GET', 'status')).body.clients.find((item: { clientRef: string }) => item.clientRef === clientRef)
  const names = () => [...groupsOn(fake).values()].sort()
  /** A group that somebody made on the server. */
  const made = (name: string, desc = '') => fake.world.addGroup(name, { account: fake.account, desc })._id
  const described = (groupId: string) => fake.world.groups.get(groupId)!.desc
  return { fake, host, id, call, groups, syncAll, status, names, made, described }
}

const client = (id: string, name: string): Client => ({ id, name })

t.test('a client that was deleted and made again gets its group, by the way out that the conflict names', async t => {
  const clients = [client('old', 'Acme')]
  const { fake, syncAll, groups, names } = await setUp(t, clients)
  await syncAll()
  clients.splice(0, 1, client('new', 'Acme'))
  t.match(await syncAll(), { conflicts: 1, results: [{ outcome: 'conflict', error: /remove the mark/ }] })
  const { body } = await groups('GET', 'status')
  t.match(body.orphans, [{ groupName: 'Acme Devices', clientRef: 'old', reason: /directory no longer knows/ }])
  fake.world.changeGroup(body.orphans[0].groupId, { desc: 'Devices of one client' })
  t.match(await syncAll(), {
    linked: 1,
    results: [{ clientRef: 'new', clientName: 'Acme', groupName: 'Acme Devices' }]
  })
  t.strictSame(names(), ['Acme Devices'], 'no second group of that name')
  t.match((await groups('GET', 'status')).body, { orphans: [], needsSync: 0 })
})

t.test('or a person gives it to the new client in one call', async t => {
  const clients = [client('old', 'Acme')]
  const { syncAll, groups, names, call } = await setUp(t, clients)
  const [{ groupId }] = (await syncAll()).results
  clients.splice(0, 1, client('new', 'Acme'))
  t.match(await groups('PUT', 'new', { groupId }), { status: 200, body: { success: true, linked: 1 } })
  t.strictSame(names(), ['Acme Devices'])
  t.match((await call('GET', '/organizations')).body.items, [{ mapping: { clientRef: 'new', by: 'device-group' } }])
})

t.test('clients that exchanged names, and chains of them, are renamed in one call', async t => {
  const clients = [client('a', 'Acme'), client('b', 'Bolt'), client('c', 'Crux')]
  const { syncAll, names, status } = await setUp(t, clients)
  await syncAll()
  const before = new Map<string, string>()
  for (const { id } of clients) before.set(id, (await status(id)).groupId)
  clients[0]!.name = 'Bolt'
  clients[1]!.name = 'Acme'
  t.match(await status('a'), { setupComplete: false, needsSync: true })
  t.match(await syncAll({ rename: true, dryRun: true }), { renamed: 2, conflicts: 0 })
  t.match(await syncAll({ rename: true }), { renamed: 2, conflicts: 0 })
  t.match(await status('a'), { groupId: before.get('a'), groupName: 'Bolt Devices', setupComplete: true, drift: null })
  t.match(await status('b'), { groupId: before.get('b'), groupName: 'Acme Devices', drift: null })
  clients[0]!.name = 'Crux'
  clients[2]!.name = 'Dyne'
  t.match(await syncAll({ rename: true }), { renamed: 2, conflicts: 0, failed: 0 })
  t.strictSame(names(), ['Acme Devices', 'Crux Devices', 'Dyne Devices'])
})

t.test('an exchange that broke off in the middle is finished by the next call', async t => {
  const clients = [client('a', 'Acme'), client('b', 'Bolt')]
  const { fake, syncAll, names } = await setUp(t, clients)
  await syncAll()
  ;[clients[0]!.name, clients[1]!.name] = ['Bolt', 'Acme']
  let edits = 0
  fake.intercept = ({ action }, session) => {
    if (action !== 'editmesh' || ++edits < 3) return false
    session.drop()
    return true
  }
  t.match(await syncAll({ rename: true }), { success: false })
  fake.intercept = null
  t.match(await syncAll({ rename: true }), { success: true, conflicts: 0 })
  t.strictSame(names(), ['Acme Devices', 'Bolt Devices'])
})

t.test("a group that a person mapped becomes the client's, and our own mapping is told from a person's", async t => {
  const clients = [client('a', 'Acme'), client('b', 'Bolt')]
  const { call, syncAll, names, made, host, id } = await setUp(t, clients, { worker: { enabled: true } })
  made('Site Berlin')
  await syncNow(host, id, { resources: ['organizations'] })
  const organization = async (name: string) =>
    (await call('GET', '/organizations')).body.items.find((item: { name: string }) => item.name === name)
  t.match(await organization('Site Berlin'), { mapping: { mode: 'inherit', by: null } })
  const { id: berlin } = await organization('Site Berlin')
  await call('PATCH', `/organizations/${berlin}`, { mode: 'mapped', clientRef: 'a' })
  t.match(await organization('Site Berlin'), { mapping: { mode: 'mapped', clientRef: 'a', by: 'operator' } })
  t.match(await syncAll(), { linked: 1, created: 1 })
  t.strictSame(names(), ['Bolt Devices', 'Site Berlin'], 'no second group for it')
  t.match(await organization('Site Berlin'), { mapping: { clientRef: 'a', by: 'operator' } }, "a person's stays so")
  t.match(await organization('Bolt Devices'), { mapping: { clientRef: 'b', by: 'device-group' } })
})

t.test('a name on the platform can be accepted, and is no drift any more', async t => {
  const clients = [client('a', 'Acme')]
  const { fake, syncAll, status, groups } = await setUp(t, clients)
  const [{ groupId }] = (await syncAll()).results
  fake.world.changeGroup(groupId, { name: 'Our own name' })
  t.match(await status('a'), { needsSync: true, setupComplete: false, drift: /renamed on the platform/ })
  t.match(await groups('POST', 'a/accept-name'), {
    status: 200,
    body: { success: true, name: 'Our own name', groupId }
  })
  t.match(await status('a'), { needsSync: false, setupComplete: true, drift: null, groupName: 'Our own name' })
  t.match(await syncAll({ rename: true }), { renamed: 0, existing: 1 })
  t.match(await groups('POST', 'nobody/accept-name'), { status: 404 })
  clients.push(client('b', 'Bolt'))
  t.match(await groups('POST', 'b/accept-name'), { status: 409, body: { message: /ensure it first/ } })
})

t.test('what a person wrote into a description stays, lines and all', async t => {
  const text = `first line\nsecond line ${'x'.repeat(960)}`
  const { syncAll, made, described } = await setUp(t, [client('a', 'Acme')])
  const id = made('Acme Devices', text)
  t.match(await syncAll(), { linked: 1 })
  t.match(described(id), /^first line\nsecond line x{960} \[psa:[\w-]{22}\]$/)
})

t.test('groups of a predecessor are adopted, by the host or by their ids', async t => {
  const clients = [client('a', 'Acme'), client('b', 'Bolt'), client('c', 'Crux')]
  const seen: unknown[] = []
  const { made, groups, syncAll, names, described } = await setUp(t, clients, {
    deviceGroups: {
      adopt: (group, tenantId) => {
        seen.push([tenantId, group.name])
        return /tenant:5\)/.test(group.description ?? '') ? 'a' : null
      }
    }
  })
  const old = made('AC-0005', 'Device group for Acme (tenant:5)')
  const [one, two] = [made('G-1'), made('G-2')]
  const links = [
    { clientRef: 'b', groupId: one },
    { clientRef: 'c', groupId: two }
  ]
  t.match(await groups('POST', 'import', { links, dryRun: true }), { body: { linked: 2, message: /Dry run/ } })
  t.strictSame(described(one), '', 'a dry run changes nothing')
  t.match(await groups('POST', 'import', { links }), { status: 200, body: { linked: 2, totalClients: 2 } })
  t.match(await syncAll(), { linked: 1, existing: 2, results: [{ clientRef: 'a', groupId: old }] })
  t.match(seen[0], ['t1', 'AC-0005'])
  t.strictSame(names(), ['AC-0005', 'G-1', 'G-2'])

  t.match(await groups('PUT', 'a', { groupId: one }), { status: 409, body: { message: /held by the client b/ } })
  t.match(await groups('PUT', 'a', { groupId: 'mesh//none' }), { status: 404 })
  t.match(await groups('PUT', 'nobody', { groupId: one }), { status: 404 })
  t.match(await groups('POST', 'import', { links: [links[0], { clientRef: 'c', groupId: one }] }), { status: 400 })
  const other = made('G-3')
  t.match(await groups('PUT', 'b', { groupId: other }), { body: { linked: 1 } })
  t.notMatch(described(one), /psa:/, 'the former group loses the mark')
  t.match(await syncAll(), { existing: 3, conflicts: 0 })
})

t.test("what the host's adopt does wrong is named as the host's", async t => {
  for (const adopt of [
    () => 42 as never,
    () => {
      throw new Error('no such table')
    }
  ]) {
    const { made, syncAll, groups } = await setUp(t, [client('a', 'Acme')], { deviceGroups: { adopt } })
    made('Old')
    t.match(await syncAll(), { code: 'RMM_ERR_HOST', message: /deviceGroups\.adopt/ })
    t.match(await groups('GET', 'status'), { status: 200 }, 'and a look does not need it')
  }
})

t.test('a deleted group is made again at once where a person asks for it', async t => {
  const { fake, syncAll, groups, names } = await setUp(t, [client('a', 'Acme')])
  const [{ groupId }] = (await syncAll()).results
  fake.world.removeGroup(groupId)
  t.match(await groups('POST', 'ensure/a'), { status: 200, body: { created: true } })
  t.strictSame(names(), ['Acme Devices'])
})

t.test('one request has one deadline, for its turn and for the platform together', async t => {
  const clients = [client('a', 'Acme')]
  const { fake, groups } = await setUp(t, clients, { engine: { interactiveMs: 1_500 } })
  fake.silence('meshes')
  const both = await Promise.all([groups('POST', 'sync-all', {}), groups('POST', 'sync-all', {})])
  t.strictSame(
    both.map(({ status }) => status).every(status => status === 502 || status === 409),
    true
  )
  fake.silence(null)
  t.match(await groups('POST', 'sync-all', {}), { body: { created: 1 } }, 'and the next one is not held up')
})
