import type { Migration } from './migration.ts'

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
    `alter table ${s}.rmm_pass add column run_id uuid null`
  ]
}
