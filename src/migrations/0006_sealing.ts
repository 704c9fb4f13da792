import type { Migration } from './migration.ts'

/**
 * Which config and secrets of a connection something was read, checked or refused with: sealed texts change when keys
 * are rotated, what they mean does not.
 */
export const sealing: Migration = {
  name: '0006_sealing',
  statements: s => [`alter table ${s}.rmm_connection add column revision integer not null default 0`]
}
