import { sql } from 'kysely'
import t from 'tap'
import { ProviderError } from '../../../src/providers/define.ts'
import { claimDeliveries, renewClaim, settleDeliveries } from '../../../src/services/store/inbox.ts'
import { openDatabase } from '../../../src/services/store/database.ts'
import { build, connectLevel, fakeLevel, syncNow } from '../../helper.ts'
import { stays, until } from '../../until.ts'
import { hinting } from './hinting.ts'
import { event, post, rotateHook } from './hook-helper.ts'

t.setTimeout(120_000)

const silent = (): never => {
  throw new ProviderError('unreachable', 'the platform answered 500')
}
const twenty = Array.from({ length: 20 }, (_, n) => `d${n}`)
/** Until the signal says so. */
const never = async (_id: string, signal: AbortSignal): Promise<never> =>
  await new Promise((_resolve, reject) => {
    signal.addEventListener('abort', () => reject(signal.reason))
  })

for (const [how, fails] of [
  ['answers 500', silent],
  ['never answers', never]
] as const)
  t.test(`a device for which the platform ${how} holds up no other, and is tried again alone`, async t => {
    const h = await hinting(t)
    h.state.answer = (id, signal) => (id === 'bad' ? fails(id, signal) : undefined)
    const bad = await h.send(['bad'])
    for (const id of twenty) await h.send([id])
    await until(async () => (await h.deliveries()).filter(({ status }) => status === 'done').length === 20)
    t.strictSame((await h.names()).length, 20)
    t.strictSame(
      h.state.asked.filter(id => id !== 'bad').sort(),
      [...twenty].sort(),
      'each asked for once: none was repeated because of another'
    )
    if (fails === never) return
    t.match(await until(async () => ((await h.delivery(bad)).attempts > 0 ? h.delivery(bad) : null)), {
      status: 'pending',
      lastError: 'devices bad: the platform answered 500'
    })
    t.match(await h.subjects(), [{ subject: 'devices|bad' }])

    const other = await h.send(['bad'])
    const another = await h.send(['d0', 'bad'])
    await until(async () => (await h.delivery(another)).lastError !== null)
    t.equal(h.state.asked.filter(id => id === 'd0').length, 2, 'what else the delivery tells was read')
    h.state.answer = () => {}
    await h.due()
    for (const event of [bad, other, another]) await h.becomes(event, 'done')
    t.equal(h.state.asked.filter(id => id === 'd0').length, 2, 'and not read again with the rest of it')
    t.strictSame(await h.subjects(), [])
  })

t.test(
  'three devices without an answer in a row: the platform is down, and the others wait without being asked',
  async t => {
    const h = await hinting(t)
    h.state.answer = silent
    for (const id of twenty) await h.send([id])
    await until(async () => (await h.subjects()).some(({ subject }) => subject === 'platform'))
    t.equal(new Set(h.state.asked).size, 3)
    const asked = h.state.asked.length
    const late = await h.send(['late'])
    await h.app.rmm.webhooks.replay('t1', (await h.delivery(late)).id)
    await stays('what comes in meanwhile waits too', 1_000, () => !h.state.asked.includes('late'))
    await sql`update ${h.database.t.inbox_subject} set next_at = case when subject = 'platform' then now() else now() + interval '1 hour' end`.execute(
      h.database.db
    )
    await until(async () =>
      (await h.subjects()).some(({ subject, failures }) => subject === 'platform' && failures > 1)
    )
    t.equal(h.state.asked.length, asked + 1, 'one is asked whether it is still down')
    h.state.answer = () => {}
    await h.due()
    await until(async () => (await h.deliveries()).every(({ status }) => status === 'done'))
    t.equal((await h.names()).length, 21)
    t.strictSame(await h.subjects(), [])
  }
)

t.test('devices that fail for good, more than enough to look like an outage, keep no healthy one waiting', async t => {
  const h = await hinting(t)
  h.state.answer = id => (id.startsWith('bad') ? silent() : undefined)
  for (let n = 0; n < 6; n++) await h.send([`bad${n}`])
  for (const id of twenty) await h.send([id])
  await until(async () => {
    await sql`update ${h.database.t.inbox_subject} set next_at = now() where subject = 'platform'`.execute(
      h.database.db
    )
    return (await h.deliveries()).filter(({ status }) => status === 'done').length === 20
  })
  t.ok((await h.deliveries()).every(({ status }) => status === 'done' || status === 'pending'))
})

t.test(
  'refused secrets and being asked to wait concern the connection, and cost no delivery an attempt of its own',
  async t => {
    const h = await hinting(t)
    h.state.answer = () => {
      throw new ProviderError('rate_limited', 'too many requests', { retryAfterMs: 3_600_000 })
    }
    for (const id of twenty) await h.send([id])
    await until(async () => (await h.deliveries()).some(({ lastError }) => lastError === 'too many requests'))
    t.equal(h.state.asked.length, 1)
    const { rows } = await sql<{
      far: boolean
    }>`select next_at > now() + interval '40 minutes' as far from ${h.database.t.inbox_subject}`.execute(h.database.db)
    t.strictSame(rows, [{ far: true }], 'not before the time that was told')
    const { rows: failures } = await sql`select 1 from ${h.database.t.delivery} where failures > 0`.execute(
      h.database.db
    )
    t.equal(failures.length, 0)
  }
)

t.test(
  'a delivery dies by the failures of its own subject, not by older ones of the same, nor by an outage',
  async t => {
    const h = await hinting(t)
    const { t: tables, db } = h.database
    h.state.answer = id => (id === 'bad' ? silent() : undefined)
    const first = await h.send(['bad'])
    await until(async () => (await h.delivery(first)).attempts === 1)
    await sql`update ${tables.delivery} set failures = 23 where event_id = ${first}`.execute(db)
    const second = await h.send(['bad'])
    await until(async () => (await h.delivery(second)).lastError !== null)
    await h.due()
    t.match(await h.becomes(first, 'dead'), { lastError: 'devices bad: the platform answered 500' })
    t.match(await h.delivery(second), { status: 'pending' })
    await sql`update ${tables.delivery} set waiting_since = now() - interval '25 hours' where event_id = ${second}`.execute(
      db
    )
    await h.due()
    await h.becomes(second, 'dead')
    await until(async () => (await h.subjects()).length === 0)
    h.state.answer = () => {}
    await h.app.rmm.webhooks.replay('t1', (await h.delivery(second)).id)
    await h.becomes(second, 'done')
    t.match(await h.delivery(first), { status: 'dead' })
  }
)

t.test(
  'a platform that hangs, with 200 deliveries from before a restart, holds up only its own connection',
  async t => {
    const h = await hinting(t)
    const { connection: other } = await h.app.rmm.connections.create('t2', {
      provider: 'scripted',
      secrets: { apiKey: 'k' }
    })
    const send = await h.hookOf(other.id, 't2')
    const slow = Promise.withResolvers<void>()
    t.teardown(() => slow.resolve())
    h.state.answer = async (id, signal) => {
      if (id.startsWith('slow')) await Promise.race([slow.promise, never(id, signal)])
    }
    const { t: tables, db } = h.database
    // As they are left behind by a process that died.
    await sql`insert into ${tables.delivery} (tenant_id, connection_id, event_id, event_type, hints, body)
    select 't1', ${h.connectionId}, 'left' || n, 'changed', jsonb_build_array(jsonb_build_object('resource', 'devices', 'externalId', 'slow' || n, 'kind', 'changed')), '{}' from generate_series(1, 200) n`.execute(
      db
    )
    await until(() => h.state.asked.some(id => id.startsWith('slow')))
    await sql`update ${tables.connection} set schedule_enabled = true, next_sync_at = now() where id = ${other.id}`.execute(
      db
    )
    const { run } = await until(async () => {
      const { items } = await h.app.rmm.sync.runs('t2', other.id)
      const run = items.find(item => item.trigger === 'schedule' && item.finishedAt !== null)
      return run && { run }
    })
    t.equal(run.status, 'succeeded', 'another tenant is synced')
    await send(['theirs'])
    await until(async () => (await h.deliveries(other.id, 't2')).every(({ status }) => status === 'done'))
    t.ok(
      (await h.deliveries()).every(({ status }) => status === 'pending'),
      'while not one of the slow ones was done'
    )
  }
)

t.test('as many slow platforms as there are places keep no quick one waiting', async t => {
  const h = await hinting(t)
  h.state.answer = async (id, signal) => {
    if (id === 'slow') await never(id, signal)
  }
  for (let n = 0; n < 12; n++) {
    const tenant = `slow${n}`
    const { connection } = await h.app.rmm.connections.create(tenant, {
      provider: 'scripted',
      secrets: { apiKey: 'k' }
    })
    await (await h.hookOf(connection.id, tenant))(['slow'])
  }
  await until(() => h.state.asked.length >= 8)
  const quick = await h.send(['quick'])
  await h.becomes(quick, 'done')
})

t.test('what was settled is held by nobody: whoever held it before neither renews nor overwrites it', async t => {
  const h = await hinting(t, { worker: { enabled: false }, mapped: false })
  await h.send(['d1'])
  const { database, connectionId } = h
  const claim = { id: '00000000-0000-4000-8000-000000000001', leaseMs: 60_000 }
  const state = async () =>
    (
      await sql<{
        due: boolean
        status: string
      }>`select next_attempt_at <= now() as due, status from ${database.t.delivery}`.execute(database.db)
    ).rows
  const [row] = await claimDeliveries(database, connectionId, claim, { limit: 10, random: false })
  t.strictSame(await state(), [{ due: false, status: 'pending' }])
  t.strictSame(await claimDeliveries(database, connectionId, claim, { limit: 10, random: false }), [], 'held')
  const open = { id: row!.id, error: 'later', waitsFor: [], retryMs: 0, tried: true, failed: false }
  await settleDeliveries(database, claim, [{ ...open, status: 'pending', open: ['devices|d1'] }])
  await renewClaim(database, connectionId, claim, undefined)
  t.strictSame(await state(), [{ due: true, status: 'pending' }], 'a renewal that comes late changes nothing')
  await settleDeliveries(database, claim, [{ ...open, status: 'dead', open: [] }])
  t.strictSame(await state(), [{ due: true, status: 'pending' }], 'nor does a second word of the same')
})

t.test('whoever waits longest comes first, and what waits for nobody here is left alone', async t => {
  const h = await hinting(t, { worker: { enabled: false }, mapped: false })
  const { t: tables, db } = h.database
  const ids: string[] = []
  for (let n = 0; n < 30; n++) {
    const { connection } = await h.app.rmm.connections.create(`many${n}`, {
      provider: 'scripted',
      secrets: { apiKey: 'k' }
    })
    await (await h.hookOf(connection.id, `many${n}`))(['d'])
    ids.unshift(connection.id)
    await sql`update ${tables.delivery} set next_attempt_at = now() - ${n + 1} * interval '1 minute' where connection_id = ${connection.id}`.execute(
      db
    )
  }
  const { connectionsWithDeliveries } = await import('../../../src/services/store/inbox.ts')
  const due = async (providers: string[], except: string[] = []) =>
    (await connectionsWithDeliveries(h.database, providers, except, 20)).map(({ id }) => id)
  t.strictSame(await due(['scripted']), ids.slice(0, 20))
  t.strictSame(await due(['scripted'], ids.slice(0, 5)), ids.slice(5, 25), 'those that have no room make place')
  t.strictSame(await due(['levelio']), [])
})

t.test('two processes work on one inbox: each delivery is worked on in one of them', async t => {
  const h = await hinting(t)
  const other = await build(t, {
    on: h,
    providers: [h.script.provider],
    engine: { tickMs: 100, leaseMs: 2_000, retryDelayMs: 10 }
  })
  for (const id of twenty) await h.send([id])
  await until(async () => (await h.deliveries()).every(({ status }) => status === 'done'))
  t.strictSame([...h.state.asked].sort(), [...twenty].sort())
  t.ok((await h.deliveries()).every(({ attempts }) => attempts === 1))
  await other.app.close()
})

t.test('what means nothing is told from what could not be used', async t => {
  const h = await hinting(t)
  const nothing = await h.send([])
  const unknown = await h.send([{ resource: 'tickets' as never, externalId: '1', kind: 'changed' }])
  const noId = await h.send([{ resource: 'devices', externalId: ' ', kind: 'changed' }])
  const number = await h.send([{ resource: 'devices', externalId: 42 as never, kind: 'changed' }])
  const both = await h.send(['d1', { resource: 'tickets' as never, externalId: '1', kind: 'changed' }])
  await h.becomes(number, 'done')
  t.ok(h.state.asked.includes('42'), 'a number is text')
  t.match(await h.delivery(nothing), { status: 'ignored', lastError: null })
  t.match(await h.delivery(unknown), {
    status: 'unusable',
    lastError: /^Scripted \(the provider\).*'tickets'.*one of its resources/
  })
  t.match(await h.delivery(noId), { status: 'unusable', lastError: /without a usable id/ })
  t.match(await h.becomes(both, 'done'), { lastError: /'tickets'/ }, 'what could be used was, and the rest is said')
  t.match(await h.call('t1', 'GET', `/connections/${h.connectionId}/deliveries`), { status: 200 })
  await h.app.rmm.webhooks.replay('t1', (await h.delivery(unknown)).id)
  t.match(await h.becomes(unknown, 'unusable'), { lastError: /'tickets'/ }, 'also when it is replayed')
})

t.test('what asks nothing of the platform does not end its outage', async t => {
  const h = await hinting(t)
  h.state.answer = silent
  for (const id of ['d1', 'd2', 'd3']) await h.send([id])
  await until(async () => (await h.subjects()).some(({ subject }) => subject === 'platform'))
  await sql`update ${h.database.t.inbox_subject} set next_at = case when subject = 'platform' then now() else now() + interval '1 hour' end`.execute(
    h.database.db
  )
  await h.becomes(await h.send([{ resource: 'organizations', externalId: 'g1', kind: 'changed' }]), 'done')
  t.ok((await h.subjects()).some(({ subject }) => subject === 'platform'))
})

for (const fault of [{ status: 500 }, { kind: 'no-answer' }] as const)
  t.test(`the same on Level, over its own API: ${JSON.stringify(fault)} for one device of 21`, async t => {
    const fake = await fakeLevel(t, { devices: 21, groups: 1 })
    const host = await build(t)
    const id = await connectLevel(host, fake)
    await syncNow(host, id)
    const hook = await rotateHook(host, id)
    const [bad = '', ...others] = fake.devices.ids()
    fake.fail({ ...fault, path: `/v2/devices/${encodeURIComponent(bad)}`, times: Infinity })
    for (const device of fake.devices.ids()) {
      fake.devices.patch(device, { nickname: 'Renamed' })
      await post(host, hook.path, event('device_updated', { id: device }), hook.secret)
    }
    const deliveries = async () => (await host.app.rmm.webhooks.deliveries('t1', id, { limit: 200 })).items
    await until(async () => (await deliveries()).filter(({ status }) => status === 'done').length === others.length)
    t.equal((await host.app.rmm.inventory.list('t1', { q: 'Renamed', limit: 50 })).items.length, others.length)
    t.equal((await deliveries()).filter(({ status }) => status === 'pending').length, 1)
    fake.heal()
    const { db, t: tables } = await openDatabase(host.orm, host.schema)
    await until(async () => {
      await sql`update ${tables.inbox_subject} set next_at = now() where last_error is not null and next_at > now() + interval '2 seconds'`.execute(
        db
      )
      return (await deliveries()).every(({ status }) => status === 'done')
    })
  })
