import { sql } from 'kysely'
import type { RmmEvent, SinkLag } from '../../types.ts'
import type { Database } from './database.ts'
import { numberOrNull } from './values.ts'

/** The sink that is the listeners of the processes: it is there whenever one works. */
export const emitterSink = 'emitter'

/** A sink that no process said it serves for this long is served by none. */
const unseenMs = 3 * 60_000

/**
 * One process at a time serves a sink; a lease rather than a lock, so that no transaction stays open while the sink
 * is slow. Null: another process has it, or it is not time yet to try it again.
 */
export async function claimSink(
  { db, t }: Database,
  name: string,
  worker: string,
  leaseMs: number
): Promise<{ failures: number } | null> {
  const { rows } = await sql<{
    failures: number
  }>`insert into ${t.sink} as s (name, worker, lease_until) values (${name}, ${worker}, now() + ${leaseMs} * interval '1 millisecond')
    on conflict (name) do update set worker = excluded.worker, lease_until = excluded.lease_until
    where (s.lease_until is null or s.lease_until < now() or s.worker = ${worker}) and (s.next_at is null or s.next_at <= now()) returning failures`.execute(
    db
  )
  return rows[0] === undefined ? null : { failures: Number(rows[0].failures) }
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

/** It took something: it is not down any more. */
export async function sinkWorks({ db, t }: Database, name: string): Promise<void> {
  await sql`update ${t.sink} set failures = 0, last_error = null, next_at = null where name = ${name} and failures > 0`.execute(
    db
  )
}

/** An event that a sink has not taken, with its place in the outbox and how often its connection failed there. */
export interface PendingEvent {
  seq: string
  failures: number
  event: RmmEvent
}

export interface Wanted {
  /** Connections whose events are with the sink already, or would have to wait. */
  except: string[]
  connections: number
  /** Events of all of them together. Each gets its share, however many another has. */
  events: number
}

/**
 * The oldest events a sink has not taken, of the connections that have waited longest; those in a back-off are left
 * out, those that failed before come last. Both are found by stepping through the index from connection to connection:
 * the cost is that of the sink's own connections, not of the events that wait for another sink or behind the first ones.
 */
export async function pendingEvents(
  { db, t }: Database,
  sink: string,
  { except, connections, events }: Wanted
): Promise<PendingEvent[]> {
  const open = sql`from ${t.outbox} o where o.published_at is null`
  const lane = sql`${open} and o.pending = l.pending and o.connection_id = l.connection_id`
  const { rows } = await sql<RmmEvent & { seq: string; failures: number }>`
    with recursive lanes as (
      (select o.pending, o.connection_id ${open} order by o.pending, o.connection_id limit 1)
      union all
      select n.pending, n.connection_id from lanes l cross join lateral (
        select o.pending, o.connection_id ${open} and (o.pending, o.connection_id) > (l.pending, case when ${sink} = any(l.pending) then l.connection_id else 'ffffffff-ffff-ffff-ffff-ffffffffffff' end)
        order by o.pending, o.connection_id limit 1) n
    ), heads as (
      select l.connection_id, min(h.seq) as head from lanes l cross join lateral (select o.seq ${lane} order by o.seq limit 1) h
      where ${sink} = any(l.pending) and l.connection_id <> all(${except}::uuid[]) group by l.connection_id
    ), chosen as materialized (
      select h.connection_id, coalesce(s.failures, 0) as failures from heads h left join ${t.sink_connection} s on s.sink = ${sink} and s.connection_id = h.connection_id
      where s.next_at is null or s.next_at <= now() order by s.failures is not null, h.head limit ${connections}
    ), share as (select greatest(5, ${events}::int / greatest(1, count(*)))::int as most from chosen)
    select seq::text as seq, failures, id, type, tenant_id as "tenantId", connection_id as "connectionId", provider,
      to_char(occurred_at at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"') as "occurredAt", actor, payload
    from (
      select e.*, c.failures, row_number() over (partition by e.connection_id order by e.seq) as place
      from chosen c join lanes l on l.connection_id = c.connection_id and ${sink} = any(l.pending)
      cross join lateral (select o.* ${lane} order by o.seq limit (select most from share)) e
    ) found where place <= (select most from share) order by found.seq`.execute(db)
  return rows.map(({ seq, failures, ...event }) => ({ seq, failures: Number(failures), event }))
}

export interface LaneFailure {
  connectionId: string
  tenantId: string
  failures: number
  retryMs: number
  error: string
}

/** A connection's events were refused: they wait, those of others do not. */
export async function failLane({ db, t }: Database, sink: string, failed: LaneFailure): Promise<void> {
  await sql`insert into ${t.sink_connection} (sink, connection_id, tenant_id, failures, next_at, last_error)
    values (${sink}, ${failed.connectionId}, ${failed.tenantId}, ${failed.failures}, now() + ${failed.retryMs} * interval '1 millisecond', ${failed.error})
    on conflict (sink, connection_id) do update set failures = excluded.failures, next_at = excluded.next_at, last_error = excluded.last_error`.execute(
    db
  )
}

export async function laneWorks({ db, t }: Database, sink: string, connectionId: string): Promise<void> {
  await sql`delete from ${t.sink_connection} where sink = ${sink} and connection_id = ${connectionId}`.execute(db)
}

/** Milliseconds until the first connection of a sink is to be tried again; null where none waits. */
export async function nextLaneIn({ db, t }: Database, sink: string): Promise<number | null> {
  const { rows } = await sql<{
    ms: string | number | null
  }>`select greatest(0, extract(epoch from min(next_at) - now()) * 1000) as ms from ${t.sink_connection} where sink = ${sink}`.execute(
    db
  )
  return numberOrNull(rows[0]?.ms)
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
export async function outboxLag({ db, t }: Database, tenantId: string | null = null): Promise<SinkLag[]> {
  const of = tenantId === null ? sql`true` : sql`tenant_id = ${tenantId}`
  const { rows } = await sql<{
    sink: string
    pending: string | number
    oldest: string | number | null
    failures: number | null
    last_error: string | null
    seen: boolean
  }>`
    select coalesce(p.sink, s.name) as sink, coalesce(p.pending, 0) as pending, p.oldest, greatest(s.failures, l.failures) as failures, coalesce(s.last_error, l.last_error) as last_error,
      coalesce(s.seen_at > now() - ${unseenMs} * interval '1 millisecond', false) as seen
    from (select sink, count(*) as pending, extract(epoch from now() - min(occurred_at)) * 1000 as oldest from ${t.outbox} o, unnest(o.pending) sink where o.published_at is null and ${of} group by sink) p
    full join ${t.sink} s on s.name = p.sink
    left join (select distinct on (sink) sink, failures, last_error from ${t.sink_connection} where ${of} order by sink, failures desc) l on l.sink = coalesce(p.sink, s.name)
    order by 1`.execute(db)
  return rows.map(row => ({
    sink: row.sink,
    pending: Number(row.pending),
    oldestAgeMs: numberOrNull(row.oldest),
    failures: Number(row.failures ?? 0),
    lastError: row.last_error,
    served: row.seen || row.sink === emitterSink
  }))
}

/** Says that this process takes events to these sinks. */
export async function seeSinks({ db, t }: Database, names: string[]): Promise<void> {
  await sql`insert into ${t.sink} (name, seen_at) select name, now() from unnest(${names}::text[]) name order by 1
    on conflict (name) do update set seen_at = excluded.seen_at`.execute(db)
}

/** Whether a process takes events to this sink, or did a moment ago; null where the sink was never heard of. */
export async function sinkServed({ db, t }: Database, name: string): Promise<boolean | null> {
  const { rows } = await sql<{
    served: boolean
  }>`select coalesce(seen_at > now() - ${unseenMs} * interval '1 millisecond', false) or coalesce(lease_until > now(), false) as served from ${t.sink} where name = ${name}`.execute(
    db
  )
  return rows[0]?.served ?? null
}

/** Takes a portion of the events that wait for a sink as taken; how many these were. */
export async function forgetPending({ db, t }: Database, name: string, limit: number): Promise<number> {
  const { rows } =
    await sql`update ${t.outbox} set pending = array_remove(pending, ${name}), published_at = case when array_remove(pending, ${name}) = '{}' then now() end
    where seq in (select seq from ${t.outbox} where published_at is null and ${name} = any(pending) limit ${limit}) returning seq`.execute(
      db
    )
  return rows.length
}

export async function forgetSink({ db, t }: Database, name: string): Promise<void> {
  await sql`delete from ${t.sink_connection} where sink = ${name}`.execute(db)
  await sql`delete from ${t.sink} where name = ${name}`.execute(db)
}
