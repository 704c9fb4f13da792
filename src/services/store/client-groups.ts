import { sql } from 'kysely'
import type { GroupLink } from '../model/index.ts'
import type { Database, Db, Tables } from './database.ts'
import { observed } from './observed.ts'
import { numberOrNull } from './values.ts'

type LinkRow = Omit<GroupLink, 'missingSince'> & { missingSince: string | null }

/**
 * What is known of a connection's groups: the clients' links, and what an operator has decided by hand (null:
 * excluded). One statement.
 */
export async function readGroups(
  { db, t }: Database,
  connectionId: string
): Promise<{ links: GroupLink[]; mappings: Map<string, string | null> }> {
  const { rows } = await sql<{ links: LinkRow[]; mappings: Array<{ id: string; client: string | null }> }>`
    select (select coalesce(jsonb_agg(jsonb_build_object('clientRef', client_ref, 'externalId', external_id, 'name', name, 'clientName', client_name, 'server', server, 'missingSince', missing_since)), '[]')
        from ${t.client_group} where connection_id = ${connectionId}) as links,
      (select coalesce(jsonb_agg(jsonb_build_object('id', external_id, 'client', case when mode = 'mapped' then client_ref end)), '[]')
        from ${t.organization} where connection_id = ${connectionId} and mode <> 'inherit' and mapped_by is distinct from 'device-group' and removed_at is null) as mappings`.execute(
    db
  )
  const { links, mappings } = rows[0]!
  return {
    links: links.map(link => ({
      ...link,
      missingSince: link.missingSince === null ? null : new Date(link.missingSince)
    })),
    mappings: new Map(mappings.map(({ id, client }) => [id, client]))
  }
}

/** The group of one client, or null. */
export async function readLink(
  { db, t }: Database,
  connectionId: string,
  clientRef: string
): Promise<{ externalId: string } | null> {
  const { rows } = await sql<{
    externalId: string
  }>`select external_id as "externalId" from ${t.client_group} where connection_id = ${connectionId} and client_ref = ${clientRef}`.execute(
    db
  )
  return rows[0] ?? null
}

export interface NewLink extends Omit<GroupLink, 'missingSince'> {
  /** The group's name as the platform has just confirmed it. */
  confirmed: string
}

/**
 * Stores links and maps each group's organization to its client, unless a person has decided otherwise. A name it
 * did not have is a reason for the next sync to look at it anew. What the client held before is let go, and so is
 * what another client's stored link says about the same group: the plan has seen that it no longer holds.
 */
export async function writeLinks(
  trx: Db,
  t: Tables,
  connection: { tenantId: string; connectionId: string },
  links: NewLink[],
  at: Date
): Promise<void> {
  if (links.length === 0) return
  const { tenantId, connectionId } = connection
  const records = sql`jsonb_to_recordset(${JSON.stringify(links)}::jsonb) as x("clientRef" text, "externalId" text, name text, "clientName" text, server text, confirmed text)`
  await sql`delete from ${t.client_group} g using ${records} where g.connection_id = ${connectionId} and g.external_id = x."externalId" and g.client_ref <> x."clientRef"`.execute(
    trx
  )
  await sql`insert into ${t.client_group} as g (tenant_id, connection_id, client_ref, external_id, name, client_name, server)
    select ${tenantId}, ${connectionId}::uuid, x."clientRef", x."externalId", x.name, x."clientName", x.server from ${records} order by x."clientRef"
    on conflict (connection_id, client_ref) do update set external_id = excluded.external_id, name = excluded.name, client_name = excluded.client_name, server = excluded.server,
      missing_since = null, updated_at = now()`.execute(trx)
  await sql`insert into ${t.organization} as o (tenant_id, connection_id, external_id, name, path, mode, client_ref, mapped_by, hash, observed_at)
    select ${tenantId}, ${connectionId}::uuid, x."externalId", x.confirmed, x.confirmed, 'mapped', x."clientRef", 'device-group', '', ${at.toISOString()}::timestamptz from ${records} order by x."externalId"
    on conflict (connection_id, external_id) do update set mode = case when o.mode = 'inherit' then 'mapped' else o.mode end,
      client_ref = case when o.mode = 'inherit' or o.mapped_by = 'device-group' then excluded.client_ref else o.client_ref end,
      mapped_by = case when o.mode = 'inherit' then 'device-group' else o.mapped_by end, name = excluded.name, hash = case when o.name = excluded.name then o.hash else '' end,
      observed_at = greatest(${observed(sql`o.observed_at`)}, excluded.observed_at), removed_at = null, updated_at = now()
    where o.mode = 'inherit' or o.name <> excluded.name or o.removed_at is not null
      or (o.mapped_by = 'device-group' and o.client_ref is distinct from excluded.client_ref)`.execute(trx)
}

/** Groups that a healthy list did not show (`since` stays what it was), or shows again. */
export async function markMissing(
  { db, t }: Database,
  connectionId: string,
  missing: string[],
  seen: string[],
  at: Date
): Promise<void> {
  if (missing.length + seen.length === 0) return
  await sql`update ${t.client_group} set missing_since = case when client_ref = any(${missing}::text[]) then coalesce(missing_since, ${at.toISOString()}::timestamptz) end, updated_at = now()
    where connection_id = ${connectionId} and client_ref = any(${[...missing, ...seen]}::text[])`.execute(db)
}

/** The names of a connection's organizations that are there, as they were last read. */
export async function storedNames(
  { db, t }: Database,
  connectionId: string
): Promise<Array<{ id: string; name: string }>> {
  const { rows } = await sql<{
    id: string
    name: string
  }>`select external_id as id, name from ${t.organization} where connection_id = ${connectionId} and removed_at is null`.execute(
    db
  )
  return rows
}

/** Devices per group: what an operator wants to know before touching one. */
export async function devicesPerGroup({ db, t }: Database, connectionId: string): Promise<Map<string, number>> {
  const { rows } = await sql<{
    external_id: string
    devices: string | number
  }>`select organization_external_id as external_id, count(*) as devices from ${t.device}
    where connection_id = ${connectionId} and removed_at is null and organization_external_id is not null group by 1`.execute(
    db
  )
  return new Map(rows.map(row => [row.external_id, numberOrNull(row.devices)!]))
}
