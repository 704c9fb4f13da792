import { createServer } from 'node:net'
import { once } from 'node:events'
import { sql } from 'kysely'
import t from 'tap'
import { syncNow } from '../../helper.ts'
import { connectMesh, database, fakeMesh, groupsOn, meshHost } from '../mesh-host.ts'
import { until } from '../../until.ts'

const makeClients = () => ['Acme', 'Globex', 'Initech'].map((name, n) => ({ id: `c${n + 1}`, name }))

async function setUp(t: Parameters<typeof meshHost>[0], options: Parameters<typeof meshHost>[1] = {}) {
  const clients = makeClients()
  const fake = await fakeMesh(t)
  const host = await meshHost(t, { clients, ...options })
  const id = await connectMesh(host, fake)
  const status = async () => await host.call('t1', 'GET', `/connections/${id}/device-groups/status`)
  const syncAll = async (body: object = {}) =>
    (await host.call('t1', 'POST', `/connections/${id}/device-groups/sync-all`, body)).body
  return { clients, fake, host, id, status, syncAll }
}

/** What a page shows of it, without what says where it comes from. */
const shown = ({ body: { source: _, message: __, ...rest } }: { body: any }) => rest

t.test('status asks the platform: what was deleted and renamed there shows at once', async t => {
  const { fake, status, syncAll } = await setUp(t)
  const { results } = await syncAll()
  t.match(await status(), { status: 200, body: { success: true, source: 'platform', message: null, needsSync: 0 } })
  fake.world.removeGroup(results[0].groupId)
  fake.world.changeGroup(results[1].groupId, { name: 'Called otherwise' })
  t.match((await status()).body, {
    source: 'platform',
    needsSync: 2,
    clients: [{ groupExists: false }, { groupName: 'Called otherwise', drift: /renamed on the platform/ }]
  })
})

t.test('a platform that is down: status tells what is stored, and that it does', async t => {
  const { clients, fake, status, syncAll } = await setUp(t)
  await syncAll()
  const before = await status()
  await fake.stop()
  const down = await status()
  t.match(down, { status: 200, body: { success: true, source: 'stored', message: /refused the connection/ } })
  t.strictSame(shown(down), shown(before), 'the same as before it went')
  clients[0]!.name = 'Acme International'
  clients.push({ id: 'new', name: 'Hooli' })
  t.match((await status()).body, {
    source: 'stored',
    totalClients: 4,
    needsSync: 2,
    clients: [
      { drift: /renamed from "Acme" to "Acme International"/, groupExists: true },
      { drift: null },
      {},
      { clientRef: 'new', hasGroup: false, groupExists: false, needsSync: true }
    ]
  })
  await fake.start()
  t.match((await status()).body, { source: 'platform', message: null })
})

t.test('what is stored includes what the last sync and the last sync-all have seen', async t => {
  const { fake, host, id, status, syncAll } = await setUp(t, { worker: { enabled: true } })
  const { results } = await syncAll()
  const ids = results.map(({ groupId }: any) => groupId)
  fake.world.changeGroup(ids[0], { name: 'Called otherwise' })
  fake.world.addNode({ meshid: ids[2], name: 'PC', agent: { id: 4 } })
  t.equal((await syncNow(host, id)).status, 'succeeded')
  fake.world.removeGroup(ids[1])
  t.match(await syncAll(), { failed: 1 })
  const live = await status()
  await fake.stop()
  const stored = await status()
  t.match(stored.body, {
    source: 'stored',
    clients: [
      { groupName: 'Called otherwise', drift: /renamed on the platform/ },
      { hasGroup: true, groupExists: false, needsSync: true },
      { linkedDevices: 1, needsSync: false }
    ]
  })
  t.strictSame(
    stored.body.clients.map(({ clientRef, groupExists, needsSync, groupName, linkedDevices }: any) => ({
      clientRef,
      groupExists,
      needsSync,
      groupName,
      linkedDevices
    })),
    live.body.clients.map(({ clientRef, groupExists, needsSync, groupName, linkedDevices }: any) => ({
      clientRef,
      groupExists,
      needsSync,
      groupName,
      linkedDevices
    }))
  )
  await host.app.close()
})

t.test('a group that we renamed has its new name in the inventory at once, and no drift', async t => {
  const { clients, fake, host, id, status, syncAll } = await setUp(t, { worker: { enabled: true } })
  const { results } = await syncAll()
  t.equal((await syncNow(host, id)).status, 'succeeded')
  clients[0]!.name = 'Acme International'
  t.match(await syncAll({ rename: true }), { renamed: 1 })
  const names = async () =>
    (await host.call('t1', 'GET', `/connections/${id}/organizations`)).body.items.map(({ name, path }: any) => [
      name,
      path
    ])
  t.strictSame((await names())[0], ['Acme International Devices', 'Acme International Devices'])
  await fake.stop()
  t.match((await status()).body, { source: 'stored', needsSync: 0 })
  await fake.start()
  fake.world.changeGroup(results[0].groupId, { name: 'Acme Devices' })
  t.equal((await syncNow(host, id)).status, 'succeeded')
  t.strictSame(
    (await names())[0],
    ['Acme Devices', 'Acme Devices'],
    'renamed back on the platform, the next sync sees it'
  )
})

t.test('a refused password: status says so, and a page that is opened again does not try it again', async t => {
  const { fake, host, id, status, syncAll } = await setUp(t)
  await syncAll()
  const { password } = fake
  fake.account.password = 'changed'
  t.match(await status(), { status: 200, body: { source: 'stored', message: /user name or password/, needsSync: 0 } })
  t.match((await host.call('t1', 'GET', `/connections/${id}`)).body, {
    status: 'error',
    statusReason: /user name or password/
  })
  const tried = fake.counts.refusals
  t.match((await status()).body, { source: 'stored', message: /user name or password/ })
  t.equal(fake.counts.refusals, tried)
  fake.account.password = 'another'
  t.equal(
    (
      await host.call('t1', 'PATCH', `/connections/${id}`, {
        secrets: { username: fake.username, password: 'another' }
      })
    ).status,
    200
  )
  t.match((await status()).body, { source: 'platform' }, 'new secrets are tried')
  fake.account.password = password
  t.match((await status()).body, { source: 'stored' })
  fake.account.password = 'another'
  t.equal((await host.call('t1', 'POST', `/connections/${id}/test`)).status, 200)
  t.match((await status()).body, { source: 'platform' }, 'and so are those that somebody has seen work')
})

t.test('a disconnected connection still shows its groups', async t => {
  const { host, id, status, syncAll } = await setUp(t)
  await syncAll()
  t.equal((await host.call('t1', 'DELETE', `/connections/${id}`)).status, 204)
  t.match(await status(), {
    status: 200,
    body: { source: 'stored', message: /disconnected/, needsSync: 0, clients: [{ groupExists: true }] }
  })
})

t.test(
  'a platform that hangs holds up no page: a silent server, one that does not answer the list, a black hole',
  async t => {
    const { fake, status, syncAll } = await setUp(t, {
      // Longer than a test may take: an answer that waits for them fails it.
      engine: { interactiveMs: 600_000 },
      mesh: { requestTimeoutMs: 600_000 }
    })
    await syncAll()
    const quick = async (why: string) => {
      t.match(
        await status(),
        { status: 200, body: { source: 'stored', message: /did not answer in time/, needsSync: 0 } },
        why
      )
    }
    fake.silence('meshes')
    await quick('the list')
    fake.silence(null)
    fake.refuseLogins({ action: 'traceinfo' })
    await quick('the log-in')
    await fake.stop()
    const hole = createServer(() => {}).listen(fake.port, '127.0.0.1')
    await once(hole, 'listening')
    await quick('the black hole')
    hole.close()
  }
)

t.test('ten open pages are one log-in; who asks after a change is told of it', async t => {
  const { fake, host, status, syncAll, clients, id } = await setUp(t)
  await syncAll()
  fake.resetCounts()
  const answers = await Promise.all(Array.from({ length: 10 }, status))
  t.strictSame([fake.counts.logins, fake.counts.lists], [1, 1])
  t.ok(answers.every(({ body }) => body.source === 'platform' && body.needsSync === 0))

  clients.push({ id: 'new', name: 'Hooli' })
  let release = (): void => {}
  fake.intercept = ({ action, tag }, session) => {
    if (action !== 'meshes') return false
    const meshes = [...fake.world.groups.values()]
    release = () => session.send({ action: 'meshes', meshes, tag })
    fake.intercept = null
    return true
  }
  const slow = status()
  await until('the question', () => fake.intercept === null)
  t.equal((await host.call('t1', 'POST', `/connections/${id}/device-groups/ensure/new`)).body.created, true)
  t.match((await status()).body, { needsSync: 0, totalClients: 4 }, 'not the list of before')
  release()
  t.match(
    (await slow).body.clients[3],
    { hasGroup: false, drift: null },
    'who has waited since before sees how it was, not a group that is missing'
  )
  t.equal(groupsOn(fake).size, 4)
})

t.test('names on the platform that no database takes are linked by their mark all the same', async t => {
  const { fake, host, id, status, syncAll } = await setUp(t, { worker: { enabled: true } })
  const { results } = await syncAll()
  const [one, two] = results.map(({ groupId }: any) => fake.world.groups.get(groupId)!)
  fake.world.changeGroup(one._id, { name: 'Acme\0 \ud83c Devices' })
  fake.world.changeGroup(two._id, { name: '  two\r\nlines\u202e  ' })
  const { db, t: tables } = await database(host)
  await sql`delete from ${tables.client_group}`.execute(db)
  t.match(await syncAll(), { linked: 3, failed: 0 })
  t.match((await status()).body, { needsSync: 0 }, 'found as they are, not renamed')
  t.match(await syncAll(), { existing: 3 })
  t.equal((await syncNow(host, id)).status, 'succeeded')
  const live = shown(await status())
  await fake.stop()
  t.strictSame(shown(await status()), live, 'the sync keeps names in one line; that is no renaming')
})
