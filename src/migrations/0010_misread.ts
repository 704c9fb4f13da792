import type { Migration } from './migration.ts'

/** A field that a platform told in a form that cannot be read is one item per run, which counts. */
export const misread: Migration = {
  name: '0010_misread',
  statements: s => [
    `alter table ${s}.rmm_run_item add column field text null, add column count int null`,
    `create unique index rmm_run_item_field_unique on ${s}.rmm_run_item (run_id, resource, field) where field is not null`
  ]
}
