import type { Migration } from './migration.ts'

function past(s: string, table: string, columns: string[]): string[] {
  return columns.map(column => `update ${s}.${table} set ${column} = now() where ${column} > now()`)
}

/**
 * Runs that are read in part, what kind of run it is and who asked for it, how often it was told to wait without having
 * got any further, and whose place it went on from. A pass knows the run that began it: one that a person starts does not
 * go on from there.
 */
export const runs: Migration = {
  name: '0004_runs',
  statements: s => [
    `alter table ${s}.rmm_run drop constraint rmm_run_status_check`,
    `alter table ${s}.rmm_run add constraint rmm_run_status_check
      check (status in ('queued', 'running', 'succeeded', 'partial', 'failed', 'interrupted', 'cancelled'))`,
    `alter table ${s}.rmm_run
      add column kind text not null default 'sync' constraint rmm_run_kind_check check (kind in ('sync', 'plan', 'apply', 'handover', 'undo')),
      add column actor jsonb null,
      add column waits int not null default 0,
      add column continued_from timestamptz(3) null`,
    `alter table ${s}.rmm_pass add column run_id uuid null`,
    // What a clock that was ahead has left behind.
    ...past(s, 'rmm_organization', ['observed_at']),
    ...past(s, 'rmm_device', ['observed_at', 'last_reboot_at']),
    ...past(s, 'rmm_device_status', ['observed_at', 'last_seen_at', 'inventory_observed_at']),
    ...past(s, 'rmm_alert', ['observed_at', 'started_at', 'resolved_at']),
    ...past(s, 'rmm_pass', ['started_at']),
    ...past(s, 'rmm_page', ['observed_at'])
  ]
}
