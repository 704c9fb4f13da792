import { sql } from 'kysely'
import t from 'tap'
import { meshRights } from '../../../src/testing/fake-mesh/index.ts'
import type { RmmEvent } from '../../../src/types.ts'
import { connectLevel, fakeLevel, syncNow } from '../../helper.ts'
import { connectMesh, database, fakeMesh, groupsOn, meshHost } from '../mesh-host.ts'
import { until } from '../../until.ts'

const names = ['Acme', 'Globex', 'Initech']
const makeClients = (list = names) => list.map((name, n) => ({ id: `c${n + 1}`, name }))
const outcomes = (body: { results: Array<{ clientRef: string; outcome: string }> }) =>
  Object.fromEntries(body.results.map(({ clientRef, outcome }) => [clientRef, outcome]))

async function setUp(
  t: Parameters<typeof meshHost>[0],
  {
    clients = makeClients(),
    fake: fakeOptions = {},
    ...options
  }: Parameters<typeof meshHost>[1] & { fake?: Parameters<typeof fakeMesh>[1] } = {}
) {
  const fake = await fakeMesh(t, fakeOptions)
  const host = await meshHost(t, { clients, ...options })
  const id = await connectMesh(host, fake)
  const call = (path: string, body?: object, tenant = 't1') =>
    host.call(tenant, path === 'status' ? 'GET' : 'POST', `/connections/${id}/device-groups/${path}`, body)
  const syncAll = async (body: object = {}) => (await call('sync-all', body)).body
  return { fake, host, id, call, syncAll, clients }
}

t.test('sync-all gives every client its group and its organization; the second time it writes nothing', async t => {
  const { fake, host, id, call, syncAll } = await setUp(t)
  const before = await call('status')
  t.match(before, {
    status: 200,
    body: {
      success: true,
      totalClients: 3,
      needsSync: 3,
      clients: [
        { clientRef: 'c1', hasGroup: false, groupId: null, groupExists: false, setupComplete: false, needsSync: true }
      ]
    }
  })
  const dry = await syncAll({ dryRun: true })
  t.match(dry, {
    success: true,
    created: 3,
    message: /Dry run, nothing was changed: 3 created/,
    results: [{ clientRef: 'c1', name: 'Acme Devices', groupId: null, outcome: 'created' }]
  })
  const { db, t: tables } = await database(host)
  const written = async () =>
    (
      await sql<{
        n: string
      }>`select (select count(*) from ${tables.client_group}) + (select count(*) from ${tables.organization}) + (select count(*) from ${tables.lease}) as n`.execute(
        db
      )
    ).rows[0]!.n
  t.equal(Number(await written()), 0, 'a dry run writes nothing here')
  t.equal(fake.counts.writes, 0, 'and nothing there')

  fake.resetCounts()
  const first = await syncAll()
  t.match(first, { success: true, totalClients: 3, created: 3, linked: 0, existing: 0, conflicts: 0, failed: 0 })
  t.strictSame([...groupsOn(fake)].sort(), first.results.map(({ groupId, name }: any) => [groupId, name]).sort())
  t.same([fake.counts.logins, fake.counts.lists], [1, 1], 'one log-in and one list')
  const organizations = (await host.call('t1', 'GET', `/connections/${id}/organizations`)).body.items
  t.strictSame(
    organizations.map((item: any) => [item.name, item.mapping.mode, item.effectiveClientRef]),
    [
      ['Acme Devices', 'mapped', 'c1'],
      ['Globex Devices', 'mapped', 'c2'],
      ['Initech Devices', 'mapped', 'c3']
    ],
    'mapped without a sync'
  )
  const events = (
    await sql<{ type: string }>`select type from ${tables.outbox} where type like 'RMM_DEVICE_GROUP%'`.execute(db)
  ).rows
  t.strictSame(
    events.map(({ type }) => type),
    Array(3).fill('RMM_DEVICE_GROUP_CREATED')
  )

  fake.resetCounts()
  t.match(await syncAll({ rename: true }), { success: true, existing: 3, created: 0, linked: 0, renamed: 0 })
  t.same([fake.counts.logins, fake.counts.lists, fake.counts.writes], [1, 1, 0])
  t.equal(
    (await sql`select 1 from ${tables.outbox} where type like 'RMM_DEVICE_GROUP%'`.execute(db)).rows.length,
    3,
    'nothing happened, nothing is told'
  )
  t.match((await call('status')).body, {
    needsSync: 0,
    clients: [
      { hasGroup: true, groupExists: true, setupComplete: true, needsSync: false, drift: null, linkedDevices: 0 }
    ]
  })
})

t.test('devices of a group that is linked belong to its client at once, and are told to the host', async t => {
  const told: unknown[] = []
  const { fake, host, id, syncAll, call } = await setUp(t, {
    worker: { enabled: true },
    onChanges: batch => {
      told.push(...batch.devices.map(({ change, device }) => [change, device.clientRef]))
    }
  })
  const group = fake.world.addGroup('Globex', { account: fake.account, desc: 'made by hand' })
  fake.world.addNode({ meshid: group._id, name: 'PC-1', agent: { id: 4 } })
  t.equal((await syncNow(host, id)).status, 'succeeded')
  t.strictSame(told, [], "unmapped devices are not the host's")
  t.match(outcomes(await syncAll()), { c2: 'linked' })
  t.strictSame(told, [['created', 'c2']])
  t.match((await host.call('t1', 'GET', '/devices?clientRef=c2')).body.items, [{ displayName: 'PC-1' }])
  t.match(
    fake.world.groups.get(group._id),
    { name: 'Globex', desc: /^made by hand \[psa:/ },
    'its name and what was written there stay'
  )
  t.match((await call('status')).body.clients[1], { groupName: 'Globex', linkedDevices: 1, drift: null })
  t.equal((await syncNow(host, id)).status, 'succeeded')
  t.strictSame(
    (await host.call('t1', 'GET', `/connections/${id}/organizations`)).body.items
      .map((item: any) => item.mapping.clientRef)
      .sort(),
    ['c1', 'c2', 'c3'],
    'a sync afterwards changes no mapping'
  )
})

t.test('ensure makes one group, says what it did, and refuses what it would have to guess', async t => {
  const { fake, call, host, clients } = await setUp(t)
  t.match(await call('ensure/c1'), {
    status: 200,
    body: {
      success: true,
      clientRef: 'c1',
      name: 'Acme Devices',
      created: true,
      linked: false,
      message: 'Created the group "Acme Devices"'
    }
  })
  t.match(await call('ensure/c1'), {
    status: 200,
    body: { created: false, linked: false, message: 'The group "Acme Devices" is there' }
  })
  t.equal(groupsOn(fake).size, 1, 'only this one')
  t.match(await call('ensure/nobody'), { status: 404, body: { code: 'RMM_ERR_NOT_FOUND' } })
  t.match(await call('ensure/c1', undefined, 't2'), { status: 404 }, "another tenant's connection is not there")
  for (const name of ['Globex Devices', 'Globex Devices']) fake.world.addGroup(name, { account: fake.account })
  t.match(await call('ensure/c2'), {
    status: 409,
    body: {
      code: 'RMM_ERR_CONFLICT',
      message: /more than one group fits: "Globex Devices" \(mesh\/\/.*"Globex Devices" \(mesh/
    }
  })
  clients.push({ id: 'blank', name: '\r\n\u0000' })
  t.match(await call('ensure/blank'), { status: 409, body: { message: /nothing usable is left/ } })
  fake.silence('createmesh')
  t.match(await call('ensure/c3'), { status: 502, body: { code: 'RMM_ERR_PLATFORM', message: /did not answer/ } })
  fake.silence(null)

  const levelFake = await fakeLevel(t)
  const levelId = await connectLevel(host, levelFake)
  for (const [method, path] of [
    ['POST', 'sync-all'],
    ['POST', 'ensure/c1'],
    ['GET', 'status'],
    ['POST', 'c1/install-link']
  ] as const) {
    t.match(
      await host.call(
        't1',
        method,
        `/connections/${levelId}/device-groups/${path}`,
        method === 'POST' && !path.startsWith('ensure') ? {} : undefined
      ),
      { status: 409, body: { code: 'RMM_ERR_NOT_SUPPORTED' } },
      `Level: ${path}`
    )
  }
})

t.test('clients of one name are in conflict until one is renamed; hostile names harm nobody else', async t => {
  const hostile = [
    'Müller & Söhne',
    '<b>x</b>',
    'O\'Brien "Q"',
    'Acme\r\nMeshServer=wss://evil',
    'x'.repeat(300),
    '🏢'.repeat(100),
    '$& $1',
    '   ',
    '\u202e\u0000',
    'Acme',
    'Acme East',
    'Acme',
    '__proto__',
    'שלום',
    'NUL\u0000 and half \ud83c'
  ]
  const clients = makeClients(hostile)
  const { fake, call, syncAll } = await setUp(t, { clients })
  const result = await syncAll()
  t.match(result, { success: false, created: 11, conflicts: 2, failed: 2, totalClients: 15 })
  t.match(outcomes(result), { c8: 'failed', c9: 'failed', c10: 'conflict', c12: 'conflict' })
  t.notOk([...groupsOn(fake).values()].some(name => /[\p{Cc}\u202e]/u.test(name) || name.length > 128))
  clients[11]!.name = 'Acme West'
  t.match((await call('ensure/c12')).body, { name: 'Acme West Devices', created: true })
  t.match((await call('ensure/c10')).body, { name: 'Acme Devices', created: true })
  fake.resetCounts()
  t.match(await syncAll(), { existing: 13, conflicts: 0, failed: 2 })
  t.equal(fake.counts.writes, 0)
})

t.test(
  'a renamed client is reported and renamed on request; what a person called a group is theirs until then',
  async t => {
    const { fake, call, syncAll, clients } = await setUp(t)
    const { results } = await syncAll()
    clients[0]!.name = 'Acme International'
    fake.world.changeGroup(results[1].groupId, { name: 'Globex (main site)' })
    const status = (await call('status')).body
    t.match(status, {
      needsSync: 2,
      clients: [
        { groupName: 'Acme Devices', drift: /renamed from "Acme" to "Acme International"/ },
        { drift: /renamed on the platform from "Globex Devices" to "Globex \(main site\)"/ }
      ]
    })
    t.match(await syncAll(), { existing: 3, renamed: 0, message: /2 no longer named after their client/ })
    // A mark that somebody removed is put back without forgetting what the name was.
    fake.world.changeGroup(results[0].groupId, { desc: 'mine now' })
    await syncAll()
    t.match(fake.world.groups.get(results[0].groupId)?.desc, /^mine now \[psa:/)
    t.match((await call('status')).body.clients[0].drift, /renamed from "Acme"/)
    t.match(await syncAll({ rename: true, dryRun: true }), { renamed: 2 })
    const renamed = await syncAll({ rename: true })
    t.match(renamed, { renamed: 2, existing: 1, results: [{ outcome: 'renamed', name: 'Acme International Devices' }] })
    t.strictSame([...groupsOn(fake).values()].sort(), [
      'Acme International Devices',
      'Globex Devices',
      'Initech Devices'
    ])
    t.match((await call('status')).body, { needsSync: 0 })
    fake.world.addGroup('Bolt Devices', { account: fake.account })
    clients[0]!.name = 'Bolt'
    t.match((await syncAll({ rename: true })).results[0], {
      outcome: 'conflict',
      error: /a group of that name already/
    })
  }
)

t.test(
  'a vanished group is missing first; a second list makes a new one, and one that comes back in between stays',
  async t => {
    const { fake, call, syncAll } = await setUp(t)
    const { results } = await syncAll()
    const [gone, back] = results.map((result: any) => result.groupId)
    fake.world.removeGroup(gone)
    fake.world.removeGroup(back)
    t.match((await call('status')).body.clients[0], {
      hasGroup: true,
      groupExists: false,
      needsSync: true,
      groupName: 'Acme Devices'
    })
    await call('status')
    t.match(await syncAll(), {
      existing: 1,
      failed: 2,
      created: 0,
      results: [{ outcome: 'failed', error: /if the next sync does not see it either/ }]
    })
    t.match(await call('ensure/c3'), { status: 200 }, 'the others are not held up')
    delete fake.world.groups.get(back)!.deleted
    const second = await syncAll()
    t.match(outcomes(second), { c1: 'created', c2: 'existing', c3: 'existing' })
    fake.world.removeGroup(back)
    t.match(outcomes(await syncAll()), { c2: 'failed' }, 'the count begins anew after it was seen')
    t.match(await call('ensure/c2'), { status: 200, body: { created: true } })
  }
)

t.test('an account that does not see all groups: nothing is made again without being told to', async t => {
  const { fake, call, syncAll } = await setUp(t, { fake: { manageAllDeviceGroups: false, siteadmin: 0 } })
  const first = await syncAll()
  t.match(first, { success: true, created: 3, message: /does not see all groups/ })
  const [{ groupId }] = first.results
  fake.world.setRights(fake.account, groupId, 0)
  for (let n = 0; n < 3; n++)
    t.match((await syncAll()).results[0], { outcome: 'failed', error: /a right was taken away/ })
  t.equal(groupsOn(fake).size, 3)
  fake.world.setRights(fake.account, groupId, meshRights.all)
  t.match(await syncAll(), { existing: 3 }, 'the right comes back, and with it the group')
  fake.world.removeGroup(groupId)
  t.match(await syncAll(), { failed: 1 })
  t.match(await call('ensure/c1'), { status: 200, body: { created: true } }, 'the operator says so')
})

t.test('rights that are missing are named', async t => {
  const { fake, call, syncAll } = await setUp(t, { fake: { manageAllDeviceGroups: false, siteadmin: 64 } })
  const result = await syncAll()
  t.match(result, { success: false, failed: 3, results: [{ outcome: 'failed', error: /No New Device Groups/ }] })
  t.match(await call('ensure/c1'), {
    status: 409,
    body: { code: 'RMM_ERR_PLATFORM_FORBIDDEN', message: /No New Device Groups/ }
  })
  const group = fake.world.addGroup('Acme Devices', { account: fake.other })
  fake.world.setRights(fake.account, group._id, meshRights.remote)
  t.match(
    (await syncAll()).results[0],
    { outcome: 'failed', error: /Edit Device Group/ },
    'a group that cannot be marked is not taken'
  )
  fake.password = fake.account.password = 'changed'
  t.match(await call('sync-all', {}), {
    status: 409,
    body: { code: 'RMM_ERR_PLATFORM_FORBIDDEN', message: /password/ }
  })
})

t.test('after a migration groups are found by mark and name, and the rest is made', async t => {
  const { fake, host, id, call, syncAll } = await setUp(t)
  const before = await syncAll()
  const marks = new Map([...fake.world.groups.values()].map(group => [group.name, group.desc]))
  fake.migrate()
  fake.world.addGroup('Moved and renamed', { account: fake.account, desc: marks.get('Acme Devices') })
  fake.world.addGroup('Globex Devices', { account: fake.other })
  // An id of before that means something else now.
  const stranger = fake.world.addGroup('Stranger', { account: fake.account })
  fake.world.groups.delete(stranger._id)
  fake.world.groups.set(before.results[2].groupId, { ...stranger, _id: before.results[2].groupId })
  t.match(await syncAll({ dryRun: true }), { linked: 2, created: 1 })
  t.match(await call('ensure/c2'), { status: 200, body: { linked: true } }, 'one of them first')
  const after = await syncAll()
  t.match(outcomes(after), { c1: 'linked', c2: 'existing', c3: 'created' })
  t.match(after.results[0], { name: 'Moved and renamed' })
  t.match(
    fake.world.groups.get(before.results[2].groupId),
    { name: 'Stranger', desc: undefined },
    'nobody took it for their own'
  )
  t.match((await call('status')).body, { needsSync: 0 })
  t.match(await syncAll(), { existing: 3 })
  t.equal((await host.call('t1', 'GET', `/connections/${id}`)).status, 200)
})

t.test("another tenant's groups on the same server are never taken by name", async t => {
  const { fake, host, syncAll } = await setUp(t)
  await syncAll()
  const other = await connectMesh(host, fake, { tenant: 't2' })
  t.match((await host.call('t2', 'POST', `/connections/${other}/device-groups/sync-all`, {})).body, {
    created: 3,
    linked: 0
  })
  t.equal(groupsOn(fake).size, 6)
  t.match(await syncAll(), { existing: 3 })
  const free = fake.world.addGroup('Hooli Devices', { account: fake.account })
  const both = { id: 'c9', name: 'Hooli' }
  const [one, two] = await Promise.all(
    (await Promise.all([meshHost(t, { clients: [both], on: host }), meshHost(t, { clients: [both], on: host })])).map(
      async (second, n) => {
        const tenant = n === 0 ? 't1' : 't2'
        const {
          body: { items }
        } = await second.call(tenant, 'GET', '/connections')
        return (await second.call(tenant, 'POST', `/connections/${items[0].id}/device-groups/sync-all`, {})).body
          .results[0]
      }
    )
  )
  t.strictSame(
    [one.outcome, two.outcome].sort(),
    ['created', 'linked'],
    'at the same moment: one gets it, the other makes its own'
  )
  t.ok([one.groupId, two.groupId].includes(free._id))
})

t.test('two hosts at once make no duplicates', async t => {
  const clients = makeClients(Array.from({ length: 60 }, (_, n) => `Client ${n}`))
  const { fake, host, id } = await setUp(t, { clients })
  const second = await meshHost(t, { clients, on: host })
  fake.resetCounts()
  const answers = await Promise.all(
    [host, second, host].map(one => one.call('t1', 'POST', `/connections/${id}/device-groups/sync-all`, {}))
  )
  t.strictSame(
    answers.map(({ body }) => body.created).sort((a, b) => a - b),
    [0, 0, 60]
  )
  t.equal(groupsOn(fake).size, 60)
  t.equal(fake.counts.writes, 60)
})

t.test('a server that dies half-way: what was made is kept, the next run goes on', async t => {
  const clients = makeClients(Array.from({ length: 100 }, (_, n) => `Client ${n}`))
  const { fake, syncAll, call } = await setUp(t, { clients })
  let created = 0
  fake.intercept = ({ action }) => {
    if (action === 'createmesh' && ++created === 60) void fake.stop()
    return false
  }
  const half = await syncAll()
  t.equal(half.success, false)
  t.ok(
    half.created > 0 && half.created < 100 && half.created + half.failed === 100,
    `${half.created} made, ${half.failed} not`
  )
  t.match(half.results.at(-1), { outcome: 'failed', error: /^not reached: / })
  t.ok(fake.counts.actions['createmesh']! <= 68, 'it did not go on asking')
  t.match(await call('sync-all', {}), { status: 502, body: { code: 'RMM_ERR_PLATFORM' } })
  fake.intercept = null
  await fake.start()
  const rest = await syncAll()
  t.match(rest, { success: true, failed: 0, conflicts: 0 })
  t.equal(groupsOn(fake).size, 100, 'no duplicates, also of those whose answer was lost')
  t.ok(rest.existing >= half.created)
})

t.test(
  'a creation whose answer was lost is found by its mark; of two the older is kept and the other one reported',
  async t => {
    const { fake, call, syncAll } = await setUp(t, { clients: makeClients(['Acme']), mesh: { requestTimeoutMs: 200 } })
    fake.intercept = (command, session) => {
      if (command['action'] !== 'createmesh') return false
      fake.world.addGroup(String(command['meshname']), { account: session.account, desc: String(command['desc']) })
      return true
    }
    t.match(await syncAll(), { failed: 1 })
    fake.intercept = null
    const [lost] = fake.world.groups.values()
    lost!['creation'] = 1000
    const twin = fake.world.addGroup(lost!.name, { account: fake.account, desc: lost!.desc })
    const found = await syncAll()
    t.match(found, {
      linked: 1,
      created: 0,
      results: [{ groupId: lost!._id, error: /the same mark is also on "Acme Devices"/ }]
    })
    t.ok(found.results[0].error.includes(twin._id))
    t.match((await call('status')).body.clients[0], {
      setupComplete: true,
      needsSync: true,
      drift: /move the devices out of there and delete it/
    })
    t.equal(groupsOn(fake).size, 2, 'nothing is deleted')
  }
)

t.test('a process that died over it keeps the others out only until its lease runs out', async t => {
  const { fake, host, call, syncAll } = await setUp(t, { engine: { interactiveMs: 1_000 } })
  const { db, t: tables } = await database(host)
  const leases = async () =>
    (await sql<{ name: string }>`select name from ${tables.lease} where name like 'groups:%'`.execute(db)).rows
  let names: string[] = []
  fake.intercept = ({ action, tag }, session) => {
    if (action !== 'meshes') return false
    void leases().then(rows => {
      names = rows.map(({ name }) => name)
      session.send({ action: 'meshes', meshes: [], tag })
    })
    return true
  }
  await syncAll()
  fake.intercept = null
  t.equal(names.length, 1, 'one lease while it works')
  t.strictSame(await leases(), [], 'none afterwards')
  const dies = (ms: number) =>
    sql`insert into ${tables.lease} (name, worker, lease_until) values (${names[0]}, 'dead', now() + ${ms} * interval '1 millisecond') on conflict (name) do update set lease_until = excluded.lease_until`.execute(
      db
    )
  await dies(60_000)
  t.match(await call('sync-all', {}), {
    status: 409,
    body: { code: 'RMM_ERR_CONFLICT', message: /being synced already/ }
  })
  t.match(await call('sync-all', { dryRun: true }), { status: 200 }, 'looking is always possible')
  t.match(await call('status'), { status: 200 })
  await dies(200)
  t.match(await call('sync-all', {}), { status: 200, body: { existing: 3 } })
})

t.test('a call that takes too long stops, says so, and the next one goes on', async t => {
  const clients = makeClients(Array.from({ length: 60 }, (_, n) => `Client ${n}`))
  const { fake, syncAll, call } = await setUp(t, { clients, engine: { interactiveMs: 300 } })
  let asked = 0
  fake.intercept = (command, session) => {
    if (command['action'] !== 'createmesh' || asked++ % 2 === 1) return false
    // Half of the answers come late.
    setTimeout(() => {
      const group = fake.world.addGroup(String(command['meshname']), {
        account: session.account,
        desc: String(command['desc'])
      })
      session.send({ action: 'createmesh', responseid: command['responseid'], result: 'ok', meshid: group._id })
    }, 400)
    return true
  }
  const first = await syncAll()
  t.ok(
    first.created > 0 && first.failed > 0 && first.created + first.failed === 60,
    `${first.created} made, ${first.failed} left`
  )
  t.match(first.results.at(-1).error, /not reached in the time there is for one call; call again/)
  fake.intercept = null
  t.match(await syncAll(), { success: true, existing: first.created, created: first.failed })
  t.equal(groupsOn(fake).size, 60)
  t.match(await call('status'), { body: { needsSync: 0 } })
  fake.silence('createInviteLink')
  t.match(await call('c1/install-link', {}), {
    status: 502,
    body: { code: 'RMM_ERR_PLATFORM', message: /did not answer in time/ }
  })
  fake.silence('meshes')
  t.match(await call('status'), { status: 200, body: { source: 'stored' } })
})

t.test('groups are looked after at the start and before each scheduled sync, without holding anything up', async t => {
  const { fake, host, id } = await setUp(t, { clients: makeClients(['Acme']) })
  const { db, t: tables } = await database(host)
  const second = makeClients(['Acme', 'Globex'])
  fake.silence('meshes')
  const starting = await meshHost(t, {
    on: host,
    clients: second,
    worker: { enabled: true },
    deviceGroups: { onStartup: true },
    schedule: { enabled: false },
    mesh: { requestTimeoutMs: 60_000 }
  })
  t.equal(
    (await starting.call('t1', 'GET', '/connections')).status,
    200,
    'a platform that does not answer holds up no start'
  )
  await starting.app.close()
  fake.silence(null)
  t.equal(groupsOn(fake).size, 0)

  await meshHost(t, {
    on: host,
    clients: second,
    worker: { enabled: true },
    deviceGroups: { onStartup: true },
    schedule: { enabled: false }
  })
  await until('the groups after a start', () => groupsOn(fake).size === 2)

  const third = makeClients(['Acme', 'Globex', 'Initech'])
  const due = () =>
    sql`update ${tables.connection} set schedule_enabled = true, next_sync_at = now() where id = ${id}`.execute(db)
  // Its next date is set once the sync was started, or has joined one that was just running.
  const isStarted = async () =>
    (
      await sql`select 1 from ${tables.connection} where id = ${id} and next_sync_at > now() + interval '30 minutes'`.execute(
        db
      )
    ).rows.length === 1
  const off = await meshHost(t, {
    on: host,
    clients: third,
    worker: { enabled: true },
    deviceGroups: { onSchedule: false }
  })
  await due()
  await until('a scheduled sync', isStarted)
  t.equal(groupsOn(fake).size, 2, 'off is off')
  await off.app.close()

  await meshHost(t, { on: host, clients: third, worker: { enabled: true } })
  await due()
  await until('the next scheduled sync', isStarted)
  t.equal(groupsOn(fake).size, 3, 'the groups came before the sync')
})

t.test('a scheduled sync is not lost where the groups fail', async t => {
  const { fake, host, id } = await setUp(t, {
    clients: makeClients(['Acme']),
    fake: { siteadmin: 64, manageAllDeviceGroups: false }
  })
  const { db, t: tables } = await database(host)
  const warned: unknown[] = []
  const fastify = {
    logger: {
      level: 'warn',
      stream: {
        write: (line: string) => {
          warned.push(line)
        }
      }
    }
  }
  await meshHost(t, { on: host, clients: makeClients(['Acme']), worker: { enabled: true }, fastify })
  await sql`update ${tables.connection} set schedule_enabled = true, next_sync_at = now() where id = ${id}`.execute(db)
  await until(
    'the scheduled run',
    async () =>
      (await sql`select 1 from ${tables.run} where trigger = 'schedule' and status = 'succeeded'`.execute(db)).rows
        .length === 1
  )
  t.match(warned.join(), /device groups: 1 failed/)
  t.equal(groupsOn(fake).size, 0)
  await t.rejects(meshHost(t, { deviceGroups: { onStartup: 'yes' } as never }), {
    code: 'RMM_ERR_OPTION',
    message: /deviceGroups.onStartup.*true or false/
  })
  await t.rejects(meshHost(t, { deviceGroups: { onBoot: true } as never }), {
    code: 'RMM_ERR_OPTION',
    message: /onStartup, onSchedule/
  })
})

t.test('install links and remote sessions: short, audited, refused with the reason', async t => {
  const { fake, host, id, call, syncAll } = await setUp(t, { worker: { enabled: true } })
  t.match(await call('c1/install-link', { hours: 2 }), { status: 409, body: { message: /ensure it first/ } })
  t.match(await call('nobody/install-link', {}), { status: 404 })
  const heard: RmmEvent[] = []
  host.app.rmm.events.on('*', event => {
    heard.push(event)
  })
  const { results } = await syncAll()
  const made = await call('c1/install-link', { hours: 2 })
  t.match(made, { status: 201, body: { url: /agentinvite\?c=/ } })
  t.ok(Math.abs(Date.parse(made.body.expiresAt) - Date.now() - 2 * 3_600_000) < 60_000)
  const node = fake.world.addNode({ meshid: results[0].groupId, name: 'PC-1', agent: { id: 4 } })
  await syncNow(host, id)
  const {
    body: {
      items: [device]
    }
  } = await host.call('t1', 'GET', '/devices?clientRef=c1')
  t.match(device, { externalId: node._id })
  const session = await host.call('t1', 'POST', `/devices/${device.id}/remote-session`, { minutes: 10, viewOnly: true })
  t.match(session, { status: 201, body: { url: /sharing\?c=/ } })
  t.ok(Math.abs(Date.parse(session.body.expiresAt) - Date.now() - 600_000) < 60_000)
  await until(
    'the events',
    () =>
      heard.some(({ type }) => type === 'RMM_REMOTE_SESSION_STARTED') &&
      heard.some(({ type }) => type === 'RMM_INSTALL_LINK_CREATED')
  )
  t.match(
    heard.find(({ type }) => type === 'RMM_REMOTE_SESSION_STARTED'),
    { tenantId: 't1', connectionId: id, payload: { deviceId: device.id, viewOnly: true } }
  )
  t.match(
    heard.find(({ type }) => type === 'RMM_INSTALL_LINK_CREATED'),
    { payload: { clientRef: 'c1', groupId: results[0].groupId } }
  )
  t.notMatch(JSON.stringify(heard), /sharing\?c=|agentinvite\?c=/, 'who has the link has the way in: it is in no event')
  t.equal((await host.call('t2', 'POST', `/devices/${device.id}/remote-session`, {})).status, 404)

  fake.account.siteadmin = 0
  fake.world.managers.clear()
  fake.world.setRights(fake.account, results[0].groupId, meshRights.remote)
  const refused = await host.call('t1', 'POST', `/devices/${device.id}/remote-session`, {})
  t.match(refused, { status: 409, body: { code: 'RMM_ERR_PLATFORM_FORBIDDEN', message: /Guest Sharing/ } })
  fake.world.removeGroup(results[0].groupId)
  t.match(await call('c1/install-link', {}), {
    status: 409,
    body: { message: /not on the MeshCentral server any more/ }
  })
})
