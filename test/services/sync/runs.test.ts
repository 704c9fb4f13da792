import { sql } from 'kysely'
import t from 'tap'
import { callbackSink } from '../../../src/index.ts'
import { ProviderError } from '../../../src/providers/define.ts'
import type { RmmEvent } from '../../../src/types.ts'
import { build, connectLevel, fakeLevel, type Host, syncNow } from '../../helper.ts'
import { device, devices, ended, fastEngine, list, page, scriptedHost, type ScriptedHost } from '../scripted.ts'
import { until } from '../../until.ts'

/** A list that waits after its first page until `open` is called or it is aborted. */
function gated() {
  let open = (): void => {}
  const gate = new Promise<void>(resolve => {
    open = resolve
  })
  let reached = (): void => {}
  const waiting = new Promise<void>(resolve => {
    reached = resolve
  })
  async function* pages(_from: unknown, signal: AbortSignal) {
    yield page([device('a')], { checkpoint: 1 })
    reached()
    await Promise.race([
      gate,
      new Promise((_resolve, reject) => signal.addEventListener('abort', () => reject(signal.reason), { once: true }))
    ])
    yield page([device('b')])
  }
  return { pages, open: () => open(), waiting }
}

const ends = (types: string[]) => types.filter(type => type === 'RMM_SYNC_COMPLETED' || type === 'RMM_SYNC_FAILED')
const times = async (h: ScriptedHost) => {
  const { lastSyncAt, lastFullSyncAt, lastScheduledSyncAt } = await h.app.rmm.connections.get('t1', h.connectionId)
  return { lastSyncAt, lastFullSyncAt, lastScheduledSyncAt }
}

t.test('simultaneous starts give one run, and a second call while one is active joins it', async t => {
  const h = await scriptedHost(t)
  const gate = gated()
  h.script.devices = gate.pages
  const started = await Promise.all(
    Array.from({ length: 8 }, () =>
      h.call('t1', 'POST', `/connections/${h.connectionId}/sync`, { resources: ['devices'] })
    )
  )
  t.ok(started.every(({ status }) => status === 202))
  t.equal(new Set(started.map(({ body }) => body.run.id)).size, 1)
  t.equal(started.filter(({ body }) => !body.deduplicated).length, 1)
  await gate.waiting
  const joined = await h.call('t1', 'POST', `/connections/${h.connectionId}/sync`)
  t.match(joined.body, {
    deduplicated: true,
    run: { id: started[0]!.body.run.id, status: 'running', resources: ['devices'] }
  })
  gate.open()
  t.match(await ended(h, started[0]!.body.run.id), { status: 'succeeded', totals: { created: 2 } })
  t.equal(h.script.pulls.length, 1)
  t.strictSame(ends(await h.told()).length, 2, 'one end for each of the two runs')
})

t.test('a running run is cancelled at once, a waiting one too; what was committed stays', async t => {
  const h = await scriptedHost(t)
  const gate = gated()
  h.script.devices = gate.pages
  const { run } = await h.app.rmm.sync.start('t1', h.connectionId, { resources: ['devices'] })
  await gate.waiting
  await until(async () => (await h.rows('device')).length === 1)
  t.match(await h.call('t1', 'POST', `/runs/${run.id}/cancel`), { status: 202 })
  t.match(await ended(h, run.id), { status: 'cancelled', error: null, summary: /^Cancelled/ })
  t.equal((await h.rows('device')).length, 1)
  t.match(
    await h.call('t1', 'POST', `/runs/${run.id}/cancel`),
    { status: 202, body: { status: 'cancelled' } },
    'again is fine'
  )
  t.match(await times(h), { lastFullSyncAt: null })
  t.match((await h.rows('outbox', 'seq')).at(-1), {
    type: 'RMM_SYNC_FAILED',
    payload: { status: 'cancelled', runId: run.id }
  })

  // No worker in this process: the run waits.
  const idle = await build(t, {
    on: h,
    worker: { enabled: false },
    providers: [h.script.provider],
    engine: fastEngine as never
  })
  await h.app.close()
  const waiting = await idle.app.rmm.sync.start('t1', h.connectionId)
  t.equal(waiting.run.status, 'queued')
  t.match(await idle.call('t1', 'POST', `/runs/${waiting.run.id}/cancel`), {
    status: 202,
    body: { status: 'cancelled', startedAt: null }
  })
  t.match(await idle.app.rmm.sync.start('t1', h.connectionId), { deduplicated: false }, 'and makes room')
})

t.test(
  'last sync, last full sync and last scheduled sync are separate facts, and a failed run advances none',
  async t => {
    const h = await scriptedHost(t, { mapped: false })
    t.strictSame(await times(h), { lastSyncAt: null, lastFullSyncAt: null, lastScheduledSyncAt: null })
    h.script.devices = async function* () {
      yield page([device('a')])
      throw new ProviderError('forbidden', 'no')
    }
    t.match(await h.sync({ resources: ['devices'] }), {
      status: 'failed',
      error: { code: 'RMM_ERR_PLATFORM_FORBIDDEN' }
    })
    t.strictSame(await times(h), { lastSyncAt: null, lastFullSyncAt: null, lastScheduledSyncAt: null })
    t.match(await h.app.rmm.connections.get('t1', h.connectionId), { syncStatus: 'failed', syncError: 'no' })
    h.script.devices = list(devices(2))
    await h.sync({ resources: ['organizations'] })
    t.match(await times(h), { lastSyncAt: /./, lastFullSyncAt: null, lastScheduledSyncAt: null })
    await h.sync({ mode: 'incremental' })
    t.match(await times(h), { lastFullSyncAt: null, lastScheduledSyncAt: null })
    await h.sync()
    const after = await times(h)
    t.match(after, { lastSyncAt: /./, lastFullSyncAt: /./, lastScheduledSyncAt: null })

    await h.app.rmm.connections.update('t1', h.connectionId, {
      schedule: { enabled: true, everyMinutes: 15, fullEveryMinutes: 60 }
    })
    const due = () =>
      sql`update ${h.database.t.connection} set next_sync_at = now() - interval '1 minute' where id = ${h.connectionId}`.execute(
        h.database.db
      )
    const scheduled = async (n: number) =>
      await until(
        async () =>
          (await h.rows('run', 'queued_at')).filter(row => row.trigger === 'schedule' && row.finished_at !== null)[n]
      )
    await due()
    t.match(await scheduled(0), { mode: 'incremental', status: 'succeeded' }, 'a full one was done just now')
    t.match(await times(h), { lastFullSyncAt: after.lastFullSyncAt, lastScheduledSyncAt: /./ })
    const [connection] = await h.rows('connection', 'id')
    const inMinutes = (new Date(connection.next_sync_at).getTime() - Date.now()) / 60_000
    t.ok(inMinutes > 13 && inMinutes <= 14, 'the next one a quarter of an hour after this one was due')
    await sql`update ${h.database.t.connection} set last_full_sync_at = now() - interval '61 minutes'`.execute(
      h.database.db
    )
    await due()
    t.match(await scheduled(1), { mode: 'full', status: 'succeeded' })
    await h.app.rmm.connections.update('t1', h.connectionId, { schedule: { enabled: false } })
    t.match((await h.rows('connection', 'id'))[0], { next_sync_at: null })
  }
)

t.test('a refused key fails the run at once and shows on the connection; the next success clears it', async t => {
  const fake = await fakeLevel(t, { devices: 10 })
  const host = await build(t)
  const id = await connectLevel(host, fake)
  fake.fail({ path: '/v2', status: 401, times: Number.POSITIVE_INFINITY })
  const before = fake.count()
  t.match(await syncNow(host, id), { status: 'failed', error: { code: 'RMM_ERR_PLATFORM_AUTH' } })
  t.equal(fake.count() - before, 1, 'asked once, not again')
  t.match(await host.app.rmm.connections.get('t1', id), { status: 'error', statusReason: /key/i, syncStatus: 'failed' })
  fake.heal()
  t.match(await syncNow(host, id), { status: 'succeeded' })
  t.match(await host.app.rmm.connections.get('t1', id), {
    status: 'connected',
    statusReason: null,
    syncStatus: 'completed',
    syncError: null
  })
})

for (const kind of ['empty-page', 'repeated-cursor', 'missing-last-id', 'html', 'truncated', 'cut-body'] as const) {
  t.test(
    `a platform that lies (${kind}) ends the run as incomplete; nothing is removed, the next run a person starts is fresh`,
    async t => {
      const fake = await fakeLevel(t, { devices: 50, groups: 3, maxLimit: 10 })
      const host = await build(t, { engine: { ...fastEngine, batchRecords: 1 } as never })
      const id = await connectLevel(host, fake)
      await syncNow(host, id)
      for (const gone of fake.devices.ids().slice(-2)) fake.devices.delete(gone)
      fake.requests.length = 0
      fake.fail({ path: '/v2/devices', kind, after: 2, times: Number.POSITIVE_INFINITY })
      const run = await syncNow(host, id, { resources: ['devices'] })
      t.equal(run.status, 'failed')
      t.match(run.error, { code: kind === 'cut-body' ? 'RMM_ERR_UNREACHABLE' : 'RMM_ERR_INCOMPLETE' })
      t.match(await host.app.rmm.connections.get('t1', id), { counts: { devices: 50 } })
      fake.heal()
      fake.requests.length = 0
      t.match(await syncNow(host, id, { resources: ['devices'] }), { status: 'succeeded', totals: { removed: 2 } })
      t.match(await host.app.rmm.connections.get('t1', id), { counts: { devices: 48 } })
      const lists = fake.requests.filter(request => request.path === '/v2/devices')
      t.strictSame(
        lists.map(request => fake.devices.ids().indexOf(request.query['starting_after']!)),
        [-1, 9, 19, 29, 39],
        'from the beginning'
      )
    }
  )
}

t.test('a connection that is pointed to another platform does not wait for the one it left', async t => {
  const left = await fakeLevel(t, { devices: 1, groups: 1 })
  const other = await fakeLevel(t, { devices: 1, groups: 1 })
  const host = await build(t)
  const id = await connectLevel(host, left)
  left.fail({ path: '/v2/devices', kind: 'rate-limited', retryAfter: 300, times: Number.POSITIVE_INFINITY })
  await host.app.rmm.sync.start('t1', id)
  await until(async () => left.requests.some(({ status }) => status === 429))
  t.match(
    await host.call('t1', 'PATCH', `/connections/${id}`, {
      config: { baseUrl: other.url },
      secrets: { apiKey: other.apiKey }
    }),
    { status: 200 }
  )
})

t.test('429 is waited for as the platform says, in seconds or as a date', async t => {
  const fake = await fakeLevel(t, { devices: 25, groups: 3, maxLimit: 10 })
  const host = await build(t)
  const id = await connectLevel(host, fake)
  for (const retryAfter of [1, new Date(Date.now() + 1_500), null]) {
    fake.requests.length = 0
    const fault = fake.fail({ path: '/v2/devices', kind: 'rate-limited', retryAfter, after: 1 })
    t.match(await syncNow(host, id, { resources: ['devices'] }), { status: 'succeeded' }, String(retryAfter))
    t.equal(fault.hits, 1)
    const [, refused, again] = fake.requests.filter(request => request.path === '/v2/devices')
    t.match([refused?.status, again?.status, again?.query], [429, 200, refused?.query], 'the same page again')
  }
  fake.requests.length = 0
  fake.fail({ path: '/v2/devices', kind: 'rate-limited', retryAfter: 300, times: Number.POSITIVE_INFINITY })
  const { run } = await host.app.rmm.sync.start('t1', id, { resources: ['devices'] })
  const waiting = await until(async () => {
    const now = await host.app.rmm.sync.get('t1', run.id)
    return now.status === 'queued' && now.error !== null && now
  })
  t.match(
    waiting,
    { error: { code: 'RMM_ERR_RATE_LIMITED', message: /300 s/ } },
    'minutes are not slept through: the run is handed back'
  )
  t.equal(fake.count('/v2/devices'), 1)
  const {
    rows: [row]
  } = await rowOf(host, run.id)
  t.ok(new Date(row.not_before).getTime() > Date.now() + 290_000)
  t.match(await host.app.rmm.sync.start('t1', id, { resources: ['devices'] }), {
    deduplicated: true,
    run: { id: run.id }
  })
  t.equal(fake.count('/v2/devices'), 1, 'asking for the run again does not ask the platform before its time')
  await host.app.rmm.sync.cancel('t1', run.id)
})

t.test('a platform that wants to be left alone for an hour ends the run, which says so', async t => {
  const fake = await fakeLevel(t, { devices: 25, groups: 3, maxLimit: 10 })
  const host = await build(t)
  const id = await connectLevel(host, fake)
  fake.fail({ path: '/v2/devices', kind: 'rate-limited', retryAfter: 3_600, times: Number.POSITIVE_INFINITY })
  t.match(await syncNow(host, id, { resources: ['devices'] }), {
    status: 'failed',
    error: { code: 'RMM_ERR_RATE_LIMITED', message: /3600 s/ }
  })
})

t.test('a platform that fails is asked again, then the run fails and says so', async t => {
  const fake = await fakeLevel(t, { devices: 25, groups: 3, maxLimit: 10 })
  const host = await build(t)
  const id = await connectLevel(host, fake)
  const once = fake.fail({ path: '/v2/devices', status: 500 })
  t.match(await syncNow(host, id, { resources: ['devices'] }), { status: 'succeeded' })
  t.equal(once.hits, 1)
  fake.fail({ path: '/v2/devices', status: 503, times: Number.POSITIVE_INFINITY, retryAfter: 0 })
  t.match(await syncNow(host, id, { resources: ['devices'] }), {
    status: 'failed',
    error: { code: 'RMM_ERR_UNREACHABLE', message: /503/ }
  })
  fake.heal()
  t.match(await syncNow(host, id, { resources: ['devices'] }), { status: 'succeeded' })
})

async function rowOf(host: Host, runId: string) {
  const { openDatabase } = await import('../../../src/services/store/database.ts')
  const { db, t } = await openDatabase(host.orm, host.schema)
  return await sql<any>`select * from ${t.run} where id = ${runId}`.execute(db)
}

t.test('updates that the account may not read are one skipped item; alerts go on', async t => {
  const fake = await fakeLevel(t, { devices: 20 })
  const host = await build(t)
  const id = await connectLevel(host, fake)
  fake.fail({ path: '/v2/updates', status: 403, times: Number.POSITIVE_INFINITY })
  const run = await syncNow(host, id)
  t.match(run, {
    status: 'succeeded',
    progress: [
      { complete: true },
      { complete: true },
      { resource: 'updates', complete: false },
      { resource: 'alerts', complete: true }
    ]
  })
  t.match((await host.app.rmm.sync.items('t1', run.id)).items, [{ resource: 'updates', outcome: 'skipped' }])
  t.ok((await host.app.rmm.inventory.list('t1')).items.every(item => item.pendingOsPatches === null))
  fake.heal()
  await syncNow(host, id)
  t.ok((await host.app.rmm.inventory.list('t1')).items.every(item => typeof item.pendingOsPatches === 'number'))
})

t.test('a worker that dies leaves a run that another takes up from its last page', async t => {
  const h = await scriptedHost(t)
  const gate = gated()
  h.script.devices = async function* (from, signal) {
    if (from === null) yield* gate.pages(from, signal)
    else yield page([device('b')])
  }
  const { run } = await h.app.rmm.sync.start('t1', h.connectionId, { resources: ['devices'] })
  await gate.waiting
  await until(async () => (await h.rows('device')).length === 1)
  // Closing hands the run back at its checkpoint.
  await h.app.close()
  const {
    rows: [row]
  } = await rowOf(h, run.id)
  t.match(row, { status: 'interrupted', finished_at: null })
  const second = await build(t, { on: h, providers: [h.script.provider], engine: fastEngine as never })
  t.match(await ended(second, run.id), {
    status: 'succeeded',
    totals: { created: 2 },
    progress: [{ pages: 2, complete: true }]
  })
  t.strictSame(h.script.pulls, [
    { resource: 'devices', from: null },
    { resource: 'devices', from: 1 }
  ])
  t.equal(ends(await h.told()).length, 2)
})

t.test('a checkpoint the platform no longer takes means from the beginning, once', async t => {
  const h = await scriptedHost(t)
  let broken = true
  h.script.devices = async function* (from) {
    if (from !== null) throw new ProviderError('gone', 'unknown cursor')
    yield page([device('a'), device('b')], { checkpoint: 'after a' })
    if (broken) {
      broken = false
      throw new ProviderError('unreachable', 'the line broke')
    }
  }
  t.match(await h.sync({ resources: ['devices'] }), { status: 'succeeded' })
  t.strictSame(
    h.script.pulls.map(({ from }) => from),
    [null, 'after a', null]
  )
})

t.test('events leave in order, each at least once, and a sink that fails delays only itself', async t => {
  const got: RmmEvent[] = []
  const heard: RmmEvent[] = []
  let refuse = 2
  const sink = callbackSink(events => {
    if (refuse-- > 0) throw new Error('the queue is down')
    got.push(...events)
  })
  const h = await scriptedHost(t, { events: [sink] })
  const stop = h.app.rmm.events.on('*', event => {
    heard.push(event)
  })
  h.app.rmm.events.on('RMM_DEVICE_CREATED', () => {
    throw new Error('a listener of the host')
  })
  h.script.devices = list(devices(3))
  const run = await h.sync({ resources: ['devices'] })
  const written = (await h.rows('outbox', 'seq')).map(row => row.id)
  await until(async () => heard.length >= 5)
  await until(async () => (await h.app.rmm.events.lag()).every(({ pending }) => pending === 0))
  t.strictSame(
    got.map(event => event.id),
    written,
    'nothing lost, in order'
  )
  const mine = got.filter(event => event.payload['runId'] === run.id || event.type.startsWith('RMM_DEVICE'))
  t.strictSame(
    mine.map(event => event.type),
    ['RMM_SYNC_STARTED', 'RMM_DEVICE_CREATED', 'RMM_DEVICE_CREATED', 'RMM_DEVICE_CREATED', 'RMM_SYNC_COMPLETED']
  )
  t.match(mine.at(-1), {
    tenantId: 't1',
    connectionId: h.connectionId,
    provider: 'scripted',
    occurredAt: /Z$/,
    payload: { status: 'succeeded', totals: { created: 3 } }
  })
  t.strictSame(
    heard.filter(event => event.payload['runId'] === run.id).map(event => event.type),
    ['RMM_SYNC_STARTED', 'RMM_SYNC_COMPLETED']
  )
  stop()
  const count = heard.length
  await h.sync({ resources: ['devices'] })
  await until(async () => (await h.app.rmm.events.lag()).every(({ pending }) => pending === 0))
  t.equal(heard.length, count)
})

t.test('a connection that goes away takes its run along', async t => {
  for (const mode of ['keep', 'purge'] as const) {
    const h = await scriptedHost(t)
    const gate = gated()
    h.script.devices = gate.pages
    const { run } = await h.app.rmm.sync.start('t1', h.connectionId, { resources: ['devices'] })
    await gate.waiting
    await until(async () => (await h.rows('device')).length === 1)
    t.match(await h.call('t1', 'DELETE', `/connections/${h.connectionId}?mode=${mode}`), { status: 204 })
    if (mode === 'keep') {
      t.match(await ended(h, run.id), { status: 'cancelled' })
      t.match(await h.app.rmm.connections.get('t1', h.connectionId), { status: 'disconnected', counts: { devices: 1 } })
      t.match(await h.call('t1', 'POST', `/connections/${h.connectionId}/sync`), {
        status: 409,
        body: { code: 'RMM_ERR_CONNECTION_DISCONNECTED' }
      })
      t.match((await h.rows('connection', 'id'))[0], { sealed_secrets: null, hook_secret: null })
    } else {
      t.strictSame(
        [await h.rows('device'), await h.rows('run', 'id'), await h.rows('page', 'id'), await h.rows('organization')],
        [[], [], [], []]
      )
      t.equal((await h.told()).at(-1), 'INTEGRATION_DISCONNECTED')
    }
  }
})
