import { withTimeLimit } from '../../waits.ts'
import { setTimeout as delay } from 'node:timers/promises'
import { ApplicationFailure, Context } from '@temporalio/activity'
import type { DeviceHandle, RunHandle, SyncExecutor, WorkerOptions } from '../../services/sync/index.ts'
import type { DeviceSyncResult } from '../../types.ts'
import { sliceShare, workersLost } from '../transport.ts'

/**
 * Limits that travel with a workflow, so that a worker of another configuration keeps to those it was started with.
 * Milliseconds.
 */
export interface SyncLimits {
  startToCloseMs: number
  heartbeatMs: number
  /** Workers that may die with a run before it fails. */
  maxAttempts: number
}

export interface SyncInput {
  run: RunHandle
  limits: SyncLimits
}

/** How a segment ended, as the workflow sees it. A run that failed is no outcome but a failure. */
export type Outcome = { status: 'done'; state: string } | { status: 'yield'; delayMs: number } | { status: 'held' }

/** What the workflows call, and nothing else of this process. */
export interface SyncActivities {
  /** `takeOver`: an earlier activity was given up with this segment; its lease is not waited for. */
  rmmRunSegment(input: SyncInput, earlier: { takeOver: boolean }): Promise<Outcome>
  rmmSettle(run: RunHandle, kind: 'failed' | 'cancelled'): Promise<void>
  rmmSyncDevice(device: DeviceHandle): Promise<DeviceSyncResult>
}

const slowestBeatMs = 10_000
const answerMs = 300

/**
 * A task that lay in a frozen process is refused by the answer to its first heartbeat: it must not take the run from
 * the worker that has it now.
 */
async function stillWanted(context: Context): Promise<void> {
  await delay(answerMs, undefined, { signal: context.cancellationSignal }).catch(() => {})
  context.cancellationSignal.throwIfAborted()
}

/** Temporal's activities over the engine: they carry signals and results across, the engine does the work. */
export function createActivities(executor: SyncExecutor, worker: WorkerOptions, stopping: AbortSignal): SyncActivities {
  return {
    async rmmRunSegment({ run, limits }, earlier) {
      const context = Context.current()
      const takeOver = earlier.takeOver || context.info.attempt > 1
      // What the heartbeat tells is how many attempts began; where to go on is in the database.
      const begun = typeof context.info.heartbeatDetails === 'number' ? context.info.heartbeatDetails + 1 : 1
      // Beats by the clock: waiting as long as the platform asks for is no sign of death.
      const beat = setInterval(() => context.heartbeat(begun), Math.min(limits.heartbeatMs / 4, slowestBeatMs))
      try {
        context.heartbeat(begun)
        if (takeOver) await stillWanted(context)
        const result = await withTimeLimit(
          limits.startToCloseMs * sliceShare,
          [context.cancellationSignal, stopping],
          signal => executor.runSegment(run.runId, { signal, workerId: worker.workerId, takeOver })
        )
        if (result.status === 'done' && result.state === 'failed') {
          // The engine has used up the run's attempts, or another one would end the same way.
          throw ApplicationFailure.nonRetryable(
            result.error?.message ?? 'The run failed',
            result.error?.code ?? 'RMM_ERR_INTERNAL'
          )
        }
        return result.status === 'yield'
          ? { status: 'yield', delayMs: result.delayMs }
          : result.status === 'held'
            ? result
            : { status: 'done', state: result.state }
      } finally {
        clearInterval(beat)
      }
    },
    async rmmSettle(run, kind) {
      await executor.settleFailed(run.runId, workersLost('temporal'), kind)
    },
    async rmmSyncDevice(device) {
      try {
        return await executor.device(device.tenantId, device.connectionId, device.externalId)
      } catch (error) {
        const { code, statusCode, message } = error as { code?: string; statusCode?: number; message: string }
        if (code?.startsWith('RMM_ERR_') !== true) throw error
        throw ApplicationFailure.create({
          message,
          type: code,
          details: [statusCode ?? 500],
          nonRetryable: (statusCode ?? 500) < 500
        })
      }
    }
  }
}
