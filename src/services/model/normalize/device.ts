import type { DeviceFacts, DeviceInventory, DeviceRecord } from '../../../providers/define.ts'
import { hashText, id, maxInt, maxNameLength, moment, optionalId, text, texts, time, whole } from './field-values.ts'
import { stableJson } from '../stable-json.ts'
import { fieldOf, joinFields } from '../row-text.ts'

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
  volumes: Array<{ name: string; totalBytes: number | null }> | null
  antivirus: { provider: string | null; status: string | null } | null
  location: string | null
  tags: string[] | null
  maintenanceMode: boolean | null
  /** JSON. */
  details: string | null
}

/** What of a record was, or would have been, read with requests of its own. */
export interface NormalInventory {
  revision: string
  /** Null where they were not read. The record's own fields have them as well. */
  facts: NormalFacts | null
  freeBytes: Array<number | null> | null
}

/** `hash` has two parts where the inventory was read, `own.inventory`, and only the first where it was not. */
export interface NormalDevice {
  externalId: string
  observedAt: Date
  organizationExternalId: string | null
  /** False where the platform did not say where the device belongs. */
  organizationTold: boolean
  displayName: string
  facts: NormalFacts
  /** The details are not all there are: they are added to those that are stored. */
  detailsPartial: boolean
  inventory: NormalInventory | null
  hash: string
  /** Organization, name and facts as they travel to the database, of `deviceRow`. */
  row: string
  status: {
    online: boolean | null
    lastSeenAt: Date | null
    uptimeSeconds: number | null
    freeBytes: Array<number | null> | null
    hash: string
  }
}

const longestMark = 200

/** Throws with the reason where the record cannot be used. */
export function normalizeDevice(record: DeviceRecord, observedAt: Date): NormalDevice {
  const externalId = id(record.externalId, 'the device id')
  const organizationExternalId = optionalId(record.organizationExternalId, 'the organization id')
  const organizationTold = record.organizationExternalId !== undefined
  const displayName =
    text(record.displayName, maxNameLength) ??
    text(record.hostname, maxNameLength) ??
    externalId.slice(0, maxNameLength).toWellFormed()
  const { volumes, freeBytes } = volumesOf(record)
  const facts = factsOf(record, volumes)
  const row = deviceRow(organizationExternalId, displayName, facts)
  const own: NormalDevice = {
    externalId,
    observedAt,
    organizationExternalId,
    organizationTold,
    displayName,
    facts,
    detailsPartial: false,
    inventory: null,
    hash: hashText(organizationTold ? row : `?${row}`),
    row,
    status: statusOf(record, freeBytes)
  }
  return record.inventory ? withInventory(record, own, record.inventory) : own
}

/** Adds what was read of the inventory to the record's own facts; one of both is the inventory's. */
function withInventory(record: DeviceRecord, own: NormalDevice, { revision, facts }: DeviceInventory): NormalDevice {
  const mark = id(revision, 'the inventory revision')
  if (!facts) return { ...own, detailsPartial: true, inventory: { revision: mark, facts: null, freeBytes: null } }
  const { volumes, freeBytes } = volumesOf(facts)
  const read = factsOf(facts, volumes)
  const told = Object.fromEntries(Object.entries(read).filter(([, value]) => value !== null))
  const both = own.facts.details !== null && read.details !== null
  const all: NormalFacts = {
    ...own.facts,
    ...told,
    details: both ? stableJson({ ...record.details, ...facts.details }) : (read.details ?? own.facts.details)
  }
  return {
    ...own,
    facts: all,
    row: deviceRow(own.organizationExternalId, own.displayName, all),
    detailsPartial: !both,
    inventory: { revision: mark, facts: read, freeBytes },
    hash: `${own.hash}.${hashText(deviceRow(null, '', read))}`,
    // Free space that came with the inventory is written with its revision; a read that leaves it out must not look
    // like another heartbeat.
    status: { ...own.status, freeBytes: freeBytes ?? own.status.freeBytes }
  }
}

/**
 * A device as it travels to the database: what is hashed and what is written are one text. The order is that of the
 * store's `deviceColumns`; spelled out, as a loop over them takes five times as long.
 */
export function deviceRow(organizationExternalId: string | null, displayName: string, facts: NormalFacts): string {
  return joinFields([
    fieldOf(organizationExternalId),
    displayName,
    fieldOf(facts.assetType),
    fieldOf(facts.hostname),
    fieldOf(facts.serialNumber),
    fieldOf(facts.manufacturer),
    fieldOf(facts.model),
    fieldOf(facts.osType),
    fieldOf(facts.osVersion),
    fieldOf(facts.lastRebootAt),
    fieldOf(facts.currentUser),
    fieldOf(facts.lanIp),
    fieldOf(facts.wanIp),
    fieldOf(facts.macAddresses),
    fieldOf(facts.cpuModel),
    fieldOf(facts.cpuCores),
    fieldOf(facts.ramBytes),
    fieldOf(facts.volumes),
    fieldOf(facts.antivirus),
    fieldOf(facts.location),
    fieldOf(facts.tags),
    fieldOf(facts.maintenanceMode),
    fieldOf(facts.details)
  ])
}

function factsOf(facts: DeviceFacts, volumes: NormalFacts['volumes']): NormalFacts {
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
    antivirus: facts.antivirus
      ? { provider: text(facts.antivirus.provider, maxNameLength), status: text(facts.antivirus.status, maxNameLength) }
      : null,
    location: text(facts.location, maxNameLength),
    tags: texts(facts.tags),
    maintenanceMode: typeof facts.maintenanceMode === 'boolean' ? facts.maintenanceMode : null,
    details:
      facts.details && typeof facts.details === 'object' && !Array.isArray(facts.details)
        ? stableJson(facts.details)
        : null
  }
}

function volumesOf({ volumes }: DeviceFacts) {
  if (!Array.isArray(volumes)) return { volumes: null, freeBytes: null }
  const usable = volumes.filter(volume => volume !== null && typeof volume === 'object')
  return {
    volumes: usable.map(volume => ({
      name: text(volume.name, maxNameLength) ?? '',
      totalBytes: whole(volume.totalBytes)
    })),
    freeBytes: usable.map(volume => whole(volume.freeBytes))
  }
}

function statusOf(record: DeviceRecord, freeBytes: Array<number | null> | null): NormalDevice['status'] {
  const online = typeof record.online === 'boolean' ? record.online : null
  const lastSeenAt = moment(record.lastSeenAt)
  // Uptime grows by itself: it must not make every heartbeat look new. Mostly too short to be worth hashing.
  const mark = `${online ?? ''} ${lastSeenAt?.getTime() ?? ''} ${freeBytes?.join() ?? '-'}`
  return {
    online,
    lastSeenAt,
    uptimeSeconds: whole(record.uptimeSeconds),
    freeBytes,
    hash: mark.length > longestMark ? hashText(mark) : mark
  }
}
