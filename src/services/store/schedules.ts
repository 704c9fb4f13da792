import { sql } from 'kysely'
import type { ConnectionRow } from './connections.ts'
import type { Database, Tables } from './database.ts'
import { iso } from './values.ts'

/**
 * The connections of these providers whose sync is due. Their next date moves forward in the same statement that
 * finds them: no tick twice, in however many processes. It moves a minute only: a sync that could not be started, or
 * whose process died over it, is due again then; `due_at` stays the time it was due at first. `scheduleNext` sets the
 * real date.
 */
export async function takeDue(
  { db, t }: Database,
  providers: readonly string[],
  limit: number
): Promise<Array<ConnectionRow & { full_due: boolean; due_at: unknown }>> {
  // Half an interval early counts as due: the last full sync ended a little after its own tick.
  const { rows } = await sql<ConnectionRow & { full_due: boolean; due_at: unknown }>`
    update ${t.connection} c set next_sync_at = now() + interval '1 minute', due_since = due.due_at
    from (select id, coalesce(due_since, next_sync_at) as due_at from ${t.connection} where schedule_enabled and status <> 'disconnected' and next_sync_at <= now() and provider = any(${providers}::text[]) order by next_sync_at limit ${limit} for update skip locked) due
    where c.id = due.id
    returning c.*, due.due_at, coalesce(greatest(c.last_full_sync_at, ${fullRead(t)}) + (c.full_every_minutes - c.every_minutes / 2.0) * interval '1 minute' <= now(), true) as full_due`.execute(
    db
  )
  return rows
}

/**
 * When the devices were last read in full although something else of that run failed: one resource that fails for days
 * must not turn every sync into a full one.
 */
function fullRead(t: Tables) {
  return sql`(select max(r.started_at) from ${t.run} r where r.connection_id = c.id and r.status = 'partial' and r.mode = 'full'
    and r.progress @> '[{"resource": "devices", "status": "complete"}]')`
}

/** The next date on the connection's own grid: what ran late does not push the later ones. */
export async function scheduleNext({ db, t }: Database, connectionId: string, dueAt: unknown): Promise<void> {
  const due = iso(dueAt)
  await sql`update ${t.connection} set due_since = null, next_sync_at = ${due}::timestamptz + every_minutes * interval '1 minute' * (floor(extract(epoch from now() - ${due}::timestamptz) / (every_minutes * 60)) + 1)
    where id = ${connectionId} and schedule_enabled`.execute(db)
}
