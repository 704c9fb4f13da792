import t from 'tap'
import {
  alert,
  createScript,
  device,
  devices,
  group,
  list,
  page,
  scriptedHost,
  type ScriptedHost
} from '../scripted.ts'

t.setTimeout(120_000)

const both = { resources: ['organizations' as const, 'devices' as const] }
const outOfSight = async (h: ScriptedHost, table: 'device' | 'organization') =>
  (await h.rows(table)).filter(row => row.out_of_sight_since !== null).map(row => row.external_id)
const gone = async (h: ScriptedHost, table: 'device' | 'organization') =>
  (await h.rows(table)).filter(row => row.removed_at !== null).map(row => row.external_id)
const sightEvents = async (h: ScriptedHost) =>
  (await h.rows('outbox', 'seq')).filter(row => row.type === 'RMM_OUT_OF_SIGHT').map(row => row.payload)

/** Six groups of c1 with five devices each. */
async function sixGroups(h: ScriptedHost) {
  const groups = Array.from({ length: 6 }, (_, n) => group(`s${n}`, 'g1'))
  const all = groups.flatMap(({ externalId }) => devices(5, { organizationExternalId: externalId }, `${externalId}-`))
  const show = (seen: string[], visibility: 'all' | 'partial') => {
    h.script.sees = visibility
    h.script.organizations = list(
      page([group('g1'), ...groups.filter(({ externalId }) => seen.includes(String(externalId)))], { visibility })
    )
    h.script.devices = list(
      page(
        all.filter(one => seen.includes(String(one.organizationExternalId))),
        { visibility }
      )
    )
  }
  const every = groups.map(({ externalId }) => String(externalId))
  show(every, 'all')
  await h.sync(both)
  return { groups, all, show, every }
}

t.test('A21: an account that loses groups: nothing is removed or moved, it is told once, and comes back', async t => {
  const told: string[] = []
  const h = await scriptedHost(t, {
    onChanges: batch => {
      told.push(...batch.devices.map(({ change, device }) => `${change} ${device.externalId}`))
      return {
        assetRefs: Object.fromEntries(batch.devices.map(({ device }) => [device.id, `asset-${device.externalId}`]))
      }
    }
  })
  const { show, every } = await sixGroups(h)
  told.length = 0
  const before = (await h.rows('device')).map(row => ({ id: row.id, client: row.client_ref, asset: row.asset_ref }))
  show(every.slice(0, 2), 'partial')
  const run = await h.sync(both)
  t.match(run, { status: 'succeeded', totals: { removed: 0, updated: 0 } })
  t.strictSame(h.script.asked, [], 'its word on what it does not see is worth nothing')
  t.strictSame(await gone(h, 'device'), [])
  t.strictSame(await gone(h, 'organization'), [])
  t.strictSame(await outOfSight(h, 'organization'), every.slice(2))
  t.equal((await outOfSight(h, 'device')).length, 20)
  t.strictSame(
    (await h.rows('device')).map(row => ({ id: row.id, client: row.client_ref, asset: row.asset_ref })),
    before
  )
  t.strictSame(told, [])
  t.match(await sightEvents(h), [
    { organizations: 4, devices: 20, groups: ['Group s2', 'Group s3', 'Group s4', 'Group s5'], sample: { length: 10 } }
  ])
  t.match(await h.items(run.id), [
    { outcome: 'ambiguous', reason: /4 groups and 20 devices are out of the account's sight: Group s2/ }
  ])
  t.match((await h.app.rmm.inventory.list('t1', { q: 's5-000' })).items, [{ outOfSightSince: /./, removedAt: null }])
  t.match((await h.app.rmm.organizations.list('t1', h.connectionId)).items.at(-1), { outOfSightSince: /./ })

  await h.sync(both)
  t.equal((await sightEvents(h)).length, 1, 'and not again')
  show(every.slice(0, 3), 'partial')
  t.match(await h.sync(both), { status: 'succeeded', totals: { updated: 0 } })
  t.strictSame(await outOfSight(h, 'organization'), every.slice(3), 'what is seen again is back')
  t.equal((await outOfSight(h, 'device')).length, 15)
  show(every, 'all')
  await h.sync(both)
  t.strictSame(await outOfSight(h, 'device'), [])
  t.strictSame(told, [], 'the host never had to hear of it')
  show(every.slice(0, 2), 'partial')
  await h.sync(both)
  t.equal((await sightEvents(h)).length, 2, 'another time is another event')
})

t.test('force does not make a lost right a deletion', async t => {
  const h = await scriptedHost(t)
  const { show } = await sixGroups(h)
  show([], 'partial')
  h.script.organizations = list(page([], { visibility: 'partial' }))
  t.match(await h.sync({ ...both, force: true }), { status: 'succeeded', totals: { removed: 0 } })
  t.strictSame(await gone(h, 'device'), [])
  t.strictSame(await gone(h, 'organization'), [])
})

t.test('one partial page is enough, and so are rights that are lost between the list and the questions', async t => {
  const h = await scriptedHost(t)
  const { all } = await sixGroups(h)
  h.script.devices = list(page(all.slice(0, 10)), page(all.slice(10, 27), { visibility: 'partial' }), page([all[27]!]))
  await h.sync({ resources: ['devices'] })
  t.strictSame(await outOfSight(h, 'device'), ['s5-003', 's5-004'])
  h.script.devices = list(page(all.slice(0, 27)))
  h.script.sees = 'partial'
  await h.sync({ resources: ['devices'] })
  t.strictSame(await gone(h, 'device'), [])
  t.strictSame(await outOfSight(h, 'device'), ['s5-002', 's5-003', 's5-004'])
})

t.test('an account that sees everything again tells what was really deleted', async t => {
  const h = await scriptedHost(t)
  const { show, every } = await sixGroups(h)
  show(every.slice(0, 5), 'partial')
  await h.sync(both)
  show(every.slice(0, 5), 'all')
  t.match(await h.sync(both), { status: 'succeeded', totals: { removed: 5 } })
  t.strictSame(await gone(h, 'organization'), ['s5'])
  t.match(
    (await h.rows('device')).filter(row => row.removed_at !== null),
    Array.from({ length: 5 }, () => ({ out_of_sight_since: null, client_ref: 'c1' }))
  )
})

t.test('what the platform itself calls deleted is removed, seen or not, with what was in it', async t => {
  const h = await scriptedHost(t)
  const { show, every, groups, all } = await sixGroups(h)
  show(every.slice(0, 4), 'partial')
  await h.sync(both)
  h.script.organizations = list(
    page([group('g1'), ...groups.slice(0, 4)], { visibility: 'partial', deletedIds: ['s4'] })
  )
  h.script.devices = list(page(all.slice(0, 20), { visibility: 'partial', deletedIds: ['s5-000'] }))
  t.match(await h.sync(both), { status: 'succeeded', totals: { removed: 6 } })
  t.strictSame(await gone(h, 'organization'), ['s4'])
  t.strictSame(await gone(h, 'device'), ['s4-000', 's4-001', 's4-002', 's4-003', 's4-004', 's5-000'])
  t.equal((await outOfSight(h, 'device')).length, 4)
})

t.test('devices alone: a device that is out of sight is told, its group is not told again', async t => {
  const h = await scriptedHost(t)
  const { show, every } = await sixGroups(h)
  show(every.slice(0, 5), 'partial')
  await h.sync({ resources: ['devices'] })
  t.match(await sightEvents(h), [{ organizations: 0, devices: 5, groups: ['Group s5'] }])
  await h.sync({ resources: ['organizations'] })
  t.equal((await sightEvents(h)).length, 1)
  t.strictSame(await outOfSight(h, 'organization'), ['s5'])
})

t.test('organizations alone: the devices go out of sight with their group', async t => {
  const h = await scriptedHost(t)
  const { show, every } = await sixGroups(h)
  show(every.slice(0, 4), 'partial')
  await h.sync({ resources: ['organizations'] })
  t.equal((await outOfSight(h, 'device')).length, 10)
  t.match(await sightEvents(h), [{ organizations: 2, devices: 10 }])
  t.match(await h.sync(both), { status: 'succeeded' })
  t.equal((await sightEvents(h)).length, 1)
})

t.test('alerts and patch counts: nothing is concluded about what cannot be seen', async t => {
  const h = await scriptedHost(t, { script: createScript({ noSingleReads: true }) })
  h.script.devices = list(devices(4))
  h.script.alerts = list([alert('a'), alert('b')])
  h.script.updates = list([
    { externalId: 'u0', deviceExternalId: 'd000' },
    { externalId: 'u3', deviceExternalId: 'd003' }
  ])
  await h.sync()
  h.script.devices = list(page(devices(2), { visibility: 'partial' }))
  h.script.alerts = list(page([alert('a')], { visibility: 'partial' }))
  h.script.updates = list(page([{ externalId: 'u0', deviceExternalId: 'd000' }], { visibility: 'partial' }))
  for (let n = 0; n < 3; n++) t.match(await h.sync(), { status: 'succeeded' })
  t.ok((await h.rows('alert')).every(row => row.status === 'active'))
  t.strictSame(
    (await h.rows('device')).map(row => row.pending_os_patches),
    [1, 0, 0, 1]
  )
})

t.test('a single read that finds nothing proves nothing for an account that does not see everything', async t => {
  const h = await scriptedHost(t)
  h.script.devices = list([device('a'), device('b')])
  await h.sync(both)
  h.script.sees = 'partial'
  t.match(await h.app.rmm.sync.device('t1', h.connectionId, 'a'), {
    outcome: 'unchanged',
    device: { removedAt: null, clientRef: 'c1' }
  })
  h.script.sees = 'all'
  t.match(await h.app.rmm.sync.device('t1', h.connectionId, 'a'), { outcome: 'removed' })
})
