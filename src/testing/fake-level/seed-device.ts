import { chance, pick, random } from './random.ts'
import { type LevelDevice, levelId } from './types.ts'

type Next = () => number

const gib = 1024 ** 3
const seenAt = Date.UTC(2026, 10, 21, 14, 0, 0)
const makers: Array<[maker: string, models: string[]]> = [
  ['Dell Inc.', ['OptiPlex 7010', 'Latitude 5540', 'PowerEdge T350']],
  ['LENOVO', ['20XW004AUK', '11DT003VUK']],
  ['HP', ['EliteBook 840 G10', 'ProDesk 400 G7']],
  ['VMware, Inc.', ['VMware Virtual Platform']],
  ['Apple Inc.', ['Mac14,2', 'Macmini9,1']]
]
const windows = [
  'Microsoft Windows 11 Pro',
  'Microsoft Windows 10 Enterprise',
  'Microsoft Windows Server 2022 Standard'
]
const systems: Record<string, string[]> = {
  Windows: windows,
  Mac: ['macOS 15.1 Sequoia'],
  Linux: ['Ubuntu 24.04 LTS', 'Debian GNU/Linux 12']
}

/** One device with everything Level can include; one in sixteen is as sparse as Level allows. */
export function deviceAt(
  seed: number,
  index: number,
  groupId: string | null,
  tagNames: string[],
  broken: boolean
): LevelDevice {
  const next = random(seed, 6, index)
  const id = levelId('Device', 100001 + index)
  const platform = pick(next, ['Windows', 'Windows', 'Windows', 'Windows', 'Mac', 'Linux'])
  const hostname = `${pick(next, ['HD', 'NG', 'RV', 'KS', 'OM'])}-${pick(next, ['RECEPTION', 'SRV', 'LT', 'WS', 'POS'])}-${index + 1}`
  if (broken) return brokenDevice(next, id, groupId)
  if (chance(next, 1 / 16)) return sparseDevice(id, hostname, groupId, platform)
  const os = pick(next, systems[platform]!)
  const online = chance(next, 0.8)
  return {
    ...identity(next, { id, hostname, groupId, tagNames, os, index }),
    ...condition(next, online),
    platform,
    operating_system: operatingSystem(next, os),
    ...hardware(next, index, platform),
    security: security(next)
  }
}

function sparseDevice(id: string, hostname: string, groupId: string | null, platform: string): LevelDevice {
  return {
    id,
    hostname,
    nickname: null,
    role: null,
    group_id: groupId,
    tags: [],
    flag: null,
    maintenance_mode: false,
    online: false,
    serial_number: null,
    total_memory: null,
    cpu_cores: null,
    last_reboot_time: null,
    platform
  }
}

/**
 * Each kind is a wrong type that a client was, or will be, surprised by. The id stays: without it paging itself would
 * break.
 */
function brokenDevice(next: Next, id: string, groupId: string | null): LevelDevice {
  return {
    id,
    group_id: groupId,
    ...pick<Record<string, unknown>>(next, [
      { hostname: 42, nickname: { text: 'Reception' } },
      { hostname: 'HD-BROKEN', last_seen_at: 'yesterday', online: 'yes', total_memory: 'lots' },
      { hostname: 'HD-BROKEN', tags: 'vip', network_interfaces: 'none', disk_partitions: {} },
      { hostname: 'HD-BROKEN', operating_system: 'Windows', security: 'good', cpus: 4, last_reboot_time: 12 }
    ])
  }
}

function identity(
  next: Next,
  {
    id,
    hostname,
    groupId,
    tagNames,
    os,
    index
  }: { id: string; hostname: string; groupId: string | null; tagNames: string[]; os: string; index: number }
) {
  const [manufacturer, models] = pick(next, makers)
  return {
    id,
    hostname,
    nickname: chance(next, 0.2) ? `${pick(next, ['Reception', 'Back room', 'Till', 'Büro'])} ${index + 1}` : null,
    role: os.includes('Server')
      ? pick(next, ['server', 'domain_controller'])
      : chance(next, 0.7)
        ? 'workstation'
        : null,
    group_id: groupId,
    tags: tagNames.filter(() => chance(next, 0.12)),
    flag: chance(next, 0.1) ? pick(next, ['red', 'yellow', 'green']) : null,
    maintenance_mode: chance(next, 0.04),
    notes: chance(next, 0.1) ? 'Replace in Q1' : null,
    manufacturer,
    model: pick(next, models),
    architecture: pick(next, ['x86_64', 'arm64']),
    // One in twelve carries a filler that many boards share.
    serial_number: chance(next, 1 / 12)
      ? pick(next, ['To be filled by O.E.M.', 'Default string', '0', 'None', null])
      : `SN${(index * 7919 + 100000).toString(36).toUpperCase()}`
  }
}

function condition(next: Next, online: boolean) {
  const lastSeen = online ? seenAt - Math.floor(next() * 60_000) : seenAt - Math.floor(next() * 30 * 86_400_000)
  return {
    online,
    // Not a whole number of GiB: what the firmware takes is missing.
    total_memory: pick(next, [4, 8, 16, 32, 64]) * gib - Math.floor(next() * 300_000_000),
    memory_slots: pick(next, [1, 2, 4]),
    cpu_cores: pick(next, [2, 4, 6, 8, 16]),
    last_logged_in_user: chance(next, 0.8) ? pick(next, ['HARBOUR\\mkeane', 'jdoe', 'NORTHGATE\\a.ferreira']) : null,
    last_reboot_time: new Date(lastSeen - Math.floor(next() * 14 * 86_400_000)).toISOString(),
    // Accounts from before mid 2026 lack it.
    ...(chance(next, 0.9) ? { last_seen_at: new Date(lastSeen).toISOString() } : {}),
    city: chance(next, 0.8) ? pick(next, ['Bristol', 'Cork', 'Leeds', 'Köln']) : null,
    country: chance(next, 0.8) ? pick(next, ['United Kingdom', 'Ireland', 'Germany']) : null,
    security_score: Math.floor(next() * 101)
  }
}

function operatingSystem(next: Next, os: string) {
  const asNumber = chance(next, 0.3)
  return {
    full_operating_system: os,
    major_version: asNumber ? 10 : '10',
    minor_version: asNumber ? 0 : '0',
    architecture: '64-bit',
    install_date: '2025-03-04T10:00:00.000Z',
    end_of_life: chance(next, 0.1)
  }
}

function hardware(next: Next, index: number, platform: string) {
  const disk = pick(next, [256060514304, 512110190592, 1000204886016])
  const address = `192.0.2.${1 + (index % 250)}`
  const mac = (prefix: string) =>
    `${prefix}:${[16, 8, 0].map(shift => ((index >> shift) & 255).toString(16).padStart(2, '0')).join(':')}`
  const dns = chance(next, 0.4) ? ['192.0.2.1', '192.0.2.2'] : '192.0.2.1'
  return {
    cpus: [
      {
        model: pick(next, ['Intel Core i5-13500T', 'AMD Ryzen 5 PRO 5650U', 'Apple M2']),
        clock_speed: 1600,
        cores: pick(next, [4, 6, 8])
      }
    ],
    memory: [
      {
        location: 'DIMM1',
        manufacturer: 'Hynix',
        memory_type: 'DDR5',
        clock_speed: 4800,
        size: 16 * gib,
        serial_number: `0000${index.toString(16)}`,
        part_number: 'HMA-EX-1',
        form_factor: 'SODIMM'
      }
    ],
    disks: [{ disk_type: 'SSD', model: 'PC801 NVMe', serial_number: `SSD-${index}`, size: disk }],
    disk_partitions: [
      {
        label: platform === 'Windows' ? 'OS' : null,
        mount_point: platform === 'Windows' ? 'C:' : '/',
        encrypted: chance(next, 0.6),
        primary: true,
        size: disk - 1_704_288_256,
        free_space: Math.floor(disk * next() * 0.9),
        file_system: platform === 'Windows' ? 'NTFS' : 'ext4'
      }
    ],
    network_interfaces: [
      {
        description: 'Hyper-V Virtual Ethernet Adapter',
        interface: 'vEthernet',
        label: null,
        mac_address: mac('00:15:5d'),
        ip_addresses: ['172.20.0.1'],
        gateway: null,
        domain: null,
        dhcp_server: null,
        dns_servers: null
      },
      {
        description: 'Intel I219-LM',
        interface: 'Ethernet',
        label: 'Ethernet',
        mac_address: mac('a4:bb:6d'),
        ip_addresses: ['fe80::1', `10.0.${(index >> 8) & 255}.${index & 255}`, address],
        gateway: '192.0.2.1',
        domain: 'harbour.example',
        dhcp_server: '192.0.2.1',
        dns_servers: dns
      }
    ],
    motherboard: chance(next, 0.8) ? { manufacturer: 'Dell Inc.', model: '0W3XYZ', bios_version: '1.21.0' } : null
  }
}

function security(next: Next) {
  const score = Math.floor(next() * 101)
  return {
    score,
    risk: pick(next, ['low', 'medium', 'high']),
    // One account answers with a yes or no, another with a percentage.
    patch_compliance: chance(next, 0.5) ? chance(next, 0.5) : Math.floor(next() * 101),
    patch_security_risk: pick(next, ['low', 'medium', 'high']),
    os_end_of_life: false,
    primary_partition_encrypted: chance(next, 0.6),
    firewall_provider: 'Windows Firewall',
    firewall_enabled: chance(next, 0.9),
    antivirus_provider: chance(next, 0.9) ? 'Windows Defender' : null,
    antivirus_status: pick(next, ['enabled', 'disabled', 'out of date', null])
  }
}
