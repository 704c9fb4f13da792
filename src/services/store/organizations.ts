import { sql } from 'kysely'
import type { CountedQuery, List, MappingChange, Organization } from '../../types.ts'
import { assign, type Assignment, type NormalOrganization, placeAll, type TreeNode } from '../model/index.ts'
import { all, limitOf, readCursor, toList, withTotal } from './cursor.ts'
import type { Database, Db, Tables } from './database.ts'
import type { DeviceChange, MergeContext } from './devices/shapes.ts'
import { type DeviceRow, deviceFrom, deviceSelect, toDevice } from './devices/rows.ts'
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
  removed_at: unknown
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
    mapping: { mode: row.mode, clientRef: row.client_ref, by: row.mapped_by },
    effectiveClientRef: row.effective_client_ref,
    autoSync: row.auto_sync,
    removedAt: isoOrNull(row.removed_at)
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

/** Every organization that is there, without counts: for suggestions. */
export async function organizationNames(
  { db, t }: Database,
  tenantId: string,
  connectionId: string
): Promise<Array<{ id: string; name: string; path: string; mode: string }>> {
  const { rows } = await sql<{
    id: string
    name: string
    path: string
    mode: string
  }>`select id, name, path, mode from ${t.organization}
    where tenant_id = ${tenantId} and connection_id = ${connectionId} and removed_at is null order by path, id`.execute(
    db
  )
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
      updated_at = now()
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

/** Merges one page of organizations; the mapping, which is the operator's, is never touched. */
export async function mergeOrganizations(
  trx: Db,
  t: Tables,
  context: MergeContext,
  records: NormalOrganization[]
): Promise<OrganizationMerge> {
  const { rows } = await sql<{ differing: number; written: number; created: number }>`
    with differing as materialized (
      select x.* from jsonb_to_recordset(${JSON.stringify(records)}::jsonb) as x("externalId" text, name text, "parentExternalId" text, "parentTold" boolean, "deviceCount" int, "descendantDeviceCount" int, hash text, "observedAt" timestamptz)
      where not exists (select 1 from ${t.organization} e where e.connection_id = ${context.connectionId} and e.external_id = x."externalId" and e.hash = x.hash and e.removed_at is null)
    ), written as (
    insert into ${t.organization} as o (tenant_id, connection_id, external_id, name, parent_external_id, device_count, descendant_device_count, hash, observed_at)
    select ${context.tenantId}, ${context.connectionId}::uuid, x."externalId", x.name,
      case when x."parentTold" then x."parentExternalId" else (select e.parent_external_id from ${t.organization} e where e.connection_id = ${context.connectionId} and e.external_id = x."externalId") end,
      x."deviceCount", x."descendantDeviceCount", x.hash, x."observedAt"
    from differing x
    where not exists (select 1 from ${t.page} p where p.connection_id = ${context.connectionId} and p.resource = 'organizations' and p.observed_at > x."observedAt" and p.observed_at <= ${present} and x."externalId" = any(p.seen))
    order by x."externalId"
    on conflict (connection_id, external_id) do update set name = excluded.name, parent_external_id = excluded.parent_external_id,
      device_count = excluded.device_count, descendant_device_count = excluded.descendant_device_count, hash = excluded.hash,
      observed_at = excluded.observed_at, removed_at = null, updated_at = now()
    where ${observed(sql`o.observed_at`)} <= excluded.observed_at
    returning (xmax = 0) as created)
    select (select count(*)::int from differing) as differing, (select count(*)::int from written) as written,
      (select count(*)::int from written where created) as created`.execute(trx)
  const { differing, written, created } = rows[0]!
  return { created, updated: written - created, unchanged: records.length - differing, older: differing - written }
}

/**
 * Recomputes paths and clients of the whole tree and writes what changed. Returns the external ids of the
 * organizations whose devices may belong elsewhere now. Everything it needs is in the database: no call to the
 * platform.
 */
export async function placeTree(trx: Db, t: Tables, connectionId: string): Promise<Set<string>> {
  const { rows } = await sql<OrganizationRow & { assignment: Assignment }>`
    select id, external_id, name, parent_external_id, path, depth, mode, client_ref, auto_sync, assignment, effective_client_ref, removed_at
    from ${t.organization} where connection_id = ${connectionId}`.execute(trx)
  const placed = placeAll(
    rows.map(
      (row): TreeNode => ({
        externalId: row.external_id,
        parentExternalId: row.parent_external_id,
        name: row.name,
        mode: row.mode,
        clientRef: row.client_ref,
        autoSync: row.auto_sync,
        removed: row.removed_at !== null
      })
    )
  )
  const pairs = rows.map(row => ({ row, to: placed.get(row.external_id)! }))
  const decided = pairs.filter(
    ({ row, to }) => row.assignment !== to.assignment || row.effective_client_ref !== to.effectiveClientRef
  )
  const moved = pairs.filter(({ row, to }) => row.path !== to.path || Number(row.depth) !== to.depth)
  const written = [...new Set([...decided, ...moved])]
  if (written.length > 0) {
    await sql`update ${t.organization} o set path = x.path, depth = x.depth, assignment = x.assignment, effective_client_ref = x."effectiveClientRef"
      from jsonb_to_recordset(${JSON.stringify(written.map(({ row, to }) => ({ id: row.id, ...to })))}::jsonb) as x(id uuid, path text, depth int, assignment text, "effectiveClientRef" text)
      where o.id = x.id`.execute(trx)
  }
  return new Set(decided.map(({ row }) => row.external_id))
}

/**
 * Moves every device whose organization now says something else about its client. In the organizations of `decided`
 * the operator has just decided: there devices follow whatever the move policy, which is about the platform's
 * decisions.
 */
export async function reassignDevices(
  trx: Db,
  t: Tables,
  context: MergeContext,
  decided: ReadonlySet<string> = new Set()
): Promise<DeviceChange[]> {
  const { rows } = await sql<DeviceRow & { target: Assignment; target_client: string | null; assignment: Assignment }>`
    select ${deviceSelect}, coalesce(o.assignment, 'unmapped') as target, case when o.assignment = 'mapped' then o.effective_client_ref end as target_client
    from ${deviceFrom(t)} left join ${t.organization} o on o.connection_id = d.connection_id and o.external_id = d.organization_external_id and o.removed_at is null
    where d.connection_id = ${context.connectionId} and d.removed_at is null and (d.assignment <> coalesce(o.assignment, 'unmapped')
      or (coalesce(o.assignment, 'unmapped') <> 'held' and d.client_ref is distinct from case when o.assignment = 'mapped' then o.effective_client_ref end))
    order by d.external_id`.execute(trx)
  const assigned = rows
    .map(row => {
      const policy = decided.has(row.organization_external_id ?? '') ? 'follow' : context.movePolicy
      return {
        row,
        to: assign(
          { clientRef: row.client_ref, assignment: row.assignment, assetRef: row.asset_ref },
          { clientRef: row.target_client, assignment: row.target },
          policy
        )
      }
    })
    .filter(({ row, to }) => row.client_ref !== to.clientRef || row.assignment !== to.assignment)
  if (assigned.length === 0) return []
  await sql`update ${t.device} d set client_ref = x.client_ref, assignment = x.assignment, updated_at = now()
    from jsonb_to_recordset(${JSON.stringify(assigned.map(({ row, to }) => ({ id: row.id, client_ref: to.clientRef, assignment: to.assignment })))}::jsonb) as x(id uuid, client_ref text, assignment text)
    where d.id = x.id`.execute(trx)
  return assigned.flatMap(({ row, to }): DeviceChange[] => {
    // What happened to a device while it was held was kept from the host; now it has to be told.
    const change = to.change ?? (row.assignment === 'held' && to.clientRef !== null ? 'updated' : null)
    return change === null
      ? []
      : [
          {
            change,
            device: toDevice({
              ...row,
              client_ref: to.clientRef,
              assignment: to.assignment,
              updated_at: row['read_at']
            })
          }
        ]
  })
}
