import {
  type AlertRecord,
  isRecordId,
  type Misread,
  misreadings,
  type Note,
  type OrganizationRecord,
  type UpdateRecord
} from '../../../providers/define.ts'
import type { AlertSeverity } from '../../../types.ts'
import { stableJson } from '../stable-json.ts'
import {
  clean,
  hashText,
  id,
  ignored,
  isObject,
  maxIdLength,
  maxInt,
  maxNameLength,
  moment,
  pastMoment,
  reference,
  text,
  whole
} from './field-values.ts'

/**
 * The last gate before the database: provider records in, values that PostgreSQL takes out.
 * A record that cannot be used throws with the reason; `normalizeAll` turns that into a rejected record.
 */

interface Observed {
  externalId: string
  observedAt: Date
  hash: string
}

export interface NormalOrganization extends Observed {
  name: string
  parentExternalId: string | null
  /** False where the platform did not say what it is below of. */
  parentTold: boolean
  deviceCount: number | null
  descendantDeviceCount: number | null
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

export interface NormalUpdate {
  externalId: string
  deviceExternalId: string
  /** Null: only that it is there was told. */
  told: {
    title: string | null
    kb: string | null
    severity: string | null
    category: string | null
    publishedAt: string | null
  } | null
}

export function normalizeOrganization(
  record: OrganizationRecord,
  observedAt: Date,
  note: Note = ignored
): NormalOrganization {
  const externalId = id(record.externalId, 'the organization id')
  const parent = reference(record.parentExternalId, 'parentExternalId', note)
  const name = text(record.name, maxNameLength, 'name', note) ?? externalId.slice(0, maxNameLength).toWellFormed()
  const deviceCount = whole(record.deviceCount, maxInt, 'deviceCount', note)
  const descendantDeviceCount = whole(record.descendantDeviceCount, maxInt, 'descendantDeviceCount', note)
  return {
    externalId,
    observedAt,
    name,
    parentExternalId: parent ?? null,
    parentTold: parent !== undefined,
    deviceCount,
    descendantDeviceCount,
    hash: hashText(JSON.stringify([name, parent === undefined ? '?' : [parent], deviceCount, descendantDeviceCount]))
  }
}

const severities: readonly string[] = ['critical', 'major', 'moderate', 'minor']

function severityOf(value: unknown, note: Note): AlertSeverity {
  if (severities.includes(value as string)) return value as AlertSeverity
  note('severity', value)
  return 'moderate'
}

export function normalizeAlert(record: AlertRecord, observedAt: Date, note: Note = ignored): NormalAlert {
  const externalId = id(record.externalId, 'the alert id')
  if (record.status !== 'active' && record.status !== 'resolved')
    throw new Error(`the alert status '${String(record.status)}' is neither active nor resolved`)
  const started = pastMoment(record.startedAt, observedAt, 'startedAt', note)
  const resolved = pastMoment(record.resolvedAt, observedAt, 'resolvedAt', note)
  const alert = {
    deviceExternalId: reference(record.deviceExternalId, 'deviceExternalId', note) ?? null,
    name: text(record.name, maxNameLength, 'name', note) ?? 'Alert',
    description: text(record.description, 20_000, 'description', note),
    severity: severityOf(record.severity, note),
    providerSeverity: text(record.providerSeverity, maxNameLength, 'providerSeverity', note),
    status: record.status,
    startedAt: (started ?? observedAt).toISOString(),
    resolvedAt: record.status === 'resolved' ? (resolved ?? observedAt).toISOString() : null,
    // Kept among the details: a mark on few rows, and it goes when the platform's own record takes the row over.
    details: { ...(isObject(record.details) ? record.details : {}), ...(record.derived ? { derived: true } : {}) }
  }
  // Where the platform gave no time, or one that is still to come, ours must not make the alert look changed at every
  // read.
  const told = { ...alert, startedAt: moment(record.startedAt), resolvedAt: moment(record.resolvedAt) }
  return { externalId, observedAt, ...alert, hash: hashText(stableJson(Object.values(told))) }
}

export function normalizeUpdate(record: UpdateRecord, _observedAt: Date, note: Note = ignored): NormalUpdate {
  const told = {
    title: text(record.title, maxNameLength, 'title', note),
    kb: text(record.kb, maxNameLength, 'kb', note),
    severity: text(record.severity, maxNameLength, 'severity', note),
    category: text(record.category, maxNameLength, 'category', note),
    publishedAt: moment(record.publishedAt, 'publishedAt', note)?.toISOString() ?? null
  }
  return {
    externalId: id(record.externalId, 'the update id'),
    deviceExternalId: id(record.deviceExternalId, 'the device id of the update'),
    told: Object.values(told).some(value => value !== null) ? told : null
  }
}

export interface Normalized<N> {
  records: N[]
  /** Null ids: of these nobody knows which record they were. */
  rejected: Array<{ externalId: string | null; reason: string }>
  misread: Misread[]
}

/**
 * What a record calls itself, for the items of a run: also where it cannot be stored so. Null where it tells no id at
 * all.
 */
export function shownId(value: unknown): string | null {
  return isRecordId(value) ? clean(String(value)).slice(0, maxIdLength) || null : null
}

/**
 * Normalises one page and keeps the newest of records that share an id (a platform may show one twice while it pages).
 * What cannot be used is returned as rejected with its reason.
 */
export function normalizeAll<R, N extends { externalId: string }>(
  records: readonly R[],
  observedAt: Date,
  normalize: (record: R, observedAt: Date, note: Note) => N
): Normalized<N> {
  const byId = new Map<string, N>()
  const rejected: Normalized<N>['rejected'] = []
  const misread = misreadings()
  let current: unknown
  const told = () => shownId((current as { externalId?: unknown } | null)?.externalId)
  const note: Note = (field, value) => misread.of(told())(field, value)
  for (const record of records) {
    current = record
    try {
      const normal = normalize(record, observedAt, note)
      byId.set(normal.externalId, normal)
    } catch (error) {
      rejected.push({ externalId: told(), reason: (error as Error).message })
    }
  }
  return { records: [...byId.values()], rejected, misread: misread.list() }
}
