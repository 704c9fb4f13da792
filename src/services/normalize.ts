import { hash } from 'node:crypto'
import type { AlertRecord, DeviceFacts, DeviceInventory, DeviceRecord, OrganizationRecord, RejectedRecord, UpdateRecord } from '../providers/define.ts'
import type { AlertSeverity } from '../types.ts'

/**
 * The last gate before the database: provider records in, values that PostgreSQL takes out.
 * A record that cannot be used throws with the reason; `normalizeAll` turns that into a rejected record.
 */

export interface Observed { externalId: string, observedAt: Date, hash: string }

export interface NormalOrganization extends Observed {
  name: string
  parentExternalId: string | null
  deviceCount: number | null
  descendantDeviceCount: number | null
}

export interface NormalFacts {
  assetType: 'workstation' | 'server' | null
  hostname: string | null
  serialNumber: string | null
  manufacturer: string | null
  model: string | null
  osType: string | null
  osVersion: string | null
  lastRebootAt: string | null
  currentUser: string | null
  lanIp: string | null
  wanIp: string | null
  macAddresses: string[] | null
  cpuModel: string | null
  cpuCores: number | null
  ramBytes: number | null
  volumes: Array<{ name: string, totalBytes: number | null }> | null
  antivirus: { provider: string | null, status: string | null } | null
  location: string | null
  tags: string[] | null
  maintenanceMode: boolean | null
  details: unknown
}

/** What of a record was, or would have been, read with requests of its own. */
export interface NormalInventory {
  revision: string
  /** Null where they were not read. The record's own fields have them as well. */
  facts: NormalFacts | null
  freeBytes: Array<number | null> | null
}

/** `hash` has two parts where the inventory was read, `own.inventory`, and only the first where it was not. */
export interface NormalDevice extends Observed, NormalFacts {
  organizationExternalId: string | null
  /** False where the platform did not say where the device belongs. */
  organizationTold: boolean
  displayName: string
  /** The details are not all there are: they are added to those that are stored. */
  detailsPartial: boolean
  inventory: NormalInventory | null
  status: { online: boolean | null, lastSeenAt: string | null, uptimeSeconds: number | null, freeBytes: Array<number | null> | null, hash: string }
}

export interface NormalAlert extends Observed {
  deviceExternalId: string | null
  name: string
  description: string | null
  severity: AlertSeverity
  providerSeverity: string | null
  status: 'active' | 'resolved'
  startedAt: string
  resolvedAt: string | null
  details: unknown
}

export interface NormalUpdate { externalId: string, deviceExternalId: string }

const maxIdLength = 500
const maxNameLength = 255
const maxTextLength = 4000
const maxSafe = Number.MAX_SAFE_INTEGER
const maxInt = 2_147_483_647

/** PostgreSQL's text knows neither NUL nor half a surrogate pair. */
export function clean (value: string): string {
  return (value.includes('\0') ? value.replaceAll('\0', '') : value).toWellFormed()
}

function text (value: unknown, max = maxTextLength): string | null {
  if (typeof value !== 'string') return null
  const cleaned = clean(value).trim()
  if (cleaned === '') return null
  return cleaned.length > max ? cleaned.slice(0, max).toWellFormed() : cleaned
}

function id (value: unknown, what: string): string {
  if (typeof value !== 'string' || value === '') throw new Error(`${what} is missing or not text`)
  if (value.length > maxIdLength) throw new Error(`${what} is longer than ${maxIdLength} characters`)
  if (clean(value) !== value) throw new Error(`${what} has characters that cannot be stored`)
  return value
}

function optionalId (value: unknown, what: string): string | null {
  return value === null || value === undefined ? null : id(value, what)
}

function whole (value: unknown, max = maxSafe): number | null {
  if (typeof value !== 'number' || !Number.isFinite(value) || value < 0) return null
  return Math.min(Math.round(value), max)
}

function time (value: unknown): string | null {
  if (!(value instanceof Date) || Number.isNaN(value.getTime())) return null
  const year = value.getUTCFullYear()
  return year < 1970 || year > 9999 ? null : value.toISOString()
}

function texts (value: unknown): string[] | null {
  if (!Array.isArray(value)) return null
  return value.map(item => text(item, maxNameLength)).filter(item => item !== null)
}

/** JSON that PostgreSQL takes: cleaned, keys in order, so that the same facts have the same hash whatever order the platform told them in. */
export function canonical (value: unknown, depth = 0): unknown {
  if (typeof value === 'string') return clean(value)
  if (typeof value === 'number') return Number.isFinite(value) ? value : null
  if (value === null || typeof value === 'boolean') return value
  if (value instanceof Date) return time(value)
  if (typeof value !== 'object' || depth > 20) return null
  if (Array.isArray(value)) return value.map(item => canonical(item, depth + 1))
  const ordered: Record<string, unknown> = {}
  for (const key of Object.keys(value).sort()) {
    const item = (value as Record<string, unknown>)[key]
    // A platform's `__proto__` is a field like any other, and must not become one of ours.
    if (item !== undefined && key !== '__proto__') ordered[clean(key)] = canonical(item, depth + 1)
  }
  return ordered
}

export function hashOf (values: unknown[]): string {
  return hash('md5', JSON.stringify(values), 'base64url')
}

export function normalizeOrganization (record: OrganizationRecord, observedAt: Date): NormalOrganization {
  const externalId = id(record.externalId, 'the organization id')
  const parent = optionalId(record.parentExternalId, 'the parent id')
  const name = text(record.name, maxNameLength) ?? externalId
  const deviceCount = whole(record.deviceCount, maxInt)
  const descendantDeviceCount = whole(record.descendantDeviceCount, maxInt)
  return {
    externalId, observedAt, name, parentExternalId: parent, deviceCount, descendantDeviceCount,
    hash: hashOf([name, parent, deviceCount, descendantDeviceCount])
  }
}

function volumesOf ({ volumes }: DeviceFacts) {
  if (!Array.isArray(volumes)) return { volumes: null, freeBytes: null }
  const usable = volumes.filter(volume => volume !== null && typeof volume === 'object')
  return {
    volumes: usable.map(volume => ({ name: text(volume.name, maxNameLength) ?? '', totalBytes: whole(volume.totalBytes) })),
    freeBytes: usable.map(volume => whole(volume.freeBytes))
  }
}

function statusOf (record: DeviceRecord, freeBytes: Array<number | null> | null): NormalDevice['status'] {
  const online = typeof record.online === 'boolean' ? record.online : null
  const lastSeenAt = time(record.lastSeenAt)
  const uptimeSeconds = whole(record.uptimeSeconds)
  // Uptime grows by itself: it must not make every heartbeat look new.
  return { online, lastSeenAt, uptimeSeconds, freeBytes, hash: hashOf([online, lastSeenAt, freeBytes]) }
}

function factsOf (facts: DeviceFacts, volumes: NormalFacts['volumes']): NormalFacts {
  return {
    assetType: facts.assetType === 'server' || facts.assetType === 'workstation' ? facts.assetType : null,
    hostname: text(facts.hostname, maxNameLength),
    serialNumber: text(facts.serialNumber, maxNameLength),
    manufacturer: text(facts.manufacturer, maxNameLength),
    model: text(facts.model, maxNameLength),
    osType: text(facts.osType, maxNameLength),
    osVersion: text(facts.osVersion, maxNameLength),
    lastRebootAt: time(facts.lastRebootAt),
    currentUser: text(facts.currentUser, maxNameLength),
    lanIp: text(facts.lanIp, maxNameLength),
    wanIp: text(facts.wanIp, maxNameLength),
    macAddresses: texts(facts.macAddresses),
    cpuModel: text(facts.cpuModel, maxNameLength),
    cpuCores: whole(facts.cpuCores, maxInt),
    ramBytes: whole(facts.ramBytes),
    volumes,
    antivirus: facts.antivirus ? { provider: text(facts.antivirus.provider, maxNameLength), status: text(facts.antivirus.status, maxNameLength) } : null,
    location: text(facts.location, maxNameLength),
    tags: texts(facts.tags),
    maintenanceMode: typeof facts.maintenanceMode === 'boolean' ? facts.maintenanceMode : null,
    details: facts.details ? canonical(facts.details) : null
  }
}

export function normalizeDevice (record: DeviceRecord, observedAt: Date): NormalDevice {
  const externalId = id(record.externalId, 'the device id')
  const { volumes, freeBytes } = volumesOf(record)
  const device = {
    organizationExternalId: optionalId(record.organizationExternalId, 'the organization id'),
    organizationTold: record.organizationExternalId !== undefined,
    displayName: text(record.displayName, maxNameLength) ?? text(record.hostname, maxNameLength) ?? externalId.slice(0, maxNameLength),
    ...factsOf(record, volumes)
  }
  const normal = { externalId, observedAt, ...device, detailsPartial: false, inventory: null, hash: hashOf(Object.values(device)), status: statusOf(record, freeBytes) }
  return record.inventory ? withInventory(normal, record.inventory) : normal
}

/** Adds what was read of the inventory to the record's own fields; a field of both is the inventory's. */
function withInventory (own: NormalDevice, { revision, facts }: DeviceInventory): NormalDevice {
  const mark = id(revision, 'the inventory revision')
  if (!facts) return { ...own, detailsPartial: true, inventory: { revision: mark, facts: null, freeBytes: null } }
  const { volumes, freeBytes } = volumesOf(facts)
  const read = factsOf(facts, volumes)
  const told = Object.fromEntries(Object.entries(read).filter(([, value]) => value !== null))
  const both = own.details !== null && read.details !== null
  return {
    ...own, ...told,
    details: both ? { ...own.details as object, ...read.details as object } : read.details ?? own.details,
    detailsPartial: !both,
    inventory: { revision: mark, facts: read, freeBytes },
    hash: `${own.hash}.${hashOf(Object.values(read))}`,
    // Free space that came with the inventory is written with its revision; a read that leaves it out must not look like another heartbeat.
    status: { ...own.status, freeBytes: freeBytes ?? own.status.freeBytes }
  }
}

const severities: readonly string[] = ['critical', 'major', 'moderate', 'minor']

export function normalizeAlert (record: AlertRecord, observedAt: Date): NormalAlert {
  const externalId = id(record.externalId, 'the alert id')
  if (record.status !== 'active' && record.status !== 'resolved') throw new Error(`the alert status '${String(record.status)}' is neither active nor resolved`)
  const alert = {
    deviceExternalId: optionalId(record.deviceExternalId, 'the device id'),
    name: text(record.name, maxNameLength) ?? 'Alert',
    description: text(record.description, 20_000),
    severity: severities.includes(record.severity) ? record.severity : 'moderate' as const,
    providerSeverity: text(record.providerSeverity, maxNameLength),
    status: record.status,
    startedAt: time(record.startedAt) ?? observedAt.toISOString(),
    resolvedAt: record.status === 'resolved' ? time(record.resolvedAt) ?? observedAt.toISOString() : null,
    // Kept among the details: a mark on few rows, and it goes when the platform's own record takes the row over.
    details: canonical({ ...record.details, ...(record.derived ? { derived: true } : {}) })
  }
  // Where the platform gave no time, ours must not make the alert look changed at every read.
  const told = { ...alert, startedAt: time(record.startedAt), resolvedAt: time(record.resolvedAt) }
  return { externalId, observedAt, ...alert, hash: hashOf(Object.values(told)) }
}

export function normalizeUpdate (record: UpdateRecord): NormalUpdate {
  return { externalId: id(record.externalId, 'the update id'), deviceExternalId: id(record.deviceExternalId, 'the device id of the update') }
}

/**
 * Normalises one page and keeps the newest of records that share an id (a platform may show one twice while it pages).
 * What cannot be used is returned as rejected with its reason.
 */
export function normalizeAll<R, N extends { externalId: string }> (records: readonly R[], observedAt: Date, normalize: (record: R, observedAt: Date) => N): { records: N[], rejected: RejectedRecord[] } {
  const byId = new Map<string, N>()
  const rejected: RejectedRecord[] = []
  for (const record of records) {
    try {
      const normal = normalize(record, observedAt)
      byId.set(normal.externalId, normal)
    } catch (error) {
      const externalId = (record as { externalId?: unknown } | null)?.externalId
      rejected.push({ externalId: typeof externalId === 'string' ? clean(externalId).slice(0, maxIdLength) : null, reason: (error as Error).message })
    }
  }
  return { records: [...byId.values()], rejected }
}
