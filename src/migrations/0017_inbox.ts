import type { Migration } from './migration.ts'

/**
 * A subject that fails is tried again alone, with a back-off of its own; deliveries about it wait for it. `claim` tells
 * whoever works on a delivery from whoever did when it took too long. What could not be used is told from what means
 * nothing. Whether a platform's pushes arrive.
 */
export const inbox: Migration = {
  name: '0017_inbox',
  statements: s => [
    `alter table ${s}.rmm_delivery drop constraint rmm_delivery_status_check,
      add constraint rmm_delivery_status_check check (status in ('pending', 'done', 'ignored', 'unusable', 'dead')),
      add column open text[] null,
      add column waits_for text[] not null default '{}',
      add column failures int not null default 0,
      add column refused text null,
      add column waiting_since timestamptz(3) not null default now(),
      add column claim uuid null`,
    `create table ${s}.rmm_inbox_subject (
      connection_id uuid not null,
      tenant_id text not null,
      subject text not null,
      failures int not null,
      next_at timestamptz(3) not null,
      last_error text null,
      primary key (connection_id, subject),
      constraint rmm_inbox_subject_connection_id_fkey foreign key (connection_id) references ${s}.rmm_connection (id) on delete cascade
    )`,
    `create index rmm_delivery_waits on ${s}.rmm_delivery (connection_id) where status = 'pending' and waits_for <> '{}'`,
    `create table ${s}.rmm_listener (
      connection_id uuid not null primary key,
      tenant_id text not null,
      worker text not null,
      since timestamptz(3) null,
      last_error text null,
      nudged_at timestamptz(3) null,
      constraint rmm_listener_connection_id_fkey foreign key (connection_id) references ${s}.rmm_connection (id) on delete cascade
    )`
  ]
}
