import { sql } from 'kysely'
import { NotFoundError, StaleAttemptError } from '../../../errors.ts'
import type { Run, RunTotals } from '../../../types.ts'
import type { Database, Db, Tables } from '../database.ts'
import type { RunRow, StoredProgress } from './runs.ts'

/** What a worker holds while it executes a run. A higher fence elsewhere means that it holds nothing any more. */
export interface Attempt {
  runId: string
  connectionId: string
  tenantId: string
  fence: number
  worker: string
  /**
   * PostgreSQL ends a transaction whose process is silent this long, milliseconds: one that froze would hold the run
   * and its connection for ever.
   */
  silentMs: number
}

/** The same for what is not a run. Longer than `onChanges` may take. */
const silentMs = 120_000

/** As a column of a transaction's first statement: no round trip of its own, and gone with the transaction. */
function endWhenSilent(ms: number) {
  return sql`set_config('idle_in_transaction_session_timeout', ${String(ms)}, true)`
}

/**
 * Takes a run for execution. `takeOver` lets a queue that has given up on the previous worker ignore its lease.
 * Null: the run has ended, or a living worker holds it.
 */
export async function claimRun(
  { db, t }: Database,
  runId: string,
  options: { worker: string; leaseMs: number; takeOver: boolean }
): Promise<RunRow | null> {
  const { rows } =
    await sql<RunRow>`update ${t.run} set status = 'running', fence = fence + 1, attempt = attempt + 1, deaths = deaths + (status = 'running')::int, worker = ${options.worker},
      lease_until = now() + ${options.leaseMs} * interval '1 millisecond', started_at = coalesce(started_at, now()), not_before = null, updated_at = now()
    where id = ${runId} and (status in ('queued', 'interrupted') or (status = 'running' and (${options.takeOver} or lease_until is null or lease_until < now())))
    returning *`.execute(db)
  return rows[0] ?? null
}

/**
 * Extends the lease between pages. False: the run is no longer ours. `cancelled` is how a cancel reaches a slow read.
 */
export async function renewLease(
  { db, t }: Database,
  attempt: Attempt,
  leaseMs: number
): Promise<{ held: boolean; cancelled: boolean }> {
  const { rows } = await sql<{
    cancelled: boolean
  }>`update ${t.run} set lease_until = now() + ${leaseMs} * interval '1 millisecond'
    where id = ${attempt.runId} and fence = ${attempt.fence} and status = 'running' returning cancel_requested_at is not null as cancelled`.execute(
    db
  )
  return { held: rows.length > 0, cancelled: rows[0]?.cancelled === true }
}

/**
 * First statement of every write to a connection's data: takes the connection's row, so that pages, re-reads and
 * mapping changes of one connection follow each other, then checks the fence. Throws `RMM_ERR_STALE_ATTEMPT`.
 */
export async function holdRun(trx: Db, t: Tables, attempt: Attempt): Promise<{ cancelled: boolean }> {
  const { rows } = await sql<{ cancelled: boolean }>`
    with held as materialized (select id from ${t.connection} where id = ${attempt.connectionId} for no key update)
    select r.cancel_requested_at is not null as cancelled, ${endWhenSilent(attempt.silentMs)} from ${t.run} r join held on held.id = r.connection_id
    where r.id = ${attempt.runId} and r.fence = ${attempt.fence} and r.status = 'running' for no key update of r`.execute(
    trx
  )
  if (rows.length === 0) throw new StaleAttemptError()
  return { cancelled: rows[0]!.cancelled }
}

/**
 * The same lock without a run: re-reads, mapping changes, alerts. Throws `RMM_ERR_NOT_FOUND` when the connection is
 * gone.
 */
export async function holdConnection(trx: Db, t: Tables, connectionId: string): Promise<void> {
  const { rows } =
    await sql`select id, ${endWhenSilent(silentMs)} from ${t.connection} where id = ${connectionId} for no key update`.execute(
      trx
    )
  if (rows.length === 0) throw new NotFoundError('Connection')
}

/** Hands a run back to be executed later: after a failure that may pass, or because this process stops. */
export async function releaseRun(
  { db, t }: Database,
  attempt: Attempt,
  to: { status: 'queued' | 'interrupted'; delayMs: number; error: Run['error']; failed: boolean; waits?: number }
): Promise<boolean> {
  const { rows } =
    await sql`update ${t.run} set status = ${to.status}, failures = failures + ${to.failed ? 1 : 0}, waits = coalesce(${to.waits ?? null}::int, waits), error = ${to.error === null ? null : JSON.stringify(to.error)}::jsonb,
      not_before = now() + ${to.delayMs} * interval '1 millisecond', lease_until = null, updated_at = now()
    where id = ${attempt.runId} and fence = ${attempt.fence} and status = 'running' returning id`.execute(db)
  return rows.length > 0
}

export interface RunEnd {
  status: 'succeeded' | 'partial' | 'failed' | 'cancelled'
  summary: string
  error: Run['error']
}

/**
 * Ends a run once; a second end finds it ended and does nothing. Without an attempt: settled from outside. The resource
 * that was being read failed with the run, those that had not had their turn were skipped.
 */
export async function endRun(
  trx: Db,
  t: Tables,
  runId: string,
  end: RunEnd,
  fence: number | null
): Promise<RunRow | null> {
  const { rows } =
    await sql<RunRow>`update ${t.run} set status = ${end.status}, summary = ${end.summary}, error = ${end.error === null ? null : JSON.stringify(end.error)}::jsonb,
      finished_at = now(), lease_until = null, updated_at = now(), progress = ${settledProgress(end)}
    where id = ${runId} and status in ('queued', 'running', 'interrupted') ${fence === null ? sql`` : sql`and fence = ${fence}`} returning *`.execute(
      trx
    )
  return rows[0] ?? null
}

function settledProgress({ status, error }: RunEnd) {
  const interrupted = status === 'cancelled' ? { status: 'skipped', error: null } : { status: 'failed', error }
  return sql`(select coalesce(jsonb_agg(case coalesce(p ->> 'status', case when (p ->> 'complete')::boolean then 'complete' else 'waiting' end)
      when 'reading' then p || ${JSON.stringify(interrupted)}::jsonb when 'waiting' then p || '{"status": "skipped"}' else p end order by n), '[]')
    from jsonb_array_elements(progress) with ordinality as x(p, n))`
}

/** Runs on one transport, or those on none of these. */
export type RunsOf = { kind: string } | { others: readonly string[] }

/**
 * Runs that wait for somebody: handed back, never started, or left behind by a worker whose lease ran out. Those of
 * providers that this process does not have are left to processes that do, and must not hide those behind them.
 */
export async function adoptableRuns(
  { db, t }: Database,
  providers: readonly string[],
  of: RunsOf,
  limit: number
): Promise<Array<Pick<RunRow, 'id' | 'tenant_id' | 'connection_id' | 'provider' | 'transport' | 'status'>>> {
  const { rows } = await sql<RunRow>`
    select id, tenant_id, connection_id, provider, transport, status from (
      select r.*, row_number() over (partition by tenant_id order by queued_at, id) as turn from ${t.run} r
      where provider = any(${providers}::text[]) and ${'kind' in of ? sql`transport = ${of.kind}` : sql`transport <> all(${of.others}::text[])`} and ((status = 'queued' and coalesce(not_before, queued_at + interval '2 seconds') <= now())
        or (status = 'interrupted' and coalesce(not_before, now()) <= now()) or (status = 'running' and lease_until < now() and coalesce(not_before, lease_until) <= now()))
    ) waiting order by turn, queued_at, id limit ${limit}`.execute(db)
  return rows
}

/** Runs that a durable engine still has are not looked at again for a while: they must not hide those behind them. */
export async function leaveRuns({ db, t }: Database, runIds: string[], ms: number): Promise<void> {
  if (runIds.length === 0) return
  await sql`update ${t.run} set not_before = now() + ${ms} * interval '1 millisecond'
    where id = any(${runIds}::uuid[]) and (status in ('queued', 'interrupted') or (status = 'running' and lease_until < now()))`.execute(
    db
  )
}

/** A run whose transport is no longer registered goes to the one that is. */
export async function rehomeRun({ db, t }: Database, runId: string, transport: string): Promise<void> {
  await sql`update ${t.run} set transport = ${transport} where id = ${runId} and status in ('queued', 'running', 'interrupted')`.execute(
    db
  )
}

export interface PageProgress {
  progress: StoredProgress[]
  totals: RunTotals
  leaseMs: number
}

export async function writeProgress(trx: Db, t: Tables, attempt: Attempt, state: PageProgress): Promise<void> {
  await sql`update ${t.run} set progress = ${JSON.stringify(state.progress)}::jsonb, totals = ${JSON.stringify(state.totals)}::jsonb,
      lease_until = now() + ${state.leaseMs} * interval '1 millisecond', updated_at = now()
    where id = ${attempt.runId} and fence = ${attempt.fence}`.execute(trx)
}
