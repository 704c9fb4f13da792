import { sql } from 'kysely'
import type { Delivery, List, CountedQuery } from '../../types.ts'
import { stableJson, type UsableAlert, type UsableEvent, type UsableHint } from '../model/index.ts'
import type { ConnectionRow } from './connections.ts'
import { all, limitOf, readCursor, toList, withTotal } from './cursor.ts'
import type { Database, Db, Tables } from './database.ts'
import { isId, iso, isoOrNull, numberOrNull } from './values.ts'

type StoredAlert = Omit<UsableAlert, 'startedAt' | 'resolvedAt'> & { startedAt: string; resolvedAt?: string | null }

export interface DeliveryRow {
  id: string
  tenant_id: string
  connection_id: string
  event_id: string
  event_type: string
  occurred_at: unknown
  hints: UsableHint[]
  alert: StoredAlert | null
  body: unknown
  status: Delivery['status']
  attempts: number
  last_error: string | null
  /** What of it could not be used, in the provider's name. */
  refused: string | null
  /** Subjects that are not done; null: none of it was tried. */
  open: string[] | null
  failures: number
  /** How long it waits, where it was claimed. */
  age_ms?: string | number
  received_at: unknown
  processed_at: unknown
}

export function toDelivery(row: DeliveryRow): Delivery {
  return {
    id: row.id,
    connectionId: row.connection_id,
    eventId: row.event_id,
    eventType: row.event_type,
    status: row.status,
    attempts: Number(row.attempts),
    lastError: row.last_error ?? row.refused,
    receivedAt: iso(row.received_at),
    processedAt: isoOrNull(row.processed_at)
  }
}

/** What proves a request, and where its delivery goes. */
export type Hook = Pick<
  ConnectionRow,
  'id' | 'tenant_id' | 'provider' | 'hook_key' | 'hook_secret' | 'hook_secret_previous' | 'hook_previous_until'
>

/** The connection behind an unguessable key, with what is needed to verify. */
export async function findHook({ db, t }: Database, hookKey: string): Promise<Hook | null> {
  const { rows } =
    await sql<Hook>`select id, tenant_id, provider, hook_key, hook_secret, hook_secret_previous, hook_previous_until from ${t.connection}
    where hook_key = ${hookKey} and status <> 'disconnected'`.execute(db)
  return rows[0] ?? null
}

/** A proven event on its way into the inbox. */
export interface NewDelivery {
  hook: Hook
  event: UsableEvent
  body: unknown
}

/** `stale`: the secret that proved it is not the connection's any more. */
export type Stored = { id: string } | 'duplicate' | 'stale'

/** What becomes of an event when it is stored: one that means nothing is told from one that could not be used. */
export function fateOf({ hints, alert, refused }: Pick<UsableEvent, 'hints' | 'alert' | 'refused'>) {
  if (hints.length > 0 || alert !== undefined) return 'pending'
  return refused.length > 0 ? 'unusable' : 'ignored'
}

function toGiven({ hook, event, body }: NewDelivery, n: number): object {
  return {
    n,
    key: hook.hook_key,
    secret: hook.hook_secret,
    previous: hook.hook_secret_previous,
    event: event.id,
    type: event.type,
    occurred: event.occurredAt?.toISOString() ?? null,
    hints: event.hints,
    alert: event.alert ?? null,
    status: fateOf(event),
    refused: event.refused.length === 0 ? null : event.refused.join('; '),
    repeats: event.derivedId === true ? (event.alert?.externalId ?? null) : null,
    body
  }
}

/**
 * Stores deliveries and their outgoing events in one statement, each only while the secrets that proved it are still
 * those of the connection: whoever verified against a remembered secret learns here that it was replaced.
 *
 * A derived id (`repeats`) gets the last opposite delivery about the same alert within the time in which such an id
 * repeats: with one of them in between, the same id is a new event. It goes into the id, so that two deliveries of
 * that new event are one again.
 *
 * No lock is taken but that of the foreign key: a page that holds the connection's row does not hold up its webhooks.
 */
export async function storeDeliveries(
  { db, t }: Database,
  deliveries: NewDelivery[],
  sinks: string[]
): Promise<Stored[]> {
  const given = stableJson(deliveries.map(toGiven))
  const { rows } = await sql<{ n: number; full_id: string; connection_id: string; id: string | null }>`
    with held as materialized (
      select x.*, c.id as connection_id, c.tenant_id, c.provider, x.event || case when x.repeats is null then '' else coalesce((select '@' || d.id from ${t.delivery} d where d.connection_id = c.id
        and d.received_at > now() - interval '15 minutes' and d.alert->>'externalId' = x.repeats and d.event_type <> x.type order by d.received_at desc, d.id desc limit 1), '') end as full_id
      from jsonb_to_recordset(${given}::jsonb) as x(n int, key text, secret text, previous text, event text, type text, occurred timestamptz, hints jsonb, alert jsonb, status text, refused text, repeats text, body jsonb)
      join ${t.connection} c on c.hook_key = x.key and c.status <> 'disconnected' and c.hook_secret = x.secret and c.hook_secret_previous is not distinct from x.previous
    ), stored as (
      insert into ${t.delivery} (tenant_id, connection_id, event_id, event_type, occurred_at, hints, alert, body, status, refused)
      select tenant_id, connection_id, full_id, type, occurred, hints, nullif(alert, 'null'), body, status, refused from held order by connection_id, full_id, n
      on conflict (connection_id, event_id) do nothing returning id, tenant_id, connection_id, event_id, event_type, hints
    ), told as (
      insert into ${t.outbox} (tenant_id, connection_id, provider, type, payload, pending, event_key, published_at)
      select s.tenant_id, s.connection_id, c.provider, 'RMM_WEBHOOK_RECEIVED', jsonb_build_object('eventId', s.event_id, 'eventType', s.event_type, 'hints', s.hints, 'deliveryId', s.id),
        ${sinks}::text[], s.id || ':RECEIVED', ${sinks.length === 0 ? sql`now()` : sql`null::timestamptz`}
      from stored s join ${t.connection} c on c.id = s.connection_id
    ) select held.n, held.full_id, held.connection_id, stored.id from held left join stored on stored.connection_id = held.connection_id and stored.event_id = held.full_id order by held.n`.execute(
    db
  )
  const results: Stored[] = deliveries.map(() => 'stale')
  const seen = new Set<string>()
  for (const row of rows) {
    // Twice in one statement: the first is the one that was stored.
    results[row.n] = row.id === null || seen.has(row.id) ? 'duplicate' : { id: row.id }
    if (row.id !== null) seen.add(row.id)
  }
  return results
}

export async function listDeliveries(
  { db, t }: Database,
  tenantId: string,
  connectionId: string,
  query?: CountedQuery
): Promise<List<Delivery>> {
  const limit = limitOf(query)
  const after = readCursor(query?.cursor, ['time', 'id'])
  const conditions = [sql`tenant_id = ${tenantId}`, sql`connection_id = ${connectionId}`]
  const { rows } =
    await sql<DeliveryRow>`select id, connection_id, event_id, event_type, status, attempts, last_error, refused, received_at, processed_at from ${t.delivery}
    where ${all(conditions)}
    ${after === null ? sql`` : sql`and (received_at, id) < (${after[0]}::timestamptz, ${after[1]}::uuid)`}
    order by received_at desc, id desc limit ${limit + 1}`.execute(db)
  const list = toList(rows, limit, toDelivery, row => [iso(row.received_at), row.id])
  return await withTotal(db, query, list, sql`${t.delivery}`, conditions)
}

export async function lastDeliveryAt({ db, t }: Database, connectionId: string): Promise<string | null> {
  const { rows } = await sql<{
    at: unknown
  }>`select max(received_at) as at from ${t.delivery} where connection_id = ${connectionId}`.execute(db)
  return isoOrNull(rows[0]?.at)
}

/** What waits in the inbox, for metrics: over all tenants. */
export async function deliveryBacklog({
  db,
  t
}: Database): Promise<{ pending: number; oldestAgeMs: number | null; dead: number }> {
  const { rows } = await sql<{
    pending: string | number
    oldest: string | number | null
    dead: string | number
  }>`select count(*) filter (where status = 'pending') as pending,
    extract(epoch from now() - min(received_at) filter (where status = 'pending')) * 1000 as oldest, count(*) filter (where status = 'dead') as dead
    from ${t.delivery} where status in ('pending', 'dead')`.execute(db)
  return {
    pending: Number(rows[0]?.pending ?? 0),
    oldestAgeMs: numberOrNull(rows[0]?.oldest),
    dead: Number(rows[0]?.dead ?? 0)
  }
}

export async function replayDelivery(db: Db, t: Tables, tenantId: string, id: string): Promise<DeliveryRow | null> {
  if (!isId(id)) return null
  const { rows } =
    await sql<DeliveryRow>`update ${t.delivery} set status = 'pending', attempts = 0, failures = 0, open = null, waits_for = '{}', waiting_since = now(), claim = null, next_attempt_at = now(), last_error = null, processed_at = null
    where id = ${id} and tenant_id = ${tenantId} returning *`.execute(db)
  return rows[0] ?? null
}
