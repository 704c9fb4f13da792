import t, { type Test } from 'tap'
import type { DeviceFacts, DeviceRecord } from '../../../src/providers/define.ts'
import { normalizeDevice } from '../../../src/services/model/normalize/device.ts'
import { knownRevisions } from '../../../src/services/store/devices/inventory.ts'
import type { HostOptions } from '../../helper.ts'
import { device, group, list, page, scriptedHost, type ScriptedHost } from '../scripted.ts'
import { until } from '../../until.ts'

const ago = (ms: number): Date => new Date(Date.now() - ms)
const mac = '00:1B:21:0A:0B:0C'
const hardware: DeviceFacts = {
  serialNumber: 'SN1',
  ramBytes: 8,
  macAddresses: [mac],
  volumes: [{ name: 'C:', totalBytes: 10, freeBytes: 4 }],
  details: { bios: '1.0', tpm: null }
}
const own = { hostname: 'PC', tags: ['vip'], details: { note: 'front desk' } }

/** A device whose inventory was read at this state, or was not read again. */
const read = (revision: string, facts: DeviceFacts | null = hardware, more: Partial<DeviceRecord> = {}): DeviceRecord =>
  device('a', { ...own, ...more, inventory: { revision, facts } })

async function setUp(t: Test, options: HostOptions = {}) {
  const h = await scriptedHost(t, options)
  const sync = async (records: DeviceRecord[], observedAt = new Date()) => {
    h.script.devices = list(page(records, { observedAt }))
    return (await h.sync({ resources: ['devices'] })).totals
  }
  return {
    h,
    sync,
    row: async () => (await h.rows('device'))[0],
    status: async () => (await h.rows('device_status', 'device_id'))[0],
    known: () => knownRevisions(h.database, h.connectionId, ['a', 'b', 'c'])
  }
}

const devicesTold = async (h: ScriptedHost) => (await h.told()).filter(type => type.startsWith('RMM_DEVICE'))

t.test('the same facts keep their hash from 0.2 on: an update of this library rewrites nothing', async t => {
  const record = device('a', {
    displayName: 'PC',
    assetType: 'server',
    hostname: 'pc',
    serialNumber: '7HX2QK3',
    macAddresses: [mac],
    ramBytes: 5,
    volumes: [{ name: 'C:', totalBytes: 10, freeBytes: 3 }],
    antivirus: { provider: 'D', status: 'on' },
    tags: ['x'],
    details: { b: 1, a: null },
    lastRebootAt: new Date('2026-01-01T00:00:00Z'),
    lastSeenAt: new Date('2026-01-02T00:00:00Z'),
    uptimeSeconds: 4
  })
  t.match(normalizeDevice(record, new Date()), {
    hash: 'SC4Cyh0JwZ7uJsszKZPcrg',
    status: { hash: ' 1767312000000 3' }
  })
  t.match(normalizeDevice({ externalId: 'b', displayName: 'b' }, new Date()), { hash: 'NRxacRdA8V4H5AkOKSfOeQ' })
})

t.test('what is not read again stays, and is no reason to write', async t => {
  const { h, sync, row, status, known } = await setUp(t)
  t.match(await sync([read('r1')]), { created: 1 })
  const first = await row()
  const heartbeat = await status()
  t.match(first, {
    hostname: 'PC',
    serial_number: 'SN1',
    mac_addresses: [mac],
    volumes: [{ name: 'C:', totalBytes: 10 }],
    details: { note: 'front desk', bios: '1.0', tpm: null }
  })
  t.match(heartbeat, { free_bytes: [4], inventory_revision: 'r1' })
  t.strictSame([...(await known())], [['a', 'r1']])

  t.match(await sync([read('r1', null)]), { unchanged: 1, updated: 0 })
  t.equal((await row()).version, first.version)
  t.equal((await status()).version, heartbeat.version, 'not even the heartbeat')

  t.match(
    await sync([read('r1', null, { hostname: 'PC-2', details: { note: 'back office' } })]),
    { updated: 1 },
    'what is read every time changes on its own'
  )
  t.match(await row(), {
    hostname: 'PC-2',
    serial_number: 'SN1',
    ram_bytes: /8/,
    mac_addresses: [mac],
    volumes: [{ name: 'C:' }],
    details: { note: 'back office', bios: '1.0', tpm: null },
    hash: `.${first.hash.split('.')[1]}`
  })
  t.match(await status(), { free_bytes: [4], inventory_revision: 'r1' })
  const second = await row()
  t.match(await sync([read('r1', null, { hostname: 'PC-2', details: { note: 'back office' } })]), { unchanged: 1 })
  t.match(
    await sync([read('r1', hardware, { hostname: 'PC-2', details: { note: 'back office' } })]),
    { unchanged: 1 },
    'and a full read finds all of it as it was'
  )
  t.equal((await row()).version, second.version)
  t.strictSame(await devicesTold(h), ['RMM_DEVICE_CREATED a', 'RMM_DEVICE_UPDATED a'])
})

t.test('a new revision of the same facts is written beside the device and is no change of it', async t => {
  const { h, sync, row, status } = await setUp(t)
  await sync([read('r1')])
  const { version } = await row()
  t.match(await sync([read('r2', { ...hardware, volumes: [{ name: 'C:', totalBytes: 10, freeBytes: 3 }] })]), {
    unchanged: 1,
    updated: 0
  })
  t.equal((await row()).version, version)
  t.match(await status(), { inventory_revision: 'r2', free_bytes: [3] })
  t.match(await sync([read('r3', { ...hardware, ramBytes: 16 })]), { updated: 1 }, 'other facts are one')
  t.match(await row(), { ram_bytes: /16/, serial_number: 'SN1' })
  t.match(await sync([read('r4', { ...hardware, ramBytes: null, volumes: null, details: null })]), { unchanged: 1 })
  t.match(
    await row(),
    { ram_bytes: /16/, volumes: [{ name: 'C:' }], details: { note: 'front desk', bios: '1.0' } },
    'a null among the facts erases nothing'
  )
  t.equal((await devicesTold(h)).length, 2, 'nor is it a change')
})

t.test('a device whose inventory was never read has no revision, whatever its record claims', async t => {
  const { sync, row, known } = await setUp(t)
  t.match(await sync([read('r1', null)]), { created: 1 })
  t.match(await row(), { hostname: 'PC', serial_number: null, details: own.details })
  t.strictSame([...(await known())], [])
  t.match(await sync([read('r1')]), { updated: 1 })
  t.match(await row(), { serial_number: 'SN1', details: { ...own.details, bios: '1.0' } })
})

t.test("a field of both is the inventory's", async t => {
  const { sync, row } = await setUp(t)
  await sync([read('r1', { ...hardware, hostname: 'from hardware' })])
  t.match(await row(), { hostname: 'from hardware' })
})

t.test(
  'a late record does not overwrite a newer row, but its inventory lands where nobody has read it since',
  async t => {
    const { h, sync, row, status } = await setUp(t)
    await sync([read('r1')], ago(60_000))
    await sync([read('r1', null, { hostname: 'newer' })], ago(10_000))
    const told = (await devicesTold(h)).length
    t.match(
      await sync(
        [
          read(
            'r2',
            { ...hardware, serialNumber: 'SN2', details: { bios: '2.0' } },
            { hostname: 'late', organizationExternalId: 'nowhere' }
          )
        ],
        ago(30_000)
      ),
      { updated: 1 }
    )
    t.match(await row(), {
      hostname: 'newer',
      organization_external_id: 'g1',
      client_ref: 'c1',
      serial_number: 'SN2',
      details: { note: 'front desk', bios: '2.0' }
    })
    t.match(await status(), { inventory_revision: 'r2' })
    t.equal((await devicesTold(h)).length, told + 1, 'and is told')

    await sync([read('r1.5', { ...hardware, serialNumber: 'older' }, { hostname: 'later still' })], ago(40_000))
    t.match(
      await row(),
      { hostname: 'newer', serial_number: 'SN2' },
      'inventory that is older than the stored one does not'
    )
    t.match(await status(), { inventory_revision: 'r2' })
    t.match(
      await sync([read('r2', null, { hostname: 'newer' })], ago(5_000)),
      { unchanged: 1 },
      'the row is as if all had come in order'
    )
  }
)

t.test('the inventory of a device that was removed is read again when it comes back', async t => {
  const { h, sync, row, status, known } = await setUp(t)
  await sync([read('r1'), device('b')], ago(60_000))
  h.script.one.set('a', null)
  t.match(await sync([device('b')], ago(50_000)), { removed: 1 })
  t.strictSame([...(await known())], [], 'nothing is known of it')
  await sync([read('r0', { ...hardware, serialNumber: 'late' }), device('b')], ago(55_000))
  t.match(await row(), { removed_at: /./, serial_number: 'SN1' }, 'what was read before it went is not written to it')
  await sync([read('r1', null), device('b')])
  t.match(await row(), { removed_at: null, serial_number: 'SN1' })
  t.match(await status(), { inventory_revision: null })
  t.strictSame([...(await known())], [], 'also where a read that still knew it brought it back')
  t.match(await sync([read('r1'), device('b')]), { unchanged: 2 })
  t.strictSame([...(await known())], [['a', 'r1']])
})

t.test('a provider is asked with what is stored at the time of each page, and only about devices', async t => {
  const { h } = await setUp(t, { engine: { batchRecords: 1 } })
  const asked: Array<[string[], string[][]]> = []
  h.script.devices = async function* (_from, _signal, known) {
    for (const id of ['a', 'b', 'a']) {
      asked.push([[id, 'unknown'], [...(await known!([id, 'unknown']))]])
      yield page([device(id, { inventory: { revision: `of ${id}`, facts: hardware } })])
      await until('the page to be stored', async () => (await h.rows('device')).some(row => row.external_id === id))
    }
  }
  let organizations: unknown
  h.script.organizations = async function* (_from, _signal, known) {
    organizations = known
    yield page([group('g1')])
  }
  await h.sync()
  t.strictSame(asked, [
    [['a', 'unknown'], []],
    [['b', 'unknown'], []],
    [['a', 'unknown'], [['a', 'of a']]]
  ])
  t.equal(organizations, undefined)
  t.strictSame(
    [...(await knownRevisions(h.database, '00000000-0000-4000-8000-000000000000', ['a']))],
    [],
    "not about another connection's"
  )
})

t.test('a mark that cannot be stored makes its record one item', async t => {
  const { h, sync } = await setUp(t)
  t.match(
    await sync([
      read(''),
      device('b', { inventory: { revision: 'x'.repeat(501), facts: null } }),
      device('c', { inventory: null }),
      device('d', { inventory: { revision: 'r', facts: undefined as never } })
    ]),
    { created: 2, failed: 2 }
  )
  t.strictSame(
    (await h.rows('device')).map(row => row.external_id),
    ['c', 'd']
  )
})

t.test('ids that cannot be stored are known to nobody, and do not keep the others from being told', async t => {
  const { h, sync } = await setUp(t)
  await sync([read('r1')])
  t.strictSame(
    [...(await knownRevisions(h.database, h.connectionId, ['a', 'b\0', '\ud800', 'c\u001f', 7 as never]))],
    [['a', 'r1']]
  )
})
