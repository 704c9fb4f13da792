import type { Migration } from './migration.ts'

/**
 * What waits, and for what. Since when a sync is due that could not be started yet: its next attempt is another time. What was given up is counted
 * by tenant. A connection that a sink refuses waits alone; events are found by stepping from connection to connection.
 */
export const waiting: Migration = {
  name: '0005_waiting',
  statements: s => [
    `alter table ${s}.rmm_connection add column due_since timestamptz(3) null`,
    `create index rmm_delivery_dead on ${s}.rmm_delivery (tenant_id) where status = 'dead'`,

    `create table ${s}.rmm_sink_connection (
      sink text not null,
      connection_id uuid not null,
      tenant_id text not null,
      failures int not null,
      next_at timestamptz(3) not null,
      last_error text null,
      primary key (sink, connection_id)
    )`,
    `alter table ${s}.rmm_sink add column seen_at timestamptz(3) null`,
    `drop index ${s}.rmm_outbox_pending`,
    `create index rmm_outbox_pending on ${s}.rmm_outbox (pending, connection_id, seq) where published_at is null`
  ]
}
