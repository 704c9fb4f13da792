import type { AlertSeverity, DeviceKind } from '../../words.ts'
import type { AlertRecord, DeviceRecord, Note, OrganizationRecord, UpdateRecord } from '../define.ts'
import * as values from '../values.ts'

/** NinjaOne's organizations, devices, patches and alerts in our terms. Times are seconds since 1970, with fractions. */

const epoch = { epoch: 's' } as const

/** A record of the platform; one without a number as its id throws, and is thereby rejected with that reason. */
function recordOf(raw: unknown, note?: Note, idField = 'id'): { read: values.Reader; id: string } {
  if (!values.isObject(raw)) throw new Error('The record is not an object')
  const id = values.id(raw[idField])
  if (!id) throw new Error(`The record has no usable ${idField}`)
  return { read: values.of(raw, note), id }
}

/** Organizations and locations have separate number ranges. */
export const organizationId = (id: string) => `org:${id}`
export const locationId = (id: string) => `loc:${id}`

export function toOrganization(raw: unknown, note?: Note): OrganizationRecord {
  const { read, id } = recordOf(raw, note)
  return { externalId: organizationId(id), name: read.text('name') ?? id, parentExternalId: null }
}

/** @param organization id of the organization it was listed in, where the location itself does not tell */
export function toLocation(raw: unknown, organization: string | null, note?: Note): OrganizationRecord {
  const { read, id } = recordOf(raw, note)
  const parent = read.id('organizationId') ?? organization
  return {
    externalId: locationId(id),
    name: read.text('name') ?? id,
    parentExternalId: parent ? organizationId(parent) : undefined
  }
}

/** The classes of the specification by what their names say; unknown ones say nothing. */
const kinds: ReadonlyArray<[RegExp, DeviceKind]> = [
  [/(_VM|_VMM|HYPERV|VMWARE)_?HOST|VM_HOST|VMM_HOST/, 'vm-host'],
  [/PRINTER|SCANNER/, 'printer'],
  [/PHONE|ANDROID|IOS|IPAD|MOBILE/, 'phone'],
  [/^NMS_(SERVER|COMPUTER)$/, 'server'],
  [/^NMS_/, 'network'],
  [/SERVER/, 'server'],
  [/WORKSTATION|^MAC|^WINDOWS|^LINUX/, 'workstation'],
  [/./, 'other']
]

function toKind(nodeClass: string | null | undefined): DeviceKind | undefined {
  return kinds.find(([pattern]) => pattern.test(nodeClass?.toUpperCase() ?? ''))?.[1]
}

const osTypes: ReadonlyArray<[RegExp, string]> = [
  [/^WINDOWS/, 'Windows'],
  [/^MAC/, 'macOS'],
  [/^LINUX/, 'Linux'],
  [/^ANDROID/, 'Android'],
  [/^(APPLE_IOS|IPHONE|IPAD|IOS)/, 'iOS']
]

function toProcessors(read: values.Reader): Pick<DeviceRecord, 'cpuModel' | 'cpuCores'> {
  const processors = read.objects('processors') ?? []
  const cores = processors.reduce((sum, cpu) => sum + (cpu.integer('numCores', { max: 4096 }) ?? 0), 0)
  return {
    cpuModel: processors.map(cpu => cpu.text('name')).find(name => name != null),
    cpuCores: cores || undefined
  }
}

function toVolumes(read: values.Reader): DeviceRecord['volumes'] {
  return read.objects('volumes')?.map((volume, index) => ({
    name: volume.text('driveLetter') ?? volume.text('name') ?? `Volume ${index + 1}`,
    totalBytes: volume.integer('capacity') ?? null,
    freeBytes: volume.integer('freeSpace') ?? null
  }))
}

/** In maintenance, or waiting for it; a device that is in none is told by a missing or empty object. */
function toMaintenance(read: values.Reader): boolean | undefined {
  if (!Object.hasOwn(read.raw, 'maintenance')) return undefined
  return read.object('maintenance').text('status')?.toUpperCase() === 'IN_MAINTENANCE'
}

const detailFields = ['uid', 'nodeClass', 'approvalStatus', 'parentDeviceId', 'dnsName', 'description'] as const

function toDetails(read: values.Reader): Record<string, unknown> {
  const os = read.object('os')
  const system = read.object('system')
  const details: Record<string, unknown> = {}
  for (const field of detailFields) if (read.raw[field] != null) details[field] = read.raw[field]
  for (const field of ['needsReboot', 'buildNumber', 'releaseId', 'architecture'])
    if (os.raw[field] != null) details[field] = os.raw[field]
  for (const field of ['chassisType', 'virtualMachine', 'domain'])
    if (system.raw[field] != null) details[field] = system.raw[field]
  if (values.isObject(read.raw['fields'])) details['customFields'] = read.raw['fields']
  return details
}

/** Heartbeat values: never a change of the device. */
function toHeartbeat(read: values.Reader, bootedAt: Date | null | undefined, observedAt: Date) {
  const offline = read.boolean('offline')
  const online = offline == null ? undefined : !offline
  const uptime = online && bootedAt ? Math.floor((observedAt.getTime() - bootedAt.getTime()) / 1000) : -1
  return {
    online,
    lastSeenAt: read.time('lastContact', epoch) ?? (online ? observedAt : undefined),
    uptimeSeconds: uptime >= 0 ? uptime : undefined
  }
}

function placeOf(read: values.Reader): string | undefined {
  const location = read.id('locationId')
  const organization = read.id('organizationId')
  return location ? locationId(location) : organization ? organizationId(organization) : undefined
}

/** @param observedAt the clock before the request */
export function toDevice(raw: unknown, observedAt: Date, note?: Note): DeviceRecord {
  const { read, id } = recordOf(raw, note)
  const os = read.object('os')
  const system = read.object('system')
  const nodeClass = read.text('nodeClass')
  const hostname = read.text('systemName') ?? read.text('dnsName')
  const lastRebootAt = os.time('lastBootTime', epoch)
  return {
    externalId: id,
    displayName: read.text('displayName', { line: true }) ?? hostname ?? id,
    // One that nobody has approved yet is nobody's.
    organizationExternalId: read.text('approvalStatus') === 'PENDING' ? null : placeOf(read),
    kind: toKind(nodeClass),
    hostname,
    serialNumber: system.text('serialNumber') ?? system.text('biosSerialNumber'),
    alternatives: { serialNumber: [system.text('biosSerialNumber')].filter(text => text != null) },
    manufacturer: system.text('manufacturer'),
    model: system.text('model'),
    osType: osTypes.find(([pattern]) => pattern.test(nodeClass ?? ''))?.[1],
    osVersion: os.text('name'),
    lastRebootAt,
    currentUser: read.text('lastLoggedInUser'),
    interfaces: toNetwork(read),
    wanIp: read.text('publicIP'),
    ...toProcessors(read),
    ramBytes: read.object('memory').integer('capacity'),
    volumes: toVolumes(read),
    tags: read.list('tags'),
    maintenanceMode: toMaintenance(read),
    details: toDetails(read),
    ...toHeartbeat(read, lastRebootAt, observedAt)
  }
}

/** NinjaOne tells addresses without the adapters they are of. */
function toNetwork(read: values.Reader): DeviceRecord['interfaces'] {
  const addresses = read.list('ipAddresses')
  const macs = read.list('macAddresses')
  if (!addresses && !macs) return undefined
  const [first, ...others] = macs ?? []
  return [{ addresses: addresses ?? [], macAddress: first }, ...others.map(macAddress => ({ macAddress }))]
}

/** A patch that waits for a device; the same patch has one id on all of them. */
export function toUpdate(raw: unknown, note?: Note): UpdateRecord {
  const { read, id } = recordOf(raw, note)
  const deviceExternalId = read.id('deviceId')
  if (!deviceExternalId) throw new Error('The patch names no device')
  return {
    externalId: `${deviceExternalId}:${id}`,
    deviceExternalId,
    title: read.text('name', { line: true }),
    kb: read.text('kbNumber', { numbers: true }),
    severity: read.text('severity'),
    category: read.text('type')
  }
}

const severities: Record<string, AlertSeverity> = {
  CRITICAL: 'critical',
  MAJOR: 'major',
  MODERATE: 'moderate',
  MINOR: 'minor',
  NONE: 'minor'
}

export const toSeverity = (word: unknown): AlertSeverity | undefined => values.oneOf(word, severities) ?? undefined

/**
 * An alert that is active: the list has no other.
 * @param activity the one that raised it: alerts themselves need not tell how severe they are
 */
export function toAlert(raw: unknown, observedAt: Date, activity: unknown, note?: Note): AlertRecord {
  const { read, id } = recordOf(raw, note, 'uid')
  const word = read.text('severity') ?? values.of(activity).text('severity')
  const message = read.text('message')
  return {
    externalId: id,
    deviceExternalId: read.id('deviceId'),
    name:
      read.text('subject', { line: true }) ?? values.text(message, undefined, { line: true }) ?? 'Alert without a name',
    description: message,
    severity: toSeverity(word) ?? 'moderate',
    providerSeverity: word,
    status: 'active',
    startedAt: read.time('createTime', epoch) ?? observedAt,
    details: read.raw['sourceType'] == null ? {} : { sourceType: read.raw['sourceType'] }
  }
}
