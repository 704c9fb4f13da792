import type { AlertRecord, OrganizationRecord, RejectedRecord, UpdateRecord } from '../../../providers/define.ts'
import type { AlertSeverity } from '../../../types.ts'
import {
  clean,
  hashText,
  id,
  maxIdLength,
  maxInt,
  maxNameLength,
  optionalId,
  text,
  time,
  whole
} from './field-values.ts'
import { stableJson } from '../stable-json.ts'

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
}

export function normalizeOrganization(record: OrganizationRecord, observedAt: Date): NormalOrganization {
  const externalId = id(record.externalId, 'the organization id')
  const parent = optionalId(record.parentExternalId, 'the parent id')
  const name = text(record.name, maxNameLength) ?? externalId
  const deviceCount = whole(record.deviceCount, maxInt)
  const descendantDeviceCount = whole(record.descendantDeviceCount, maxInt)
  return {
    externalId,
    observedAt,
    name,
    parentExternalId: parent,
    deviceCount,
    descendantDeviceCount,
    hash: hashText(JSON.stringify([name, parent, deviceCount, descendantDeviceCount]))
  }
}

const severities: readonly string[] = ['critical', 'major', 'moderate', 'minor']

export function normalizeAlert(record: AlertRecord, observedAt: Date): NormalAlert {
  const externalId = id(record.externalId, 'the alert id')
  if (record.status !== 'active' && record.status !== 'resolved')
    throw new Error(`the alert status '${String(record.status)}' is neither active nor resolved`)
  const alert = {
    deviceExternalId: optionalId(record.deviceExternalId, 'the device id'),
    name: text(record.name, maxNameLength) ?? 'Alert',
    description: text(record.description, 20_000),
    severity: severities.includes(record.severity) ? record.severity : ('moderate' as const),
    providerSeverity: text(record.providerSeverity, maxNameLength),
    status: record.status,
    startedAt: time(record.startedAt) ?? observedAt.toISOString(),
    resolvedAt: record.status === 'resolved' ? (time(record.resolvedAt) ?? observedAt.toISOString()) : null,
    // Kept among the details: a mark on few rows, and it goes when the platform's own record takes the row over.
    details: { ...record.details, ...(record.derived ? { derived: true } : {}) }
  }
  // Where the platform gave no time, ours must not make the alert look changed at every read.
  const told = { ...alert, startedAt: time(record.startedAt), resolvedAt: time(record.resolvedAt) }
  return { externalId, observedAt, ...alert, hash: hashText(stableJson(Object.values(told))) }
}

export function normalizeUpdate(record: UpdateRecord): NormalUpdate {
  return {
    externalId: id(record.externalId, 'the update id'),
    deviceExternalId: id(record.deviceExternalId, 'the device id of the update')
  }
}

/**
 * Normalises one page and keeps the newest of records that share an id (a platform may show one twice while it pages).
 * What cannot be used is returned as rejected with its reason.
 */
export function normalizeAll<R, N extends { externalId: string }>(
  records: readonly R[],
  observedAt: Date,
  normalize: (record: R, observedAt: Date) => N
): { records: N[]; rejected: RejectedRecord[] } {
  const byId = new Map<string, N>()
  const rejected: RejectedRecord[] = []
  for (const record of records) {
    try {
      const normal = normalize(record, observedAt)
      byId.set(normal.externalId, normal)
    } catch (error) {
      const externalId = (record as { externalId?: unknown } | null)?.externalId
      rejected.push({
        externalId: typeof externalId === 'string' ? clean(externalId).slice(0, maxIdLength) : null,
        reason: (error as Error).message
      })
    }
  }
  return { records: [...byId.values()], rejected }
}
