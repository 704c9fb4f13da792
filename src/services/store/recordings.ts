import { sql } from 'kysely'
import type { Database, Db, Tables } from './database.ts'

/** What platforms said while plans were made. */

export interface NewRecording {
  part: string
  key: string | null
  data: string
}

export async function insertRecording(
  trx: Db,
  t: Tables,
  run: { tenantId: string; runId: string },
  { part, key, data }: NewRecording
): Promise<void> {
  await sql`insert into ${t.recording} (tenant_id, run_id, part, key, data) values (${run.tenantId}, ${run.runId}, ${part}, ${key}, ${data})`.execute(
    trx
  )
}

/** The next of a part, in the order they came. */
export async function nextRecordings(
  { db, t }: Database,
  runId: string,
  part: string,
  after: string,
  limit: number
): Promise<Array<{ id: string; key: string | null; data: string }>> {
  const { rows } = await sql<{
    id: string
    key: string | null
    data: string
  }>`select id::text as id, key, data from ${t.recording}
    where run_id = ${runId} and part = ${part} and id > ${after}::bigint order by id limit ${limit}`.execute(db)
  return rows
}

export async function dropRecordings({ db, t }: Database, runId: string): Promise<void> {
  await sql`delete from ${t.recording} where run_id = ${runId}`.execute(db)
}
