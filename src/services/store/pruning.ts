import { type RawBuilder, sql } from 'kysely'
import type { Database, Tables } from './database.ts'

/** How many days what grows is kept. */
export interface Retention {
  /** Devices and groups that the platform no longer has, with their history, counted from their removal. */
  removedDevices: number
  /** Ended runs and their items. */
  runs: number
  /** Webhooks that are dealt with, or were given up. */
  deliveries: number
  /** The change log, but for what waits for a person. */
  changes: number
  /** Dated counts of reports. */
  counts: number
  /** Resolved alerts that no list shows any more. */
  alerts: number
  /** Who did what. */
  activity: number
}

export const defaultRetention: Retention = {
  removedDevices: 365,
  runs: 30,
  deliveries: 14,
  changes: 90,
  counts: 730,
  alerts: 365,
  activity: 730
}

/** Rows of one table that go in one statement; of runs fewer, each of which takes its items with it. */
const portion = 2_000
const runsAtOnce = 100

const olderThan = (column: RawBuilder<unknown>, days: number) => sql`${column} < now() - ${days} * interval '1 day'`

/** Another process may be about to delete the same rows: those are left to it. */
function portionOf(table: RawBuilder<unknown>, where: RawBuilder<unknown>, limit = portion): RawBuilder<unknown> {
  return sql`delete from ${table} where id in (select x.id from ${table} x where ${where} limit ${limit} for update skip locked)`
}

/** A pass goes on within hours, or never. The pages of the one that a list was read with last tell who was there. */
const unusedPage = (t: Tables) => sql`x.created_at < now() - interval '1 hour' and not exists (select 1 from ${t.pass} p
  where p.connection_id = x.connection_id and p.resource = x.resource and (p.id = x.pass_id or p.doubted_id = x.pass_id or jsonb_exists(p.known_ids, x.pass_id::text)))`

const rules: ReadonlyArray<(t: Tables, keep: Retention) => RawBuilder<unknown>> = [
  t => portionOf(t.page, unusedPage(t)),
  (t, { runs }) => portionOf(t.run, olderThan(sql`x.finished_at`, runs), runsAtOnce),
  (t, { deliveries }) =>
    portionOf(t.delivery, sql`x.status <> 'pending' and ${olderThan(sql`x.received_at`, deliveries)}`),
  (t, { changes }) =>
    portionOf(t.change, sql`x.state not in ('held', 'dismissed') and ${olderThan(sql`x.at`, changes)}`),
  // A plan is good for a day.
  t => portionOf(t.recording, sql`x.created_at < now() - interval '25 hours'`),
  (t, { activity }) => portionOf(t.activity, olderThan(sql`x.at`, activity)),
  // One that is still listed would come back with the next read, as a new one.
  (t, { alerts }) =>
    portionOf(
      t.alert,
      sql`x.status = 'resolved' and ${olderThan(sql`x.resolved_at`, alerts)} and not exists (select 1 from ${t.page} p
        where p.connection_id = x.connection_id and p.resource = 'alerts' and x.external_id = any(p.seen))`
    ),
  (
    t,
    { removedDevices }
  ) => sql`with gone as (${portionOf(t.device, sql`x.removed_at is not null and ${olderThan(sql`x.removed_at`, removedDevices)}`)} returning id)
    delete from ${t.device_status} s using gone where s.device_id = gone.id`,
  // A person's decision about a group outlives it, and so do the devices that were in it.
  (t, { removedDevices }) =>
    portionOf(
      t.organization,
      sql`x.removed_at is not null and x.mode = 'inherit' and ${olderThan(sql`x.removed_at`, removedDevices)}
        and not exists (select 1 from ${t.device} d where d.connection_id = x.connection_id and d.organization_external_id = x.external_id)`
    )
]

/** Deletes a portion of everything that is too old. True where there may be more. */
export async function pruneOld({ db, t }: Database, keep: Retention): Promise<boolean> {
  let more = false
  for (const rule of rules) {
    const { numAffectedRows } = await rule(t, keep).execute(db)
    more ||= Number(numAffectedRows ?? 0) >= runsAtOnce
  }
  return more
}
