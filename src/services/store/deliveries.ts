import { sql } from 'kysely'
import type { AlertRecord, Hint, WebhookEvent } from '../../providers/define.ts'
import type { Delivery, List, PageQuery } from '../../types.ts'
import { canonical } from '../normalize.ts'
import type { ConnectionRow } from './connections.ts'
import { limitOf, readCursor, toList } from './cursor.ts'
import type { Database } from './database.ts'
import { isId, iso, isoOrNull } from './values.ts'

export interface DeliveryRow {
  id: string
  tenant_id: string
  connection_id: string
  event_id: string
  event_type: string
  occurred_at: unknown
  hints: Hint[]
  alert: (Omit<AlertRecord, 'startedAt' | 'resolvedAt'> & { startedAt: string, resolvedAt?: string | null }) | null
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

/** While a delivery is being worked on it is nobody else's; after this it is taken up again. */
const claimSeconds = 30

/** The connection behind an unguessable key, with what is needed to verify and nothing to tell a wrong key from a wrong signature. */
export async function connectionByHook ({ db, t }: Database, hookKey: string): Promise<ConnectionRow | null> {
  const { rows } = await sql<ConnectionRow>`select * from ${t.connection} where hook_key = ${hookKey} and status <> 'disconnected'`.execute(db)
  return rows[0] ?? null
}

/** Stores a delivery and its outgoing event in one statement. False: it is here already. */
export async function storeDelivery ({ db, t }: Database, row: ConnectionRow, event: WebhookEvent, body: unknown, sinks: string[]): Promise<boolean> {
  const status = event.hints.length === 0 && event.alert === undefined ? 'ignored' : 'pending'
  const payload = JSON.stringify(canonical({ eventId: event.id, eventType: event.type, hints: event.hints }))
  const { rows } = await sql`
    with stored as (
      insert into ${t.delivery} (tenant_id, connection_id, event_id, event_type, occurred_at, hints, alert, body, status)
      values (${row.tenant_id}, ${row.id}, ${event.id}, ${event.type}, ${event.occurredAt?.toISOString() ?? null}::timestamptz, ${JSON.stringify(canonical(event.hints))}::jsonb,
        ${event.alert === undefined ? null : JSON.stringify(canonical(event.alert))}::jsonb, ${JSON.stringify(canonical(body))}::jsonb, ${status})
      on conflict (connection_id, event_id) do nothing returning id
    ), told as (
      insert into ${t.outbox} (tenant_id, connection_id, provider, type, payload, pending, event_key, published_at)
      select ${row.tenant_id}, ${row.id}::uuid, ${row.provider}, 'RMM_WEBHOOK_RECEIVED', ${payload}::jsonb || jsonb_build_object('deliveryId', stored.id), ${sinks}::text[], stored.id || ':RECEIVED', ${sinks.length === 0 ? sql`now()` : sql`null::timestamptz`}
      from stored
    ) select id from stored`.execute(db)
  return rows.length > 0
}

/** Connections with deliveries that are due. */
export async function connectionsWithDeliveries ({ db, t }: Database, limit: number): Promise<ConnectionRow[]> {
  const { rows } = await sql<ConnectionRow>`select * from ${t.connection} c where c.status <> 'disconnected' and exists
    (select 1 from ${t.delivery} d where d.connection_id = c.id and d.status = 'pending' and d.next_attempt_at <= now()) limit ${limit}`.execute(db)
  return rows
}

export async function claimDeliveries ({ db, t }: Database, connectionId: string, limit: number): Promise<DeliveryRow[]> {
  const { rows } = await sql<DeliveryRow>`update ${t.delivery} d set attempts = attempts + 1, next_attempt_at = now() + ${claimSeconds} * interval '1 second'
    where d.id in (select id from ${t.delivery} where connection_id = ${connectionId} and status = 'pending' and next_attempt_at <= now() order by received_at, id limit ${limit} for update skip locked)
    returning d.id, d.tenant_id, d.connection_id, d.event_id, d.event_type, d.occurred_at, d.hints, d.alert, d.status, d.attempts, d.last_error, d.received_at, d.processed_at`.execute(db)
  return rows
}

export interface Settled { id: string, status: Delivery['status'], error: string | null, retryMs: number }

export async function settleDeliveries ({ db, t }: Database, settled: Settled[]): Promise<void> {
  await sql`update ${t.delivery} d set status = x.status, last_error = x.error, next_attempt_at = now() + x."retryMs" * interval '1 millisecond',
      processed_at = case when x.status = 'done' then now() end
    from jsonb_to_recordset(${JSON.stringify(settled)}::jsonb) as x(id uuid, status text, error text, "retryMs" float) where d.id = x.id`.execute(db)
}

export async function listDeliveries ({ db, t }: Database, tenantId: string, connectionId: string, query?: PageQuery): Promise<List<Delivery>> {
  const limit = limitOf(query)
  const after = readCursor(query?.cursor, ['time', 'id'])
  const { rows } = await sql<DeliveryRow>`select * from ${t.delivery} where tenant_id = ${tenantId} and connection_id = ${connectionId}
    ${after === null ? sql`` : sql`and (received_at, id) < (${after[0]}::timestamptz, ${after[1]}::uuid)`}
    order by received_at desc, id desc limit ${limit + 1}`.execute(db)
  return toList(rows, limit, toDelivery, row => [iso(row.received_at), row.id])
}

export async function lastDeliveryAt ({ db, t }: Database, connectionId: string): Promise<string | null> {
  const { rows } = await sql<{ at: unknown }>`select max(received_at) as at from ${t.delivery} where connection_id = ${connectionId}`.execute(db)
  return isoOrNull(rows[0]?.at)
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
