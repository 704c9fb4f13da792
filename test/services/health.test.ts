import { sql } from 'kysely'
import t from 'tap'
import { callbackSink } from '../../src/index.ts'
import type { Health } from '../../src/types.ts'
import { build } from '../helper.ts'
import { scriptedHost } from './scripted.ts'
import { until } from '../until.ts'

const still = { worker: { enabled: false } }
const nothing: Omit<Health, 'sinks'> = {
  ok: true,
  schedules: { late: 0, oldestMs: null },
  runs: { waiting: 0, stuck: 0 },
  deliveries: { pending: 0, dead: 0, oldestMs: null },
  connections: { error: 0 },
  keys: { missing: [] }
}

t.test('a tenant sees what of its own is late, stuck, given up or in error, and nothing of others', async t => {
  const h = await scriptedHost(t, { mapped: false, ...still })
  const { db, t: tables } = h.database
  const health = async (tenant: string): Promise<Health> => {
    const { status, body } = await h.call(tenant, 'GET', '/health')
    t.equal(status, 200)
    return body
  }
  t.match(await health('t1'), nothing)

  await sql`update ${tables.connection} set schedule_enabled = true, next_sync_at = now() - interval '5 minutes'`.execute(
    db
  )
  const late = await health('t1')
  t.match(late, { ok: false, schedules: { late: 1, oldestMs: Number } })
  t.ok(late.schedules.oldestMs! >= 300_000 && late.schedules.oldestMs! < 600_000)
  await sql`update ${tables.connection} set schedule_enabled = false`.execute(db)
  t.match(await health('t1'), { ok: true, schedules: { late: 0 } }, 'what is switched off is not due')

  const run = sql`insert into ${tables.run} (tenant_id, connection_id, provider, trigger, resources, mode, transport)
    values ('t1', ${h.connectionId}, 'scripted', 'manual', '["devices"]', 'full', 'direct')`
  await run.execute(db)
  t.match(await health('t1'), { ok: true, runs: { waiting: 1, stuck: 0 } })
  await sql`update ${tables.run} set updated_at = now() - interval '20 minutes', queued_at = now() - interval '20 minutes'`.execute(
    db
  )
  t.match(await health('t1'), { ok: false, runs: { waiting: 1, stuck: 1 } }, 'queued, and nobody takes it up')
  await sql`update ${tables.run} set not_before = now() + interval '1 minute'`.execute(db)
  t.match(await health('t1'), { ok: true, runs: { waiting: 1, stuck: 0 } }, 'its time has not come')
  await sql`update ${tables.run} set status = 'running', lease_until = now() - interval '1 minute'`.execute(db)
  t.match(await health('t1'), { ok: false, runs: { waiting: 0, stuck: 1 } }, 'its worker is gone')
  await sql`update ${tables.run} set lease_until = now() + interval '1 minute'`.execute(db)
  t.match(await health('t1'), { ok: true, runs: { waiting: 0, stuck: 0 } })

  await sql`insert into ${tables.delivery} (tenant_id, connection_id, event_id, event_type, body, status, received_at)
    values ('t1', ${h.connectionId}, 'a', 'x', '{}', 'pending', now() - interval '1 minute'), ('t1', ${h.connectionId}, 'b', 'x', '{}', 'dead', now()), ('t1', ${h.connectionId}, 'c', 'x', '{}', 'done', now())`.execute(
    db
  )
  t.match(await health('t1'), { ok: false, deliveries: { pending: 1, dead: 1, oldestMs: Number } })
  await sql`delete from ${tables.delivery}`.execute(db)
  await sql`update ${tables.connection} set status = 'error'`.execute(db)
  t.match(await health('t1'), { ok: false, connections: { error: 1 } })

  t.match(await health('t2'), nothing, 'none of it is told to another tenant')
  t.match(await h.app.rmm.health(), { ok: false, connections: { error: 1 }, duties: [] }, 'the process tells of all')
})

t.test('a sync that cannot be started stays late since it was due, and keeps its place on the grid', async t => {
  const h = await scriptedHost(t, { mapped: false, ...still })
  const { db, t: tables } = h.database
  // A transport that is down: every start fails, and the date of the next try moves on.
  const idle = await build(t, {
    on: h,
    providers: [h.script.provider],
    engine: { tickMs: 50 },
    transports: [
      {
        kind: 'down',
        durable: true,
        afterCommit: () => Promise.reject(new Error('down')),
        cancel: async () => {},
        owns: async () => false,
        startWorker: async () => {},
        stop: async () => {}
      }
    ],
    transport: 'down'
  })
  await sql`update ${tables.connection} set schedule_enabled = true, next_sync_at = now() - interval '5 minutes'`.execute(
    db
  )
  const at = (value: unknown) => new Date(value as string).getTime()
  const moved = async () => at((await h.rows('connection', 'id'))[0].next_sync_at) > Date.now()
  await until('its next try to be put off', moved)
  t.match(await h.app.rmm.health('t1'), { ok: false, schedules: { late: 1 } }, 'although its next try is in a minute')
  await idle.app.close()
  const { due_since: since } = (await h.rows('connection', 'id'))[0]
  const worker = await build(t, { on: h, providers: [h.script.provider] })
  await sql`update ${tables.connection} set next_sync_at = now()`.execute(db)
  await until('nothing to be late', async () => (await worker.app.rmm.health('t1')).schedules.late === 0)
  const after = (await h.rows('connection', 'id'))[0]
  t.equal(after.due_since, null)
  const minutes = (at(after.next_sync_at) - at(since)) / 60_000
  t.equal(minutes % Number(after.every_minutes), 0, 'a whole number of intervals after it was due')
})

t.test('sinks, and the duties of the process', async t => {
  const h = await scriptedHost(t, {
    mapped: false,
    events: [
      callbackSink(
        () => {
          throw new Error('down')
        },
        { name: 'broken' }
      )
    ]
  })
  const health = await until('a failure, and every duty once', async () => {
    const now = await h.app.rmm.health()
    const failed = now.sinks.some(({ failures }) => failures > 0)
    return failed && now.duties.every(duty => duty.lastEndAt !== null) && now
  })
  t.match(
    health.sinks.find(({ name }) => name === 'broken'),
    { pending: 1, oldestMs: Number }
  )
  t.equal(health.ok, false)
  t.strictSame(
    health.duties.map(({ name }) => name).sort(),
    [
      'adoption:direct',
      'adoption:other',
      'clock',
      'inbox',
      'listeners',
      'presence',
      'pruning',
      'relay:broken',
      'relay:emitter',
      'schedules:direct'
    ],
    'docs/operating.md names them'
  )
  t.match(await h.app.rmm.health('t1'), { ok: false, sinks: [{ name: 'broken', pending: 1 }] })
  t.match(
    (await h.app.rmm.health('t2')).sinks.find(({ name }) => name === 'broken'),
    { pending: 0, oldestMs: null },
    'a tenant sees what of its own waits'
  )
})
