import { sql } from 'kysely'
import t from 'tap'
import { ProviderError } from '../../../src/providers/define.ts'
import { build, connectLevel, fakeLevel, syncNow } from '../../helper.ts'
import { alert, devices, list, page, type Pages, scriptedHost } from '../scripted.ts'
import { until } from '../../until.ts'

const failing = (error: Error): Pages<never> =>
  async function* () {
    throw error
  }

t.test('A9: updates that answer 500 for days: alerts are read, the run is partial and names updates', async t => {
  const fake = await fakeLevel(t, { devices: 20, groups: 3 })
  const host = await build(t)
  const id = await connectLevel(host, fake)
  fake.fail({ path: '/v2/updates', status: 500, times: Number.POSITIVE_INFINITY })
  const run = await syncNow(host, id)
  t.match(run, {
    kind: 'sync',
    actor: null,
    continuedFrom: null,
    status: 'partial',
    progress: [
      { resource: 'organizations', status: 'complete', complete: true, error: null },
      { resource: 'devices', status: 'complete' },
      {
        resource: 'updates',
        status: 'failed',
        complete: false,
        error: { code: 'RMM_ERR_UNREACHABLE', message: /500/ }
      },
      { resource: 'alerts', status: 'complete' }
    ],
    error: { code: 'RMM_ERR_UNREACHABLE', message: /^updates: .*500/ },
    summary: /20 devices.*Not read: updates \(/
  })
  t.same(Object.keys(run.progress[0]!).sort(), ['complete', 'error', 'pages', 'processed', 'resource', 'status'])
  const connection = (await host.call('t1', 'GET', `/connections/${id}`)).body
  t.match(connection, {
    status: 'connected',
    syncStatus: 'completed',
    syncError: /^updates: /,
    lastSyncAt: /./,
    lastFullSyncAt: null
  })
  t.match(
    (await host.call('t1', 'GET', `/runs/${run.id}`)).body,
    JSON.parse(JSON.stringify(run)),
    'the route tells it all'
  )
  const alertsRead = fake.count('/v2/alerts')
  fake.heal()
  t.match(await syncNow(host, id), { status: 'succeeded', progress: [{}, {}, { status: 'complete' }, {}] })
  t.ok(fake.count('/v2/alerts') > alertsRead)
  t.match((await host.call('t1', 'GET', `/connections/${id}`)).body, { lastFullSyncAt: /./, syncError: null })
})

t.test('a resource that fails once is read in the second attempt, and only that one', async t => {
  const h = await scriptedHost(t)
  h.script.devices = list(devices(3))
  h.script.alerts = list([alert('x')])
  let calls = 0
  h.script.updates = async function* () {
    if (calls++ === 0) throw new ProviderError('unreachable', 'the line broke')
    yield page([])
  }
  t.match(await h.sync(), { status: 'succeeded', error: null })
  t.strictSame(
    h.script.pulls.map(({ resource }) => resource),
    ['organizations', 'devices', 'updates', 'alerts', 'updates']
  )
})

t.test('a brake stops only its own resource, and a full resource is not read again for it', async t => {
  const h = await scriptedHost(t)
  h.script.devices = list(devices(40))
  h.script.alerts = list([alert('x')])
  await h.sync()
  h.script.pulls.length = 0
  h.script.devices = list(devices(10))
  h.script.alerts = list([alert('x'), alert('y')])
  t.match(await h.sync(), {
    status: 'partial',
    error: { code: 'RMM_ERR_MASS_REMOVAL' },
    progress: [{ status: 'complete' }, { status: 'failed', error: { code: 'RMM_ERR_MASS_REMOVAL' } }, {}, {}]
  })
  t.equal(h.script.pulls.filter(({ resource }) => resource === 'devices').length, 1, 'asking again would not help')
  t.strictSame(
    (await h.rows('alert')).map(row => row.external_id),
    ['x', 'y']
  )
  const end = (await h.rows('outbox', 'seq')).at(-1)
  t.match(end, {
    type: 'RMM_SYNC_COMPLETED',
    payload: { status: 'partial', failed: [{ resource: 'devices', code: 'RMM_ERR_MASS_REMOVAL', message: /30 of 40/ }] }
  })
})

t.test('every resource that failed is named; where none was read the run failed', async t => {
  const h = await scriptedHost(t)
  h.script.organizations = failing(new ProviderError('protocol', 'no list')) as never
  h.script.devices = failing(new ProviderError('forbidden', 'not for this key'))
  h.script.updates = failing(new ProviderError('not_in_plan', 'not in this plan'))
  h.script.alerts = failing(new Error('a bug'))
  const run = await h.sync()
  t.match(run, {
    status: 'failed',
    progress: [
      { status: 'failed', error: { code: 'RMM_ERR_INCOMPLETE', message: 'no list' } },
      { status: 'failed', error: { code: 'RMM_ERR_PLATFORM_FORBIDDEN' } },
      { status: 'skipped', error: { code: 'RMM_ERR_NOT_IN_PLAN', message: 'not in this plan' } },
      { status: 'failed' }
    ],
    error: { message: /organizations: no list; devices: not for this key; alerts: / }
  })
  t.match((await h.rows('outbox', 'seq')).at(-1), { type: 'RMM_SYNC_FAILED' })
})

t.test('refused credentials end the run at once; what had no turn was skipped', async t => {
  const h = await scriptedHost(t)
  h.script.devices = failing(new ProviderError('auth', 'the key is refused'))
  t.match(await h.sync(), {
    status: 'failed',
    error: { code: 'RMM_ERR_PLATFORM_AUTH' },
    progress: [
      { status: 'complete' },
      { status: 'failed', error: { code: 'RMM_ERR_PLATFORM_AUTH', message: 'the key is refused' } },
      { status: 'skipped', error: null },
      { status: 'skipped', error: null }
    ]
  })
  t.strictSame(
    h.script.pulls.map(({ resource }) => resource),
    ['organizations', 'devices']
  )
})

t.test('an address where nobody answers is not asked for every resource', async t => {
  const h = await scriptedHost(t)
  const refused = Object.assign(new Error('connect ECONNREFUSED'), { code: 'ECONNREFUSED' })
  h.script.organizations = failing(
    new ProviderError('unreachable', 'nothing listens there', { cause: refused })
  ) as never
  t.match(await h.sync(), { status: 'failed', error: { code: 'RMM_ERR_UNREACHABLE' } })
  t.strictSame(
    h.script.pulls.map(({ resource }) => resource),
    ['organizations', 'organizations'],
    'two attempts at the first one'
  )
})

t.test('a resource that fails for days does not turn every scheduled sync into a full one', async t => {
  const h = await scriptedHost(t)
  h.script.devices = list(devices(3))
  h.script.updates = failing(new ProviderError('unreachable', 'status 500'))
  t.match(await h.sync(), { status: 'partial' })
  await h.app.rmm.connections.update('t1', h.connectionId, {
    schedule: { enabled: true, everyMinutes: 15, fullEveryMinutes: 60 }
  })
  const scheduled = async (n: number) => {
    await sql`update ${h.database.t.connection} set next_sync_at = now()`.execute(h.database.db)
    return await until('the scheduled run', async () => {
      const runs = (await h.app.rmm.sync.runs('t1', h.connectionId)).items.filter(run => run.trigger === 'schedule')
      return runs.length > n && runs[0]!.finishedAt !== null && runs[0]!
    })
  }
  t.match(await scheduled(0), { mode: 'incremental', status: 'partial' })
  await sql`update ${h.database.t.run} set started_at = started_at - interval '2 hours'`.execute(h.database.db)
  t.match(await scheduled(1), { mode: 'full' })
})
