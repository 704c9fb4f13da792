import { BlockList, isIP, isIPv4 } from 'node:net'
import type { AlertSeverity } from '../../types.ts'
import type { AlertRecord, DeviceRecord, OrganizationRecord, UpdateRecord } from '../define.ts'
import {
  isObject,
  objectOf,
  objectsOf,
  pick,
  type Raw,
  scalar,
  text,
  textOrNumber,
  texts,
  time,
  truth,
  whole
} from './values.ts'

/**
 * Level's groups, devices, updates and alerts in our terms. Everything but the id may be missing or of another
 * type than documented; a record without a usable id throws, and is thereby rejected with that reason.
 */

/** Ids are opaque, but must survive a URL path and a text column. */
function idOf(raw: unknown): [Raw, string] {
  if (!isObject(raw)) throw new Error('The record is not an object')
  const id = raw['id']
  // biome-ignore lint/suspicious/noControlCharactersInRegex: exactly those are refused
  if (typeof id !== 'string' || id.trim() === '' || !id.isWellFormed() || /[\x00-\x1f]/.test(id))
    throw new Error('The record has no usable id')
  return [raw, id]
}

/** A group at any depth of Level's tree. */
export function toOrganization(raw: unknown): OrganizationRecord {
  const [group, externalId] = idOf(raw)
  return {
    externalId,
    name: text(group['name']) ?? externalId,
    parentExternalId: text(group['parent_id']),
    deviceCount: whole(group['device_count']),
    descendantDeviceCount: whole(group['descendent_device_count']) // the vendor's spelling
  }
}

/** An update that is available for a device. */
export function toUpdate(raw: unknown): UpdateRecord {
  const [update, externalId] = idOf(raw)
  const deviceExternalId = text(update['device_id'])
  if (!deviceExternalId) throw new Error('The update names no device')
  return { externalId, deviceExternalId }
}

const severities: Record<string, AlertSeverity> = {
  emergency: 'critical',
  critical: 'major',
  warning: 'moderate',
  information: 'minor'
}

/** Level's four words in ours; unknown ones are moderate. */
export function toSeverity(word: string | null): AlertSeverity {
  const key = word?.toLowerCase() ?? ''
  return Object.hasOwn(severities, key) ? severities[key]! : 'moderate'
}

const longestPayload = 10_000

/** An alert. `observedAt` stands in for a missing start. */
export function toAlert(raw: unknown, observedAt: Date): AlertRecord {
  const [alert, externalId] = idOf(raw)
  const resolvedAt = time(alert['resolved_at'])
  const description = text(alert['description'])
  const payload = text(alert['payload'])?.slice(0, longestPayload).toWellFormed()
  const providerSeverity = text(alert['severity'])
  const status = (truth(alert['is_resolved']) ?? resolvedAt !== null) ? 'resolved' : 'active'
  return {
    externalId,
    deviceExternalId: text(alert['device_id']),
    name: text(alert['name']) ?? description ?? 'Alert without a name',
    description,
    severity: toSeverity(providerSeverity),
    providerSeverity,
    status,
    startedAt: time(alert['started_at']) ?? resolvedAt ?? observedAt,
    resolvedAt: status === 'resolved' ? resolvedAt : null,
    details: { ...pick(alert, ['device_hostname']), ...(payload ? { payload } : {}) }
  }
}

const junkSerials = new Set([
  'to be filled by o.e.m',
  'default string',
  'system serial number',
  'chassis serial number',
  'serial number',
  'none',
  'n/a',
  'not specified',
  'not applicable',
  'not available',
  'invalid',
  'unknown',
  'empty',
  'oem',
  '0123456789',
  '123456789',
  '1234567890'
])

/** A serial number that can tell machines apart, or null: virtual machines and white boxes share theirs. */
export function toSerial(value: unknown): string | null {
  const serial = text(value)
  if (!serial || serial.length < 4 || /^(.)\1*$/u.test(serial) || /^vmware-/i.test(serial)) return null
  return junkSerials.has(serial.toLowerCase().replace(/\.+$/, '')) ? null : serial
}

/** `AA:BB:CC:DD:EE:FF`, or null for what is no address of one adapter. */
export function toMac(value: unknown): string | null {
  const digits =
    text(value)
      ?.replace(/[:.\-\s]/g, '')
      .toUpperCase() ?? ''
  if (!/^[0-9A-F]{12}$/.test(digits) || /^(0+|F+)$/.test(digits)) return null
  return digits.match(/../g)!.join(':')
}

const privateIpv4 = new BlockList()
privateIpv4.addSubnet('10.0.0.0', 8)
privateIpv4.addSubnet('172.16.0.0', 12)
privateIpv4.addSubnet('192.168.0.0', 16)

/** Adapters of hypervisors and VPNs: their addresses say nothing about the machine, and several machines share them. */
const isVirtual = (adapter: Raw) => /virtual/i.test(text(adapter['description']) ?? '')

function toNetwork(value: unknown): Pick<DeviceRecord, 'lanIp' | 'macAddresses'> {
  const adapters = objectsOf(value)?.filter(adapter => !isVirtual(adapter))
  if (!adapters) return { lanIp: null, macAddresses: null }
  const addresses = adapters
    .flatMap(adapter => texts(adapter['ip_addresses']) ?? [])
    .map(address => address.replace(/\/\d+$/, ''))
  const macs = adapters.map(adapter => toMac(adapter['mac_address'])).filter(mac => mac !== null)
  return {
    lanIp: addresses.find(address => isIPv4(address) && privateIpv4.check(address)) ?? null,
    macAddresses: [...new Set(macs)]
  }
}

function toVolumes(value: unknown): NonNullable<DeviceRecord['volumes']> | null {
  const partitions = objectsOf(value)
  if (!partitions) return null
  return partitions.map((partition, index) => {
    const totalBytes = whole(partition['size'])
    const freeBytes = whole(partition['free_space'])
    return {
      name: text(partition['mount_point']) ?? text(partition['label']) ?? `Volume ${index + 1}`,
      totalBytes,
      freeBytes: freeBytes !== null && totalBytes !== null && freeBytes > totalBytes ? null : freeBytes
    }
  })
}

function toAssetType(role: unknown, osName: string | null): 'workstation' | 'server' {
  const word = text(role)?.toLowerCase()
  if (word === 'server' || word === 'domain_controller') return 'server'
  if (word === 'workstation') return 'workstation'
  // Level leaves the role empty for many Linux and Mac machines.
  return /\bserver\b/i.test(osName ?? '') ? 'server' : 'workstation'
}

function toOs(device: Raw): { name: string | null; version: string | null } {
  const os = objectOf(device['operating_system'])
  const name = text(os['full_operating_system']) ?? text(device['full_operating_system'])
  const numbers = [textOrNumber(os['major_version']), textOrNumber(os['minor_version'])].filter(part => part !== null)
  return { name, version: name ?? (numbers.join('.') || null) }
}

function toCpu(device: Raw): Pick<DeviceRecord, 'cpuModel' | 'cpuCores'> {
  const cpus = objectsOf(device['cpus']) ?? []
  const cores = cpus.reduce((sum, cpu) => sum + (whole(cpu['cores'], 4096) ?? 0), 0)
  return {
    cpuModel: cpus.map(cpu => text(cpu['model'])).find(model => model !== null) ?? null,
    cpuCores: whole(device['cpu_cores'], 65_536) ?? (cores || null)
  }
}

/** Heartbeat values: never a change of the device. */
function toHeartbeat(
  device: Raw,
  lastRebootAt: Date | null,
  observedAt: Date
): Pick<DeviceRecord, 'online' | 'lastSeenAt' | 'uptimeSeconds'> {
  const online = truth(device['online'])
  const uptime = online && lastRebootAt ? Math.floor((observedAt.getTime() - lastRebootAt.getTime()) / 1000) : -1
  return {
    online,
    lastSeenAt: time(device['last_seen_at']) ?? (online ? observedAt : null),
    uptimeSeconds: uptime >= 0 ? uptime : null
  }
}

const dnsServers = (value: unknown) =>
  texts(value) ??
  text(value)
    ?.split(/[\s,;]+/)
    .filter(Boolean) ??
  []

/**
 * Facts without a column of their own. Nothing that changes by itself, such as free space, or every read would be a
 * change.
 */
function toDetails(device: Raw): Record<string, unknown> {
  const lists = (name: string, fields: readonly string[]) =>
    objectsOf(device[name])?.map(entry => pick(entry, fields)) ?? null
  const security = objectOf(device['security'])
  return {
    ...pick(device, [
      'role',
      'group_id',
      'group_name',
      'maintenance_mode',
      'notes',
      'manufacturer',
      'model',
      'architecture',
      'serial_number',
      'memory_slots',
      'city',
      'country'
    ]),
    tags: texts(device['tags']),
    flag: scalar(device['flag']),
    securityScore: scalar(device['security_score']) ?? scalar(security['score']),
    securityRisk: scalar(security['risk']),
    operatingSystem: {
      ...pick(objectOf(device['operating_system']), [
        'full_operating_system',
        'architecture',
        'install_date',
        'end_of_life'
      ]),
      majorVersion: textOrNumber(objectOf(device['operating_system'])['major_version']),
      minorVersion: textOrNumber(objectOf(device['operating_system'])['minor_version'])
    },
    cpus: lists('cpus', ['model', 'clock_speed', 'cores']),
    memory: lists('memory', [
      'location',
      'manufacturer',
      'memory_type',
      'clock_speed',
      'size',
      'serial_number',
      'part_number',
      'form_factor'
    ]),
    disks: lists('disks', ['disk_type', 'model', 'serial_number', 'size']),
    partitions: lists('disk_partitions', ['label', 'mount_point', 'encrypted', 'primary', 'size', 'file_system']),
    networkInterfaces:
      objectsOf(device['network_interfaces'])?.map(adapter => ({
        ...pick(adapter, ['description', 'interface', 'label', 'mac_address', 'gateway', 'domain', 'dhcp_server']),
        ipAddresses: texts(adapter['ip_addresses']) ?? [],
        dnsServers: dnsServers(adapter['dns_servers'])
      })) ?? null,
    motherboard: pick(objectOf(device['motherboard']), ['manufacturer', 'model', 'bios_version']),
    // patch_compliance comes as a boolean from some accounts and as a percentage from others: kept as told.
    security: pick(security, [
      'patch_compliance',
      'patch_security_risk',
      'os_end_of_life',
      'primary_partition_encrypted',
      'firewall_provider',
      'firewall_enabled',
      'firewall_status',
      'antivirus_provider',
      'antivirus_status',
      'user_account_control_enabled',
      'auto_update',
      'admin_accounts_count'
    ])
  }
}

/** A device. `observedAt` is the clock before the request: last seen while online, and what uptime is counted to. */
export function toDevice(raw: unknown, observedAt: Date): DeviceRecord {
  const [device, externalId] = idOf(raw)
  const hostname = text(device['hostname'])
  const os = toOs(device)
  const lastRebootAt = time(device['last_reboot_time'])
  const publicIp = text(device['public_ip_address'])
  const security = isObject(device['security']) ? device['security'] : null
  return {
    externalId,
    displayName: text(device['nickname']) ?? hostname ?? externalId,
    // A null group is told (the device is in none), a missing one is not.
    ...('group_id' in device ? { organizationExternalId: text(device['group_id']) } : {}),
    assetType: toAssetType(device['role'], os.name),
    hostname,
    serialNumber: toSerial(device['serial_number']),
    manufacturer: text(device['manufacturer']),
    model: text(device['model']),
    osType: text(device['platform']),
    osVersion: os.version,
    lastRebootAt,
    currentUser: text(device['last_logged_in_user']),
    ...toNetwork(device['network_interfaces']),
    wanIp: publicIp && isIP(publicIp) ? publicIp : null,
    ...toCpu(device),
    ramBytes: whole(device['total_memory']),
    volumes: toVolumes(device['disk_partitions']),
    antivirus: security && {
      provider: text(security['antivirus_provider']),
      status: textOrNumber(security['antivirus_status'])
    },
    location: [text(device['city']), text(device['country'])].filter(Boolean).join(', ') || null,
    tags: texts(device['tags']),
    maintenanceMode: truth(device['maintenance_mode']),
    details: toDetails(device),
    ...toHeartbeat(device, lastRebootAt, observedAt)
  }
}
