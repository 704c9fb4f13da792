import { sql } from 'kysely'
import t from 'tap'
import { ProviderError } from '../../../src/providers/define.ts'
import { until } from '../../until.ts'
import { device, devices, ended, list, page, type ScriptedHost, scriptedHost } from '../scripted.ts'

t.setTimeout(120_000)

const pageByPage = { batchRecords: 1 } as never
const busy = (retryAfterMs = 5) =>
  new ProviderError('rate_limited', 'the platform is too busy for us', { retryAfterMs })

/** Pages of two devices each that go on from their checkpoint; `hinder` may throw before one is given. */
const paged = (all: () => ReturnType<typeof devices>, hinder: (at: number) => void = () => {}) =>
  async function* (from: unknown) {
    for (let at = Number(from ?? 0); at < all().length; at += 2) {
      hinder(at)
      yield page(all().slice(at, at + 2), { checkpoint: at + 2 })
    }
  }

/** A scheduled run, from its due date to its end. */
async function scheduled(h: ScriptedHost) {
  const before = (await h.rows('run', 'queued_at')).length
  await h.app.rmm.connections.update('t1', h.connectionId, {
    schedule: { enabled: true, everyMinutes: 15, fullEveryMinutes: 15 }
  })
  const { db, t } = h.database
  await sql`update ${t.connection} set next_sync_at = now(), last_full_sync_at = null`.execute(db)
  const run = await until('the scheduled run', async () => (await h.rows('run', 'queued_at'))[before])
  return await ended(h, run.id)
}

t.test(
  'A10: a platform that asks to wait every few requests costs no attempt, as long as the run gets further',
  async t => {
    const h = await scriptedHost(t, { engine: pageByPage })
    let requests = 0
    h.script.devices = paged(
      () => devices(40),
      () => {
        if (++requests % 4 === 0) throw busy()
      }
    )
    t.match(await h.sync(), { status: 'succeeded', totals: { created: 40 } })
    const [, run] = await h.rows('run', 'queued_at')
    t.ok(Number(run.attempt) > 5)
    t.equal(Number(run.failures), 0)
  }
)

t.test('without any progress the run fails after the waits it may have, and says so', async t => {
  const h = await scriptedHost(t)
  let asked = 0
  h.script.organizations = async function* () {
    asked++
    throw busy()
  }
  t.match(await h.sync(), {
    status: 'failed',
    error: { code: 'RMM_ERR_RATE_LIMITED', message: /too busy.*waited for 2 times without getting any further/ }
  })
  t.equal(asked, 3)
})

t.test('reading the same again after each wait is no progress', async t => {
  const h = await scriptedHost(t, { engine: pageByPage })
  let requests = 0
  h.script.devices = async function* () {
    for (let at = 0; at < 40; at += 2) {
      if (++requests % 4 === 0) throw busy()
      yield page(devices(40).slice(at, at + 2))
    }
  }
  t.match(await h.sync({ resources: ['devices'] }), { status: 'failed', error: { message: /waited for 2 times/ } })
})

t.test('A10: being asked to wait while vanished records are asked for reads no list again', async t => {
  const h = await scriptedHost(t, { engine: pageByPage })
  h.script.devices = paged(() => devices(120))
  await h.sync()
  let requests = 0
  const sometimes = (): void => {
    if (++requests % 4 === 0) throw busy()
  }
  h.script.devices = paged(() => devices(100), sometimes)
  h.script.one.get = () => {
    sometimes()
    return null
  }
  h.script.pulls.length = 0
  t.match(await h.sync({ resources: ['devices'] }), { status: 'succeeded', totals: { removed: 20 } })
  t.equal(h.script.pulls.filter(({ from }) => from === null).length, 1)
})

t.test('what was read to its end before stays read: the run is partial', async t => {
  const h = await scriptedHost(t)
  h.script.devices = async function* () {
    throw busy()
  }
  t.match(await h.sync(), {
    status: 'partial',
    error: { code: 'RMM_ERR_RATE_LIMITED', message: /^devices, updates, alerts: / },
    progress: [{ status: 'complete' }, { status: 'failed' }, { status: 'skipped' }, { status: 'skipped' }]
  })
})

t.test('one resource that asks to wait does not hold up the others', async t => {
  const h = await scriptedHost(t)
  h.script.devices = list(devices(3))
  let asked = 0
  h.script.updates = async function* () {
    asked++
    throw new ProviderError('unreachable', 'status 503', { retryAfterMs: 5 })
  }
  t.match(await h.sync(), {
    status: 'partial',
    progress: [{}, {}, { status: 'failed', error: { message: /503.*waited for 2 times/ } }, { status: 'complete' }]
  })
  t.equal(asked, 3)
  t.equal(h.script.pulls.filter(({ resource }) => resource === 'alerts').length, 1)
})

t.test('A11: a run that a person starts is fresh; one of a schedule goes on, and says from when', async t => {
  const h = await scriptedHost(t, { engine: pageByPage })
  let there = devices(20)
  let broken = true
  const pages = paged(
    () => there,
    at => {
      if (broken && at >= 14) throw new ProviderError('protocol', 'the list broke')
    }
  )
  h.script.devices = pages
  const began = Date.now()
  t.match(await h.sync({ resources: ['devices'] }), { status: 'failed' })
  there = there
    .map(record => (record.externalId === 'd005' ? { ...record, displayName: 'renamed' } : record))
    .filter(record => record.externalId !== 'd006')
  broken = false
  h.script.pulls.length = 0
  const fresh = await h.sync({ resources: ['devices'] })
  t.match(fresh, { status: 'succeeded', continuedFrom: null, totals: { removed: 1, updated: 1 } })
  t.strictSame(h.script.pulls, [{ resource: 'devices', from: null }])

  broken = true
  t.match(await h.sync({ resources: ['devices'] }), { status: 'failed' })
  broken = false
  h.script.pulls.length = 0
  const run = await scheduled(h)
  t.equal(run.status, 'succeeded')
  t.ok(Date.parse(run.continuedFrom!) >= began && Date.parse(run.continuedFrom!) < Date.parse(run.queuedAt))
  t.strictSame(
    h.script.pulls.find(({ resource }) => resource === 'devices'),
    { resource: 'devices', from: 14 }
  )
  const { lastFullSyncAt } = await h.app.rmm.connections.get('t1', h.connectionId)
  t.ok(Date.parse(lastFullSyncAt!) < Date.parse(run.queuedAt), 'a full sync is as old as its oldest page')
})

t.test('A12: a run says what it found: nothing usable, something new without a client, one and many', async t => {
  const h = await scriptedHost(t)
  h.script.devices = list(devices(9))
  await h.sync()
  h.script.devices = list([...devices(9), device('new', { organizationExternalId: 'elsewhere' })])
  t.match(await h.sync(), { summary: '9 devices were as stored. 1 device belongs to no mapped client (1 new).' })
  h.script.devices = list(
    page([], { rejected: [...devices(9), device('new')].map(({ externalId }) => ({ externalId, reason: 'no shape' })) })
  )
  t.match(await h.sync(), { summary: /^Nothing usable: 10 records came\. .*10 records failed, see the items/ })
  h.script.devices = list([...devices(9), device('new', { organizationExternalId: 'elsewhere' })])
  t.match(await h.sync(), {
    summary: 'Nothing changed: 9 devices were as stored. 1 device belongs to no mapped client.'
  })
})

t.test('the first patch count of a new device is part of its creation, not a second event', async t => {
  const h = await scriptedHost(t)
  h.script.devices = list(devices(2))
  h.script.updates = list([{ externalId: 'u1', deviceExternalId: 'd000' }])
  await h.sync()
  const told = async () => (await h.told()).filter(type => type.startsWith('RMM_DEVICE'))
  t.strictSame(await told(), ['RMM_DEVICE_CREATED d000', 'RMM_DEVICE_CREATED d001'])
  h.script.updates = list(['u1', 'u2'].map(externalId => ({ externalId, deviceExternalId: 'd000' })))
  t.match(await h.sync(), { summary: '2 devices were as stored. Also changed: patch counts of 1 device.' })
  t.strictSame((await told()).slice(2), ['RMM_DEVICE_UPDATED d000'])
})
