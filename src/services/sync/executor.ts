import { setTimeout as delay } from 'node:timers/promises'
import type { RunStatus } from '../../types.ts'
import type { ClientFactory } from '../platform/index.ts'
import type { Core } from '../core.ts'
import { publishRun, type RunMessage } from '../diagnostics.ts'
import { classify, type Failure } from '../egress/index.ts'
import { troubleOf } from '../model/index.ts'
import {
  type Attempt,
  claimRun,
  connectionRow,
  holdRun,
  noTotals,
  renewLease,
  requireConnection,
  runById,
  type RunEnd,
  type RunRow,
  writeEvents
} from '../store/index.ts'
import { type AbortCause, cancelled, createEnding, failed, isStale, sourceOf } from './ending.ts'
import { applyRun } from './apply.ts'
import { checkMappings } from './drift.ts'
import { planRun } from './plan.ts'
import { handOverRun } from './hand-over.ts'
import { newIsolation } from './host.ts'
import type { Reading } from './reading.ts'
import { readRun, verdict } from './read-run.ts'
import { isToldWait } from './waits.ts'
import { contextOf, type ReRead } from './reread.ts'
import type { SegmentContext, SegmentResult, SyncExecutor } from './transport.ts'

export function createExecutor(core: Core, clients: ClientFactory, reread: ReRead): SyncExecutor {
  const { database, settings } = core
  const { t } = database
  const ending = createEnding(core)

  async function start(run: RunRow, attempt: Attempt): Promise<void> {
    // A plan tells nothing but that it is ready.
    if (run.kind === 'plan') return
    const { id: runId, kind, trigger, resources, mode } = run
    await database.transaction(async trx => {
      await holdRun(trx, t, attempt)
      const payload = { runId, kind, trigger, resources, mode }
      const event = { type: 'RMM_SYNC_STARTED', key: `${runId}:START`, actor: run.actor, payload } as const
      await writeEvents(trx, t, sourceOf(run), [event], core.sinks)
    })
  }

  /** Resolves with the run's end, or with why another attempt should be made. */
  async function read(
    run: RunRow,
    attempt: Attempt,
    signal: AbortSignal,
    heartbeat: () => void
  ): Promise<RunEnd | { again: Failure }> {
    const row = await connectionRow(database, run.tenant_id, run.connection_id)
    if (row === null || row.status === 'disconnected')
      return { status: 'cancelled', summary: 'The connection was disconnected.', error: null }
    // What a run reads is nobody's doing; what a person has it do is theirs.
    const actor = run.kind === 'apply' || run.kind === 'undo' ? run.actor : null
    const context = contextOf(core, row, { cause: 'run', runId: run.id, actor })
    const state = { progress: run.progress, totals: { ...noTotals, ...run.totals }, leaseMs: settings.leaseMs }
    if (run.kind === 'handover') return await handOverRun({ core, attempt, context, signal, heartbeat, state }, run)
    const open = await clients.open(row, signal)
    try {
      const reading: Reading = {
        core,
        attempt,
        provider: open.provider,
        client: open.client,
        signal,
        heartbeat,
        mode: run.mode,
        force: run.force,
        ownOnly: run.trigger === 'manual',
        context,
        state,
        isolation: newIsolation(core)
      }
      if (run.kind === 'plan') return await planRun(reading, run)
      if (run.kind === 'apply') return await applyRun(reading, run)
      await checkMappings(core, row, trx => holdRun(trx, t, attempt))
      const again = await readRun(reading, run.resources)
      return again === null ? verdict(reading) : { again }
    } finally {
      await open.close()
    }
  }

  async function runSegment(runId: string, context: SegmentContext): Promise<SegmentResult> {
    try {
      return await attemptRun(runId, context)
    } catch (error) {
      if (isStale(error)) return { status: 'held' }
      if (troubleOf(error) === null) throw error
      // The database would not even take the end of the attempt. It costs none: by then the lease has run out.
      core.log.warn({ err: error, runId }, 'the run goes on when the database is back')
      return { status: 'yield', reason: 'retry', delayMs: settings.leaseMs }
    }
  }

  async function attemptRun(runId: string, context: SegmentContext): Promise<SegmentResult> {
    const worker = context.workerId ?? core.worker
    const takeOver = context.takeOver === true
    await core.clock.measure()
    const run = await claimRun(database, runId, { worker, leaseMs: settings.leaseMs, takeOver })
    if (run === null) return await whyNot(core, runId)
    const attempt: Attempt = {
      runId,
      connectionId: run.connection_id,
      tenantId: run.tenant_id,
      fence: Number(run.fence),
      worker,
      silentMs: settings.leaseMs + settings.onChangesMs
    }
    const stop = new AbortController()
    let cause: AbortCause | undefined
    const abort = (why: AbortCause): void => {
      cause ??= why
      stop.abort(new Error(`sync ${why}`))
    }
    const onShutdown = (): void => abort('shutdown')
    context.signal.addEventListener('abort', onShutdown, { once: true })
    if (context.signal.aborted) onShutdown()
    const lease = keepLease(core, attempt, stop.signal, abort)
    const told = teller(run)
    try {
      if (run.cancel_requested_at !== null) abort('cancelled')
      stop.signal.throwIfAborted()
      if (Number(run.deaths) > settings.maxDeaths) return told(await abandon(run, attempt))
      await start(run, attempt)
      const how = await read(run, attempt, stop.signal, () => context.heartbeat?.())
      if ('again' in how) return told(await ending.retry(attempt, how.again, isToldWait(how.again) ? 0 : undefined))
      return told({ status: 'done', state: await ending.end(run, attempt, how), error: how.error })
    } catch (error) {
      if ((error as { cancelled?: boolean }).cancelled === true) cause ??= 'cancelled'
      return told(await ending.conclude(run, attempt, cause, error))
    } finally {
      context.signal.removeEventListener('abort', onShutdown)
      stop.abort()
      await lease
    }
  }

  /** A run whose workers die again and again must not take the whole service with it for ever. */
  async function abandon(run: RunRow, attempt: Attempt): Promise<SegmentResult> {
    const message = `${run.deaths} workers in a row died or went silent while they executed this run, without getting any further; the log of those processes has the reason. What was committed stays`
    const how = { status: 'failed', summary: message, error: { code: 'RMM_ERR_TRANSPORT', message } } as const
    return { status: 'done', state: await ending.end(run, attempt, how), error: how.error }
  }

  return {
    // A run may begin within the call that asked for it. What the platform says is nobody's doing.
    runSegment: (runId, context) => core.actors.run(null, () => runSegment(runId, context)),
    async device(tenantId, connectionId, externalId) {
      return await reread.device(await requireConnection(database, tenantId, connectionId), externalId)
    },
    async settleFailed(runId, error, kind) {
      const run = await runById(core.database, runId)
      if (run === null) return
      await ending.end(run, null, kind === 'cancelled' ? cancelled : failed(classify(error)))
    }
  }
}

/** Tells whoever listens that an attempt began; the function it returns tells how it ended. */
function teller(run: RunRow): (result: SegmentResult) => SegmentResult {
  const began = performance.now()
  const tell = (phase: RunMessage['phase'], status: RunStatus | null = null): void =>
    publishRun(() => ({
      phase,
      runId: run.id,
      ...sourceOf(run),
      trigger: run.trigger,
      mode: run.mode,
      status,
      durationMs: phase === 'started' ? 0 : performance.now() - began
    }))
  tell('started')
  return result => {
    tell(result.status === 'done' ? 'ended' : 'yielded', result.status === 'done' ? result.state : null)
    return result
  }
}

/** Renews the lease three times within its life; notices a cancel and a take-over while a read is slow. */
async function keepLease(
  core: Core,
  attempt: Attempt,
  signal: AbortSignal,
  abort: (why: AbortCause) => void
): Promise<void> {
  while (!signal.aborted) {
    await delay(Math.min(core.settings.leaseMs / 3, core.settings.tickMs), undefined, { signal }).catch(() => {})
    if (signal.aborted) return
    try {
      const { held, cancelled } = await renewLease(core.database, attempt, core.settings.leaseMs)
      if (!held) abort('lost')
      else if (cancelled) abort('cancelled')
    } catch (error) {
      core.log.debug({ err: error, runId: attempt.runId }, 'renewing the lease failed')
    }
  }
}

async function whyNot(core: Core, runId: string): Promise<SegmentResult> {
  const run = await runById(core.database, runId)
  if (run?.status === 'running') return { status: 'held' }
  return { status: 'done', state: run?.status ?? 'cancelled', error: run?.error ?? null }
}
