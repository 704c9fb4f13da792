import { sql } from 'kysely'
import type { Test } from 'tap'
import {
  account,
  type Bench,
  bench,
  ended,
  eventsOf,
  mapAll,
  midway,
  pagesOf,
  startDevices,
  stateOf
} from './conformance.ts'
import type { Kind } from './setup.ts'
import { until } from '../until.ts'

/** What every transport has to do, with one process that starts runs and executes them. */
export async function inProcess(t: Test, kind: Kind): Promise<void> {
  const on = await bench(t, kind, { worker: true })

  await t.test('a run completes: one start, one end, every device once', async t => {
    const { id, devices } = await account(t, on)
    await mapAll(on, id)
    const run = await startDevices(on, id)
    t.match(await ended(on, run.id), { status: 'succeeded', transport: kind, totals: { created: devices, updated: 0 } })
    t.strictSame(await eventsOf(on, id, run.id), {
      RMM_SYNC_STARTED: 1,
      RMM_SYNC_COMPLETED: 1,
      RMM_DEVICE_CREATED: devices
    })
    t.strictSame(await pagesOf(on, id, { devices, perPage: 10 }), { lost: 0, repeated: 0 })
  })

  await t.test('20 requests at once make one run, and there is room for the next when it has ended', async t => {
    const { id } = await account(t, on, { latencyMs: 30 })
    const started = await Promise.all(Array.from({ length: 20 }, () => on.host.app.rmm.sync.start('t1', id)))
    t.equal(new Set(started.map(({ run }) => run.id)).size, 1)
    t.equal(started.filter(({ deduplicated }) => !deduplicated).length, 1)
    await ended(on, started[0]!.run.id)
    const next = await on.host.app.rmm.sync.start('t1', id)
    t.match(next, { deduplicated: false })
    t.match(await ended(on, next.run.id), { status: 'succeeded' })
  })

  await t.test('a running run is cancelled, what it committed stays', async t => {
    const { id } = await account(t, on, { devices: 400, latencyMs: 40 })
    const run = await startDevices(on, id)
    await midway(on, run.id, 2)
    await on.host.app.rmm.sync.cancel('t1', run.id)
    t.match(await ended(on, run.id), { status: 'cancelled' })
    const { pages } = await stateOf(on, run.id)
    t.ok(pages >= 2 && pages < 40, 'and no page was read to the end')
    t.match(await eventsOf(on, id, run.id), { RMM_SYNC_STARTED: 1, RMM_SYNC_FAILED: 1 })
  })

  await t.test('a failure that passes: the second attempt goes on where the first stopped', async t => {
    const { id, fake, devices } = await account(t, on, { devices: 100 })
    await mapAll(on, id)
    fake.fail({ path: '/v2/devices', kind: 'html', after: 4 })
    const run = await startDevices(on, id)
    t.match(await ended(on, run.id), { status: 'succeeded', totals: { created: devices } })
    t.match(await stateOf(on, run.id), { attempt: 2, failures: 1 })
    t.strictSame(await pagesOf(on, id, { devices, perPage: 10 }), { lost: 0, repeated: 0 })
    t.match(await eventsOf(on, id, run.id), { RMM_SYNC_STARTED: 1, RMM_SYNC_COMPLETED: 1, RMM_DEVICE_CREATED: devices })
  })

  await t.test('a failure that stays ends the run after two attempts, bad credentials after one', async t => {
    const { id, fake } = await account(t, on)
    fake.fail({ path: '/v2/devices', kind: 'html', times: Infinity })
    const run = await startDevices(on, id)
    t.match(await ended(on, run.id), { status: 'failed', error: { code: 'RMM_ERR_INCOMPLETE' } })
    t.match(await stateOf(on, run.id), { attempt: 2, failures: 1 })
    t.strictSame(await eventsOf(on, id, run.id), { RMM_SYNC_STARTED: 1, RMM_SYNC_FAILED: 1 })
    fake.heal()
    fake.fail({ path: '/v2/devices', status: 401, times: Infinity })
    const refused = await startDevices(on, id)
    t.match(await ended(on, refused.id), { status: 'failed', error: { code: 'RMM_ERR_PLATFORM_AUTH' } })
    t.match(await stateOf(on, refused.id), { attempt: 1, failures: 0 })
  })

  await t.test('a run that its engine never got, or whose transport is gone, is adopted', async t => {
    const { id } = await account(t, on)
    for (const transport of [kind, 'no-longer-registered']) {
      const runId = await insertLost(on, id, transport)
      t.match(await ended(on, runId), { status: 'succeeded', transport: kind })
    }
  })

  await t.test('a request right after a cancel is never swallowed', async t => {
    const { id } = await account(t, on, { devices: 100, latencyMs: 10 })
    const ends: string[] = []
    for (let n = 0; n < 10; n++) {
      const { run, deduplicated } = await on.host.app.rmm.sync.start('t1', id, { resources: ['devices'] })
      t.notOk(deduplicated && ends.length === n - 1, 'a run of its own')
      if (n % 2 === 0) await until('the run to begin', async () => (await stateOf(on, run.id)).status !== 'queued')
      await on.host.app.rmm.sync.cancel('t1', run.id)
      ends.push((await ended(on, run.id)).status)
    }
    const { run } = await on.host.app.rmm.sync.start('t1', id, { resources: ['devices'] })
    t.match(await ended(on, run.id), { status: 'succeeded' })
    t.strictSame(new Set(ends), new Set(['cancelled']))
  })

  await t.test('a single device is read where the runs are, and the route answers as ever', async t => {
    const { id, fake } = await account(t, on)
    const { run } = await on.host.app.rmm.sync.start('t1', id)
    await ended(on, run.id)
    const [first] = (await on.host.app.rmm.inventory.list('t1', { connectionId: id })).items
    fake.devices.patch(first!.externalId, { nickname: 'Renamed' })
    t.match(await on.host.call('t1', 'POST', `/connections/${id}/devices/${first!.externalId}/sync`), {
      status: 200,
      body: { device: { displayName: 'Renamed' } }
    })
    t.match(await on.host.call('t1', 'POST', `/connections/${id}/devices/unknown/sync`), {
      status: 404,
      body: { code: 'RMM_ERR_NOT_FOUND' }
    })
    fake.fail({ path: '/v2/devices', status: 401, times: Infinity })
    t.match(await on.host.call('t1', 'POST', `/connections/${id}/devices/${first!.externalId}/sync`), {
      status: 409,
      body: { code: 'RMM_ERR_PLATFORM_FORBIDDEN' }
    })
  })
}

/** A run row as a process leaves it that dies between its commit and its engine. */
async function insertLost({ database: { db, t } }: Bench, connectionId: string, transport: string): Promise<string> {
  const { rows } = await sql<{
    id: string
  }>`insert into ${t.run} (tenant_id, connection_id, provider, trigger, resources, mode, transport, progress, queued_at)
    values ('t1', ${connectionId}, 'levelio', 'manual', '["devices"]', 'full', ${transport}, '[{"resource":"devices","pages":0,"processed":0,"complete":false}]', now() - interval '1 minute') returning id`.execute(
    db
  )
  return rows[0]!.id
}
