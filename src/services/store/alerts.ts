import { sql } from 'kysely'
import type { Alert, AlertFilter, ChangeBatch, CountedQuery, List } from '../../types.ts'
import { type NormalAlert, stableJson } from '../model/index.ts'
import { all, limitOf, readCursor, toList, withTotal } from './cursor.ts'
import type { Database, Db, Tables } from './database.ts'
import { adoptDerived, type KnownAlert, withoutTwins } from './derived-alerts.ts'
import type { MergeContext } from './devices/shapes.ts'
import { type Pass, passesOf, seenSince } from './devices/passes.ts'
import { observed, present } from './observed.ts'
import { isId, iso, isoOrNull } from './values.ts'

export type AlertChange = ChangeBatch['alerts'][number]

interface AlertRow {
  id: string
  connection_id: string
  external_id: string
  device_id: string | null
  device_external_id: string | null
  device_name: string | null
  client_ref: string | null
  asset_ref: string | null
  assignment: string | null
  origin: Alert['origin']
  name: string
  description: string | null
  severity: Alert['severity']
  provider_severity: string | null
  status: Alert['status']
  started_at: unknown
  resolved_at: unknown
}

/** A device that is held is still its client's. */
function assignmentOf({ device_id, assignment, client_ref }: AlertRow): Alert['assignment'] {
  if (device_id === null) return 'none'
  if (assignment === 'excluded') return 'excluded'
  return client_ref === null ? 'unmapped' : 'mapped'
}

export function toAlert(row: AlertRow): Alert {
  return {
    id: row.id,
    connectionId: row.connection_id,
    externalId: row.external_id,
    deviceId: row.device_id,
    deviceExternalId: row.device_external_id,
    deviceName: row.device_name,
    clientRef: row.client_ref,
    assetRef: row.asset_ref,
    assignment: assignmentOf(row),
    origin: row.origin,
    name: row.name,
    description: row.description,
    severity: row.severity,
    providerSeverity: row.provider_severity,
    status: row.status,
    startedAt: iso(row.started_at),
    resolvedAt: isoOrNull(row.resolved_at)
  }
}

/** The device is found by its external id when asked, so an alert may arrive before its device. */
function select(t: Tables) {
  return sql`select a.*, d.id as device_id, d.display_name as device_name, d.client_ref, d.asset_ref, d.assignment from ${from(t)}`
}

function from(t: Tables) {
  return sql`${t.alert} a left join ${t.device} d on d.connection_id = a.connection_id and d.external_id = a.device_external_id`
}

export async function listAlerts(
  { db, t }: Database,
  tenantId: string,
  query: CountedQuery & AlertFilter = {}
): Promise<List<Alert>> {
  const limit = limitOf(query)
  const after = readCursor(query.cursor, ['time', 'id'])
  const conditions = [sql<unknown>`a.tenant_id = ${tenantId}`]
  if (query.connectionId !== undefined)
    conditions.push(isId(query.connectionId) ? sql`a.connection_id = ${query.connectionId}` : sql`false`)
  if (query.deviceId !== undefined) conditions.push(isId(query.deviceId) ? sql`d.id = ${query.deviceId}` : sql`false`)
  if (query.status !== undefined) conditions.push(sql`a.status = ${query.status}`)
  if (query.severity !== undefined) conditions.push(sql`a.severity = ${query.severity}`)
  const rest = after === null ? [] : [sql`(a.started_at, a.id) < (${after[0]}::timestamptz, ${after[1]}::uuid)`]
  const { rows } = await sql<AlertRow>`${select(t)} where ${all([...conditions, ...rest])}
    order by a.started_at desc, a.id desc limit ${limit + 1}`.execute(db)
  const list = toList(rows, limit, toAlert, row => [iso(row.started_at), row.id])
  return await withTotal(db, query, list, from(t), conditions)
}

export async function findAlert({ db, t }: Database, tenantId: string, id: string): Promise<Alert | null> {
  if (!isId(id)) return null
  const { rows } = await sql<AlertRow>`${select(t)} where a.id = ${id} and a.tenant_id = ${tenantId}`.execute(db)
  return rows[0] ? toAlert(rows[0]) : null
}

/**
 * Merges alerts; a late record never overwrites a newer row, and a resolved alert stays resolved until a newer read
 * says otherwise. Open derived alerts go over to the platform's own ones. `counted.older` counts those that say something
 * else than what is stored, but are older.
 */
export async function mergeAlerts(
  trx: Db,
  t: Tables,
  context: MergeContext,
  given: NormalAlert[],
  counted: { older: number } = { older: 0 }
): Promise<AlertChange[]> {
  const records = await withoutTwins(trx, t, context.connectionId, given)
  const before =
    await sql<KnownAlert>`select a.id, a.external_id, a.status, a.hash, a.device_external_id, a.name, a.started_at, a.details->'derived' is not null as derived from ${t.alert} a
    where a.connection_id = ${context.connectionId} and (a.external_id = any(${records.map(record => record.externalId)}::text[]) or (a.status = 'active' and a.details->'derived' is not null))`.execute(
      trx
    )
  const known = new Map(before.rows.map(row => [row.external_id, row]))
  const ended = await adoptDerived(trx, t, known, records)
  const written = await sql<{ id: string; external_id: string }>`
    insert into ${t.alert} as a (tenant_id, connection_id, external_id, device_external_id, name, description, severity, provider_severity, status, started_at, resolved_at, details, hash, observed_at, origin)
    select ${context.tenantId}, ${context.connectionId}::uuid, x."externalId", x."deviceExternalId", x.name, x.description, x.severity, x."providerSeverity", x.status, x."startedAt", x."resolvedAt", x.details, x.hash, x."observedAt", ${originOf(t, context)}
    from jsonb_to_recordset(${stableJson(records)}::jsonb) as x("externalId" text, "deviceExternalId" text, name text, description text, severity text, "providerSeverity" text, status text,
      "startedAt" timestamptz, "resolvedAt" timestamptz, details jsonb, hash text, "observedAt" timestamptz)
    where not exists (select 1 from ${t.alert} e where e.connection_id = ${context.connectionId} and e.external_id = x."externalId" and e.hash = x.hash)
      and not exists (select 1 from ${t.page} p where p.connection_id = ${context.connectionId} and p.resource = 'alerts' and p.observed_at > x."observedAt" and p.observed_at <= ${present} and x."externalId" = any(p.seen))
    order by x."externalId"
    on conflict (connection_id, external_id) do update set device_external_id = coalesce(excluded.device_external_id, a.device_external_id), name = excluded.name,
      description = coalesce(excluded.description, a.description), severity = excluded.severity, provider_severity = coalesce(excluded.provider_severity, a.provider_severity),
      status = excluded.status, started_at = case when a.status = 'resolved' and excluded.status = 'active' then excluded.started_at else least(excluded.started_at, a.started_at) end, resolved_at = excluded.resolved_at, details = excluded.details,
      hash = excluded.hash, observed_at = excluded.observed_at, updated_at = now()
    where ${observed(sql`a.observed_at`)} <= excluded.observed_at
    returning a.id, a.external_id`.execute(trx)
  const taken = new Set(written.rows.map(row => row.external_id))
  counted.older += records.filter(
    ({ externalId, hash }) => !taken.has(externalId) && (known.get(externalId)?.hash ?? hash) !== hash
  ).length
  const over = await endAlerts(trx, t, context, ended)
  if (written.rows.length === 0) return over
  const merged = (
    await readAlerts(
      trx,
      t,
      context,
      written.rows.map(row => row.id)
    )
  ).map((alert): AlertChange => {
    const was = known.get(alert.externalId)?.status
    if (alert.status === 'resolved') return { change: was === 'active' ? 'resolved' : 'updated', alert }
    return { change: was === 'active' ? 'updated' : 'triggered', alert }
  })
  // One that was over when it was first seen is no news to anybody.
  const isNews = ({ alert }: AlertChange) => alert.status === 'active' || known.has(alert.externalId)
  return [...over, ...merged.filter(isNews)]
}

/** Old news: what the first complete read of a connection's alerts finds. */
function originOf(t: Tables, { connectionId, by }: MergeContext) {
  if (by.cause === 'webhook') return sql`'webhook'`
  return sql`case when exists (select 1 from ${t.run} r where r.connection_id = ${connectionId}
    and r.progress @> '[{"resource": "alerts", "complete": true}]') then 'sweep' else 'backfill' end`
}

/** The open alerts of these devices, for a host that is given them again. */
export async function activeAlertsOf(
  trx: Db,
  t: Tables,
  context: MergeContext,
  deviceExternalIds: string[]
): Promise<AlertChange[]> {
  const { rows } =
    await sql<AlertRow>`${select(t)} where a.connection_id = ${context.connectionId} and a.status = 'active' and a.device_external_id = any(${deviceExternalIds}::text[]) order by a.started_at, a.id`.execute(
      trx
    )
  return rows.map(row => ({ change: 'handover', alert: toAlert(row) }))
}

async function endAlerts(trx: Db, t: Tables, context: MergeContext, ids: string[]): Promise<AlertChange[]> {
  if (ids.length === 0) return []
  await sql`update ${t.alert} set status = 'resolved', resolved_at = now(), hash = 'closed', updated_at = now() where id = any(${ids}::uuid[])`.execute(
    trx
  )
  return (await readAlerts(trx, t, context, ids)).map((alert): AlertChange => ({ change: 'resolved', alert }))
}

async function readAlerts(trx: Db, t: Tables, context: MergeContext, ids: string[]): Promise<Alert[]> {
  const { rows } =
    await sql<AlertRow>`${select(t)} where a.connection_id = ${context.connectionId} and a.id = any(${ids}::uuid[]) order by a.started_at, a.id`.execute(
      trx
    )
  return rows.map(toAlert)
}

/** Closes open alerts that the platform no longer knows, and that nobody saw since. */
export async function closeAlerts(
  trx: Db,
  t: Tables,
  context: MergeContext,
  externalIds: string[],
  observedAt: Date
): Promise<AlertChange[]> {
  const closed = await sql<{
    id: string
  }>`update ${t.alert} a set status = 'resolved', resolved_at = ${observedAt.toISOString()}::timestamptz, observed_at = ${observedAt.toISOString()}::timestamptz, hash = 'closed', updated_at = now()
    where a.connection_id = ${context.connectionId} and a.status = 'active' and a.external_id = any(${externalIds}::text[]) and ${observed(sql`a.observed_at`)} <= ${observedAt.toISOString()}::timestamptz
      and not ${seenSince(t, context.connectionId, 'alerts', sql`a.external_id`, observedAt)} returning a.id`.execute(
    trx
  )
  if (closed.rows.length === 0) return []
  return (
    await readAlerts(
      trx,
      t,
      context,
      closed.rows.map(row => row.id)
    )
  ).map((alert): AlertChange => ({ change: 'resolved', alert }))
}

/** A read beside the runs has no page that remembers what it saw unchanged: the row has to. */
export async function touchAlerts(
  trx: Db,
  t: Tables,
  context: MergeContext,
  externalIds: string[],
  observedAt: Date
): Promise<void> {
  await sql`update ${t.alert} a set observed_at = ${observedAt.toISOString()}::timestamptz
    where a.connection_id = ${context.connectionId} and a.external_id = any(${externalIds}::text[]) and ${observed(sql`a.observed_at`)} < ${observedAt.toISOString()}::timestamptz`.execute(
    trx
  )
}

/** Open alerts that a complete pass did not see. Derived ones are in no list of the platform. */
export async function unseenAlerts({ db, t }: Database, connectionId: string, pass: Pass): Promise<string[]> {
  const { rows } = await sql<{
    external_id: string
  }>`select a.external_id from ${t.alert} a where a.connection_id = ${connectionId} and a.status = 'active' and a.details->'derived' is null
    and ${observed(sql`a.observed_at`)} < ${pass.startedAt.toISOString()}::timestamptz
    and not exists (select 1 from ${t.page} p where p.pass_id = any(${passesOf(pass)}::uuid[]) and a.external_id = any(p.seen)) order by a.external_id`.execute(
    db
  )
  return rows.map(row => row.external_id)
}
