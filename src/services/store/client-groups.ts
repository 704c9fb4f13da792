import { sql } from 'kysely'
import type { GroupLink } from '../group-plan.ts'
import type { Database, Db, Tables } from './database.ts'
import { numberOrNull } from './values.ts'

export async function readLinks ({ db, t }: Database, connectionId: string): Promise<GroupLink[]> {
  const { rows } = await sql<{ client_ref: string, external_id: string, name: string, client_name: string, missing_since: unknown }>`
    select client_ref, external_id, name, client_name, missing_since from ${t.client_group} where connection_id = ${connectionId}`.execute(db)
  return rows.map(row => ({ clientRef: row.client_ref, externalId: row.external_id, name: row.name, clientName: row.client_name, missingSince: row.missing_since === null ? null : new Date(row.missing_since as string) }))
}

export interface NewLink { clientRef: string, externalId: string, name: string, clientName: string }

/**
 * Stores links and maps each group's organization to its client, unless an operator has mapped it otherwise.
 * A group that this client held before is let go; one that another client holds stays with that client (unique index).
 */
export async function writeLinks (trx: Db, t: Tables, connection: { tenantId: string, connectionId: string }, links: NewLink[]): Promise<void> {
  if (links.length === 0) return
  const records = sql`jsonb_to_recordset(${JSON.stringify(links)}::jsonb) as x("clientRef" text, "externalId" text, name text, "clientName" text)`
  await sql`insert into ${t.client_group} as g (tenant_id, connection_id, client_ref, external_id, name, client_name)
    select ${connection.tenantId}, ${connection.connectionId}::uuid, x."clientRef", x."externalId", x.name, x."clientName" from ${records} order by x."clientRef"
    on conflict (connection_id, client_ref) do update set external_id = excluded.external_id, name = excluded.name, client_name = excluded.client_name, missing_since = null, updated_at = now()`.execute(trx)
  await sql`insert into ${t.organization} as o (tenant_id, connection_id, external_id, name, path, mode, client_ref, hash, observed_at)
    select ${connection.tenantId}, ${connection.connectionId}::uuid, x."externalId", x.name, x.name, 'mapped', x."clientRef", '', now() from ${records} order by x."externalId"
    on conflict (connection_id, external_id) do update set mode = 'mapped', client_ref = excluded.client_ref, removed_at = null, updated_at = now() where o.mode = 'inherit'`.execute(trx)
}

export async function markMissing ({ db, t }: Database, connectionId: string, clientRefs: string[], at: Date | null): Promise<void> {
  await sql`update ${t.client_group} set missing_since = ${at === null ? sql`null` : sql`coalesce(missing_since, ${at.toISOString()}::timestamptz)`}, updated_at = now()
    where connection_id = ${connectionId} and client_ref = any(${clientRefs}::text[])`.execute(db)
}

/** Devices per group: what an operator wants to know before touching one. */
export async function devicesPerGroup ({ db, t }: Database, connectionId: string): Promise<Map<string, number>> {
  const { rows } = await sql<{ external_id: string, devices: string | number }>`select organization_external_id as external_id, count(*) as devices from ${t.device}
    where connection_id = ${connectionId} and removed_at is null and organization_external_id is not null group by 1`.execute(db)
  return new Map(rows.map(row => [row.external_id, numberOrNull(row.devices)!]))
}

/** What a provider's server is remembered by; a change means that the ids of before say nothing. */
export async function rememberServer ({ db, t }: Database, connectionId: string, server: string): Promise<void> {
  await sql`update ${t.connection} set state = state || ${JSON.stringify({ server })}::jsonb where id = ${connectionId} and state->>'server' is distinct from ${server}`.execute(db)
}
