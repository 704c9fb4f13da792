import { sql } from 'kysely'
import type { Delivery } from '../../types.ts'
import type { Database, Tables } from './database.ts'
import type { DeliveryRow } from './deliveries.ts'

/** What `rmm_inbox_subject` calls the platform itself: while it is there, the whole connection waits. */
const platform = 'platform'

/** A subject that failed, or the platform. */
export interface Failing {
  subject: string
  failures: number
  error: string | null
}

export interface DueConnection {
  id: string
  /** Deliveries wait that can be worked on together. */
  together: boolean
  /** A subject that failed is to be tried again. */
  alone: boolean
}

/** Not all that is open of a delivery waits for subjects that are tried alone: it is worked on together with others. */
const together = (t: Tables) =>
  sql`d.status = 'pending' and d.next_attempt_at <= now() and (d.open is null or not d.open <@ d.waits_for
    or exists (select 1 from unnest(d.waits_for) w where not exists (select 1 from ${t.inbox_subject} s where s.connection_id = d.connection_id and s.subject = w)))`

/** Connections with something due, of these providers; the one that has waited longest first. */
export async function connectionsWithDeliveries(
  { db, t }: Database,
  providers: readonly string[],
  except: readonly string[],
  limit: number
): Promise<DueConnection[]> {
  const { rows } =
    await sql<DueConnection>`select c.id, d.at is not null as together, s.at is not null as alone from ${t.connection} c
    left join lateral (select d.next_attempt_at as at from ${t.delivery} d where d.connection_id = c.id and ${together(t)} order by d.next_attempt_at limit 1) d on true
    left join lateral (select min(s.next_at) as at from ${t.inbox_subject} s where s.connection_id = c.id and s.subject <> ${platform} and s.next_at <= now()) s on true
    where c.status <> 'disconnected' and c.provider = any(${[...providers]}::text[]) and c.id <> all(${[...except]}::uuid[]) and coalesce(d.at, s.at) is not null
      and not exists (select 1 from ${t.inbox_subject} p where p.connection_id = c.id and p.subject = ${platform} and p.next_at > now())
    order by least(d.at, s.at), c.id limit ${limit}`.execute(db)
  return rows
}

export interface PlatformTrouble {
  /** How often it was found to be down in a row. */
  failures: number
  /** It is time to ask it again. */
  isDue: boolean
  /** Deliveries wait about subjects that did not fail, which say more about the platform than those that did. */
  hasOthers: boolean
}

export async function platformTrouble({ db, t }: Database, connectionId: string): Promise<PlatformTrouble | null> {
  const { rows } = await sql<{
    failures: number
    due: boolean
    others: boolean
  }>`select p.failures, p.next_at <= now() as due,
      exists (select 1 from ${t.delivery} d where d.connection_id = p.connection_id and ${together(t)}) as others
    from ${t.inbox_subject} p where p.connection_id = ${connectionId} and p.subject = ${platform}`.execute(db)
  const [row] = rows
  return row === undefined ? null : { failures: Number(row.failures), isDue: row.due, hasOthers: row.others }
}

/** Who works on deliveries: after `leaseMs` without renewal they are anybody's. */
export interface Claim {
  id: string
  leaseMs: number
}

/** In the order deliveries came in, or of the whole heap some: a few that fail must not always be the first. */
export interface Portion {
  limit: number
  random: boolean
}

/** Takes what is due of a connection and can be worked on together. */
export async function claimDeliveries(
  { db, t }: Database,
  connectionId: string,
  { id, leaseMs }: Claim,
  { limit, random }: Portion
): Promise<DeliveryRow[]> {
  const { rows } = await sql<DeliveryRow>`with taken as (
      update ${t.delivery} u set claim = ${id}::uuid, next_attempt_at = now() + ${leaseMs} * interval '1 millisecond'
      where u.id in (select d.id from ${t.delivery} d where d.connection_id = ${connectionId} and ${together(t)}
        order by ${random ? sql`random()` : sql`d.received_at, d.id`} limit ${limit} for update skip locked)
      returning u.*
    ) select taken.*, extract(epoch from now() - waiting_since) * 1000 as age_ms from taken order by ${random ? sql`random()` : sql`received_at, id`}`.execute(
    db
  )
  return rows
}

/** Takes the subject that is due longest and the deliveries that wait for it; null where none is due. */
export async function claimSubject(
  { db, t }: Database,
  connectionId: string,
  { id, leaseMs }: Claim,
  limit: number
): Promise<{ failing: Failing; rows: DeliveryRow[] } | null> {
  const lease = sql`now() + ${leaseMs} * interval '1 millisecond'`
  const { rows: subjects } = await sql<Failing>`update ${t.inbox_subject} u set next_at = ${lease}
    where u.connection_id = ${connectionId} and u.subject = (select subject from ${t.inbox_subject} where connection_id = ${connectionId} and subject <> ${platform} and next_at <= now()
      order by next_at, subject limit 1 for update skip locked) returning subject, failures, last_error as error`.execute(
    db
  )
  const failing = subjects[0]
  if (failing === undefined) return null
  const { rows } = await sql<DeliveryRow>`with taken as (
      update ${t.delivery} u set claim = ${id}::uuid, next_attempt_at = ${lease}
      where u.id in (select id from ${t.delivery} where connection_id = ${connectionId} and status = 'pending' and waits_for <> '{}' and ${failing.subject} = any(waits_for)
        and (claim is null or next_attempt_at <= now()) order by received_at, id limit ${limit} for update skip locked)
      returning u.*
    ) select taken.*, extract(epoch from now() - waiting_since) * 1000 as age_ms from taken order by received_at, id`.execute(
    db
  )
  return { failing, rows }
}

/** Only what is still held: what was settled meanwhile waits for its own time. */
export async function renewClaim(
  { db, t }: Database,
  connectionId: string,
  { id, leaseMs }: Claim,
  subject: string | undefined
): Promise<void> {
  const lease = sql`now() + ${leaseMs} * interval '1 millisecond'`
  await sql`update ${t.delivery} set next_attempt_at = ${lease} where connection_id = ${connectionId} and status = 'pending' and claim = ${id}::uuid`.execute(
    db
  )
  if (subject !== undefined)
    await sql`update ${t.inbox_subject} set next_at = ${lease} where connection_id = ${connectionId} and subject = ${subject} and next_at > now()`.execute(
      db
    )
}

export interface Settled {
  id: string
  status: Delivery['status']
  /** Null where nothing new is to be said. */
  error: string | null
  /** Subjects that are not done. */
  open: string[]
  waitsFor: string[]
  retryMs: number
  tried: boolean
  failed: boolean
}

/** Writes what became of deliveries, of those that are still held. */
export async function settleDeliveries({ db, t }: Database, claim: Claim, settled: Settled[]): Promise<void> {
  await sql`update ${t.delivery} d set status = x.status, last_error = case when x.status = 'done' then null else coalesce(x.error, d.last_error) end,
      attempts = d.attempts + x.tried::int, failures = d.failures + x.failed::int, open = x.open, waits_for = x."waitsFor", claim = null,
      next_attempt_at = coalesce(case when x.open <@ x."waitsFor" then
        (select min(s.next_at) from ${t.inbox_subject} s where s.connection_id = d.connection_id and s.subject = any(x."waitsFor")) end, now() + x."retryMs" * interval '1 millisecond'),
      processed_at = case when x.status not in ('pending', 'dead') then now() end
    from jsonb_to_recordset(${JSON.stringify(settled)}::jsonb) as x(id uuid, status text, error text, open text[], "waitsFor" text[], "retryMs" float, tried boolean, failed boolean)
    where d.id = x.id and d.claim = ${claim.id}::uuid`.execute(db)
}

/** Those of the subjects that failed before. */
export async function failingSubjects(
  { db, t }: Database,
  connectionId: string,
  subjects: string[]
): Promise<Map<string, Failing>> {
  if (subjects.length === 0) return new Map()
  const { rows } =
    await sql<Failing>`select subject, failures, last_error as error from ${t.inbox_subject} where connection_id = ${connectionId} and subject = any(${subjects}::text[])`.execute(
      db
    )
  return new Map(rows.map(row => [row.subject, row]))
}

export interface SubjectFailure {
  connectionId: string
  tenantId: string
  /** Null: the platform. */
  subject: string | null
  failures: number
  retryMs: number
  error: string
}

export async function failSubject({ db, t }: Database, failed: SubjectFailure): Promise<void> {
  await sql`insert into ${t.inbox_subject} (connection_id, tenant_id, subject, failures, next_at, last_error)
    values (${failed.connectionId}, ${failed.tenantId}, ${failed.subject ?? platform}, ${failed.failures}, now() + ${failed.retryMs} * interval '1 millisecond', ${failed.error})
    on conflict (connection_id, subject) do update set failures = excluded.failures, next_at = excluded.next_at, last_error = excluded.last_error`.execute(
    db
  )
}

export async function platformWorks({ db, t }: Database, connectionId: string): Promise<void> {
  await sql`delete from ${t.inbox_subject} where connection_id = ${connectionId} and subject = ${platform}`.execute(db)
}

/** Not before then, though it did not fail. */
export async function postponeSubject(
  { db, t }: Database,
  connectionId: string,
  subject: string,
  waitMs: number
): Promise<void> {
  await sql`update ${t.inbox_subject} set next_at = now() + ${waitMs} * interval '1 millisecond' where connection_id = ${connectionId} and subject = ${subject}`.execute(
    db
  )
}

/** A subject is in order again: what came to wait for it meanwhile is due. */
export async function releaseSubject({ db, t }: Database, connectionId: string, subject: string): Promise<void> {
  await sql`delete from ${t.inbox_subject} where connection_id = ${connectionId} and subject = ${subject}`.execute(db)
  await sql`update ${t.delivery} set next_attempt_at = now() where connection_id = ${connectionId} and status = 'pending' and waits_for <> '{}' and ${subject} = any(waits_for) and claim is null`.execute(
    db
  )
}

/** Nothing waits for it any more: the next delivery about it is like any other. */
export async function forgetSubject({ db, t }: Database, connectionId: string, subject: string): Promise<void> {
  await sql`delete from ${t.inbox_subject} where connection_id = ${connectionId} and subject = ${subject} and not exists
    (select 1 from ${t.delivery} where connection_id = ${connectionId} and status = 'pending' and waits_for <> '{}' and ${subject} = any(waits_for))`.execute(
    db
  )
}
