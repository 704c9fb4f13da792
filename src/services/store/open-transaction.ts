import { sql } from 'kysely'
import type { Db } from './database.ts'

/** Throws where nothing more can be done in a transaction: it would be rolled back at its end, without an error. */
export async function requireOpen(trx: Db): Promise<void> {
  await sql`select 1`.execute(trx)
}
