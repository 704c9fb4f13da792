import { sql } from 'kysely'
import type { AlertRecord, Hint, WebhookEvent } from '../../providers/define.ts'
import type { Delivery, List, PageQuery } from '../../types.ts'
import { canonical } from '../normalize.ts'
import type { ConnectionRow } from './connections.ts'
import { limitOf, readCursor, toList } from './cursor.ts'
import type { Database } from './database.ts'
import { isId, iso, isoOrNull, numberOrNull } from './values.ts'

type StoredAlert = Omit<AlertRecord, 'startedAt' | 'resolvedAt'> & { startedAt: string, resolvedAt?: string | null }

export interface DeliveryRow {
  id: string
  tenant_id: string
  connection_id: string
  event_id: string
  event_type: string
  occurred_at: unknown
  hints: Hint[]
  alert: StoredAlert | null
  body: unknown
  status: Delivery['status']
  attempts: number
  last_error: string | null
  received_at: unknown
  processed_at: unknown
}

export function toDelivery (row: DeliveryRow): Delivery {
  return {
    id: row.id, connectionId: row.connection_id, eventId: row.event_id, eventType: row.event_type, status: row.status, attempts: Number(row.attempts),
    lastError: row.last_error, receivedAt: iso(row.received_at), processedAt: isoOrNull(row.processed_at)
  }
}

/** What proves a request, and where its delivery goes. */
export type Hook = Pick<ConnectionRow, 'id' | 'tenant_id' | 'provider' | 'hook_key' | 'hook_secret' | 'hook_secret_previous' | 'hook_previous_until'>

/** The connection behind an unguessable key, with what is needed to verify. */
export async function findHook ({ db, t }: Database, hookKey: string): Promise<Hook | null> {
  const { rows } = await sql<Hook>`select id, tenant_id, provider, hook_key, hook_secret, hook_secret_previous, hook_previous_until from ${t.connection}
    where hook_key = ${hookKey} and status <> 'disconnected'`.execute(db)
  return rows[0] ?? null
}

/**
 * Later opposite deliveries about the same alert, within the time in which a derived id repeats: with one of them in between, the same
 * id is a new event. It goes into the id, so that two deliveries of that new event are one again.
 */
function afterOpposite ({ t }: Database, hook: Hook, event: WebhookEvent) {
  if (event.derivedId !== true || event.alert === undefined) return sql`''`
  return sql`coalesce((select '@' || d.id from ${t.delivery} d where d.connection_id = ${hook.id}::uuid and d.received_at > now() - interval '15 minutes'
    and d.alert->>'externalId' = ${event.alert.externalId} and d.event_type <> ${event.type} order by d.received_at desc, d.id desc limit 1), '')`
}

/**
 * Stores a delivery and its outgoing event in one statement, and only while the secrets that proved it are still those of the
 * connection: whoever verified against a remembered secret learns here that it was replaced (`stale`).
 */
export async function storeDelivery (database: Database, hook: Hook, event: WebhookEvent, body: unknown, sinks: string[]): Promise<{ id: string } | 'duplicate' | 'stale'> {
  const { db, t } = database
  const status = event.hints.length === 0 && event.alert === undefined ? 'ignored' : 'pending'
  const payload = JSON.stringify(canonical({ eventId: event.id, eventType: event.type, hints: event.hints }))
  // The inbox may wait for a page that holds the connection's row; this statement takes no lock but the foreign key's, and never does.
  const { rows } = await sql<{ held: boolean, id: string | null }>`
    with held as (
      select c.id from ${t.connection} c where c.hook_key = ${hook.hook_key} and c.status <> 'disconnected'
        and c.hook_secret = ${hook.hook_secret} and c.hook_secret_previous is not distinct from ${hook.hook_secret_previous}
    ), stored as (
      insert into ${t.delivery} (tenant_id, connection_id, event_id, event_type, occurred_at, hints, alert, body, status)
      select ${hook.tenant_id}, held.id, ${event.id} || ${afterOpposite(database, hook, event)}, ${event.type}, ${event.occurredAt?.toISOString() ?? null}::timestamptz, ${JSON.stringify(canonical(event.hints))}::jsonb,
        ${event.alert === undefined ? null : JSON.stringify(canonical(event.alert))}::jsonb, ${JSON.stringify(canonical(body))}::jsonb, ${status} from held
      on conflict (connection_id, event_id) do nothing returning id
    ), told as (
      insert into ${t.outbox} (tenant_id, connection_id, provider, type, payload, pending, event_key, published_at)
      select ${hook.tenant_id}, ${hook.id}::uuid, ${hook.provider}, 'RMM_WEBHOOK_RECEIVED', ${payload}::jsonb || jsonb_build_object('deliveryId', stored.id), ${sinks}::text[], stored.id || ':RECEIVED', ${sinks.length === 0 ? sql`now()` : sql`null::timestamptz`}
      from stored
    ) select exists (select 1 from held) as held, (select id from stored) as id`.execute(db)
  const [row] = rows
  if (row?.held !== true) return 'stale'
  return row.id === null ? 'duplicate' : { id: row.id }
}

/** Connections with deliveries that are due. */
export async function connectionsWithDeliveries ({ db, t }: Database, limit: number): Promise<string[]> {
  const { rows } = await sql<{ id: string }>`select c.id from ${t.connection} c where c.status <> 'disconnected' and exists
    (select 1 from ${t.delivery} d where d.connection_id = c.id and d.status = 'pending' and d.next_attempt_at <= now()) limit ${limit}`.execute(db)
  return rows.map(row => row.id)
}

/** Takes what is due, in the order it came in. While a delivery is worked on it is nobody else's; after `leaseMs` without renewal it is taken up again. */
export async function claimDeliveries ({ db, t }: Database, connectionId: string, limit: number, leaseMs: number): Promise<DeliveryRow[]> {
  const { rows } = await sql<DeliveryRow>`with taken as (
      update ${t.delivery} d set attempts = attempts + 1, next_attempt_at = now() + ${leaseMs} * interval '1 millisecond'
      where d.id in (select id from ${t.delivery} where connection_id = ${connectionId} and status = 'pending' and next_attempt_at <= now() order by received_at, id limit ${limit} for update skip locked)
      returning d.*
    ) select * from taken order by received_at, id`.execute(db)
  return rows
}

export async function renewDeliveries ({ db, t }: Database, ids: string[], leaseMs: number): Promise<void> {
  await sql`update ${t.delivery} set next_attempt_at = now() + ${leaseMs} * interval '1 millisecond' where id = any(${ids}::uuid[]) and status = 'pending'`.execute(db)
}

export interface Settled { id: string, status: Delivery['status'], error: string | null, retryMs: number, attempts: number }

export async function settleDeliveries ({ db, t }: Database, settled: Settled[]): Promise<void> {
  await sql`update ${t.delivery} d set status = x.status, last_error = x.error, attempts = x.attempts, next_attempt_at = now() + x."retryMs" * interval '1 millisecond',
      processed_at = case when x.status in ('done', 'ignored') then now() end
    from jsonb_to_recordset(${JSON.stringify(settled)}::jsonb) as x(id uuid, status text, error text, "retryMs" float, attempts int) where d.id = x.id`.execute(db)
}

export async function listDeliveries ({ db, t }: Database, tenantId: string, connectionId: string, query?: PageQuery): Promise<List<Delivery>> {
  const limit = limitOf(query)
  const after = readCursor(query?.cursor, ['time', 'id'])
  const { rows } = await sql<DeliveryRow>`select id, connection_id, event_id, event_type, status, attempts, last_error, received_at, processed_at from ${t.delivery}
    where tenant_id = ${tenantId} and connection_id = ${connectionId}
    ${after === null ? sql`` : sql`and (received_at, id) < (${after[0]}::timestamptz, ${after[1]}::uuid)`}
    order by received_at desc, id desc limit ${limit + 1}`.execute(db)
  return toList(rows, limit, toDelivery, row => [iso(row.received_at), row.id])
}

export async function lastDeliveryAt ({ db, t }: Database, connectionId: string): Promise<string | null> {
  const { rows } = await sql<{ at: unknown }>`select max(received_at) as at from ${t.delivery} where connection_id = ${connectionId}`.execute(db)
  return isoOrNull(rows[0]?.at)
}

/** What waits in the inbox, for metrics: over all tenants. */
export async function deliveryBacklog ({ db, t }: Database): Promise<{ pending: number, oldestAgeMs: number | null, dead: number }> {
  const { rows } = await sql<{ pending: string | number, oldest: string | number | null, dead: string | number }>`select count(*) filter (where status = 'pending') as pending,
    extract(epoch from now() - min(received_at) filter (where status = 'pending')) * 1000 as oldest, count(*) filter (where status = 'dead') as dead
    from ${t.delivery} where status in ('pending', 'dead')`.execute(db)
  return { pending: Number(rows[0]?.pending ?? 0), oldestAgeMs: numberOrNull(rows[0]?.oldest), dead: Number(rows[0]?.dead ?? 0) }
}

export async function replayDelivery ({ db, t }: Database, tenantId: string, id: string): Promise<DeliveryRow | null> {
  if (!isId(id)) return null
  const { rows } = await sql<DeliveryRow>`update ${t.delivery} set status = 'pending', attempts = 0, next_attempt_at = now(), last_error = null, processed_at = null
    where id = ${id} and tenant_id = ${tenantId} returning *`.execute(db)
  return rows[0] ?? null
}

/** Deliveries that are dealt with go after a while; a batch at a time. */
export async function pruneDeliveries ({ db, t }: Database, keepDays: number): Promise<void> {
  await sql`delete from ${t.delivery} where id in (select id from ${t.delivery} where status <> 'pending' and received_at < now() - ${keepDays} * interval '1 day' limit 5000)`.execute(db)
}
