import { sql } from 'kysely'
import type { Database } from './database.ts'

/** Whose values: those brought with other config or secrets are none. */
export interface SessionOwner {
  connectionId: string
  revision: number
}

export async function readSessionValue(
  { db, t }: Database,
  { connectionId, revision }: SessionOwner,
  key: string
): Promise<string | null> {
  const { rows } = await sql<{ sealed: string }>`select sealed from ${t.session_value}
    where connection_id = ${connectionId} and key = ${key} and revision = ${revision}
      and (expires_at is null or expires_at > now())`.execute(db)
  return rows[0]?.sealed ?? null
}

/** Only while the connection is at this revision: what comes late belongs to nobody. */
export async function writeSessionValue(
  { db, t }: Database,
  { connectionId, revision }: SessionOwner,
  key: string,
  sealed: string,
  expiresInMs: number | undefined
): Promise<void> {
  await sql`insert into ${t.session_value} (connection_id, key, revision, sealed, expires_at)
    select id, ${key}, revision, ${sealed}, now() + ${expiresInMs ?? null}::float8 * interval '1 millisecond'
    from ${t.connection} where id = ${connectionId} and revision = ${revision} and sealed_secrets is not null
    on conflict (connection_id, key) do update
      set revision = excluded.revision, sealed = excluded.sealed, expires_at = excluded.expires_at`.execute(db)
}

export async function deleteSessionValue(
  { db, t }: Database,
  { connectionId, revision }: SessionOwner,
  key: string
): Promise<void> {
  await sql`delete from ${t.session_value}
    where connection_id = ${connectionId} and key = ${key} and revision = ${revision}`.execute(db)
}

export interface SessionValueRow {
  connection_id: string
  tenant_id: string
  key: string
  sealed: string
}

/** Those of all connections that are not over, a portion at a time, in order of their connections and keys. */
export async function sessionValues(
  { db, t }: Database,
  {
    after,
    limit,
    tenantId
  }: { after: Pick<SessionValueRow, 'connection_id' | 'key'> | null; limit: number; tenantId: string | null }
): Promise<SessionValueRow[]> {
  const { rows } = await sql<SessionValueRow>`select v.connection_id, c.tenant_id, v.key, v.sealed
    from ${t.session_value} v join ${t.connection} c on c.id = v.connection_id and c.revision = v.revision
    where (v.expires_at is null or v.expires_at > now())
      ${tenantId === null ? sql`` : sql`and c.tenant_id = ${tenantId}`}
      ${after === null ? sql`` : sql`and (v.connection_id, v.key) > (${after.connection_id}::uuid, ${after.key})`}
    order by v.connection_id, v.key limit ${limit}`.execute(db)
  return rows
}

/** Puts another sealed text in the place of one, if that is still there. */
export async function replaceSessionValue(
  { db, t }: Database,
  { connection_id, key, sealed }: SessionValueRow,
  to: string
): Promise<boolean> {
  const { rows } = await sql`update ${t.session_value} set sealed = ${to}
    where connection_id = ${connection_id} and key = ${key} and sealed = ${sealed} returning key`.execute(db)
  return rows.length > 0
}
