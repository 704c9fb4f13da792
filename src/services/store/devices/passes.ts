import { randomUUID } from 'node:crypto'
import { type RawBuilder, sql } from 'kysely'
import { StaleAttemptError } from '../../../errors.ts'
import type { Checkpoint } from '../../../providers/define.ts'
import type { ResourceName, SyncMode } from '../../../types.ts'
import type { Database, Db, Tables } from '../database.ts'
import { type Attempt, holdRun, type PageProgress, writeProgress } from '../runs/leases.ts'
import { observed, present } from '../observed.ts'
import { textArray } from '../row-set.ts'

/** One read of one resource from first to last page. It outlives the attempt, and the run, that began it. */
export interface Pass {
  id: string
  resource: ResourceName
  mode: SyncMode
  startedAt: Date
  checkpoint: Checkpoint | null
  /** Pages committed so far. */
  pages: number
}

interface PassRow {
  id: string
  mode: SyncMode
  started_at: unknown
  checkpoint: Checkpoint | null
  complete: boolean
  pages: number
  resumable: boolean
}

/** A checkpoint older than this says too little about a list that went on changing; the read starts over. */
const resumeWithinHours = 6

/**
 * Finds where to begin: an unfinished pass of the same mode goes on from its checkpoint, a finished incremental one
 * hands its checkpoint on, everything else starts over. `fresh` throws away what is there: the platform did not take
 * the checkpoint.
 */
export async function beginPass(
  { transaction, t }: Database,
  attempt: Attempt,
  resource: ResourceName,
  mode: SyncMode,
  now: Date,
  state: PageProgress,
  fresh = false
): Promise<Pass> {
  return await transaction(async trx => {
    await holdRun(trx, t, attempt)
    await writeProgress(trx, t, attempt, state)
    const { rows } =
      await sql<PassRow>`select id, mode, started_at, checkpoint, complete, pages, ${observed(sql`started_at`)} > ${now.toISOString()}::timestamptz - ${resumeWithinHours} * interval '1 hour' as resumable
      from ${t.pass} where connection_id = ${attempt.connectionId} and resource = ${resource} for update`.execute(trx)
    const last = rows[0]
    if (
      last !== undefined &&
      !fresh &&
      !last.complete &&
      last.mode === mode &&
      last.resumable &&
      last.checkpoint !== null
    ) {
      return {
        id: last.id,
        resource,
        mode,
        startedAt: new Date(last.started_at as string),
        checkpoint: last.checkpoint,
        pages: Number(last.pages)
      }
    }
    const checkpoint = !fresh && mode === 'incremental' && last?.complete === true ? last.checkpoint : null
    const pass: Pass = { id: randomUUID(), resource, mode, startedAt: now, checkpoint, pages: 0 }
    await sql`insert into ${t.pass} as p (id, connection_id, resource, tenant_id, mode, started_at, checkpoint)
      values (${pass.id}, ${attempt.connectionId}, ${resource}, ${attempt.tenantId}, ${mode}, ${now.toISOString()}::timestamptz, ${json(checkpoint)}::jsonb)
      on conflict (connection_id, resource) do update set id = excluded.id, mode = excluded.mode, started_at = excluded.started_at, checkpoint = excluded.checkpoint,
        complete = false, pages = 0, updated_at = now()`.execute(trx)
    return pass
  })
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
  checkpoint: Checkpoint | null,
  state: PageProgress,
  quiet: boolean
): Promise<void> {
  const pages = marks.map(
    mark =>
      sql`(${attempt.tenantId}, ${attempt.connectionId}::uuid, ${pass.id}::uuid, ${pass.resource}, ${mark.observedAt.toISOString()}::timestamptz, ${textArray(mark.seen)}, ${mark.refs === undefined ? null : textArray(mark.refs)})`
  )
  const { rows } = await sql`
    with marked as (insert into ${t.page} (tenant_id, connection_id, pass_id, resource, observed_at, seen, refs) values ${sql.join(pages)}),
    checked as (update ${t.pass} set checkpoint = ${json(checkpoint)}::jsonb, pages = pages + ${marks.length}, updated_at = now()
      where id = ${pass.id} and pages = ${pass.pages} returning id)
    update ${t.run} r set progress = ${JSON.stringify(state.progress)}::jsonb, totals = ${JSON.stringify(state.totals)}::jsonb,
      lease_until = now() + ${state.leaseMs} * interval '1 millisecond', updated_at = now()
    from checked where r.id = ${attempt.runId} and r.fence = ${attempt.fence}
    returning ${quiet ? sql`set_config('synchronous_commit', 'off', true)` : sql`null`}`.execute(trx)
  if (rows.length === 0) throw new StaleAttemptError()
}

/**
 * Closes a pass; pages of older passes have nothing left to say and go. Throws `RMM_ERR_STALE_ATTEMPT` where not all
 * of it is there.
 */
export async function completePass(trx: Db, t: Tables, attempt: Attempt, pass: Pass): Promise<void> {
  const { rows } =
    await sql`update ${t.pass} set complete = true, updated_at = now() where id = ${pass.id} and pages = ${pass.pages} returning id`.execute(
      trx
    )
  if (rows.length === 0) throw new StaleAttemptError()
  await sql`delete from ${t.page} where connection_id = ${attempt.connectionId} and resource = ${pass.resource} and pass_id <> ${pass.id}
    and created_at < now() - interval '1 hour'`.execute(trx)
}

function json(checkpoint: Checkpoint | null): string | null {
  return checkpoint === null ? null : JSON.stringify(checkpoint)
}
