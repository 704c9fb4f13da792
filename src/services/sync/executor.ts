import { setTimeout as delay } from 'node:timers/promises'
import type { RmmProvider } from '../../providers/define.ts'
import type { EventPayloads, ResourceName, Run, RunStatus } from '../../types.ts'
import type { ClientFactory } from '../platform/index.ts'
import type { Core } from '../core.ts'
import { publishRun, type RunMessage } from '../diagnostics.ts'
import { classify, type Failure } from '../egress/index.ts'
import { type Reading, readResource } from './read-resource.ts'
import type { ReRead } from './reread.ts'
import {
  type Attempt,
  claimRun,
  connectionRow,
  endRun,
  finishConnection,
  holdRun,
  noTotals,
  releaseRun,
  renewLease,
  requireConnection,
  runById,
  type RunEnd,
  type RunRow,
  setStatus,
  toRun,
  writeEvents
} from '../store/index.ts'
import { summarize } from './summary.ts'
import type { SegmentContext, SegmentResult, SyncExecutor } from './transport.ts'

type AbortCause = 'cancelled' | 'lost' | 'shutdown'

export function createExecutor(core: Core, clients: ClientFactory, reread: ReRead): SyncExecutor {
  const { database, settings } = core
  const { t } = database

  async function end(run: RunRow, attempt: Attempt | null, how: RunEnd): Promise<RunStatus> {
    return await database.transaction(async trx => {
      if (attempt !== null) await holdRun(trx, t, attempt)
      const ended = await endRun(trx, t, run.id, how, attempt?.fence ?? null)
      if (ended === null) return 'failed'
      if (how.status === 'succeeded') await finishConnection(trx, t, ended)
      const type = how.status === 'succeeded' ? 'RMM_SYNC_COMPLETED' : 'RMM_SYNC_FAILED'
      await writeEvents(
        trx,
        t,
        source(run),
        [{ type, key: `${run.id}:END`, payload: endPayload(toRun(ended), how.status) }],
        core.sinks
      )
      return how.status
    })
  }

  async function start(run: RunRow, attempt: Attempt): Promise<void> {
    await database.transaction(async trx => {
      await holdRun(trx, t, attempt)
      await writeEvents(
        trx,
        t,
        source(run),
        [
          {
            type: 'RMM_SYNC_STARTED',
            key: `${run.id}:START`,
            payload: { runId: run.id, trigger: run.trigger, resources: run.resources, mode: run.mode }
          }
        ],
        core.sinks
      )
    })
  }

  async function readAll(run: RunRow, attempt: Attempt, signal: AbortSignal, heartbeat: () => void): Promise<RunEnd> {
    const row = await connectionRow(database, run.tenant_id, run.connection_id)
    if (row === null || row.status === 'disconnected')
      return { status: 'cancelled', summary: 'The connection was disconnected.', error: null }
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
        context: {
          tenantId: run.tenant_id,
          connectionId: run.connection_id,
          provider: run.provider,
          movePolicy: row.move_policy
        },
        state: { progress: run.progress, totals: { ...noTotals, ...run.totals }, leaseMs: settings.leaseMs }
      }
      for (const resource of wanted(run.resources, open.provider)) {
        if (!reading.state.progress.some(item => item.resource === resource && item.complete))
          await readResource(reading, resource)
      }
      return { status: 'succeeded', summary: summarize(reading.state), error: null }
    } finally {
      await open.close()
    }
  }

  async function fail(run: RunRow, attempt: Attempt, failure: Failure): Promise<SegmentResult> {
    const error = { code: failure.code, message: failure.message }
    if (failure.code === 'RMM_ERR_PLATFORM_AUTH') await setStatus(database, run.connection_id, 'error', failure.message)
    const soon = (failure.retryAfterMs ?? 0) <= longestWaitMs
    const again =
      failure.kind === 'interrupted' ||
      (failure.kind === 'transient' && soon && Number(run.failures) + 1 < settings.maxAttempts)
    if (again) {
      const delayMs = failure.retryAfterMs ?? settings.retryDelayMs * (1 + Math.random())
      const status = failure.kind === 'interrupted' ? 'interrupted' : 'queued'
      const released = await releaseRun(database, attempt, {
        status,
        delayMs,
        error,
        failed: failure.kind !== 'interrupted'
      })
      return released ? { status: 'yield', reason: 'retry', delayMs } : { status: 'held' }
    }
    return { status: 'done', state: await end(run, attempt, failed(failure)), error }
  }

  async function conclude(
    run: RunRow,
    attempt: Attempt,
    cause: AbortCause | undefined,
    error: unknown
  ): Promise<SegmentResult> {
    if (cause === 'cancelled') return { status: 'done', state: await end(run, attempt, cancelled), error: null }
    if (cause === 'lost' || isStale(error)) return { status: 'held' }
    if (cause === 'shutdown') {
      const released = await releaseRun(database, attempt, {
        status: 'interrupted',
        delayMs: 0,
        error: null,
        failed: false
      })
      return released ? { status: 'yield', reason: 'shutdown', delayMs: 0 } : { status: 'held' }
    }
    const failure = classify(error)
    core.log.warn({ err: error, runId: run.id, connectionId: run.connection_id }, 'sync attempt failed')
    return await fail(run, attempt, failure)
  }

  async function runSegment(runId: string, context: SegmentContext): Promise<SegmentResult> {
    try {
      return await attemptRun(runId, context)
    } catch (error) {
      if (isStale(error)) return { status: 'held' }
      if (classify(error).kind !== 'interrupted') throw error
      // The database would not even take the end of the attempt. It costs none: by then the lease has run out.
      core.log.warn({ err: error, runId }, 'the run goes on when the database is back')
      return { status: 'yield', reason: 'retry', delayMs: settings.leaseMs }
    }
  }

  async function attemptRun(runId: string, context: SegmentContext): Promise<SegmentResult> {
    const worker = context.workerId ?? core.worker
    const run = await claimRun(database, runId, {
      worker,
      leaseMs: settings.leaseMs,
      takeOver: context.takeOver === true
    })
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
    const began = performance.now()
    const tell = (phase: RunMessage['phase'], status: RunStatus | null = null): void =>
      publishRun(() => ({
        phase,
        runId,
        ...source(run),
        trigger: run.trigger,
        mode: run.mode,
        status,
        durationMs: phase === 'started' ? 0 : performance.now() - began
      }))
    const told = (result: SegmentResult): SegmentResult => {
      tell(result.status === 'done' ? 'ended' : 'yielded', result.status === 'done' ? result.state : null)
      return result
    }
    tell('started')
    try {
      if (run.cancel_requested_at !== null) abort('cancelled')
      stop.signal.throwIfAborted()
      if (Number(run.attempt) > maxClaims) throw new AbandonedError()
      await start(run, attempt)
      const how = await readAll(run, attempt, stop.signal, () => context.heartbeat?.())
      return told({ status: 'done', state: await end(run, attempt, how), error: null })
    } catch (error) {
      if ((error as { cancelled?: boolean }).cancelled === true) cause ??= 'cancelled'
      return told(await conclude(run, attempt, cause, error))
    } finally {
      context.signal.removeEventListener('abort', onShutdown)
      stop.abort()
      await lease
    }
  }

  return {
    runSegment,
    async device(tenantId, connectionId, externalId) {
      return await reread.device(await requireConnection(database, tenantId, connectionId), externalId)
    },
    async settleFailed(runId, error, kind) {
      const run = await runById(core.database, runId)
      if (run === null) return
      await end(run, null, kind === 'cancelled' ? cancelled : failed(classify(error)))
    }
  }
}

const cancelled: RunEnd = { status: 'cancelled', summary: 'Cancelled; what was committed stays.', error: null }

function failed({ code, message }: Failure): RunEnd {
  return { status: 'failed', summary: message, error: { code, message } }
}

function isStale(error: unknown): boolean {
  return (error as { code?: unknown }).code === 'RMM_ERR_STALE_ATTEMPT'
}

/** A platform that wants to be left alone for longer ends the run; the next one goes on from its checkpoint. */
const longestWaitMs = 15 * 60_000

/** A run whose workers die again and again must not take the whole service with it for ever. */
const maxClaims = 100

class AbandonedError extends Error {
  readonly code = 'RMM_ERR_PROVIDER'
  constructor() {
    super(
      `The run was taken up ${maxClaims} times without coming to an end; see the log of the workers that died with it`
    )
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
    await delay(Math.min(core.settings.leaseMs / 3, core.settings.tickMs), undefined, { signal, ref: false }).catch(
      () => {}
    )
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

/** In the order they depend on each other, and only what the provider has. */
function wanted(resources: ResourceName[], provider: RmmProvider): ResourceName[] {
  return (['organizations', 'devices', 'updates', 'alerts'] as const).filter(
    name => resources.includes(name) && provider.resources[name] !== undefined
  )
}

function source(run: RunRow) {
  return { tenantId: run.tenant_id, connectionId: run.connection_id, provider: run.provider }
}

function endPayload(run: Run, status: RunEnd['status']): EventPayloads['RMM_SYNC_COMPLETED'] {
  return {
    runId: run.id,
    trigger: run.trigger,
    mode: run.mode,
    status,
    totals: run.totals,
    summary: run.summary,
    error: run.error
  }
}
