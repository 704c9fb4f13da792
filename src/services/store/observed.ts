import { type RawBuilder, sql } from 'kysely'
import type { Database } from './database.ts'

/**
 * The database's time now, not when the transaction began: what others committed while it waited for its lock is not
 * ahead of it.
 */
export const present: RawBuilder<Date> = sql`(select clock_timestamp())`

/**
 * When a row was observed, to be compared with another time. One that lies ahead comes from a clock that was wrong and
 * says nothing: whatever is read now is newer, so that the row heals.
 */
export function observed(column: RawBuilder<unknown>): RawBuilder<Date> {
  return sql`(case when ${column} > ${present} then '-infinity'::timestamptz else ${column} end)`
}

/** Milliseconds since 1970 by the database's clock. */
export async function databaseTime({ db }: Database): Promise<number> {
  const { rows } = await sql<{
    ms: string | number
  }>`select floor(extract(epoch from clock_timestamp()) * 1000)::text as ms`.execute(db)
  return Number(rows[0]!.ms)
}
