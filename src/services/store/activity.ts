import { sql } from 'kysely'
import { ValidationError } from '../../errors.ts'
import type { Activity, ActivityFilter, ActivityType, ActionTarget, CountedQuery, List } from '../../types.ts'
import { all, limitOf, readCursor, toList, withTotal } from './cursor.ts'
import { actorBehind, type Database, type Db, type Tables } from './database.ts'
import { iso } from './values.ts'

export interface NewActivity {
  type: ActivityType
  target: ActionTarget
  /** One sentence, without secrets. */
  summary: string
}

const longestSummary = 1000

/** Notes what was done in the transaction that does it, with the actor behind that transaction. */
export async function writeActivity(trx: Db, t: Tables, tenantId: string, entry: NewActivity): Promise<void> {
  const actor = actorBehind(trx)
  const { type, target, summary } = entry
  await sql`insert into ${t.activity} (tenant_id, actor_id, actor_name, type, target, summary)
    values (${tenantId}, ${actor?.id ?? null}, ${actor?.name ?? null}, ${type}, ${JSON.stringify(target)}::jsonb, ${summary.slice(0, longestSummary).toWellFormed()})`.execute(
    trx
  )
}

/** Newest first. */
export async function listActivity(
  { db, t }: Database,
  tenantId: string,
  query: CountedQuery & ActivityFilter = {}
): Promise<List<Activity>> {
  const limit = limitOf(query)
  const after = readCursor(query.cursor, ['time', 'number'])
  const since = query.since === undefined ? null : Date.parse(query.since)
  if (Number.isNaN(since)) throw new ValidationError('since must be a date and time that exist, with a zone')
  const conditions = [
    sql`tenant_id = ${tenantId}`,
    ...(query.actor === undefined ? [] : [sql`actor_id = ${query.actor}`]),
    ...(query.type === undefined ? [] : [sql`type = ${query.type}`]),
    ...(since === null ? [] : [sql`at >= to_timestamp(${since}::float8 / 1000)`])
  ]
  const { rows } = await sql<{
    id: string | number
    at: unknown
    actor_id: string | null
    actor_name: string | null
    type: ActivityType
    target: ActionTarget
    summary: string
  }>`select id, at, actor_id, actor_name, type, target, summary from ${t.activity} where ${all(conditions)}
    ${after === null ? sql`` : sql`and (at, id) < (${after[0]}::timestamptz, ${after[1]}::bigint)`}
    order by at desc, id desc limit ${limit + 1}`.execute(db)
  const list = toList(
    rows,
    limit,
    row => ({
      id: String(row.id),
      at: iso(row.at),
      actor: row.actor_id === null ? null : { id: row.actor_id, name: row.actor_name },
      type: row.type,
      target: row.target,
      summary: row.summary
    }),
    row => [iso(row.at), String(row.id)]
  )
  return await withTotal(db, query, list, sql`${t.activity}`, conditions)
}
