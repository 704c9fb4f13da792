import t from 'tap'
import type { ChangeBatch } from '../../../src/types.ts'
import { connectLevel, fakeLevel, build, syncNow } from '../../helper.ts'
import { device, devices, fastEngine, group, list, scriptedHost, type ScriptedHost } from '../scripted.ts'

/** What the host was told, as `change device client`. */
function recorder() {
  const batches: ChangeBatch[] = []
  return {
    onChanges: async (batch: ChangeBatch) => {
      batches.push(batch)
      return {
        assetRefs: Object.fromEntries(batch.devices.map(({ device }) => [device.id, `asset-${device.externalId}`]))
      }
    },
    take: () =>
      batches
        .splice(0)
        .flatMap(batch =>
          batch.devices.map(({ change, device }) => `${change} ${device.externalId} ${device.clientRef}`)
        )
        .sort()
  }
}

const belongs = async (h: ScriptedHost) =>
  Object.fromEntries((await h.rows('device')).map(row => [row.external_id, row.client_ref ?? row.assignment]))
const in_ = (organizationExternalId: string | null) => ({ organizationExternalId })

t.test('a device belongs to its deepest mapped ancestor, and excluded wins over what is above it', async t => {
  const host = recorder()
  const h = await scriptedHost(t, { mapped: false, onChanges: host.onChanges })
  h.script.organizations = list([
    group('root'),
    group('site', 'root'),
    group('room', 'site'),
    group('lab', 'site'),
    group('bench', 'lab'),
    group('lone')
  ])
  h.script.devices = list(
    ['root', 'site', 'room', 'lab', 'bench', 'lone', 'unknown'].map(id => device(`in-${id}`, in_(id))),
    [device('in-none', in_(null))]
  )
  await h.sync()
  t.strictSame(host.take(), [], 'unmapped devices are in the inventory, the host does not hear of them')
  t.match(await h.app.rmm.connections.get('t1', h.connectionId), {
    counts: { organizations: 6, mappedOrganizations: 0, devices: 8, mappedDevices: 0, unmappedDevices: 8 }
  })

  h.script.pulls.length = 0
  await h.map({ bench: 'c3', root: 'c1', lab: null, room: 'c2' })
  t.strictSame(
    await belongs(h),
    {
      'in-bench': 'c3',
      'in-lab': 'excluded',
      'in-lone': 'unmapped',
      'in-none': 'unmapped',
      'in-room': 'c2',
      'in-root': 'c1',
      'in-site': 'c1',
      'in-unknown': 'unmapped'
    },
    'at once'
  )
  t.strictSame([h.script.pulls, h.script.asked], [[], []], 'without asking the platform')
  t.ok(host.take().includes('created in-bench c3'))
  t.strictSame(
    (await h.told()).filter(type => type === 'RMM_DEVICE_CREATED in-bench').length,
    1,
    'the inventory has known it: one created event'
  )
  const { items } = await h.app.rmm.organizations.list('t1', h.connectionId)
  t.match(
    items.map(({ path, depth, effectiveClientRef }) => `${path} ${depth} ${effectiveClientRef}`),
    [
      'Group lone 0 null',
      'Group root 0 c1',
      'Group root / Group site 1 c1',
      'Group root / Group site / Group lab 2 null',
      'Group root / Group site / Group lab / Group bench 3 c3',
      'Group root / Group site / Group room 2 c2'
    ]
  )
  await h.map({ root: null })
  t.match(await belongs(h), {
    'in-root': 'excluded',
    'in-site': 'excluded',
    'in-room': 'c2',
    'in-lab': 'excluded',
    'in-bench': 'c3'
  })
  await h.map({ root: undefined })
  t.match(await belongs(h), { 'in-root': 'unmapped', 'in-site': 'unmapped', 'in-room': 'c2' })
  await h.sync()
  t.match(
    await belongs(h),
    { 'in-root': 'unmapped', 'in-room': 'c2', 'in-bench': 'c3', 'in-lab': 'excluded' },
    'a sync comes to the same'
  )
})

t.test("a mapped child whose sync is off keeps its devices: they do not fall to the parent's client", async t => {
  const host = recorder()
  const h = await scriptedHost(t, { onChanges: host.onChanges })
  h.script.organizations = list([group('g1'), group('child', 'g1')])
  h.script.devices = list([device('a', in_('child')), device('b', in_('g1'))])
  await h.sync()
  await h.map({ child: 'c2' })
  host.take()
  const id = (await h.rows('organization')).find(row => row.external_id === 'child').id
  await h.app.rmm.organizations.update('t1', h.connectionId, id, { autoSync: false })
  t.match((await h.rows('device'))[0], { client_ref: 'c2', assignment: 'held' })
  h.script.devices = list([
    device('a', { ...in_('child'), displayName: 'renamed meanwhile' }),
    device('b', in_('g1')),
    device('c', in_('child'))
  ])
  const run = await h.sync()
  t.match(await h.items(run.id), [
    { externalId: 'a', outcome: 'held', reason: /automatic sync is off/ },
    { externalId: 'c', outcome: 'held' }
  ])
  t.strictSame(host.take(), [], 'the host hears nothing of held devices')
  t.match((await h.rows('device'))[2], { client_ref: null, assignment: 'held' }, 'a new one has no client yet')
  await h.app.rmm.organizations.update('t1', h.connectionId, id, { autoSync: true })
  t.strictSame(host.take(), ['created c c2', 'updated a c2'], 'and all of it once sync is on again')
})

t.test('cycles, missing parents, moved, renamed and removed groups are survived', async t => {
  const h = await scriptedHost(t)
  h.script.organizations = list([
    group('g1'),
    group('x', 'y'),
    group('y', 'x'),
    group('self', 'self'),
    group('orphan', 'nowhere'),
    group('child', 'orphan')
  ])
  h.script.devices = list([
    device('in-g1'),
    device('in-x', in_('x')),
    device('in-self', in_('self')),
    device('in-child', in_('child'))
  ])
  t.match(await h.sync(), { status: 'succeeded' })
  await h.map({ y: 'c2', orphan: 'c3', self: 'c1' })
  t.strictSame(await belongs(h), { 'in-child': 'c3', 'in-g1': 'c1', 'in-self': 'c1', 'in-x': 'c2' })
  t.strictSame((await h.app.rmm.organizations.list('t1', h.connectionId)).items.length, 6)

  h.script.organizations = list([
    group('g1', null, 'Renamed'),
    group('x', 'g1'),
    group('y', 'g1'),
    group('self', 'self'),
    group('orphan', 'nowhere'),
    group('child', 'x')
  ])
  await h.sync({ resources: ['organizations'] })
  t.match(await belongs(h), { 'in-x': 'c1', 'in-child': 'c1' }, 'moved below g1, without reading devices')
  t.ok((await h.rows('organization')).some(row => row.path === 'Renamed / Group x / Group child'))

  h.script.organizations = list([
    group('g1', null, 'Renamed'),
    group('x', 'g1'),
    group('y', 'g1'),
    group('self', 'self')
  ])
  await h.sync({ resources: ['organizations'] })
  t.match(await belongs(h), { 'in-child': 'unmapped' })
  t.strictSame(
    (await h.rows('organization'))
      .filter(row => row.removed_at !== null)
      .map(row => `${row.external_id} ${row.mode} ${row.client_ref}`),
    ['child inherit null', 'orphan mapped c3'],
    'a removed group keeps its mapping'
  )
  h.script.organizations = list([
    group('g1', null, 'Renamed'),
    group('x', 'g1'),
    group('y', 'g1'),
    group('self', 'self'),
    group('orphan'),
    group('child', 'orphan')
  ])
  await h.sync({ resources: ['organizations'] })
  t.match(await belongs(h), { 'in-child': 'c3' }, 'and has it when it comes back')
})

t.test('a parent on a later page does not make devices leave their client for a moment', async t => {
  const host = recorder()
  const h = await scriptedHost(t, { onChanges: host.onChanges, engine: { ...fastEngine, batchRecords: 1 } })
  h.script.organizations = list([group('g1')], [group('site', 'g1')])
  h.script.devices = list([device('a', in_('site'))])
  await h.sync()
  host.take()
  h.script.organizations = list([group('site', 'new level')], [group('new level', 'g1')], [group('g1')])
  t.match(await h.sync(), { status: 'succeeded' })
  t.strictSame(host.take(), [])
  t.match(await belongs(h), { a: 'c1' })
})

t.test('a device that the platform moves follows, or is held and reported, as the connection says', async t => {
  for (const movePolicy of ['follow', 'hold'] as const) {
    const host = recorder()
    const h = await scriptedHost(t, { onChanges: host.onChanges })
    h.script.organizations = list([group('g1'), group('g2'), group('g3')])
    await h.sync()
    await h.map({ g2: 'c2' })
    await h.app.rmm.connections.update('t1', h.connectionId, { movePolicy })
    h.script.devices = list([device('a'), device('b')])
    await h.sync()
    host.take()
    h.script.devices = list([device('a', in_('g2')), device('b', in_('g3'))])
    const run = await h.sync()
    if (movePolicy === 'follow') {
      t.strictSame(host.take(), ['moved a c2', 'moved b null'])
      t.strictSame(await belongs(h), { a: 'c2', b: 'unmapped' })
      t.match((await h.rows('device'))[0], { asset_ref: 'asset-a' })
      continue
    }
    t.strictSame(host.take(), [])
    t.strictSame(await belongs(h), { a: 'c1', b: 'c1' })
    t.match(await h.items(run.id), [
      { externalId: 'a', outcome: 'held', reason: /moved it to client c2/ },
      { externalId: 'b', outcome: 'held', reason: /no client/ }
    ])
    await h.map({ g3: 'c3' })
    t.strictSame(host.take(), ['moved b c3'], 'the operator decides for g3')
    t.match(await belongs(h), { a: 'c1' }, 'and by that nothing about a, which is still held')
    await h.app.rmm.connections.update('t1', h.connectionId, { movePolicy: 'follow' })
    await h.sync()
    t.strictSame(host.take(), ['moved a c2'])
  }
})

t.test('mappings are all or none, and checked against the directory', async t => {
  const h = await scriptedHost(t, { mapped: false })
  h.script.organizations = list([group('g1'), group('g2')])
  h.script.devices = list(devices(2))
  await h.sync()
  const [g1, g2] = (await h.rows('organization')).map(row => row.id as string)
  const map = (...mappings: unknown[]) => h.call('t1', 'PUT', `/connections/${h.connectionId}/mappings`, { mappings })
  for (const [status, code, second] of [
    [422, 'RMM_ERR_CLIENT_UNKNOWN', { organizationId: g2, mode: 'mapped', clientRef: 'nobody' }],
    [404, 'RMM_ERR_NOT_FOUND', { organizationId: h.connectionId, mode: 'excluded' }],
    [422, 'RMM_ERR_MAPPING', { organizationId: g2, mode: 'mapped' }],
    [422, 'RMM_ERR_MAPPING', { organizationId: g2, mode: 'excluded', clientRef: 'c1' }],
    [422, 'RMM_ERR_MAPPING', { organizationId: g2, mode: 'mapped', clientRef: 'c\u001f1' }],
    [422, 'RMM_ERR_MAPPING', { organizationId: g1, mode: 'inherit' }]
  ] as const) {
    t.match(
      await map({ organizationId: g1, mode: 'mapped', clientRef: 'c1' }, second),
      { status, body: { code } },
      code
    )
    t.ok(
      (await h.rows('organization')).every(row => row.mode === 'inherit'),
      'nothing was applied'
    )
  }
  t.match(
    await map({ organizationId: g1, mode: 'mapped', clientRef: 'c1' }, { organizationId: g2, mode: 'excluded' }),
    { status: 200, body: { items: [{ id: g1, effectiveClientRef: 'c1' }, { id: g2 }] } }
  )
  t.strictSame(await belongs(h), { d000: 'c1', d001: 'c1' })
})

t.test('a change of one thing leaves the others as they are, also when they are changed at that moment', async t => {
  const asked: string[] = []
  const [reached, answer] = [
    Promise.withResolvers<void>(),
    Promise.withResolvers<{ id: string; name: string } | null>()
  ]
  const client = (_tenant: string, id: string) => {
    asked.push(id)
    if (id !== 'slow') return id === 'c1' ? { id, name: id } : null
    reached.resolve()
    return answer.promise
  }
  const h = await scriptedHost(t, { mapped: false, directory: { clients: () => [], client } })
  h.script.organizations = list([group('g1'), group('g2')])
  await h.sync()
  const [g1, g2] = (await h.rows('organization')).map(row => row.id as string)
  const patch = (change: object) => h.call('t1', 'PATCH', `/connections/${h.connectionId}/organizations/${g1}`, change)
  t.match(await patch({ clientRef: 'c1' }), { status: 200, body: { mapping: { mode: 'mapped', clientRef: 'c1' } } })
  t.match(
    await patch({ clientRef: null }),
    { status: 422, body: { code: 'RMM_ERR_MAPPING', message: /needs a clientRef/ } },
    'not taken for "as it was"'
  )

  asked.length = 0
  t.match(await patch({ autoSync: false }), {
    status: 200,
    body: { autoSync: false, mapping: { mode: 'mapped', clientRef: 'c1' } }
  })
  t.strictSame(asked, [], 'a client that was mapped before may have left the directory since')

  const both = h.call('t1', 'PUT', `/connections/${h.connectionId}/mappings`, {
    mappings: [
      { organizationId: g1, mode: 'mapped' },
      { organizationId: g2, mode: 'mapped', clientRef: 'slow' }
    ]
  })
  await reached.promise
  t.match(await patch({ mode: 'excluded' }), { status: 200 })
  answer.resolve({ id: 'slow', name: 'slow' })
  t.match(
    await both,
    { status: 422, body: { code: 'RMM_ERR_MAPPING', message: /needs a clientRef/ } },
    'the client it had is no longer there to be kept'
  )
  t.match(await h.rows('organization'), [{ mode: 'excluded', client_ref: null, auto_sync: false }, { mode: 'inherit' }])
})

t.test('the host hears of a mapping in portions of a page, and all of it is undone where one fails', async t => {
  const portions: string[][] = []
  let broken = true
  const h = await scriptedHost(t, {
    mapped: false,
    engine: { ...fastEngine, batchRecords: 2 },
    onChanges: batch => {
      portions.push(batch.devices.map(({ device }) => device.externalId))
      if (broken && portions.length === 3) throw new Error('out of assets')
      return {
        assetRefs: Object.fromEntries(batch.devices.map(({ device }) => [device.id, `asset-${device.externalId}`]))
      }
    }
  })
  h.script.organizations = list([group('g1')])
  h.script.devices = list(devices(5))
  await h.sync()
  const [organization] = await h.rows('organization')
  const map = () =>
    h.call('t1', 'PATCH', `/connections/${h.connectionId}/organizations/${organization!.id}`, {
      mode: 'mapped',
      clientRef: 'c1'
    })
  t.match(await map(), { status: 500, body: { code: 'RMM_ERR_ON_CHANGES' } })
  t.ok((await h.rows('device')).every(row => row.client_ref === null && row.asset_ref === null))
  broken = false
  portions.length = 0
  t.match(await map(), { status: 200 })
  t.strictSame(
    portions.map(portion => portion.length),
    [2, 2, 1]
  )
  t.ok((await h.rows('device')).every(row => row.asset_ref === `asset-${row.external_id}`))
})

t.test('mapping a Level account asks Level nothing', async t => {
  const fake = await fakeLevel(t, { devices: 40, groups: 7 })
  const host = await build(t)
  const id = await connectLevel(host, fake)
  await syncNow(host, id)
  const before = fake.count()
  const { items: roots } = await host.app.rmm.organizations.list('t1', id)
  await host.app.rmm.organizations.map(
    't1',
    id,
    roots.filter(root => root.depth === 0).map(root => ({ organizationId: root.id, mode: 'mapped', clientRef: 'c1' }))
  )
  const { counts } = await host.app.rmm.connections.get('t1', id)
  t.ok(counts.mappedDevices > 30)
  t.equal(fake.count(), before)
})
