import type { Migration } from './migration.ts'

/** What is old is found by its age, without reading what is not. */
export const retention: Migration = {
  name: '0018_retention',
  statements: s => [
    `create index rmm_page_old on ${s}.rmm_page (created_at)`,
    `create index rmm_run_old on ${s}.rmm_run (finished_at) where finished_at is not null`,
    `create index rmm_delivery_old on ${s}.rmm_delivery (received_at) where status <> 'pending'`,
    `create index rmm_device_old on ${s}.rmm_device (removed_at) where removed_at is not null`,
    `create index rmm_organization_old on ${s}.rmm_organization (removed_at) where removed_at is not null`,
    `create index rmm_alert_old on ${s}.rmm_alert (resolved_at) where status = 'resolved'`
  ]
}
