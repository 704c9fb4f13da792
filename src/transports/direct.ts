import { waitAtMost } from '../waits.ts'
import { setTimeout as delay } from 'node:timers/promises'
import type { RunHandle, SyncExecutor, SyncTransport, WorkerOptions } from '../services/sync/index.ts'

/**
 * Executes runs in this process. Waiting runs take turns by tenant; what this process loses, the ticker of any
 * process on the same database finds by its expired lease.
 */
export function directTransport(): SyncTransport {
  const waiting: RunHandle[] = []
  const running = new Map<string, { handle: RunHandle; done: Promise<void> }>()
  const delayed = new Set<string>()
  const stopping = new AbortController()
  let worker: { executor: SyncExecutor; options: WorkerOptions } | undefined

  /**
   * The first waiting run of the tenant with the fewest running: a tenant with many connections does not starve the
   * others.
   */
  function takeNext(): RunHandle | undefined {
    const load = (tenantId: string): number =>
      [...running.values()].filter(({ handle }) => handle.tenantId === tenantId).length
    const next = waiting.reduce<RunHandle | undefined>(
      (best, run) => (best === undefined || load(run.tenantId) < load(best.tenantId) ? run : best),
      undefined
    )
    if (next !== undefined) waiting.splice(waiting.indexOf(next), 1)
    return next
  }

  function pump(): void {
    while (worker !== undefined && !stopping.signal.aborted && running.size < worker.options.concurrency) {
      const handle = takeNext()
      if (handle === undefined) return
      const done = execute(handle, worker).finally(() => {
        running.delete(handle.runId)
        pump()
      })
      running.set(handle.runId, { handle, done })
    }
  }

  async function execute(handle: RunHandle, { executor, options }: NonNullable<typeof worker>): Promise<void> {
    try {
      const result = await executor.runSegment(handle.runId, { signal: stopping.signal, workerId: options.workerId })
      if (result.status === 'yield' && result.reason === 'retry') later(handle, result.delayMs)
    } catch (error) {
      // The database would not even take the end of the run; its lease runs out and a ticker resumes it.
      options.log.error({ err: error, runId: handle.runId }, 'the run could not be executed')
    }
  }

  function later(handle: RunHandle, delayMs: number): void {
    delayed.add(handle.runId)
    delay(delayMs, undefined, { signal: stopping.signal })
      .then(
        () => enqueue(handle),
        () => {}
      )
      .finally(() => delayed.delete(handle.runId))
  }

  function enqueue(handle: RunHandle): void {
    if (!knows(handle.runId)) waiting.push(handle)
    pump()
  }

  function knows(runId: string): boolean {
    return running.has(runId) || waiting.some(run => run.runId === runId)
  }

  return {
    kind: 'direct',
    durable: false,
    async afterCommit(run) {
      // A process that executes nothing keeps nothing either: the ticker of one that does finds the run.
      if (worker !== undefined && !stopping.signal.aborted) enqueue(run)
    },
    async cancel() {},
    async owns(run) {
      return knows(run.runId) || delayed.has(run.runId)
    },
    async startWorker(executor, options) {
      worker = { executor, options }
      pump()
    },
    async stop({ graceMs }) {
      stopping.abort()
      waiting.length = 0
      const ended = Promise.allSettled([...running.values()].map(({ done }) => done))
      await waitAtMost(graceMs, ended)
    }
  }
}
