import type { Migration } from './migration.ts'

/**
 * What has to be known before something is called gone or moved: since when a record is out of the account's sight, what
 * speaks against a list that is being read, what the last complete one did not show, and how many devices single reads
 * have moved lately.
 */
export const truth: Migration = {
  name: '0003_truth',
  statements: s => [
    `alter table ${s}.rmm_device add column out_of_sight_since timestamptz(3) null`,
    `alter table ${s}.rmm_organization add column out_of_sight_since timestamptz(3) null, add column server text null`,
    `alter table ${s}.rmm_pass
      add column doubted_id uuid null,
      add column notes jsonb not null default '{}',
      add column missed jsonb not null default '[]',
      add column known_ids jsonb not null default '[]'`,
    `alter table ${s}.rmm_connection add column moves_since timestamptz(3) null, add column moves int not null default 0`
  ]
}
