import type { DeviceFacts, DeviceInventory, DeviceRecord, Note } from '../../../providers/define.ts'
import { fieldEnd, fieldOf, joinFields } from '../row-text.ts'
import { stableJson } from '../stable-json.ts'
import { factsOf, type NormalFacts } from './facts.ts'
import { hashText, id, ignored, maxNameLength, pastMoment, reference, text, truth, whole } from './field-values.ts'

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

/**
 * Throws with the reason where the record cannot be used.
 * @param note hears of fields of another type than ours; they count as not told
 */
export function normalizeDevice(record: DeviceRecord, observedAt: Date, note: Note = ignored): NormalDevice {
  const externalId = id(record.externalId, 'the device id')
  const organization = reference(record.organizationExternalId, 'organizationExternalId', note)
  const organizationExternalId = organization ?? null
  const displayName =
    text(record.displayName, maxNameLength, 'displayName', note) ??
    text(record.hostname, maxNameLength) ??
    text(externalId, maxNameLength) ??
    externalId.slice(0, maxNameLength).toWellFormed()
  const { facts, freeBytes } = factsOf(record, observedAt, note)
  const body = rowBody(organizationExternalId, displayName, facts)
  const organizationTold = organization !== undefined
  const own: NormalDevice = {
    externalId,
    observedAt,
    organizationExternalId,
    organizationTold,
    displayName,
    facts,
    detailsPartial: false,
    inventory: null,
    hash: hashText(organizationTold ? body : `?${body}`),
    row: rowOf(body, facts),
    status: statusOf(record, freeBytes, observedAt, note)
  }
  return record.inventory ? withInventory(record, own, record.inventory, note) : own
}

/** Adds what was read of the inventory to the record's own facts; one of both is the inventory's. */
function withInventory(
  record: DeviceRecord,
  own: NormalDevice,
  { revision, facts: told }: DeviceInventory,
  note: Note
): NormalDevice {
  const mark = id(revision, 'the inventory revision')
  if (!told) return { ...own, detailsPartial: true, inventory: { revision: mark, facts: null, freeBytes: null } }
  const { facts: read, freeBytes } = factsOf(told, own.observedAt, note)
  const both = own.facts.details !== null && read.details !== null
  const all: NormalFacts = {
    ...own.facts,
    ...Object.fromEntries(Object.entries(read).filter(([, value]) => value !== null)),
    details: both ? stableJson({ ...record.details, ...told.details }) : (read.details ?? own.facts.details)
  }
  return {
    ...own,
    facts: all,
    row: deviceRow(own.organizationExternalId, own.displayName, all),
    detailsPartial: !both,
    inventory: { revision: mark, facts: read, freeBytes },
    hash: `${own.hash}.${hashText(rowBody(null, '', read))}`,
    // Free space that came with the inventory is written with its revision; a read that leaves it out must not look
    // like another heartbeat.
    status: { ...own.status, freeBytes: freeBytes ?? own.status.freeBytes }
  }
}

/**
 * A device as it travels to the database. The order is that of the store's `deviceColumns`; spelled out, as a loop
 * over them takes five times as long.
 */
export function deviceRow(organizationExternalId: string | null, displayName: string, facts: NormalFacts): string {
  return rowOf(rowBody(organizationExternalId, displayName, facts), facts)
}

/** The time of the last boot is no part of what is hashed: it wanders, and is compared by itself. */
function rowOf(body: string, { lastRebootAt }: NormalFacts): string {
  return body + fieldEnd + fieldOf(lastRebootAt)
}

function rowBody(organizationExternalId: string | null, displayName: string, facts: NormalFacts): string {
  return joinFields([
    fieldOf(organizationExternalId),
    displayName,
    fieldOf(facts.assetType),
    fieldOf(facts.kind),
    fieldOf(facts.hostname),
    fieldOf(facts.serialNumber),
    fieldOf(facts.manufacturer),
    fieldOf(facts.model),
    fieldOf(facts.osType),
    fieldOf(facts.osVersion),
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

function statusOf(
  record: DeviceRecord,
  freeBytes: Array<number | null> | null,
  observedAt: Date,
  note: Note
): NormalDevice['status'] {
  const online = truth(record.online, 'online', note)
  const lastSeenAt = pastMoment(record.lastSeenAt, observedAt, 'lastSeenAt', note)
  // Uptime grows by itself: it must not make every heartbeat look new. Mostly too short to be worth hashing.
  const mark = `${online ?? ''} ${lastSeenAt?.getTime() ?? ''} ${freeBytes?.join() ?? '-'}`
  return {
    online,
    lastSeenAt,
    uptimeSeconds: isFuture(record.lastRebootAt, observedAt)
      ? null
      : whole(record.uptimeSeconds, undefined, 'uptimeSeconds', note),
    freeBytes,
    hash: mark.length > longestMark ? hashText(mark) : mark
  }
}

const isFuture = (bootedAt: DeviceFacts['lastRebootAt'], now: Date): boolean =>
  bootedAt instanceof Date && bootedAt.getTime() > now.getTime()
