import type { Migration } from './migration.ts'

/** What logging in to a platform brought, sealed: shared by all processes that work for a connection. */
export const sessions: Migration = {
  name: '0026_sessions',
  statements: s => [
    `create table ${s}.rmm_session_value (
      connection_id uuid not null constraint rmm_session_value_connection_id_fkey references ${s}.rmm_connection (id) on delete cascade,
      key text not null,
      revision int not null,
      sealed text not null,
      expires_at timestamptz(3) null,
      primary key (connection_id, key)
    )`
  ]
}
