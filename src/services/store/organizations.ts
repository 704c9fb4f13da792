import { sql } from 'kysely'
import type { CountedQuery, List, MappingChange, Organization } from '../../types.ts'
import type { NormalOrganization } from '../model/index.ts'
import { all, limitOf, readCursor, toList, withTotal } from './cursor.ts'
import { logColumns, logValues } from './changes.ts'
import type { Database, Db, Tables } from './database.ts'
import type { MergeContext } from './devices/shapes.ts'
import { observed, present } from './observed.ts'
import { isId, isoOrNull, numberOrNull } from './values.ts'

interface OrganizationRow {
  id: string
  external_id: string
  name: string
  parent_external_id: string | null
  path: string
  depth: number
  device_count: number | null
  descendant_device_count: number | null
  own_devices: number | string
  mode: 'inherit' | 'mapped' | 'excluded'
  client_ref: string | null
  mapped_by: 'operator' | 'device-group' | null
  effective_client_ref: string | null
  auto_sync: boolean
  broken: boolean
  removed_at: unknown
  out_of_sight_since: unknown
}

function toOrganization(row: OrganizationRow): Organization {
  const own = numberOrNull(row.device_count) ?? Number(row.own_devices)
  return {
    id: row.id,
    externalId: row.external_id,
    name: row.name,
    parentExternalId: row.parent_external_id,
    path: row.path,
    depth: Number(row.depth),
    deviceCount: own,
    descendantDeviceCount: numberOrNull(row.descendant_device_count) ?? own,
    mapping: { mode: row.mode, clientRef: row.client_ref, by: row.mapped_by, status: row.broken ? 'broken' : 'ok' },
    effectiveClientRef: row.effective_client_ref,
    autoSync: row.auto_sync,
    removedAt: isoOrNull(row.removed_at),
    outOfSightSince: isoOrNull(row.out_of_sight_since)
  }
}

/** Where the platform tells no counts, our own inventory does. */
function select(t: Tables) {
  return sql`select o.*, case when o.device_count is null then (select count(*) from ${t.device} d
    where d.connection_id = o.connection_id and d.organization_external_id = o.external_id and d.removed_at is null) else 0 end as own_devices
    from ${t.organization} o`
}

export async function listOrganizations(
  { db, t }: Database,
  tenantId: string,
  connectionId: string,
  query?: CountedQuery
): Promise<List<Organization>> {
  const limit = limitOf(query)
  const after = readCursor(query?.cursor, ['id'])
  const conditions = [sql`o.tenant_id = ${tenantId}`, sql`o.connection_id = ${connectionId}`]
  const { rows } = await sql<OrganizationRow>`${select(t)} where ${all(conditions)}
    ${after === null ? sql`` : sql`and (o.path, o.id) > (select path, id from ${t.organization} where id = ${after[0]} and tenant_id = ${tenantId})`}
    order by o.path, o.id limit ${limit + 1}`.execute(db)
  const list = toList(rows, limit, toOrganization, row => [row.id])
  return await withTotal(db, query, list, sql`${t.organization} o`, conditions)
}

export async function findOrganizations(
  db: Db,
  t: Tables,
  tenantId: string,
  connectionId: string,
  ids: string[]
): Promise<Organization[]> {
  const { rows } = await sql<OrganizationRow>`${select(t)}
    where o.tenant_id = ${tenantId} and o.connection_id = ${connectionId} and o.id = any(${ids.filter(isId)}::uuid[])`.execute(
    db
  )
  return rows.map(toOrganization)
}

/** Organizations that nobody has decided about, in the order of their paths; for suggestions. */
export async function openOrganizations(
  { db, t }: Database,
  tenantId: string,
  connectionId: string,
  from: { path: string; id: string; including: boolean } | null,
  limit: number
): Promise<Array<{ id: string; name: string; path: string }>> {
  const after =
    from === null ? sql`` : sql`and (path, id) ${from.including ? sql`>=` : sql`>`} (${from.path}, ${from.id}::uuid)`
  const { rows } = await sql<{ id: string; name: string; path: string }>`select id, name, path from ${t.organization}
    where tenant_id = ${tenantId} and connection_id = ${connectionId} and removed_at is null and mode = 'inherit' ${after}
    order by path, id limit ${limit}`.execute(db)
  return rows
}

export async function changeMappings(
  trx: Db,
  t: Tables,
  connectionId: string,
  changes: Array<{ organizationId: string } & MappingChange>
): Promise<void> {
  const json = JSON.stringify(changes.map(change => ({ ...change, setClient: change.clientRef !== undefined })))
  await sql`update ${t.organization} o set mode = coalesce(x.mode, o.mode), auto_sync = coalesce(x."autoSync", o.auto_sync),
      client_ref = case when x."setClient" then x."clientRef" else o.client_ref end,
      mapped_by = case when coalesce(x.mode, o.mode) = 'inherit' then null when x.mode is null and not x."setClient" then o.mapped_by else 'operator' end,
      broken = case when x.mode is null and not x."setClient" then o.broken else false end, updated_at = now()
    from jsonb_to_recordset(${json}::jsonb) as x("organizationId" uuid, mode text, "clientRef" text, "setClient" boolean, "autoSync" boolean)
    where o.id = x."organizationId" and o.connection_id = ${connectionId}`.execute(trx)
}

export interface OrganizationMerge {
  created: number
  updated: number
  unchanged: number
  /** Records that say something else than what is stored, but are older. */
  older: number
}

/**
 * Merges one page of organizations; the mapping, which is the operator's, is never touched. `server`: the installation
 * they are of, where the platform tells.
 */
export async function mergeOrganizations(
  trx: Db,
  t: Tables,
  context: MergeContext,
  records: NormalOrganization[],
  server: string | null = null
): Promise<OrganizationMerge> {
  const { rows } = await sql<{ differing: number; written: number; created: number }>`
    with differing as materialized (
      select x.* from jsonb_to_recordset(${JSON.stringify(records)}::jsonb) as x("externalId" text, name text, "parentExternalId" text, "parentTold" boolean, "deviceCount" int, "descendantDeviceCount" int, hash text, "observedAt" timestamptz)
      where not exists (select 1 from ${t.organization} e where e.connection_id = ${context.connectionId} and e.external_id = x."externalId" and e.hash = x.hash and e.removed_at is null and e.out_of_sight_since is null
          and e.server is not distinct from coalesce(${server}, e.server))
    ), written as (
    insert into ${t.organization} as o (tenant_id, connection_id, external_id, name, parent_external_id, device_count, descendant_device_count, server, hash, observed_at)
    select ${context.tenantId}, ${context.connectionId}::uuid, x."externalId", x.name,
      case when x."parentTold" then x."parentExternalId" else (select e.parent_external_id from ${t.organization} e where e.connection_id = ${context.connectionId} and e.external_id = x."externalId") end,
      x."deviceCount", x."descendantDeviceCount", ${server}, x.hash, x."observedAt"
    from differing x
    where not exists (select 1 from ${t.page} p where p.connection_id = ${context.connectionId} and p.resource = 'organizations' and p.observed_at > x."observedAt" and p.observed_at <= ${present} and x."externalId" = any(p.seen))
    order by x."externalId"
    on conflict (connection_id, external_id) do update set name = excluded.name, parent_external_id = excluded.parent_external_id,
      device_count = excluded.device_count, descendant_device_count = excluded.descendant_device_count, hash = excluded.hash,
      server = coalesce(excluded.server, o.server), observed_at = excluded.observed_at, removed_at = null, out_of_sight_since = null, updated_at = now()
    where ${observed(sql`o.observed_at`)} <= excluded.observed_at
    returning o.id, o.external_id, o.name, o.parent_external_id, o.client_ref, (xmax = 0) as created
    ), known as (select e.external_id, e.name, e.parent_external_id, e.removed_at from ${t.organization} e join differing x on x."externalId" = e.external_id where e.connection_id = ${context.connectionId}
    ), logged as (insert into ${t.change} (${logColumns}, entity, entity_id, external_id, display_name, client_ref, kind, changed)
      select ${logValues(trx, context)}, 'organization', w.id, w.external_id, w.name, w.client_ref, case when w.created then 'create' when k.removed_at is not null then 'revive' else 'update' end,
        case when w.created then '[]' else f.fields end
      from written w left join known k on k.external_id = w.external_id, lateral (select coalesce(jsonb_agg(jsonb_build_object('field', v.field, 'from', v.a, 'to', v.b)), '[]') as fields
        from (values ('name', k.name, w.name), ('parentExternalId', k.parent_external_id, w.parent_external_id)) v(field, a, b) where v.a is distinct from v.b) f
      where w.created or k.removed_at is not null or f.fields <> '[]')
    select (select count(*)::int from differing) as differing, (select count(*)::int from written) as written,
      (select count(*)::int from written where created) as created`.execute(trx)
  const { differing, written, created } = rows[0]!
  return { created, updated: written - created, unchanged: records.length - differing, older: differing - written }
}
