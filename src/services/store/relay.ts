import { sql } from 'kysely'
import type { RmmEvent } from '../../types.ts'
import type { Database } from './database.ts'
import { numberOrNull } from './values.ts'

/**
 * One process at a time serves a sink; a lease rather than a lock, so that no transaction stays open while the sink
 * is slow. False: another process has it, or it is not time yet to try it again.
 */
export async function claimSink({ db, t }: Database, name: string, worker: string, leaseMs: number): Promise<boolean> {
  const { rows } =
    await sql`insert into ${t.sink} as s (name, worker, lease_until) values (${name}, ${worker}, now() + ${leaseMs} * interval '1 millisecond')
    on conflict (name) do update set worker = excluded.worker, lease_until = excluded.lease_until
    where (s.lease_until is null or s.lease_until < now() or s.worker = ${worker}) and (s.next_at is null or s.next_at <= now()) returning name`.execute(
      db
    )
  return rows.length > 0
}

/** False: the lease ran out and another process took the sink over. */
export async function renewSink({ db, t }: Database, name: string, worker: string, leaseMs: number): Promise<boolean> {
  const { rows } =
    await sql`update ${t.sink} set lease_until = now() + ${leaseMs} * interval '1 millisecond' where name = ${name} and worker = ${worker} returning name`.execute(
      db
    )
  return rows.length > 0
}

/** Gives the sink back. `error` null: it took everything; undefined: nothing was learned about it. */
export async function releaseSink(
  { db, t }: Database,
  name: string,
  worker: string,
  outcome: { error: string | null | undefined; retryMs: number }
): Promise<void> {
  if (outcome.error === undefined) {
    await sql`update ${t.sink} set lease_until = null where name = ${name} and worker = ${worker}`.execute(db)
    return
  }
  const failed = outcome.error !== null
  await sql`update ${t.sink} set lease_until = null, failures = ${failed ? sql`failures + 1` : sql`0`}, last_error = ${outcome.error},
    next_at = ${failed ? sql`now() + ${outcome.retryMs} * interval '1 millisecond'` : sql`null`} where name = ${name} and worker = ${worker}`.execute(
    db
  )
}

export async function sinkFailures({ db, t }: Database, name: string): Promise<number> {
  const { rows } = await sql<{ failures: number }>`select failures from ${t.sink} where name = ${name}`.execute(db)
  return Number(rows[0]?.failures ?? 0)
}

/** The oldest events a sink has not taken yet, with their places in the outbox. */
export async function pendingEvents(
  { db, t }: Database,
  sink: string,
  limit: number
): Promise<Array<{ seq: string; event: RmmEvent }>> {
  const { rows } = await sql<
    RmmEvent & { seq: string }
  >`select seq::text as seq, id, type, tenant_id as "tenantId", connection_id as "connectionId", provider,
    to_char(occurred_at at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"') as "occurredAt", actor, payload from ${t.outbox} o
    where published_at is null and ${sink} = any(pending) order by o.seq limit ${limit}`.execute(db)
  return rows.map(({ seq, ...event }) => ({ seq, event }))
}

export async function markPublished({ db, t }: Database, sink: string, seqs: string[]): Promise<void> {
  await sql`update ${t.outbox} set pending = array_remove(pending, ${sink}), published_at = case when array_remove(pending, ${sink}) = '{}' then now() end
    where seq = any(${seqs}::bigint[])`.execute(db)
}

/** Published events are kept for a while for whoever looks into a case, then go. */
export async function pruneOutbox({ db, t }: Database, keepHours: number): Promise<void> {
  await sql`delete from ${t.outbox} where seq in (select seq from ${t.outbox} where published_at < now() - ${keepHours} * interval '1 hour' limit 5000)`.execute(
    db
  )
}

/** What each sink has not taken yet, of one tenant or of all (null). */
export async function outboxLag(
  { db, t }: Database,
  tenantId: string | null = null
): Promise<
  Array<{ sink: string; pending: number; oldestAgeMs: number | null; failures: number; lastError: string | null }>
> {
  const { rows } = await sql<{
    sink: string
    pending: string | number
    oldest: string | number | null
    failures: number | null
    last_error: string | null
  }>`
    select coalesce(p.sink, s.name) as sink, coalesce(p.pending, 0) as pending, p.oldest, s.failures, s.last_error
    from (select sink, count(*) as pending, extract(epoch from now() - min(occurred_at)) * 1000 as oldest from ${t.outbox} o, unnest(o.pending) sink where o.published_at is null and ${tenantId === null ? sql`true` : sql`o.tenant_id = ${tenantId}`} group by sink) p
    full join ${t.sink} s on s.name = p.sink order by 1`.execute(db)
  return rows.map(row => ({
    sink: row.sink,
    pending: Number(row.pending),
    oldestAgeMs: numberOrNull(row.oldest),
    failures: Number(row.failures ?? 0),
    lastError: row.last_error
  }))
}
