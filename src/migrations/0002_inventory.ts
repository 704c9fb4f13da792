import type { Migration } from './migration.ts'

/**
 * Which state of a device the facts were read at that cost requests of their own, and when: beside the heartbeat, as
 * it moves without the device changing.
 */
export const inventory: Migration = {
  name: '0002_inventory',
  statements: s => [
    `alter table ${s}.rmm_device_status add column inventory_revision text null, add column inventory_observed_at timestamptz(3) null`
  ]
}
