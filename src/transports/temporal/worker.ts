import { existsSync } from 'node:fs'
import { setTimeout as delay } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import {
  DefaultLogger,
  makeTelemetryFilterString,
  NativeConnection,
  type NativeConnectionOptions,
  Runtime,
  Worker,
  type WorkerOptions as TemporalWorkerOptions
} from '@temporalio/worker'
import type { SyncExecutor, TransportLog, WorkerOptions } from '../../services/sync/index.ts'
import { createActivities } from './activities.ts'

export { createActivities } from './activities.ts'
export type { Outcome, SyncActivities, SyncInput, SyncLimits } from './activities.ts'

export interface TemporalWorkerTarget {
  connection: NativeConnection | NativeConnectionOptions
  namespace: string
  taskQueue: string
}

const retryMs = 5_000
/** A workflow is kept with the worker that knows it; when that is gone, others wait this long for it. */
const stickyMs = 1_000
/** A cancel, and a worker that was given up, are noticed within this time instead of the SDK's minute. */
const heartbeatThrottleMs = 10_000
/**
 * A process that freezes takes a task with every request for work that it has open: few requests, few tasks. Two are
 * the SDK's least.
 */
const fewestPolls = 2
/** Ends of runs and single devices: local activities, beside the runs. */
const smallAtOnce = 20

/**
 * The workflows as `Worker.create` takes them: the bundle made when this package was built, which spares the host a
 * webpack at every start; from source, the file itself.
 */
export function workflowSource(): Pick<TemporalWorkerOptions, 'workflowBundle' | 'workflowsPath'> {
  const codePath = fileURLToPath(new URL('./workflow-bundle.js', import.meta.url))
  if (existsSync(codePath)) return { workflowBundle: { codePath } }
  return {
    workflowsPath: fileURLToPath(
      import.meta.resolve(import.meta.url.endsWith('.ts') ? './workflows.ts' : './workflows.js')
    )
  }
}

export interface RunningWorker {
  /** Takes no more work, tells running segments to hand over, resolves when they have. */
  stop(): Promise<void>
}

/**
 * Executes this host's workflows and activities until stopped. A server that is away, at the start or later, is
 * waited for. The SDK's process-wide runtime is told to leave signals to the host, unless the host installed one of
 * its own.
 */
export function startTemporalWorker(
  executor: SyncExecutor,
  options: TemporalWorkerTarget,
  worker: WorkerOptions
): RunningWorker {
  installRuntime(worker.log)
  const stopping = new AbortController()
  let current: Worker | undefined

  async function serve(): Promise<void> {
    const own =
      options.connection instanceof NativeConnection ? null : await NativeConnection.connect(options.connection)
    try {
      current = await Worker.create({
        ...workflowSource(),
        connection: own ?? (options.connection as NativeConnection),
        namespace: options.namespace,
        taskQueue: options.taskQueue,
        identity: worker.workerId,
        activities: { ...createActivities(executor, worker, stopping.signal) },
        maxConcurrentActivityTaskExecutions: worker.concurrency,
        maxConcurrentLocalActivityExecutions: smallAtOnce,
        stickyQueueScheduleToStartTimeout: stickyMs,
        maxConcurrentWorkflowTaskPolls: fewestPolls,
        maxConcurrentActivityTaskPolls: 1,
        maxHeartbeatThrottleInterval: heartbeatThrottleMs,
        defaultHeartbeatThrottleInterval: heartbeatThrottleMs
      })
      if (!stopping.signal.aborted) await current.run()
    } finally {
      current = undefined
      await own?.close()
    }
  }

  const serving = (async () => {
    while (!stopping.signal.aborted) {
      try {
        await serve()
      } catch (error) {
        if (stopping.signal.aborted) return
        worker.log.warn(
          { err: error },
          'the Temporal worker is not running; it is started again until the server is back'
        )
        await delay(retryMs, undefined, { signal: stopping.signal }).catch(() => {})
      }
    }
  })()

  return {
    async stop() {
      stopping.abort()
      if (current?.getState() === 'RUNNING') current.shutdown()
      await serving
    }
  }
}

function installRuntime(log: TransportLog): void {
  const logger = new DefaultLogger('WARN', ({ level, message, meta }) =>
    log[level === 'ERROR' ? 'error' : 'warn']({ ...meta }, message)
  )
  try {
    Runtime.install({
      shutdownSignals: [],
      logger,
      telemetryOptions: { logging: { filter: makeTelemetryFilterString({ core: 'WARN' }), forward: {} } }
    })
  } catch (error) {
    // There is one runtime per process, and the host, or another plugin instance, was first.
    if ((error as Error).name !== 'IllegalStateError') throw error
  }
}
