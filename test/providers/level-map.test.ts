import { readFileSync } from 'node:fs'
import fc from 'fast-check'
import t from 'tap'
import { mapRecords } from '../../src/providers/define.ts'
import type { DeviceRecord } from '../../src/providers/define.ts'
import { toAlert, toDevice, toOrganization, toSeverity, toUpdate } from '../../src/providers/level/map/index.ts'
import { normalizeDevice } from '../../src/services/model/index.ts'

const fixture = (name: string) =>
  JSON.parse(readFileSync(new URL(`../fixtures/level/${name}.json`, import.meta.url), 'utf8'))
const observedAt = new Date('2026-11-21T14:10:00.000Z')
const device = (fields: object) => toDevice({ id: 'd1', ...fields }, observedAt)
/** As it is stored. */
const stored = (fields: object) => normalizeDevice(device(fields), observedAt).facts

t.test('groups: the tree, the counts, and names that are missing', async t => {
  const [top, child] = fixture('groups.page').data
  t.same(toOrganization(top), {
    externalId: top.id,
    name: 'Harbour Dental',
    parentExternalId: null,
    deviceCount: 3,
    descendantDeviceCount: 14
  })
  t.match(toOrganization(child), { parentExternalId: top.id, name: 'Quayside surgery' })
  t.same(toOrganization({ id: 'g', name: 7, parent_id: {}, device_count: 'many', descendent_device_count: -1 }), {
    externalId: 'g',
    name: 'g',
    parentExternalId: undefined,
    deviceCount: undefined,
    descendantDeviceCount: undefined
  })
  t.match(toOrganization({ id: 7, parent_id: 12 }), { externalId: '7', parentExternalId: '12' }, 'ids may be numbers')
})

t.test('a full device, field for field', async t => {
  const [full] = fixture('devices.page').data
  const { details, ...mapped } = toDevice(full, observedAt)
  t.same(mapped, {
    externalId: full.id,
    displayName: 'Reception left',
    organizationExternalId: full.group_id,
    assetType: 'workstation',
    hostname: 'HD-RECEPTION-02',
    serialNumber: '7HX2QK3',
    manufacturer: 'Dell Inc.',
    model: 'OptiPlex 7010',
    osType: 'Windows',
    osVersion: 'Microsoft Windows 11 Pro',
    lastRebootAt: new Date('2026-11-18T06:02:11.000Z'),
    currentUser: 'HARBOUR\\mkeane',
    interfaces: [
      {
        name: 'Ethernet',
        description: 'Intel I219-LM',
        macAddress: '02:00:5e:10:00:01',
        addresses: ['192.0.2.41', 'fe80::1'],
        gateway: '192.0.2.1'
      }
    ],
    wanIp: undefined,
    cpuModel: 'Intel Core i5-13500T',
    cpuCores: 6,
    ramBytes: 16900157440,
    volumes: [{ name: 'C:', totalBytes: 254356226048, freeBytes: 121332826112 }],
    antivirus: { provider: 'Windows Defender', status: 'enabled' },
    location: 'Bristol, United Kingdom',
    tags: ['win11', 'vip'],
    maintenanceMode: false,
    online: true,
    lastSeenAt: new Date('2026-11-21T14:09:58.000Z'),
    uptimeSeconds: 288469
  })
  t.match(details, {
    manufacturer: 'Dell Inc.',
    model: 'OptiPlex 7010',
    groupId: full.group_id,
    groupName: 'Quayside surgery',
    maintenanceMode: false,
    tags: ['win11', 'vip'],
    flag: null,
    securityScore: 78,
    securityRisk: 'medium',
    security: { patchCompliance: false, firewallEnabled: true },
    motherboard: { biosVersion: '1.21.0' },
    operatingSystem: { majorVersion: '10', minorVersion: '0', endOfLife: false },
    networkInterfaces: [{ dnsServers: ['192.0.2.1'], ipAddresses: ['192.0.2.41', 'fe80::1'] }]
  })
  t.notMatch(JSON.stringify(details), '121332826112', 'free space changes by itself and is no detail')
})

t.test('a sparse device: nothing is invented, and what is null was told', async t => {
  const sparse = fixture('devices.page').data[1]
  const mapped = toDevice(sparse, observedAt)
  t.match(mapped, {
    displayName: 'hd-nas',
    hostname: 'hd-nas',
    organizationExternalId: null,
    assetType: 'workstation',
    osType: 'Linux',
    online: false,
    maintenanceMode: false,
    tags: []
  })
  for (const field of [
    'serialNumber',
    'osVersion',
    'lastRebootAt',
    'lastSeenAt',
    'uptimeSeconds',
    'wanIp',
    'interfaces',
    'cpuModel',
    'cpuCores',
    'ramBytes',
    'volumes',
    'antivirus',
    'location',
    'currentUser'
  ] as const) {
    t.equal(mapped[field] ?? null, null, field)
  }
  const bare = device({})
  t.equal(bare.displayName, 'd1')
  t.equal(bare.organizationExternalId, undefined, 'no group_id told is not "in no group"')
  t.match(device({ last_logged_in_user: null, tags: null, maintenance_mode: null, group_id: null }), {
    currentUser: null,
    tags: null,
    maintenanceMode: null,
    organizationExternalId: null
  })
})

t.test('names: nickname, else hostname, else id; blanks do not count', async t => {
  t.equal(device({ nickname: ' ', hostname: 'pc' }).displayName, 'pc')
  t.equal(device({ nickname: 'Front', hostname: 'pc' }).displayName, 'Front')
  t.equal(device({ nickname: 5, hostname: '' }).displayName, 'd1')
})

t.test('role decides the type; without one a server is known by its OS name', async t => {
  const type = (role: unknown, os?: string) =>
    device({ role, operating_system: os ? { full_operating_system: os } : null }).assetType
  t.equal(type('server'), 'server')
  t.equal(type('domain_controller'), 'server')
  t.equal(type('workstation', 'Windows Server 2022'), 'workstation')
  t.equal(type(null, 'Windows Server 2022'), 'server')
  t.equal(type(null, 'Ubuntu 24.04 server'), 'server')
  t.equal(type(undefined, 'Windows 11 Pro'), 'workstation')
  t.equal(type(null, 'Observer OS'), 'workstation')
  t.equal(type('toaster', 'Windows Server 2019'), 'server')
  t.equal(device({ full_operating_system: 'Windows Server 2025' }).assetType, 'server')
})

t.test('adapters are handed over as they are told: the model chooses among them', async t => {
  const network = (...adapters: unknown[]) => stored({ network_interfaces: adapters })
  t.match(
    network(
      { description: 'WireGuard Tunnel', ip_addresses: ['10.8.0.2'] },
      { description: 'TAP-Windows Adapter V9', mac_address: '00:FF:11:22:33:44', ip_addresses: ['10.9.0.2'] },
      { interface: 'docker0', mac_address: '02:42:ac:11:00:01', ip_addresses: ['172.17.0.1'] },
      {
        description: 'Intel(R) Ethernet Connection I219-LM',
        mac_address: '00-1b-21-0a-0b-0c',
        ip_addresses: ['fe80::1', '203.0.113.4', '172.20.1.9/16'],
        gateway: '172.20.0.1'
      },
      null,
      'x'
    ),
    { lanIp: '172.20.1.9', macAddresses: ['00:1B:21:0A:0B:0C'] }
  )
  t.match(network({ description: 'Hyper-V Virtual Ethernet Adapter', ip_addresses: ['10.1.1.7'] }), {
    lanIp: '10.1.1.7'
  })
  t.match(network({ description: 'Intel', ip_addresses: ['fd12::10'] }), { lanIp: 'fd12::10' })
  t.match(network({ description: 'Intel', ip_addresses: '192.168.1.1' }), { lanIp: null })
  t.match(network(), { lanIp: null, macAddresses: null }, 'an empty list tells nothing')
  t.match(stored({ private_ip_addresses: ['10.7.7.7'] }), { lanIp: '10.7.7.7' }, 'addresses without adapters')
  t.equal(stored({ public_ip_address: '203.0.113.9' }).wanIp, '203.0.113.9')
  t.equal(stored({ public_ip_address: 'unknown' }).wanIp, null)
})

t.test('values that come in two shapes', async t => {
  const os = (fields: object) => device({ operating_system: fields }).osVersion
  t.equal(os({ major_version: 10, minor_version: '0' }), '10.0')
  t.equal(os({ major_version: '14.5' }), '14.5')
  t.equal(os({ full_operating_system: 'macOS 15', major_version: 15 }), 'macOS 15')
  for (const value of [true, false, 87.5])
    t.equal((device({ security: { patch_compliance: value } }).details as any).security.patchCompliance, value)
  for (const flag of ['red', true, false]) t.equal((device({ flag }).details as any).flag, flag)
  const dns = (value: unknown) =>
    (device({ network_interfaces: [{ dns_servers: value }] }).details as any).networkInterfaces[0].dnsServers
  t.same(dns('192.0.2.1, 192.0.2.2'), ['192.0.2.1', '192.0.2.2'])
  t.same(dns(['192.0.2.1', null]), ['192.0.2.1'])
  t.same(dns(null), [])
  t.equal(device({ total_memory: 16900157440.4 }).ramBytes, 16900157440)
  t.equal(device({ total_memory: '17179869184' }).ramBytes, 17179869184)
  t.equal(device({ cpus: [{ cores: 8 }, { cores: 8, model: 'Xeon' }] }).cpuCores, 16)
  t.equal(device({ cpu_cores: 4, cpus: [{ cores: 8 }] }).cpuCores, 4)
  t.same(device({ tags: ['a', 'a', null, 3, { name: 'b' }] }).tags, ['a', 'b'])
  t.equal(device({ tags: 'a' }).tags, undefined)
})

t.test('volumes: mount point or label; impossible free space is not told', async t => {
  t.same(
    device({
      disk_partitions: [
        { label: 'Data', size: 10, free_space: 4 },
        { mount_point: '/', size: 10, free_space: 11 },
        { size: null, free_space: 3 },
        'junk'
      ]
    }).volumes,
    [
      { name: 'Data', totalBytes: 10, freeBytes: 4 },
      { name: '/', totalBytes: 10, freeBytes: null },
      { name: 'Volume 3', totalBytes: null, freeBytes: 3 }
    ]
  )
  t.equal(device({ disks: [{ size: 10 }] }).volumes, undefined, 'a disk is not a volume')
  t.equal(stored({ disk_partitions: [{ mount_point: 'C:', size: 0, free_space: 0 }] }).volumes, null)
})

t.test('heartbeat: uptime only while online, last seen falls back to the read', async t => {
  const last_reboot_time = '2026-11-21T14:00:00Z'
  t.match(device({ online: true, last_reboot_time }), { uptimeSeconds: 600, lastSeenAt: observedAt })
  t.match(device({ online: false, last_reboot_time }), {
    uptimeSeconds: undefined,
    lastSeenAt: undefined,
    lastRebootAt: new Date(last_reboot_time)
  })
  t.match(device({ online: true, last_reboot_time: '2026-11-22T00:00:00Z' }), { uptimeSeconds: undefined })
  t.match(device({ online: true, last_reboot_time: 'yesterday', last_seen_at: 'soon' }), {
    lastRebootAt: undefined,
    uptimeSeconds: undefined,
    lastSeenAt: observedAt
  })
  t.equal(device({ last_reboot_time: '0001-01-01T00:00:00Z' }).lastRebootAt, null)
  t.same(device({ last_reboot_time: '2026-11-21T14:00:00' }).lastRebootAt, new Date(last_reboot_time), 'no zone is UTC')
  t.equal(device({ online: 'yes' }).online, undefined)
})

t.test('alerts: state, severity, and what stands in for missing values', async t => {
  const active = fixture('alert.active')
  t.same(toAlert(active, observedAt), {
    externalId: active.id,
    deviceExternalId: active.device_id,
    name: 'Disk space low',
    description: 'C: has less than 10 percent free',
    severity: 'moderate',
    providerSeverity: 'warning',
    status: 'active',
    startedAt: new Date('2026-11-21T13:55:04.000Z'),
    resolvedAt: null,
    details: { deviceHostname: 'HD-RECEPTION-02' }
  })
  t.match(toAlert(fixture('alert.resolved'), observedAt), {
    status: 'resolved',
    resolvedAt: new Date('2026-11-21T14:40:31.000Z')
  })
  t.match(toAlert({ id: 'a', payload: 'out\0put' }, observedAt), {
    name: 'Alert without a name',
    severity: 'moderate',
    providerSeverity: null,
    status: 'active',
    startedAt: observedAt,
    deviceExternalId: undefined,
    details: { payload: 'output' }
  })
  t.match(toAlert({ id: 'a', is_resolved: 'yes', resolved_at: '2026-11-21T14:40:31Z', description: 'D' }, observedAt), {
    name: 'D',
    status: 'resolved'
  })
  for (const [word, ours] of [
    ['emergency', 'critical'],
    ['Critical', 'major'],
    ['warning', 'moderate'],
    ['information', 'minor'],
    ['purple', 'moderate'],
    ['constructor', 'moderate'],
    [null, 'moderate']
  ] as const)
    t.equal(toSeverity(word), ours)
  t.match(toAlert({ id: 'a', severity: 'purple' }, observedAt), { providerSeverity: 'purple', severity: 'moderate' })
})

t.test('updates belong to a device or are rejected', async t => {
  const [update] = fixture('updates.page').data
  t.same(toUpdate(update), {
    externalId: update.id,
    deviceExternalId: update.device_id,
    title: update.name,
    kb: update.kb_ids.join(', '),
    category: update.category,
    publishedAt: new Date(update.published_on)
  })
  t.throws(() => toUpdate({ id: 'u', device_id: null }), /names no device/)
})

t.test('what comes in another type than documented is not told, and noted by its name', async t => {
  const rows = [
    { id: 'a', hostname: 42, group_id: { id: 7 }, last_reboot_time: 'yesterday', security: 'none', role: 'toaster' },
    {
      id: 'b',
      hostname: 43,
      group_id: 7,
      cpus: [{ model: 1 }, 'x'],
      network_interfaces: [{ ip_addresses: '10.0.0.1' }]
    },
    { id: 'c', hostname: 'ok', tags: [3], online: 'yes', last_seen_at: 1795324543 }
  ]
  const { records, misread } = mapRecords(
    rows,
    row => row.id,
    (row, note) => toDevice(row, observedAt, note)
  )
  t.match(records, [
    { hostname: undefined, organizationExternalId: undefined },
    { organizationExternalId: '7' },
    { hostname: 'ok' }
  ])
  t.strictSame(Object.fromEntries(misread.map(({ field, count }) => [field, count])), {
    hostname: 2,
    group_id: 1,
    last_reboot_time: 1,
    security: 1,
    role: 1,
    cpus: 1,
    'cpus.model': 1,
    'network_interfaces.ip_addresses': 1,
    tags: 1,
    online: 1,
    last_seen_at: 1
  })
  t.match(
    misread.find(({ field }) => field === 'hostname'),
    { example: '42', externalId: 'a' }
  )
  t.same(toAlert({ id: 'a', severity: 'purple' }, observedAt, field => t.equal(field, 'severity')).severity, 'moderate')
})

t.test('without a usable id a record is rejected with its reason, and the others land', async t => {
  const rows: unknown[] = [
    null,
    'x',
    7,
    [],
    {},
    { id: 7.5 },
    { id: ' ' },
    { id: 'a\0b' },
    { id: '\ud800' },
    { id: 'ok' }
  ]
  const { records, rejected } = mapRecords(
    rows,
    row => (row as any)?.id,
    row => toDevice(row, observedAt)
  )
  t.same(
    records.map(record => record.externalId),
    ['ok']
  )
  t.equal(rejected.length, 9)
  for (const { reason } of rejected) t.match(reason, /not an object|no usable id/)
})

function assertValid(record: DeviceRecord) {
  const { facts } = normalizeDevice(record, observedAt)
  // A reference goes on as it is: the core tells an unreadable one from none, and keeps where the device was.
  const { organizationExternalId: _reference, ...told } = record
  const strings = (value: unknown): boolean =>
    typeof value === 'string'
      ? value.isWellFormed() && !value.includes('\0')
      : typeof value === 'object' && value !== null
        ? Object.entries(value).every(([key, entry]) => strings(key) && strings(entry))
        : true
  return (
    strings(told) &&
    record.externalId !== '' &&
    record.displayName !== '' &&
    (record.assetType === 'workstation' || record.assetType === 'server') &&
    JSON.parse(facts.details!) !== null
  )
}

t.test('any JSON as a record maps to a valid one or is rejected, and never ends the page', async () => {
  const names = Object.keys(fixture('devices.page').data[0])
  const nested = [
    ...new Set(
      Object.values(fixture('devices.page').data[0]).flatMap(value =>
        Object.keys((Array.isArray(value) ? value[0] : value) ?? {})
      )
    )
  ].filter(name => /^[a-z_]+$/.test(name))
  const junk = fc.oneof(
    fc.jsonValue(),
    fc.string({ unit: 'binary' }),
    fc.constantFrom(-1, 1e300, '2026-11-21', '12.5', true)
  )
  const part = fc.dictionary(fc.constantFrom(...nested), fc.oneof(junk, fc.array(junk, { maxLength: 3 })))
  const odd = fc.record(
    {
      id: fc.oneof(fc.constant('d1'), junk),
      ...Object.fromEntries(
        names
          .filter(name => name !== 'id')
          .map(name => [name, fc.oneof(junk, part, fc.array(fc.oneof(part, junk), { maxLength: 3 }))])
      )
    },
    { requiredKeys: [] }
  )
  fc.assert(
    fc.property(fc.array(fc.oneof(odd, fc.jsonValue()), { maxLength: 5 }), rows => {
      const { records, rejected } = mapRecords<unknown, DeviceRecord>(
        rows,
        row => (row as any)?.id,
        (row, note) => toDevice(row, observedAt, note)
      )
      return records.length + rejected.length === rows.length && records.every(assertValid)
    }),
    { numRuns: 400 }
  )
  fc.assert(
    fc.property(fc.oneof(odd, fc.jsonValue()), row => {
      for (const map of [toOrganization, toUpdate, (raw: unknown) => toAlert(raw, observedAt)]) {
        const { records, rejected } = mapRecords<unknown, unknown>([row], () => null, map)
        if (records.length + rejected.length !== 1) return false
      }
      return true
    })
  )
})
