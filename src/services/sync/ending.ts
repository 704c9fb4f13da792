import type { EventPayloads, NewEvent, Run, RunStatus } from '../../types.ts'
import type { Core } from '../core.ts'
import { classify, type Failure } from '../egress/index.ts'
import {
  type Attempt,
  endRun,
  finishConnection,
  holdRun,
  noTotals,
  releaseRun,
  runById,
  type RunEnd,
  type RunRow,
  toRun,
  writeEvents
} from '../store/index.ts'
import { summarize } from './summary.ts'
import type { SegmentResult } from './transport.ts'
import { afterWaits, isToldWait, nextWait } from './waits.ts'

export type AbortCause = 'cancelled' | 'lost' | 'shutdown'

/** What becomes of a run when an attempt at it is over. */
export interface Ending {
  /** Ends the run, once. Without an attempt: settled from outside. */
  end(run: RunRow, attempt: Attempt | null, how: RunEnd): Promise<RunStatus>
  /** After an attempt that threw: hands the run back to be executed again, or ends it. */
  conclude(run: RunRow, attempt: Attempt, cause: AbortCause | undefined, error: unknown): Promise<SegmentResult>
  /** Hands the run back because of a failure that may pass. With `waits`, one that was only a wait. */
  retry(attempt: Attempt, failure: Failure, waits?: number): Promise<SegmentResult>
}

export function createEnding(core: Core): Ending {
  const { database, settings } = core
  const { t } = database

  async function end(run: RunRow, attempt: Attempt | null, how: RunEnd): Promise<RunStatus> {
    return await database.transaction(async trx => {
      if (attempt !== null) await holdRun(trx, t, attempt)
      const ended = await endRun(trx, t, run.id, how, attempt?.fence ?? null)
      if (ended === null) return 'failed'
      const read = how.status === 'succeeded' || how.status === 'partial'
      if (read && (run.kind === 'sync' || isWhole(run))) await finishConnection(trx, t, ended)
      if (run.kind === 'plan') {
        if (read) await writeEvents(trx, t, sourceOf(run), [planReady(run, toRun(ended))], core.sinks)
        return how.status
      }
      const type = read ? 'RMM_SYNC_COMPLETED' : 'RMM_SYNC_FAILED'
      const event = {
        type,
        key: `${run.id}:END`,
        actor: run.actor,
        payload: endPayload(toRun(ended), how.status)
      } as const
      await writeEvents(trx, t, sourceOf(run), [event], core.sinks)
      return how.status
    })
  }

  async function retry(attempt: Attempt, failure: Failure, waits?: number): Promise<SegmentResult> {
    const delayMs = failure.retryAfterMs ?? settings.retryDelayMs * (1 + Math.random())
    const released = await releaseRun(database, attempt, {
      status: failure.kind === 'interrupted' ? 'interrupted' : 'queued',
      delayMs,
      error: { code: failure.code, message: failure.message },
      failed: failure.kind !== 'interrupted' && waits === undefined,
      ...(waits === undefined ? {} : { waits })
    })
    return released ? { status: 'yield', reason: 'retry', delayMs } : { status: 'held' }
  }

  async function fail(run: RunRow, attempt: Attempt, failure: Failure): Promise<SegmentResult> {
    if (failure.kind === 'interrupted') return await retry(attempt, failure)
    if (isToldWait(failure)) return await wait(run, attempt, failure)
    if (failure.kind === 'transient' && Number(run.failures) + 1 < settings.maxAttempts)
      return await retry(attempt, failure)
    return await done(run, attempt, failed(failure))
  }

  async function wait(run: RunRow, attempt: Attempt, failure: Failure): Promise<SegmentResult> {
    const now = (await runById(database, run.id)) ?? run
    const progressed = placeOf(now) > placeOf(run)
    const waits = nextWait(failure, Number(run.waits), progressed, settings.maxAttempts)
    if (waits !== null) return await retry(attempt, failure, waits)
    return await done(run, attempt, stopped(now, afterWaits(failure, progressed ? 0 : Number(run.waits))))
  }

  async function done(run: RunRow, attempt: Attempt, how: RunEnd): Promise<SegmentResult> {
    return { status: 'done', state: await end(run, attempt, how), error: how.error }
  }

  return {
    end,
    retry,
    async conclude(run, attempt, cause, error) {
      if (cause === 'cancelled') return { status: 'done', state: await end(run, attempt, cancelled), error: null }
      if (cause === 'lost' || isStale(error)) return { status: 'held' }
      if (cause === 'shutdown') {
        const handedBack = { status: 'interrupted', delayMs: 0, error: null, failed: false } as const
        const released = await releaseRun(database, attempt, handedBack)
        return released ? { status: 'yield', reason: 'shutdown', delayMs: 0 } : { status: 'held' }
      }
      core.log.warn({ err: error, runId: run.id, connectionId: run.connection_id }, 'sync attempt failed')
      return await fail(run, attempt, classify(error))
    }
  }
}

/** A plan that was applied as it is has read everything. */
function isWhole({ kind, request }: RunRow): boolean {
  const { only, except } = (request ?? {}) as { only?: unknown; except?: unknown }
  return kind === 'apply' && only === undefined && except === undefined
}

function planReady(run: RunRow, { id, plan, summary }: Run): NewEvent {
  const { counts = [], warnings = [], expiresAt = null } = plan ?? {}
  return {
    type: 'RMM_PLAN_READY',
    key: `${id}:END`,
    actor: run.actor,
    payload: { runId: id, counts, warnings, summary, expiresAt }
  }
}

export const cancelled: RunEnd = { status: 'cancelled', summary: 'Cancelled; what was committed stays.', error: null }

export function failed({ code, message }: Failure): RunEnd {
  return { status: 'failed', summary: message, error: { code, message } }
}

/** The run got no further: what it has read to the end stays read. */
function stopped({ progress, totals }: RunRow, failure: Failure): RunEnd {
  if (!progress.some(item => item.complete)) return failed(failure)
  const { code, message } = failure
  const left = progress.filter(item => !item.complete && item.status !== 'skipped').map(item => item.resource)
  const read = summarize({ progress: progress.filter(item => item.complete), totals: { ...noTotals, ...totals } })
  return {
    status: 'partial',
    summary: `${read} Not read: ${left.join(', ')} (${message}).`,
    error: { code, message: `${left.join(', ')}: ${message}` }
  }
}

function placeOf({ progress }: RunRow): number {
  return progress.reduce((sum, item) => sum + (item.furthest ?? 0) + (item.complete ? 1 : 0), 0)
}

export function isStale(error: unknown): boolean {
  return (error as { code?: unknown }).code === 'RMM_ERR_STALE_ATTEMPT'
}

export function sourceOf(run: RunRow) {
  return { tenantId: run.tenant_id, connectionId: run.connection_id, provider: run.provider }
}

function endPayload(run: Run, status: RunEnd['status']): EventPayloads['RMM_SYNC_COMPLETED'] {
  const { id, kind, trigger, mode, totals, summary, error } = run
  const failed = run.progress
    .filter(item => item.status === 'failed')
    .map(({ resource, error }) => ({ resource, code: error?.code ?? null, message: error?.message ?? null }))
  return { runId: id, kind, trigger, mode, status, totals, summary, error, failed }
}
