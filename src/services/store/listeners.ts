import { sql } from 'kysely'
import type { Database, Db, Tables } from './database.ts'

/** Name of the lease of whoever listens to a connection. */
export const listenLease = (connectionId: string): string => `listen:${connectionId}`

/** What a process that listens, or tries to, says about it. */
export interface ListenerNote {
  connectionId: string
  worker: string
  /** Pushes arrive since now. */
  live: boolean
  /** Why they do not. */
  error: string | null
}

export async function noteListener({ db, t }: Database, note: ListenerNote): Promise<void> {
  await sql`insert into ${t.listener} (connection_id, tenant_id, worker, since, last_error)
    select c.id, c.tenant_id, ${note.worker}, ${note.live ? sql`now()` : sql`null`}, ${note.error} from ${t.connection} c where c.id = ${note.connectionId}
    on conflict (connection_id) do update set worker = excluded.worker, since = excluded.since, last_error = excluded.last_error, nudged_at = null`.execute(
    db
  )
}

/** The platform was seen to answer: whoever waits to listen again need not wait longer. */
export async function nudgeListener(db: Db, t: Tables, connectionId: string): Promise<void> {
  await sql`update ${t.listener} set nudged_at = now() where connection_id = ${connectionId} and since is null`.execute(
    db
  )
}

/** Connections of this process whose platform was seen to answer since it was lost; told once. */
export async function nudgedListeners({ db, t }: Database, worker: string): Promise<string[]> {
  const { rows } = await sql<{
    id: string
  }>`update ${t.listener} set nudged_at = null where worker = ${worker} and nudged_at is not null and since is null returning connection_id as id`.execute(
    db
  )
  return rows.map(({ id }) => id)
}
