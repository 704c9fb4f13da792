import type { Migration } from './migration.ts'

/** How many workers died with a run since it last got any further: their deaths are no failed attempts. */
export const deaths: Migration = {
  name: '0013_deaths',
  statements: s => [`alter table ${s}.rmm_run add column deaths int not null default 0`]
}
