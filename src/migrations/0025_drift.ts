import type { Migration } from './migration.ts'

/** Organizations that are mapped to a client the host's directory no longer has. */
export const drift: Migration = {
  name: '0025_drift',
  statements: s => [`alter table ${s}.rmm_organization add column broken boolean not null default false`]
}
