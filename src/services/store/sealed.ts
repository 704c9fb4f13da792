import { sql } from 'kysely'
import type { Database } from './database.ts'

/** The columns that hold sealed values, by what their values are sealed for. */
export const sealedColumns = {
  sealed_secrets: 'connection',
  hook_secret: 'hook',
  hook_secret_previous: 'hook'
} as const
export type SealedColumn = keyof typeof sealedColumns

/** A connection's sealed values; config is what its secrets belong to. */
export interface SealedRow extends Record<SealedColumn, string | null> {
  id: string
  tenant_id: string
  config: Record<string, unknown>
}

/** Connections that have sealed values, of one tenant or of all (null), a portion at a time, in order of their ids. */
export async function sealedRows(
  { db, t }: Database,
  { after, limit, tenantId }: { after: string | null; limit: number; tenantId: string | null }
): Promise<SealedRow[]> {
  const { rows } = await sql<SealedRow>`select id, tenant_id, config, sealed_secrets, hook_secret, hook_secret_previous
    from ${t.connection} where coalesce(sealed_secrets, hook_secret, hook_secret_previous) is not null
    ${tenantId === null ? sql`` : sql`and tenant_id = ${tenantId}`} ${after === null ? sql`` : sql`and id > ${after}::uuid`} order by id limit ${limit}`.execute(
    db
  )
  return rows
}

/** Puts another sealed text in the place of one, if that is still there. */
export async function replaceSealed(
  { db, t }: Database,
  id: string,
  column: SealedColumn,
  from: string,
  to: string
): Promise<boolean> {
  const { rows } = await sql`update ${t.connection} set ${sql.ref(column)} = ${to}
    where id = ${id} and ${sql.ref(column)} = ${from} returning id`.execute(db)
  return rows.length > 0
}

/** Forgets replaced webhook secrets that are not accepted any more: of one connection, or of all. */
export async function clearExpiredHookSecrets({ db, t }: Database, id?: string): Promise<number> {
  const { rows } = await sql`update ${t.connection} set hook_secret_previous = null, hook_previous_until = null
    where hook_secret_previous is not null and (hook_previous_until is null or hook_previous_until <= now())
    ${id === undefined ? sql`` : sql`and id = ${id}`} returning id`.execute(db)
  return rows.length
}
