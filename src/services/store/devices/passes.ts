import { randomUUID } from 'node:crypto'
import { type RawBuilder, sql } from 'kysely'
import { StaleAttemptError } from '../../../errors.ts'
import type { Checkpoint } from '../../../providers/define.ts'
import type { ResourceName, SyncMode } from '../../../types.ts'
import type { Missed } from '../../model/index.ts'
import type { Database, Db, Tables } from '../database.ts'
import { type Attempt, holdRun, type PageProgress, writeProgress } from '../runs/leases.ts'
import { observed, present } from '../observed.ts'
import { textArray } from '../row-set.ts'
import { iso } from '../values.ts'

/** What speaks for and against a list, as far as it was read. Kept with the pass: another attempt may go on with it. */
export interface PassNotes {
  /** It was begun without a checkpoint: what it does not show is absent, not unchanged. */
  whole: boolean
  /** Rejected records without an id that can be used. */
  unidentified: number
  /** The last page so far had nothing on it, although there was one before it. */
  endedEmpty: boolean
  /** A page came from an account that does not see everything. */
  partial: boolean
  /** The installation that the records are of. */
  server: string | null
  /** What its pages called deleted and is not removed yet: the id, and when (ISO 8601). */
  deleted: Array<[string, string]>
}

/** One read of one resource from first to last page. It outlives the attempt, and the run, that began it. */
export interface Pass {
  id: string
  resource: ResourceName
  mode: SyncMode
  /** Of a read that was begun again because it was doubted: when the first one began. */
  startedAt: Date
  checkpoint: Checkpoint | null
  /** Pages committed so far. */
  pages: number
  /** The pass before this one in the same read, which was doubted: what it showed counts as well. */
  doubtedId: string | null
  notes: PassNotes
  /** What the complete reads before this one did not show, and since when. */
  missed: Missed
  /** The passes of the last complete read. */
  knownIds: string[]
}

interface PassRow {
  id: string
  mode: SyncMode
  started_at: unknown
  checkpoint: Checkpoint | null
  complete: boolean
  pages: number
  doubted_id: string | null
  notes: PassNotes
  missed: Array<[string, string]>
  known_ids: string[]
  resumable: boolean
  run_id: string | null
}

/** A checkpoint older than this says too little about a list that went on changing; the read starts over. */
const resumeWithinHours = 6

/** Where a read may begin. */
export interface Beginning {
  /** From the place of an earlier attempt of this run, of an earlier run as well, or from the start of the list. */
  from: 'own' | 'any' | 'start'
  /** The pass that was doubted and is read again. */
  doubted?: Pass
}

/**
 * The passes whose pages tell who is there. A record that the doubted pass showed and the second did not was only passed
 * by. Updates are counted: what is gone meanwhile must not be, so there the second pass stands for itself.
 */
export function passesOf({ id, doubtedId, resource }: Pass): string[] {
  return doubtedId === null || resource === 'updates' ? [id] : [doubtedId, id]
}

/**
 * Finds where to begin: an unfinished pass of the same mode goes on from its checkpoint, a finished incremental one
 * hands its checkpoint on, everything else starts over. A run that goes on from an earlier one's place says since when.
 */
export async function beginPass(
  { transaction, t }: Database,
  attempt: Attempt,
  resource: ResourceName,
  mode: SyncMode,
  now: Date,
  state: PageProgress,
  { from, doubted }: Beginning
): Promise<Pass> {
  return await transaction(async trx => {
    await holdRun(trx, t, attempt)
    await writeProgress(trx, t, attempt, state)
    const { rows } =
      await sql<PassRow>`select id, run_id, mode, started_at, checkpoint, complete, pages, doubted_id, notes, missed, known_ids,
        ${observed(sql`started_at`)} > ${now.toISOString()}::timestamptz - ${resumeWithinHours} * interval '1 hour' as resumable
      from ${t.pass} where connection_id = ${attempt.connectionId} and resource = ${resource} for update`.execute(trx)
    const last = rows[0]
    const own = last?.run_id === attempt.runId
    if (last && (from === 'any' || (from === 'own' && own)) && isUnfinished(last, mode)) {
      if (!own) await continueFrom(trx, t, attempt, last.started_at)
      return resumed(last, resource)
    }
    const checkpoint = from !== 'start' && mode === 'incremental' && last?.complete === true ? last.checkpoint : null
    const pass = newPass(resource, mode, now, checkpoint, last, doubted)
    const { id, startedAt, doubtedId, notes } = pass
    await sql`insert into ${t.pass} as p (id, connection_id, resource, tenant_id, run_id, mode, started_at, checkpoint, doubted_id, notes)
      values (${id}, ${attempt.connectionId}, ${resource}, ${attempt.tenantId}, ${attempt.runId}, ${mode}, ${startedAt.toISOString()}::timestamptz, ${json(checkpoint)}::jsonb, ${doubtedId}::uuid, ${JSON.stringify(notes)}::jsonb)
      on conflict (connection_id, resource) do update set id = excluded.id, run_id = excluded.run_id, mode = excluded.mode, started_at = excluded.started_at,
        checkpoint = excluded.checkpoint, doubted_id = excluded.doubted_id, notes = excluded.notes, complete = false, pages = 0, updated_at = now()`.execute(
      trx
    )
    return pass
  })
}

function isUnfinished(last: PassRow, mode: SyncMode): boolean {
  return !last.complete && last.mode === mode && last.resumable && last.checkpoint !== null
}

async function continueFrom(trx: Db, t: Tables, { runId }: Attempt, startedAt: unknown): Promise<void> {
  await sql`update ${t.run} set continued_from = least(continued_from, ${iso(startedAt)}::timestamptz) where id = ${runId}`.execute(
    trx
  )
}

function resumed(row: PassRow, resource: ResourceName): Pass {
  return {
    id: row.id,
    resource,
    mode: row.mode,
    startedAt: new Date(row.started_at as string),
    checkpoint: row.checkpoint,
    pages: Number(row.pages),
    doubtedId: row.doubted_id,
    notes: { ...noNotes(true), ...row.notes },
    missed: new Map(row.missed),
    knownIds: row.known_ids
  }
}

function newPass(
  resource: ResourceName,
  mode: SyncMode,
  now: Date,
  checkpoint: Checkpoint | null,
  last: PassRow | undefined,
  doubted: Pass | undefined
): Pass {
  return {
    id: randomUUID(),
    resource,
    mode,
    startedAt: doubted?.startedAt ?? now,
    checkpoint,
    pages: 0,
    doubtedId: doubted?.id ?? null,
    notes: { ...noNotes(checkpoint === null), deleted: last?.complete === false ? (last.notes.deleted ?? []) : [] },
    missed: new Map(last?.missed),
    knownIds: last?.known_ids ?? []
  }
}

function noNotes(whole: boolean): PassNotes {
  return { whole, unidentified: 0, endedEmpty: false, partial: false, server: null, deleted: [] }
}

export interface PageMark {
  observedAt: Date
  seen: string[]
  /** For updates: the device of each record in `seen`. */
  refs?: string[]
}

/**
 * Whether a page that was read after `since` showed the record. A record that is seen unchanged is not written: only
 * its page knows.
 */
export function seenSince(
  t: Tables,
  connectionId: string,
  resource: ResourceName,
  externalId: RawBuilder<unknown>,
  since: Date
): RawBuilder<boolean> {
  return sql`exists (select 1 from ${t.page} p where p.connection_id = ${connectionId} and p.resource = ${resource} and p.observed_at > ${since.toISOString()}::timestamptz and p.observed_at <= ${present} and ${externalId} = any(p.seen))`
}

/**
 * Last statement of a page's transaction: what was seen, where to go on, how far the run is. `quiet`: the page told
 * nobody anything. Then the commit need not wait for the disk: a database that crashes forgets the page together with
 * its checkpoint, and it is read again. Whoever goes on without having noticed finds fewer pages than it has
 * committed, and gets `RMM_ERR_STALE_ATTEMPT`.
 */
export async function markPages(
  trx: Db,
  t: Tables,
  attempt: Attempt,
  pass: Pass,
  marks: PageMark[],
  { checkpoint, notes, missed }: Pick<Pass, 'checkpoint' | 'notes' | 'missed'>,
  state: PageProgress,
  quiet: boolean
): Promise<void> {
  const pages = marks.map(
    mark =>
      sql`(${attempt.tenantId}, ${attempt.connectionId}::uuid, ${pass.id}::uuid, ${pass.resource}, ${mark.observedAt.toISOString()}::timestamptz, ${textArray(mark.seen)}, ${mark.refs === undefined ? null : textArray(mark.refs)})`
  )
  const { rows } = await sql`
    with marked as (insert into ${t.page} (tenant_id, connection_id, pass_id, resource, observed_at, seen, refs) values ${sql.join(pages)}),
    checked as (update ${t.pass} set checkpoint = ${json(checkpoint)}::jsonb, pages = pages + ${marks.length}, notes = ${JSON.stringify(notes)}::jsonb,
        missed = ${missed === pass.missed ? sql`missed` : sql`${JSON.stringify([...missed])}::jsonb`}, updated_at = now()
      where id = ${pass.id} and pages = ${pass.pages} returning id)
    update ${t.run} r set progress = ${JSON.stringify(state.progress)}::jsonb, totals = ${JSON.stringify(state.totals)}::jsonb, deaths = 0,
      lease_until = now() + ${state.leaseMs} * interval '1 millisecond', updated_at = now()
    from checked where r.id = ${attempt.runId} and r.fence = ${attempt.fence}
    returning ${quiet ? sql`set_config('synchronous_commit', 'off', true)` : sql`null`}`.execute(trx)
  if (rows.length === 0) throw new StaleAttemptError()
}

/**
 * Closes a pass; pages of older passes have nothing left to say and go. `missed` is what its pages did not show and was
 * not concluded from. Throws `RMM_ERR_STALE_ATTEMPT` where not all of it is there.
 */
export async function completePass(
  trx: Db,
  t: Tables,
  attempt: Attempt,
  pass: Pass,
  missed: Missed = new Map()
): Promise<void> {
  const ids = passesOf(pass)
  const { rows } =
    await sql`update ${t.pass} set complete = true, checkpoint = ${json(pass.checkpoint)}::jsonb, missed = ${JSON.stringify([...missed])}::jsonb,
      known_ids = ${JSON.stringify(ids)}::jsonb, updated_at = now()
    where id = ${pass.id} and pages = ${pass.pages} returning id`.execute(trx)
  if (rows.length === 0) throw new StaleAttemptError()
  await sql`delete from ${t.page} where connection_id = ${attempt.connectionId} and resource = ${pass.resource} and pass_id <> all(${ids}::uuid[])
    and created_at < now() - interval '1 hour'`.execute(trx)
}

/** Keeps what was missing although the pass is not complete: something waits for a person. */
export async function rememberMissed(trx: Db, t: Tables, pass: Pass, missed: Missed): Promise<void> {
  await sql`update ${t.pass} set missed = ${JSON.stringify([...missed])}::jsonb where id = ${pass.id}`.execute(trx)
}

function json(checkpoint: Checkpoint | null): string | null {
  return checkpoint === null ? null : JSON.stringify(checkpoint)
}
