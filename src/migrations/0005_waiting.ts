import type { Migration } from './migration.ts'

/**
 * Since when a sync is due that could not be started yet: its next attempt is another time. What was given up is counted
 * by tenant.
 */
export const waiting: Migration = {
  name: '0005_waiting',
  statements: s => [
    `alter table ${s}.rmm_connection add column due_since timestamptz(3) null`,
    `create index rmm_delivery_dead on ${s}.rmm_delivery (tenant_id) where status = 'dead'`
  ]
}
