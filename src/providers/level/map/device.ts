import type { DeviceRecord, NetworkInterface, Note } from '../../define.ts'
import type { Reader } from '../../values.ts'
import { texts, toDetails } from './details.ts'
import { recordOf } from './record.ts'

function toNetwork(read: Reader): NetworkInterface[] | null | undefined {
  const adapters = read.objects('network_interfaces')
  // Seen since October 2026: addresses alone, without the adapters.
  const addresses = adapters ? undefined : read.list('private_ip_addresses')
  if (addresses) return [{ addresses }]
  return adapters?.map(adapter => ({
    name: adapter.text('interface') ?? adapter.text('label'),
    description: adapter.text('description') ?? adapter.text('label'),
    macAddress: adapter.text('mac_address'),
    addresses: adapter.list('ip_addresses'),
    gateway: adapter.text('gateway')
  }))
}

function toVolumes(read: Reader): DeviceRecord['volumes'] {
  return read.objects('disk_partitions')?.map((partition, index) => {
    const totalBytes = partition.integer('size') ?? null
    const freeBytes = partition.integer('free_space') ?? null
    return {
      name: partition.text('mount_point') ?? partition.text('label') ?? `Volume ${index + 1}`,
      totalBytes,
      freeBytes: freeBytes !== null && totalBytes !== null && freeBytes > totalBytes ? null : freeBytes
    }
  })
}

const roles = { server: 'server', domain_controller: 'server', workstation: 'workstation' } as const

/** Level leaves the role empty for many Linux and Mac machines. */
function toAssetType(read: Reader, osName: string | null): 'workstation' | 'server' {
  return read.oneOf('role', roles) ?? (/\bserver\b/i.test(osName ?? '') ? 'server' : 'workstation')
}

function toOs(read: Reader): { name: string | null; version: string | null } {
  const os = read.object('operating_system')
  const name = os.text('full_operating_system') ?? read.text('full_operating_system') ?? null
  const numbers = [os.text('major_version', { numbers: true }), os.text('minor_version', { numbers: true })]
  return { name, version: name ?? (numbers.filter(Boolean).join('.') || null) }
}

function toCpu(read: Reader): Pick<DeviceRecord, 'cpuModel' | 'cpuCores'> {
  const cpus = read.objects('cpus') ?? []
  const cores = cpus.reduce((sum, cpu) => sum + (cpu.integer('cores', { max: 4096 }) ?? 0), 0)
  return {
    cpuModel: cpus.map(cpu => cpu.text('model')).find(model => model != null),
    cpuCores: read.integer('cpu_cores', { max: 65_536 }) ?? (cores || undefined)
  }
}

/** Heartbeat values: never a change of the device. */
function toHeartbeat(
  read: Reader,
  bootedAt: Date | null | undefined,
  observedAt: Date
): Pick<DeviceRecord, 'online' | 'lastSeenAt' | 'uptimeSeconds'> {
  const online = read.boolean('online')
  const uptime = online && bootedAt ? Math.floor((observedAt.getTime() - bootedAt.getTime()) / 1000) : -1
  return {
    online,
    lastSeenAt: read.time('last_seen_at') ?? (online ? observedAt : undefined),
    uptimeSeconds: uptime >= 0 ? uptime : undefined
  }
}

function toAntivirus(read: Reader): DeviceRecord['antivirus'] {
  const security = read.object('security')
  if (Object.keys(security.raw).length === 0) return undefined
  return {
    provider: security.text('antivirus_provider') ?? null,
    status: security.text('antivirus_status', { numbers: true }) ?? null
  }
}

/**
 * A device.
 * @param observedAt the clock before the request: last seen while online, and what uptime is counted to
 * @param note hears of fields that are of another type than documented
 */
export function toDevice(raw: unknown, observedAt: Date, note?: Note): DeviceRecord {
  const { read, externalId } = recordOf(raw, note)
  const hostname = read.text('hostname')
  const os = toOs(read)
  const lastRebootAt = read.time('last_reboot_time')
  return {
    externalId,
    displayName: read.text('nickname') ?? hostname ?? externalId,
    // A null group is told (the device is in none), a missing one is not.
    organizationExternalId: read.id('group_id'),
    assetType: toAssetType(read, os.name),
    hostname,
    serialNumber: read.text('serial_number'),
    manufacturer: read.text('manufacturer'),
    model: read.text('model'),
    osType: read.text('platform'),
    osVersion: os.version,
    lastRebootAt,
    currentUser: read.text('last_logged_in_user'),
    interfaces: toNetwork(read),
    wanIp: read.text('public_ip_address'),
    ...toCpu(read),
    ramBytes: read.integer('total_memory'),
    volumes: toVolumes(read),
    antivirus: toAntivirus(read),
    location: [read.text('city'), read.text('country')].filter(Boolean).join(', ') || null,
    tags: texts(read.raw['tags'], value => note?.('tags', value)),
    maintenanceMode: read.boolean('maintenance_mode'),
    details: toDetails(read),
    ...toHeartbeat(read, lastRebootAt, observedAt)
  }
}
