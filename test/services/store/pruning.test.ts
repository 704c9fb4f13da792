import { sql } from 'kysely'
import t from 'tap'
import { defaultRetention, pruneOld } from '../../../src/services/store/index.ts'
import { build, secrets } from '../../helper.ts'
import { until } from '../../until.ts'
import { alert, devices, group, list, scriptedHost } from '../scripted.ts'

const days = (n: number) => sql`now() - ${n} * interval '1 day'`

t.test('everything that grows goes by its age, and what is in use stays', async t => {
  const host = await scriptedHost(t)
  const { script, database, rows } = host
  const { db, t: tables } = database
  script.organizations = list([group('g1'), group('g2'), group('g3'), group('mapped')])
  script.devices = list([...devices(5), { ...devices(1, {}, 'e')[0]!, organizationExternalId: 'g3' }])
  script.alerts = list([alert('listed', { status: 'resolved', resolvedAt: new Date() }), alert('a1'), alert('a2')])
  await host.sync()
  await host.map({ mapped: 'c2' })
  script.organizations = list([group('g1')])
  script.devices = list(devices(4))
  script.alerts = list([alert('listed', { status: 'resolved', resolvedAt: new Date() }), alert('a1')])
  await host.sync()
  await sql`insert into ${tables.delivery} (tenant_id, connection_id, event_id, event_type, body, status, received_at, next_attempt_at)
    select 't1', ${host.connectionId}::uuid, s || n, 'x', '{}', s, ${days(15)}, now() + interval '1 hour' from unnest(array['done', 'dead', 'pending']) s, generate_series(1, 2) n`.execute(
    db
  )
  await sql`update ${tables.delivery} set received_at = ${days(13)} where event_id like '%2'`.execute(db)
  await sql`insert into ${tables.change} (tenant_id, connection_id, cause, entity, kind, state, at) select 't1', ${host.connectionId}::uuid, 'sync', 'device', 'update', s, ${days(91)} from unnest(array['applied', 'held', 'dismissed']) s`.execute(
    db
  )
  const age = async (how: number) => {
    for (const [table, column] of [
      ['device', 'removed_at'],
      ['organization', 'removed_at'],
      ['alert', 'resolved_at']
    ] as const)
      await sql`update ${tables[table]} set ${sql.ref(column)} = ${days(how)} where ${sql.ref(column)} is not null`.execute(
        db
      )
    await sql`update ${tables.run} set finished_at = ${days(how)}`.execute(db)
  }
  const left = async () => ({
    devices: (await rows('device')).map(row => row.external_id),
    statuses: (await rows('device_status', 'device_id')).length,
    organizations: (await rows('organization')).map(row => row.external_id),
    alerts: (await rows('alert')).map(row => row.external_id),
    runs: (await rows('run', 'queued_at')).length,
    deliveries: (await rows('delivery', 'event_id')).map(row => row.event_id),
    changes: (await rows('change', 'id')).flatMap(row => (row.entity_id === null ? row.state : []))
  })
  await age(29)
  const before = await left()
  await pruneOld(database, defaultRetention)
  const young = await left()
  t.strictSame(
    { ...before, deliveries: [], changes: [] },
    { ...young, deliveries: [], changes: [] },
    'a month is not old'
  )
  t.strictSame(young.deliveries, ['dead2', 'done2', 'pending1', 'pending2'])
  t.strictSame(young.changes, ['held', 'dismissed'])
  await age(31)
  await sql`update ${tables.page} set created_at = ${days(1)}`.execute(db)
  await pruneOld(database, { ...defaultRetention, removedDevices: 30, alerts: 30 })
  t.match(await left(), {
    devices: ['d000', 'd001', 'd002', 'd003'],
    statuses: 4,
    organizations: ['g1', 'g2', 'g3', 'mapped'].filter(id => id === 'g1' || id === 'mapped'),
    alerts: ['a1', 'listed'],
    runs: 0
  })
  t.equal(await pruneOld(database, { ...defaultRetention, removedDevices: 30, alerts: 30 }), false)
  t.match(await host.sync(), { status: 'succeeded', totals: { created: 0 } }, 'and it is a base to go on from')
})

t.test('what the pages of reads showed that never were complete goes by itself', async t => {
  const host = await scriptedHost(t)
  const { script, database, rows } = host
  script.devices = list(devices(40))
  await host.sync()
  script.devices = list([])
  for (let day = 0; day < 4; day++)
    t.match(await host.sync({ resources: ['devices'] }), { error: { code: 'RMM_ERR_MASS_REMOVAL' } })
  const passes = async () =>
    new Set((await rows('page', 'id')).filter(row => row.resource === 'devices').map(row => row.pass_id)).size
  const [{ id, known_ids }] = (await rows('pass', 'resource')).filter(row => row.resource === 'devices')
  t.ok((await passes()) > 3)
  await sql`update ${database.t.page} set created_at = ${days(1)}`.execute(database.db)
  const more = await build(t, { on: { orm: host.orm, schema: host.schema }, providers: [script.provider], secrets })
  await until(async () => (await passes()) === new Set([id, ...known_ids]).size)
  t.match(await host.sync({ resources: ['devices'], force: true }), { status: 'succeeded', totals: { removed: 40 } })
  t.ok(more.app.rmm.health !== undefined)
})

t.test('more than a portion takes several turns', async t => {
  const { database, connectionId } = await scriptedHost(t)
  await sql`insert into ${database.t.delivery} (tenant_id, connection_id, event_id, event_type, body, status, received_at)
    select 't1', ${connectionId}::uuid, n::text, 'x', '{}', 'done', ${days(20)} from generate_series(1, 2500) n`.execute(
    database.db
  )
  t.equal(await pruneOld(database, defaultRetention), true)
  const { rows } = await sql<{ n: string }>`select count(*) as n from ${database.t.delivery}`.execute(database.db)
  t.equal(Number(rows[0]!.n), 500)
  await pruneOld(database, defaultRetention)
  t.equal(await pruneOld(database, defaultRetention), false)
})
