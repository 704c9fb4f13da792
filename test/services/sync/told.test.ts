import { sql } from 'kysely'
import t from 'tap'
import { type DeviceRecord, mapRecords, ProviderError } from '../../../src/providers/define.ts'
import { alert, createScript, device, devices, group, list, page, scriptedHost } from '../scripted.ts'

/** What a platform told, in which type, and what it did not tell. */

t.setTimeout(60_000)

const ago = (ms: number): Date => new Date(Date.now() - ms)
const minute = 60_000
const mac = (last: string) => `00:1B:21:00:00:${last}`

t.test('ids may be numbers or bigints: in records, references, rejects and deletedIds they are text', async t => {
  const h = await scriptedHost(t, { mapped: false, script: createScript({ deletes: 'snapshot' }) })
  h.script.organizations = list([
    { externalId: 4711, name: 'Four' },
    { externalId: 12n, name: 'Twelve', parentExternalId: 4711 }
  ])
  await h.sync({ resources: ['organizations'] })
  await h.map({ 4711: 'c1' })
  h.script.devices = list(
    [device(1 as never, { organizationExternalId: 12 }), device(2n as never, { organizationExternalId: '4711' })],
    page([device(9_007_199_254_740_993n as never, { organizationExternalId: 12n })])
  )
  h.script.updates = list([{ externalId: 7, deviceExternalId: 1 }])
  h.script.alerts = list([alert(5 as never, { deviceExternalId: 2n })])
  t.match(await h.sync(), { status: 'succeeded', totals: { created: 3, failed: 0 } })
  t.match(await h.rows('device'), [
    { external_id: '1', organization_external_id: '12', client_ref: 'c1', pending_os_patches: 1 },
    { external_id: '2', organization_external_id: '4711', client_ref: 'c1', pending_os_patches: 0 },
    { external_id: '9007199254740993', organization_external_id: '12', client_ref: 'c1' }
  ])
  t.match(await h.rows('alert'), [{ external_id: '5', device_external_id: '2' }])
  t.match(
    (await h.rows('organization')).map(row => row.parent_external_id),
    ['4711', null]
  )
  h.script.devices = list(
    page([device(2 as never, { organizationExternalId: 12 })], {
      rejected: [{ externalId: 9_007_199_254_740_993n, reason: 'has no name' }],
      deletedIds: [1]
    })
  )
  const run = await h.sync({ resources: ['devices'] })
  t.match(run, { status: 'succeeded', totals: { removed: 1, failed: 1 } })
  t.match(await h.items(run.id), [{ externalId: '9007199254740993', outcome: 'failed', reason: 'has no name' }])
  t.strictSame(
    (await h.rows('device')).filter(row => row.removed_at !== null).map(row => row.external_id),
    ['1']
  )
})

t.test('A5: 40 of 300 records with numeric ids cannot be mapped: 40 items, nothing removed', async t => {
  const h = await scriptedHost(t)
  const raw = Array.from({ length: 300 }, (_, n) => ({ id: n + 1, name: `PC ${n}` as string | undefined }))
  const read = () =>
    list(
      page<DeviceRecord>([], {
        ...mapRecords(
          raw,
          one => one.id,
          one => {
            if (one.name === undefined) throw new Error('has no name')
            return device(one.id as never, { displayName: one.name })
          }
        )
      })
    )
  h.script.devices = read()
  t.match(await h.sync({ resources: ['devices'] }), { totals: { created: 300 } })
  for (const one of raw.slice(0, 40)) one.name = undefined
  h.script.devices = read()
  const run = await h.sync({ resources: ['devices'] })
  t.match(run, { status: 'succeeded', totals: { removed: 0, failed: 40, unchanged: 260 } })
  const items = await h.items(run.id)
  t.equal(items.length, 40)
  t.match(items[0], { externalId: '1', outcome: 'failed', reason: 'has no name' })
})

t.test('A4: a group that is told in another type moves nobody: digits are text, the rest is one item', async t => {
  const h = await scriptedHost(t, { mapped: false })
  h.script.organizations = list([group('4711')])
  await h.sync({ resources: ['organizations'] })
  await h.map({ 4711: 'c1' })
  const twelve = (odd: unknown) =>
    devices(12).map((one, n) => ({ ...one, organizationExternalId: (n < 6 ? odd : '4711') as never }))
  h.script.devices = list(twelve('4711'))
  t.match(await h.sync({ resources: ['devices'] }), { totals: { created: 12 } })
  h.script.devices = list(twelve(4711))
  const same = await h.sync({ resources: ['devices'] })
  t.match(same, { status: 'succeeded', totals: { unchanged: 12, updated: 0 } })
  t.same(await h.items(same.id), [])
  for (const odd of [{ id: 4711 }, [4711], true, 47.11, '']) {
    h.script.devices = list(twelve(odd).slice(0, 4), twelve(odd).slice(4))
    const run = await h.sync({ resources: ['devices'] })
    t.match(run, { status: 'succeeded', totals: { unchanged: 12, updated: 0, failed: 0 } }, JSON.stringify(odd))
    t.match(await h.items(run.id), [
      {
        resource: 'devices',
        externalId: 'd000',
        outcome: 'ambiguous',
        reason: `'organizationExternalId' came in a form that cannot be read, 6 times, e.g. ${JSON.stringify(odd)}`
      }
    ])
  }
  t.ok((await h.rows('device')).every(row => row.client_ref === 'c1' && row.organization_external_id === '4711'))
  t.equal((await h.told()).filter(type => type.startsWith('RMM_DEVICE_UPDATED')).length, 0)
})

t.test('a parent and a device of an alert that are told in another type stay as they were', async t => {
  const h = await scriptedHost(t, { mapped: false })
  const tree = (parent: unknown) => list([group('top'), group('below', parent as never)])
  h.script.organizations = tree('top')
  h.script.devices = list([device('d000', { organizationExternalId: 'below' })])
  h.script.alerts = list([alert('a', { deviceExternalId: 'd000' })])
  await h.sync({ resources: ['organizations'] })
  await h.map({ top: 'c1' })
  await h.sync()
  h.script.organizations = tree({ id: 'top' })
  h.script.alerts = list([alert('a', { deviceExternalId: ['d000'] as never, name: 'Renamed' })])
  const run = await h.sync()
  t.match(run, { status: 'succeeded', totals: { unchanged: 1, updated: 0 } })
  t.match(await h.rows('device'), [{ client_ref: 'c1' }])
  t.match(await h.rows('alert'), [{ device_external_id: 'd000', name: 'Renamed' }])
  t.match(
    (await h.items(run.id)).map(item => [item.resource, item.reason.split("'")[1]]),
    [
      ['organizations', 'parentExternalId'],
      ['alerts', 'deviceExternalId']
    ]
  )
  h.script.organizations = tree(null)
  await h.sync()
  t.match(await h.rows('device'), [{ client_ref: null }], 'that it is a root can be told')
})

t.test('A16: null erases what can end, and nothing else; what is not told stays and is no change', async t => {
  const h = await scriptedHost(t)
  const full = {
    hostname: 'pc',
    serialNumber: '7HX2QK3',
    model: 'OptiPlex 7010',
    currentUser: 'ACME\\anna',
    lanIp: '10.0.0.5',
    macAddresses: [mac('01')],
    ramBytes: 8_589_934_592,
    cpuCores: 8,
    volumes: [{ name: 'C:', totalBytes: 100, freeBytes: 7 }],
    tags: ['vip'],
    maintenanceMode: true,
    antivirus: { provider: 'Defender', status: 'on' },
    location: 'Bristol'
  }
  const read = async (facts: object) => {
    h.script.devices = list([device('a', facts as Partial<DeviceRecord>)])
    const { totals } = await h.sync({ resources: ['devices'] })
    const { observedAt: _, ...row } = (await h.app.rmm.inventory.list('t1')).items[0]!
    return { totals, row }
  }
  const first = await read(full)
  t.match(first.row, { ...full, volumes: [{ name: 'C:' }] })
  const kept = await read({
    ...full,
    serialNumber: null,
    model: null,
    macAddresses: [],
    ramBytes: 0,
    cpuCores: 0,
    volumes: [{ name: 'C:', totalBytes: 0, freeBytes: 0 }],
    hostname: null,
    location: null
  })
  t.match(kept, { totals: { unchanged: 1, updated: 0 }, row: first.row }, 'a null that cannot be is none')
  t.match((await read({})).row, first.row, 'neither is what is not told')
  const ended = await read({ ...full, currentUser: null, lanIp: null, tags: null, maintenanceMode: null })
  t.match(ended, {
    totals: { updated: 1 },
    row: { currentUser: null, lanIp: null, tags: [], maintenanceMode: false, serialNumber: '7HX2QK3' }
  })
  t.match(await read({ ...full, currentUser: null, lanIp: null, tags: [], maintenanceMode: false }), {
    totals: { unchanged: 1 }
  })
  await read(full)
  t.match((await read({ lanIp: null, currentUser: undefined })).row, { lanIp: '10.0.0.5' }, 'no address at all is told')
  h.script.devices = list([device('b', { currentUser: null, lanIp: null, macAddresses: [mac('02')], tags: null })])
  await h.sync({ resources: ['devices'] })
  t.match(
    (await h.app.rmm.inventory.list('t1', { removed: false })).items,
    [{ externalId: 'b', currentUser: null, lanIp: null, tags: [], maintenanceMode: false }],
    'a new device is told with what it has not'
  )
})

t.test(
  'a boot time that wanders by up to two minutes is no change, and becomes true when it wandered further',
  async t => {
    const h = await scriptedHost(t)
    const booted = ago(86_400_000)
    const at = async (ms: number, more: Partial<DeviceRecord> = {}) => {
      h.script.devices = list(devices(50, { lastRebootAt: new Date(booted.getTime() + ms), ...more }))
      return (await h.sync({ resources: ['devices'] })).totals
    }
    const stored = async () => new Date((await h.rows('device'))[0].last_reboot_at).getTime() - booted.getTime()
    t.match(await at(0), { created: 50 })
    for (const ms of [2_000, -2_000, 60_000, 120_000]) {
      t.match(await at(ms), { updated: 0, unchanged: 50 }, `${ms} ms`)
      t.equal(await stored(), 0)
    }
    t.match(await at(90_000, { hostname: 'renamed' }), { updated: 50 })
    t.equal(await stored(), 0, 'another change does not take it along')
    t.match(await at(121_000, { hostname: 'renamed' }), { updated: 50 })
    t.equal(await stored(), 121_000)
    t.match(await at(240_000, { hostname: 'renamed' }), { updated: 0 })
    t.match(await at(250_000, { hostname: 'renamed' }), { updated: 50 })
    t.match(await at(-5 * minute, { hostname: 'renamed' }), { updated: 50 }, 'an earlier one is one, too')
    h.script.devices = list(devices(50, { hostname: 'renamed' }))
    t.match((await h.sync({ resources: ['devices'] })).totals, { unchanged: 50 })
    t.equal(await stored(), -5 * minute)
  }
)

t.test('A13: no time is later than now; a boot that is still to come was not told', async t => {
  const h = await scriptedHost(t)
  const future = new Date('2031-01-01T00:00:00Z')
  h.script.devices = list([
    device('a', { lastSeenAt: future, lastRebootAt: new Date(Date.now() + 120 * minute), uptimeSeconds: 0 })
  ])
  h.script.alerts = list([alert('x', { startedAt: future }), alert('y', { status: 'resolved', resolvedAt: future })])
  for (const expected of [{ created: 1 }, { unchanged: 1, updated: 0 }]) {
    t.match(await h.sync(), { totals: expected })
    const { items } = await h.app.rmm.inventory.list('t1')
    t.ok(Date.parse(items[0]!.lastSeenAt!) <= Date.now())
    t.ok(Date.parse(items[0]!.lastSeenAt!) > Date.now() - minute)
    t.match(items[0], { lastRebootAt: null, uptimeSeconds: null })
    for (const { startedAt, resolvedAt } of (await h.app.rmm.alerts.list('t1')).items)
      for (const time of [startedAt, resolvedAt]) t.ok(time === null || Date.parse(time) <= Date.now())
  }
  t.equal((await h.told()).filter(type => type.startsWith('RMM_ALERT')).length, 1, 'told once, as nothing changed')
})

t.test('A6: a record that a single read cannot map is an item, and the rest goes on', async t => {
  const h = await scriptedHost(t)
  h.script.devices = list(devices(20))
  await h.sync({ resources: ['devices'] })
  h.script.devices = list(devices(17))
  h.script.one.set('d017', new TypeError("Cannot read properties of undefined (reading 'name')"))
  h.script.one.set('d018', { displayName: 'without an id' } as never)
  const run = await h.sync({ resources: ['devices'] })
  t.match(run, { status: 'succeeded', totals: { removed: 1 } })
  t.match(await h.items(run.id), [
    { externalId: 'd017', outcome: 'ambiguous', reason: /it is there: Scripted has a device .*reading 'name'/ },
    { externalId: 'd018', outcome: 'ambiguous', reason: /Scripted .* the device id is missing/ }
  ])
  await t.rejects(h.app.rmm.sync.device('t1', h.connectionId, 'd017'), {
    code: 'RMM_ERR_PROVIDER_RECORD',
    statusCode: 502,
    message: /^Scripted has a device under the id d017 that cannot be read: Cannot read/
  })
  h.script.one.set('d017', new ProviderError('protocol', 'nonsense came'))
  await t.rejects(h.app.rmm.sync.device('t1', h.connectionId, 'd017'), { code: 'RMM_ERR_PLATFORM' })
})

t.test('what a provider does wrong is reported as its own, with the rule', async t => {
  const h = await scriptedHost(t, { engine: { maxAttempts: 1 } })
  const failing = async (pages: () => AsyncGenerator<any>) => {
    h.script.devices = pages as never
    const run = await h.sync({ resources: ['devices'] })
    t.not(run.status, 'succeeded')
    return run.error ?? run.progress
  }
  const cases: Array<[() => AsyncGenerator<any>, RegExp]> = [
    [
      async function* () {
        yield page([device('a')])
        throw new TypeError('x is not a function')
      },
      /The provider Scripted failed in the reading of its devices: x is not a function/
    ],
    [
      async function* () {
        yield { records: [] }
      },
      /The provider Scripted broke a rule in the pages of its devices: a page needs observedAt/
    ],
    [
      async function* () {
        yield { observedAt: new Date(), records: 'none' }
      },
      /a page needs records, a list/
    ]
  ]
  for (const [pages, sentence] of cases)
    t.match(JSON.stringify(await failing(pages)), new RegExp(`RMM_ERR_PROVIDER_FAULT.*${sentence.source}`))
  h.script.broken.open = new TypeError('config is undefined')
  await t.rejects(h.app.rmm.connections.test('t1', h.connectionId), {
    code: 'RMM_ERR_PROVIDER_FAULT',
    message: /The provider Scripted failed in open: config is undefined/
  })
})

t.test('what fails on our side while a provider asks us is not its mistake', async t => {
  const h = await scriptedHost(t, { engine: { maxAttempts: 1 } })
  h.script.devices = async function* (_from, _signal, known) {
    await sql`alter table ${h.database.t.device_status} rename to elsewhere`.execute(h.database.db)
    await known!(['a'])
    yield page([device('a')])
  }
  const run = await h.sync({ resources: ['devices'] })
  t.notMatch(JSON.stringify(run), /PROVIDER_FAULT/)
  t.notMatch(JSON.stringify(run), /Scripted failed/)
})

t.test('A14: a device was last seen when anybody saw it last, whatever the platform says afterwards', async t => {
  const h = await scriptedHost(t)
  const seen = async (lastSeenAt: Date, online: boolean) => {
    h.script.devices = list([device('a', { lastSeenAt, online })])
    await h.sync({ resources: ['devices'] })
    return Date.parse((await h.app.rmm.inventory.list('t1')).items[0]!.lastSeenAt!)
  }
  const sighting = ago(1_000)
  await seen(sighting, true)
  t.equal(await seen(ago(2 * 86_400_000), false), sighting.getTime(), 'the time at which it connected, two days ago')
  const later = ago(10)
  t.equal(await seen(later, true), later.getTime())
})

t.test('where the serial number is a filler, what else the platform tells of it counts', async t => {
  const h = await scriptedHost(t)
  h.script.devices = list([
    device('a', {
      serialNumber: 'Default string',
      model: 'OptiPlex 7010',
      alternatives: { serialNumber: ['None', 'PF2ABC12'], model: ['0GXM1W'] }
    })
  ])
  await h.sync({ resources: ['devices'] })
  t.match(await h.rows('device'), [{ serial_number: 'PF2ABC12', model: 'OptiPlex 7010' }])
})
