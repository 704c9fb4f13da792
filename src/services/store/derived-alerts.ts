import { sql } from 'kysely'
import type { NormalAlert } from '../model/index.ts'
import type { Db, Tables } from './database.ts'
import { iso } from './values.ts'

/**
 * Alerts that a webhook told without the platform's id (`AlertRecord.derived`). The platform cannot be asked for
 * them, so no sweep closes them; they end with a resolved event, by hand, or here: when the platform's own alert of
 * the same device and name shows up.
 */

/** A row as `mergeAlerts` knows it before it writes. */
export interface KnownAlert {
  id: string
  external_id: string
  status: 'active' | 'resolved'
  hash: string
  device_external_id: string | null
  name: string
  started_at: unknown
  derived: boolean
}

export const isDerived = (alert: { details: unknown }): boolean =>
  (alert.details as { derived?: unknown } | null)?.derived === true

export const sameCondition = (device: string | null, name: string): string | null =>
  device === null ? null : `${device}|${name.trim().toLowerCase()}`

/**
 * Gives an open derived alert to the platform's own one: the row stays, with its id and whatever the host hung on it,
 * under the platform's id. Where the platform's alert has a row of its own, the derived one ends. Returns the ids of
 * those that ended.
 */
export async function adoptDerived(
  trx: Db,
  t: Tables,
  known: Map<string, KnownAlert>,
  records: NormalAlert[]
): Promise<string[]> {
  const ended: string[] = []
  for (const row of [...known.values()]) {
    const condition = sameCondition(row.device_external_id, row.name)
    if (!row.derived || row.status !== 'active' || condition === null) continue
    const began = new Date(row.started_at as string).toISOString()
    const own = records
      .filter(
        record =>
          !isDerived(record) &&
          sameCondition(record.deviceExternalId, record.name) === condition &&
          (record.status === 'active' || record.resolvedAt! >= began)
      )
      .sort(openAndNewestFirst)[0]
    if (own === undefined) continue
    known.delete(row.external_id)
    if (known.has(own.externalId)) ended.push(row.id)
    else {
      await sql`update ${t.alert} set external_id = ${own.externalId}, details = details - 'derived', hash = 'adopted', updated_at = now() where id = ${row.id}`.execute(
        trx
      )
      known.set(own.externalId, { ...row, external_id: own.externalId, hash: 'adopted', derived: false })
    }
  }
  return ended
}

function openAndNewestFirst(a: NormalAlert, b: NormalAlert): number {
  if (a.status !== b.status) return a.status === 'active' ? -1 : 1
  return a.startedAt < b.startedAt ? 1 : -1
}

/**
 * The platform's own open alerts that the given derived ones speak of: asking for those is better than believing an
 * event without an id.
 */
export async function ownAlertsOf(
  db: Db,
  t: Tables,
  connectionId: string,
  derived: Array<{ deviceExternalId?: string | null | undefined; name: string }>
): Promise<Map<string, string>> {
  const devices = derived.flatMap(alert => alert.deviceExternalId ?? [])
  if (devices.length === 0) return new Map()
  const { rows } = await sql<{
    external_id: string
    device_external_id: string
    name: string
  }>`select external_id, device_external_id, name from ${t.alert}
    where connection_id = ${connectionId} and status = 'active' and device_external_id = any(${devices}::text[]) and details->'derived' is null order by started_at`.execute(
    db
  )
  const own = new Map(rows.map(row => [sameCondition(row.device_external_id, row.name), row.external_id]))
  return new Map(
    derived.flatMap(({ deviceExternalId, name }): Array<[string, string]> => {
      const condition = sameCondition(deviceExternalId ?? null, name)
      const found = own.get(condition)
      return condition === null || found === undefined ? [] : [[condition, found]]
    })
  )
}

/**
 * Records without the open derived ones whose condition the platform's own alert tells: it is open, or it has ended
 * since they began. A delivery is worked on more than once, and its derived alert may have gone over in between.
 */
export async function withoutTwins(
  trx: Db,
  t: Tables,
  connectionId: string,
  records: NormalAlert[]
): Promise<NormalAlert[]> {
  const derived = records.filter(isDerived)
  if (derived.length === 0) return records
  const open = await ownAlertsOf(trx, t, connectionId, derived)
  const ended = await lastEnds(trx, t, connectionId, derived)
  return records.filter(record => {
    const condition = sameCondition(record.deviceExternalId, record.name)
    if (!isDerived(record) || condition === null) return true
    const over = record.status === 'active' && (ended.get(condition) ?? '') >= record.startedAt
    return !open.has(condition) && !over
  })
}

/** When the platform's own alerts of these conditions ended last. */
async function lastEnds(
  db: Db,
  t: Tables,
  connectionId: string,
  derived: NormalAlert[]
): Promise<Map<string | null, string>> {
  const devices = derived.flatMap(alert => alert.deviceExternalId ?? [])
  const { rows } = await sql<{ device_external_id: string; name: string; resolved_at: unknown }>`
    select device_external_id, name, resolved_at from ${t.alert}
    where connection_id = ${connectionId} and status = 'resolved' and device_external_id = any(${devices}::text[])
      and details->'derived' is null and resolved_at is not null order by resolved_at`.execute(db)
  return new Map(rows.map(row => [sameCondition(row.device_external_id, row.name), iso(row.resolved_at)]))
}
