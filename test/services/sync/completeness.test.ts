import t from 'tap'
import { ProviderError, type DeviceRecord } from '../../../src/providers/define.ts'
import {
  alert,
  createScript,
  device,
  devices,
  fastEngine,
  group,
  list,
  page,
  type Pages,
  scriptedHost,
  type ScriptedHost
} from '../scripted.ts'
import { pause } from '../../until.ts'

t.setTimeout(120_000)

/** What two complete reads in a row have to be apart. */
const tick = () => pause(fastEngine.tickMs)
const gone = async (h: ScriptedHost, table: 'device' | 'organization' = 'device') =>
  (await h.rows(table)).filter(row => row.removed_at !== null).map(row => row.external_id)
/** One list per read, the last one from then on. */
function inTurn<R>(...reads: Array<Pages<R>>): Pages<R> {
  let n = 0
  return (...args) => reads[Math.min(n++, reads.length - 1)]!(...args)
}
const answering = (h: ScriptedHost, records: DeviceRecord[]) => {
  for (const record of records) h.script.one.set(String(record.externalId), record)
}
const full = { resources: ['devices' as const] }

t.test('A2: 26 of 1,000 are missing from one list, and each answers when asked: read again, none removed', async t => {
  const h = await scriptedHost(t)
  const all = devices(1_000)
  h.script.devices = list(all)
  await h.sync(full)
  answering(h, all)
  h.script.devices = inTurn(list(all.filter((_, n) => n % 39 !== 0)), list(all))
  h.script.pulls.length = 0
  t.match(await h.sync(full), {
    status: 'succeeded',
    progress: [{ processed: 1_000, pages: 1 }],
    totals: { created: 0, updated: 0, unchanged: 1_000, removed: 0, failed: 0 },
    summary: 'Nothing changed: 1000 devices were as stored.'
  })
  t.equal(h.script.pulls.length, 2, 'once more, in the same run')
  t.ok(h.script.asked.length <= 25, 'after a sample')
  t.strictSame(await gone(h), [])
})

t.test(
  'A1: the cursor vanishes and the list ends with an empty page: the deleted one is removed, no other',
  async t => {
    const h = await scriptedHost(t)
    const all = devices(1_000)
    const pages = Array.from({ length: 10 }, (_, n) => all.slice(n * 100, n * 100 + 100))
    h.script.devices = list(...pages)
    await h.sync(full)
    const left = all.filter(({ externalId }) => externalId !== 'd899')
    answering(h, left)
    const now = Array.from({ length: 10 }, (_, n) => left.slice(n * 100, n * 100 + 100))
    h.script.devices = inTurn(list(...pages.slice(0, 9), []), list(...now))
    t.match(await h.sync(full), { status: 'succeeded', totals: { removed: 0 } }, 'one read showed it: not yet')
    t.strictSame(await gone(h), [])
    t.match(await h.sync(full), { status: 'succeeded', totals: { removed: 1 } })
    t.strictSame(await gone(h), ['d899'])
  }
)

t.test('a list that is short twice is incomplete: nothing is removed, what was shown counts', async t => {
  const h = await scriptedHost(t)
  const all = devices(20)
  h.script.devices = list(all)
  await h.sync(full)
  h.script.devices = list([...devices(17).slice(1), device('d000', { displayName: 'renamed' })])
  h.script.one.set('d017', device('d017', { displayName: 'still here' }))
  h.script.one.set('d018', new ProviderError('forbidden', 'not for this key'))
  h.script.pulls.length = 0
  const run = await h.sync(full)
  t.match(run, {
    status: 'failed',
    error: {
      code: 'RMM_ERR_INCOMPLETE',
      message: /devices.*twice.*3 known devices are missing.*1 is still there \(d017\)/
    },
    totals: { updated: 2, removed: 0 }
  })
  t.equal(h.script.pulls.length, 2, 'and not tried a third time')
  t.strictSame(h.script.asked, ['d017', 'd018', 'd019'], 'each was asked for once')
  t.strictSame(await gone(h), [])
  t.match(await h.items(run.id), [
    { resource: 'devices', externalId: 'd018', outcome: 'ambiguous', reason: /not for this key/ }
  ])
  t.strictSame(
    (await h.rows('device')).filter(row => row.display_name !== row.external_id).map(row => row.display_name),
    ['renamed', 'still here']
  )
  h.script.devices = list(devices(18))
  h.script.one.set('d018', null)
  t.match(await h.sync(full), { status: 'succeeded', totals: { removed: 2 } }, 'the next run settles it')
})

t.test('a record that passes through between two pages is not gone', async t => {
  const h = await scriptedHost(t)
  const all = devices(40)
  h.script.devices = list(all)
  await h.sync(full)
  answering(h, all)
  const without = (...ids: string[]) => list(all.filter(({ externalId }) => !ids.includes(String(externalId))))
  h.script.devices = inTurn(without('d003', 'd007'), without('d021'), list(all))
  t.match(await h.sync(full), { status: 'succeeded', totals: { removed: 0 } })
  t.strictSame(await gone(h), [], 'each of the two lists missed others')
})

for (const force of [false, true]) {
  t.test(
    `one that lives means that the list was short, also beyond the sample${force ? ' and with force' : ''}`,
    async t => {
      const h = await scriptedHost(t)
      const all = devices(400)
      h.script.devices = list(all)
      await h.sync(full)
      h.script.devices = list(all.slice(0, 325))
      // Two reads, each with another sample: that both miss a third of the missing does not happen.
      answering(
        h,
        all.slice(325).filter((_, n) => n % 3 === 1)
      )
      const run = await h.sync({ ...full, force })
      t.match(run, { status: 'failed', error: { code: 'RMM_ERR_INCOMPLETE' }, totals: { removed: 0 } })
      t.strictSame(await gone(h), [])
      h.script.one.clear()
      t.match(await h.sync({ ...full, force }), { status: 'succeeded', totals: { removed: 75 } })
    }
  )
}

t.test('the doubt comes before the brake: a list that lost half of its devices is read again', async t => {
  const h = await scriptedHost(t)
  const all = devices(100)
  h.script.devices = list(all)
  await h.sync(full)
  answering(h, all)
  h.script.devices = inTurn(list(all.slice(0, 40)), list(all))
  t.match(await h.sync(full), { status: 'succeeded', totals: { removed: 0 } })
  h.script.devices = list(all.slice(0, 40))
  t.match(
    await h.sync({ ...full, force: true }),
    { status: 'failed', error: { code: 'RMM_ERR_INCOMPLETE' } },
    'and force confirms the brake, never the doubt'
  )
  t.strictSame(await gone(h), [])
})

t.test('records that nobody can tell apart: the others are not removed for them', async t => {
  const h = await scriptedHost(t)
  const all = devices(300)
  h.script.devices = list(all)
  await h.sync(full)
  answering(h, all)
  const rejected = Array.from({ length: 40 }, () => ({ externalId: null, reason: 'the device has no name' }))
  h.script.devices = list(page(all.slice(0, 260), { rejected }))
  h.script.pulls.length = 0
  const run = await h.sync(full)
  t.match(run, { status: 'succeeded', totals: { removed: 0, failed: 40 } })
  t.equal(h.script.pulls.length, 1, 'reading it again would tell the same')
  t.strictSame(await gone(h), [])
  t.equal((await h.items(run.id)).filter(({ outcome }) => outcome === 'failed').length, 40)
  t.match(await h.items(run.id), { length: 41 }, 'and one item for those that were not asked for')
  h.script.one.delete('d299')
  h.script.devices = list(page(all.slice(0, 298), { rejected: rejected.slice(0, 1) }))
  t.match(await h.sync(full), { status: 'succeeded', totals: { removed: 1 } }, 'one by one each stands for itself')
  t.strictSame(await gone(h), ['d299'])
})

t.test('single reads that fail conclude nothing for their record; a silent platform is left alone', async t => {
  const h = await scriptedHost(t)
  const all = devices(30)
  h.script.devices = list(all)
  await h.sync(full)
  h.script.one.set('d027', new Error('cannot read properties of undefined'))
  h.script.one.set('d028', new ProviderError('unreachable', 'status 500'))
  h.script.devices = list(all.slice(0, 27))
  const run = await h.sync(full)
  t.match(run, { status: 'succeeded', totals: { removed: 1 } })
  t.strictSame(await gone(h), ['d029'])
  t.match(
    (await h.items(run.id)).sort((a, b) => (a.externalId! < b.externalId! ? -1 : 1)),
    [
      { externalId: 'd027', outcome: 'ambiguous', reason: /cannot read properties/ },
      { externalId: 'd028', outcome: 'ambiguous', reason: /status 500/ }
    ]
  )
  for (const { externalId } of all) h.script.one.set(String(externalId), new ProviderError('unreachable', 'status 500'))
  h.script.devices = list(all.slice(0, 5))
  h.script.asked.length = 0
  const silent = await h.sync(full)
  t.match(silent, { status: 'succeeded', totals: { removed: 0 } })
  t.equal(h.script.asked.length, 3, 'three failures in a row are enough')
  t.match((await h.items(silent.id)).at(-1), {
    externalId: null,
    outcome: 'ambiguous',
    reason: /more devices are not in the list/
  })
  h.script.one.set('d005', new ProviderError('auth', 'the key was revoked'))
  t.match(await h.sync(full), { status: 'failed', error: { code: 'RMM_ERR_PLATFORM_AUTH' } })
  t.strictSame(await gone(h), ['d029'])
})

t.test('without single reads two complete reads in a row, a tick apart, have to miss a record', async t => {
  const h = await scriptedHost(t, { script: createScript({ noSingleReads: true }) })
  const all = devices(30)
  const short = list(all.slice(0, 28))
  h.script.devices = list(all)
  await h.sync(full)
  h.script.devices = short
  const run = await h.sync(full)
  t.match(run, { status: 'succeeded', totals: { removed: 0 } })
  t.match(await h.items(run.id), [
    { resource: 'devices', externalId: null, outcome: 'ambiguous', reason: /2 devices.*next complete read.*d028, d029/ }
  ])
  await tick()
  h.script.devices = list(all.slice(0, 29))
  t.match(await h.sync(full), { totals: { removed: 1 } })
  t.strictSame(await gone(h), ['d029'])
  await tick()
  h.script.devices = short
  t.match(await h.sync(full), { totals: { removed: 0 } }, 'd028 was shown in between')
  h.script.devices = inTurn(list(page([...all.slice(0, 27)])), short)
  await tick()
  h.script.devices = async function* () {
    yield page([all[28]!])
    throw new ProviderError('unreachable', 'the line broke')
  }
  t.match(await h.sync(full), { status: 'failed' })
  await tick()
  h.script.devices = short
  t.match(await h.sync(full), { totals: { removed: 0 } }, 'nor is what a read showed that broke off')
  await tick()
  t.match(await h.sync(full), { totals: { removed: 1 } })
})

t.test(
  'without single reads a list that speaks against itself is read again, and proves nothing if it still does',
  async t => {
    for (const [what, strange] of [
      ['ends with an empty page', [devices(10), devices(20).slice(10), []]],
      ['shows a record twice', [devices(10), devices(20).slice(9)]],
      ['has a record without an id', [devices(20), page([], { rejected: [{ externalId: null, reason: 'no shape' }] })]]
    ] as const) {
      const h = await scriptedHost(t, { script: createScript({ noSingleReads: true }) })
      h.script.devices = list(devices(25))
      await h.sync(full)
      h.script.pulls.length = 0
      let extra = 0
      h.script.devices = (...args) =>
        list<DeviceRecord>(
          ...(strange as unknown as DeviceRecord[][]),
          ...(what.startsWith('shows') ? [[device(`new${extra++}`)]] : [])
        )(...args)
      const run = await h.sync(full)
      t.match(run, { status: 'failed', error: { code: 'RMM_ERR_INCOMPLETE' }, totals: { removed: 0 } }, what)
      t.equal(h.script.pulls.length, 2, what)
      await tick()
      t.match(await h.sync(full), { status: 'failed' }, `${what}, again`)
      t.strictSame(await gone(h), [], what)
      h.script.devices = list(devices(20))
      t.match(await h.sync(full), { status: 'succeeded', totals: { removed: 0 } }, 'the first complete one')
      await tick()
      t.match(await h.sync(full), { status: 'succeeded' })
      t.equal((await gone(h)).filter(id => id.startsWith('d')).length, 5, 'and the second')
    }
  }
)

t.test('a list that always shows a record twice is not one that moves', async t => {
  const h = await scriptedHost(t, { script: createScript({ noSingleReads: true }) })
  h.script.devices = list(devices(25))
  await h.sync(full)
  h.script.devices = list(devices(10), devices(24).slice(9))
  t.match(await h.sync(full), { status: 'succeeded' })
  await tick()
  t.match(await h.sync(full), { status: 'succeeded', totals: { removed: 1 } })
})

t.test('organizations are doubted like devices, and nothing is moved over a list that was short', async t => {
  const h = await scriptedHost(t)
  const groups = Array.from({ length: 8 }, (_, n) => group(`g${n}`))
  h.script.organizations = list(groups)
  h.script.devices = list(devices(20, { organizationExternalId: 'g7' }))
  await h.sync()
  await h.map({ g7: 'c2' })
  for (const one of groups) h.script.one.set(String(one.externalId), one)
  h.script.organizations = inTurn(list(groups.slice(0, 4)), list(groups))
  t.match(await h.sync(), { status: 'succeeded' })
  h.script.organizations = list(groups.slice(0, 4))
  const run = await h.sync()
  t.match(run, { status: 'partial', progress: [{ resource: 'organizations', error: { code: 'RMM_ERR_INCOMPLETE' } }] })
  t.strictSame(await gone(h, 'organization'), [])
  t.ok((await h.rows('device')).every(row => row.client_ref === 'c2'))

  const blind = await scriptedHost(t, { script: createScript({ noSingleReads: true }) })
  blind.script.organizations = list([group('g1'), group('g2'), group('g3')])
  await blind.sync({ resources: ['organizations'] })
  blind.script.organizations = list([group('g1'), group('g2')])
  await blind.sync({ resources: ['organizations'] })
  t.strictSame(await gone(blind, 'organization'), [])
  await tick()
  await blind.sync({ resources: ['organizations'] })
  t.strictSame(await gone(blind, 'organization'), ['g3'])
})

t.test('alerts: a list that was short closes none without its own word, and is told', async t => {
  const h = await scriptedHost(t)
  const all = Array.from({ length: 30 }, (_, n) => alert(`a${String(n).padStart(2, '0')}`))
  h.script.alerts = list(all)
  await h.sync({ resources: ['alerts'] })
  const open = async () => (await h.rows('alert')).filter(row => row.status === 'active').length
  for (const one of all) h.script.one.set(String(one.externalId), one)
  h.script.alerts = inTurn(list(all.slice(0, 10)), list(all))
  t.match(await h.sync({ resources: ['alerts'] }), { status: 'succeeded' })
  t.equal(await open(), 30)
  h.script.one.set('a29', null)
  h.script.one.set('a28', alert('a28', { status: 'resolved', resolvedAt: new Date() }))
  h.script.alerts = list(all.slice(0, 10))
  t.match(await h.sync({ resources: ['alerts'] }), { status: 'failed', error: { code: 'RMM_ERR_INCOMPLETE' } })
  t.equal(await open(), 28, 'the two that said so')
})

const update = (externalId: string, deviceExternalId: string) => ({ externalId, deviceExternalId })

t.test('A3: patch counts: the cursor is installed behind page 2, and the list ends with an empty page', async t => {
  const h = await scriptedHost(t)
  const all = Array.from({ length: 500 }, (_, n) => update(`u${n}`, `d${String(n % 100).padStart(3, '0')}`))
  const pages = Array.from({ length: 5 }, (_, n) => all.slice(n * 100, n * 100 + 100))
  h.script.devices = list(devices(100))
  h.script.updates = list(...pages)
  await h.sync()
  const counts = async () => (await h.rows('device')).map(row => row.pending_os_patches as number | null)
  t.ok((await counts()).every(count => count === 5))
  const short = list(...pages.slice(0, 2), [])
  h.script.updates = short
  t.match(await h.sync({ resources: ['updates'] }), {
    status: 'failed',
    error: { code: 'RMM_ERR_INCOMPLETE', message: /updates.*last page was empty/ }
  })
  t.ok(
    (await counts()).every(count => count === 5),
    'untouched'
  )
  const left = all.filter(({ externalId }) => externalId !== 'u199')
  h.script.updates = inTurn(short, list(left))
  t.match(await h.sync({ resources: ['updates'] }), { status: 'succeeded' })
  t.ok(
    (await counts()).every(count => count === 5),
    'the installed one counts until a second read misses it'
  )
  await tick()
  t.match(await h.sync({ resources: ['updates'] }), { status: 'succeeded' })
  t.equal((await counts()).filter(count => count === 4).length, 1)
})

t.test('patch counts: a list that ends early at any page leaves them as they are', async t => {
  for (const singleUpdates of [false, true]) {
    const h = await scriptedHost(t, { script: createScript({ singleUpdates }) })
    const all = Array.from({ length: 60 }, (_, n) => update(`u${String(n).padStart(2, '0')}`, `d00${n % 6}`))
    const pages = Array.from({ length: 6 }, (_, n) => all.slice(n * 10, n * 10 + 10))
    h.script.devices = list(devices(6))
    h.script.updates = list(...pages)
    await h.sync()
    if (singleUpdates) for (const one of all) h.script.one.set(String(one.externalId), one)
    for (const end of [5, 3, 1, 0]) {
      h.script.updates = list(...pages.slice(0, end), ...(end === 0 ? [[]] : []))
      const run = await h.sync({ resources: ['updates'] })
      t.equal(run.status, singleUpdates ? 'failed' : 'succeeded', `${end} pages`)
      t.ok(
        (await h.rows('device')).every(row => row.pending_os_patches === 10),
        `${end} pages`
      )
      h.script.updates = list(...pages)
      await h.sync({ resources: ['updates'] })
    }
    const left = all.filter((_, n) => n % 2 === 0)
    for (const one of all) if (!left.includes(one)) h.script.one.set(one.externalId, null)
    h.script.updates = list(left)
    await h.sync({ resources: ['updates'] })
    if (!singleUpdates) {
      await tick()
      await h.sync({ resources: ['updates'] })
    }
    t.strictSame(
      (await h.rows('device')).map(row => row.pending_os_patches),
      [10, 0, 10, 0, 10, 0],
      'what was installed does not count'
    )
  }
})

t.test('who knows no update one by one is no witness against one', async t => {
  const h = await scriptedHost(t, { script: createScript({ singleUpdates: true }) })
  h.script.devices = list(devices(2))
  h.script.updates = list([update('u1', 'd000'), update('u2', 'd001')])
  await h.sync()
  h.script.updates = list([update('u1', 'd000')])
  t.match(await h.sync({ resources: ['updates'] }), { status: 'succeeded' })
  t.strictSame(
    (await h.rows('device')).map(row => row.pending_os_patches),
    [1, 1]
  )
})

t.test('where there is no doubt it costs nothing: one read, nobody asked', async t => {
  const h = await scriptedHost(t)
  h.script.devices = list(devices(10), devices(20).slice(10))
  h.script.alerts = list([alert('a')])
  h.script.updates = list([update('u1', 'd000')])
  await h.sync()
  h.script.pulls.length = 0
  t.match(await h.sync(), { status: 'succeeded' })
  t.equal(h.script.pulls.length, 4)
  t.strictSame(h.script.asked, [])
})

t.test('a snapshot may also name what is gone', async t => {
  const h = await scriptedHost(t)
  h.script.devices = list(devices(20))
  await h.sync(full)
  h.script.devices = list(devices(10), page(devices(18).slice(10), { deletedIds: ['d018', 'd019'] }))
  t.match(await h.sync(full), { status: 'succeeded', totals: { removed: 2 } })
  t.strictSame(h.script.asked, [], 'nobody has to be asked')
  t.strictSame(await gone(h), ['d018', 'd019'])
})

t.test('however many are gone, a sample of 25 is asked for', async t => {
  const h = await scriptedHost(t)
  const all = devices(1_000)
  h.script.devices = list(all)
  await h.sync(full)
  h.script.devices = list(all.slice(150))
  t.match(await h.sync(full), { status: 'succeeded', totals: { removed: 150 } })
  t.equal(h.script.asked.length, 25)
  h.script.asked.length = 0
  h.script.devices = list(all.slice(900))
  t.match(await h.sync(full), { status: 'failed', error: { code: 'RMM_ERR_MASS_REMOVAL', message: /^750 of 850/ } })
  t.match(await h.sync({ ...full, force: true }), { status: 'succeeded', totals: { removed: 750 } })
  t.equal(h.script.asked.length, 50)
})

t.test('a sample that is not of one voice, or of a list whose order moved, speaks only for itself', async t => {
  const h = await scriptedHost(t)
  const all = devices(1_000)
  h.script.devices = list(all)
  await h.sync(full)
  h.script.one.set('d000', new ProviderError('unreachable', 'status 500'))
  h.script.devices = list(all.slice(100))
  const run = await h.sync(full)
  t.match(run, { status: 'succeeded', totals: { removed: 24 } })
  t.match((await h.items(run.id)).at(-1), { reason: /^75 more devices .* the next run looks again/ })

  h.script.one.delete('d000')
  const left = all.slice(100)
  let n = 0
  // A record on two pages, and another one passed by with every read: what else was, nobody knows.
  h.script.devices = (...args) => {
    n++
    return list(left.slice(0, 400), [left[399]!, ...left.slice(400).filter((_, at) => at !== n)])(...args)
  }
  h.script.pulls.length = 0
  h.script.asked.length = 0
  const moving = await h.sync(full)
  t.match(moving, { status: 'succeeded' })
  t.equal(h.script.pulls.length, 2, 'it is read again')
  t.ok(h.script.asked.length <= 50 && moving.totals.removed <= h.script.asked.length)
  t.match((await h.items(moving.id)).at(-1), { reason: /its order moved/ })
})
