import type { Migration } from './migration.ts'

/** How an alert came to be known: those from before the first complete read of them are old news. */
export const alertOrigin: Migration = {
  name: '0028_alert_origin',
  statements: s => [
    `alter table ${s}.rmm_alert add column origin text not null default 'sweep' check (origin in ('webhook', 'sweep', 'backfill'))`
  ]
}
