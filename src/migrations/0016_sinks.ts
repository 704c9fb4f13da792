import type { Migration } from './migration.ts'

/** A connection that a sink refuses waits alone; its events are found by stepping from connection to connection. */
export const sinks: Migration = {
  name: '0016_sinks',
  statements: s => [
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
