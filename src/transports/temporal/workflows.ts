import {
  ActivityCancellationType,
  ActivityFailure,
  CancelledFailure,
  CancellationScope,
  continueAsNew,
  proxyActivities,
  proxyLocalActivities,
  sleep,
  TimeoutFailure,
  workflowInfo
} from '@temporalio/workflow'
import type { DeviceSyncResult } from '../../types.ts'
import type { DeviceHandle } from '../../services/sync/index.ts'
import type { Outcome, SyncActivities, SyncInput } from './activities.ts'

// Deterministic: nothing but @temporalio/workflow is imported here, and every name in this file is part of the
// history of running workflows.

// Small and quick, so they do not wait for a slot behind syncs that take hours. Ending a run is repeated until the
// database takes it.
const { rmmSettle } = proxyLocalActivities<SyncActivities>({
  startToCloseTimeout: '30 s',
  retry: { initialInterval: '1 s', maximumInterval: '1 min' }
})
const { rmmSyncDevice } = proxyLocalActivities<SyncActivities>({
  startToCloseTimeout: '1 min',
  retry: { maximumAttempts: 2 }
})

/**
 * Executes one run, segment by segment, to its end. The run's own row in PostgreSQL holds what was done; this decides
 * when it goes on.
 */
export async function rmmSync(input: SyncInput): Promise<Outcome> {
  let outcome: Outcome | 'continue'
  try {
    outcome = await untilEnd(input)
  } catch (error) {
    const kind = CancellationScope.current().consideredCancelled ? 'cancelled' : 'failed'
    await CancellationScope.nonCancellable(() => rmmSettle(input.run, kind))
    throw error
  }
  return outcome === 'continue' ? await continueAsNew<typeof rmmSync>(input) : outcome
}

async function untilEnd(input: SyncInput): Promise<Outcome | 'continue'> {
  while (!workflowInfo().continueAsNewSuggested) {
    const outcome = await segment(input)
    // The segment handed its run back because of the cancel; that it returned normally must not start another.
    if (CancellationScope.current().consideredCancelled) throw new CancelledFailure('the sync was cancelled')
    if (outcome.status !== 'yield') return outcome
    if (outcome.delayMs > 0) await sleep(outcome.delayMs)
  }
  return 'continue'
}

/**
 * One segment, with as many attempts as workers may die of it. Not every attempt that the server counts has begun: a
 * process that froze still has requests for work open, and is given some. Those are given again.
 */
async function segment(input: SyncInput): Promise<Outcome> {
  const { startToCloseMs, heartbeatMs, maxAttempts } = input.limits
  for (let begun = 0; ; ) {
    const { rmmRunSegment } = proxyActivities<SyncActivities>({
      startToCloseTimeout: startToCloseMs,
      heartbeatTimeout: heartbeatMs,
      cancellationType: ActivityCancellationType.WAIT_CANCELLATION_COMPLETED,
      retry: { maximumAttempts: maxAttempts - begun, initialInterval: '1 s' }
    })
    try {
      return await rmmRunSegment(input, { takeOver: begun > 0 })
    } catch (error) {
      const more = begunBefore(error)
      if (more === null || begun + more >= maxAttempts) throw error
      begun += more
    }
  }
}

/**
 * How many attempts told that they began (their heartbeat counts them), where the server gave up because the last one
 * was silent; null elsewhere.
 */
function begunBefore(error: unknown): number | null {
  const cause = error instanceof ActivityFailure ? error.cause : undefined
  if (!(cause instanceof TimeoutFailure) || cause.timeoutType !== 'HEARTBEAT') return null
  return typeof cause.lastHeartbeatDetails === 'number' ? cause.lastHeartbeatDetails : 0
}

/** Reads one device again where the runs are executed. */
export async function rmmDeviceSync(device: DeviceHandle): Promise<DeviceSyncResult> {
  return await rmmSyncDevice(device)
}
