import type { Migration } from './migration.ts'

/** The runs of all connections of a tenant, newest first. */
export const runList: Migration = {
  name: '0008_run_list',
  statements: s => [`create index rmm_run_tenant_list on ${s}.rmm_run (tenant_id, queued_at, id)`]
}
