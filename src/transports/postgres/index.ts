import { waitAtMost, withTimeLimit } from '../../waits.ts'
import { setTimeout as delay } from 'node:timers/promises'
import { TransportError } from '../../errors.ts'
import type { JobWithMetadata, KyselyTransactionLike, PgBoss } from 'pg-boss'
import type { RunHandle, SyncExecutor, SyncTransport, TransportLog, WorkerOptions } from '../../services/sync/index.ts'
import { sliceShare, workersLost } from '../transport.ts'
import {
  type BossSource,
  checkPostgresOptions,
  deadQueue,
  defaultSchema,
  openBoss,
  type PostgresTransportOptions,
  runQueue,
  startToCloseSeconds
} from './boss.ts'

export type { PostgresTransportOptions } from './boss.ts'

const retryStartMs = 5_000
const sliceMs = startToCloseSeconds * 1_000 * sliceShare

/**
 * Queues runs in the PostgreSQL the host already has, with pg-boss (12.35 or newer, a package of its own):
 * `postgresTransport({ orm })`. Any number of processes take runs from it. Starting a run and queueing it are one
 * transaction; a worker that dies is noticed by its missing heartbeat, and its run goes on from the last checkpoint
 * elsewhere.
 *
 * @throws `RMM_ERR_OPTION` for options that cannot work
 */
export function postgresTransport(options: PostgresTransportOptions): SyncTransport {
  const settings = checkPostgresOptions(options)
  let stopping = new AbortController()
  let source: BossSource | undefined
  let working: Promise<void> = Promise.resolve()
  let workers: string | undefined

  async function boss(): Promise<PgBoss> {
    if (source === undefined) throw new Error('the transport was not opened')
    return await source.started()
  }

  async function send(run: RunHandle, delayMs = 0): Promise<void> {
    const startAfter = delayMs > 0 ? { startAfter: new Date(Date.now() + delayMs) } : {}
    await (await boss()).send(runQueue, { ...run }, { singletonKey: run.runId, ...startAfter })
  }

  /**
   * Given back, not failed: the rest of the run is a job of its own, and no attempt was used up. A crash in between
   * is found by the ticker.
   */
  async function handOver(job: JobWithMetadata<RunHandle>, delayMs: number): Promise<void> {
    await (await boss()).complete(runQueue, job)
    await send(job.data, delayMs)
  }

  /** A job that was fetched by a process that froze then may be somebody else's when it wakes. */
  async function isMine(job: JobWithMetadata<RunHandle>): Promise<boolean> {
    const [now] = await (await boss()).findJobs(runQueue, { id: job.id })
    return now?.state === 'active' && now.retryCount === job.retryCount
  }

  async function execute(
    job: JobWithMetadata<RunHandle>,
    executor: SyncExecutor,
    worker: WorkerOptions
  ): Promise<void> {
    // A job that comes a second time was taken from a worker that went silent: its lease is not waited for.
    const takeOver = job.retryCount > 0
    if (takeOver && !(await isMine(job))) return
    const result = await withTimeLimit(sliceMs, [job.signal, stopping.signal], signal =>
      executor.runSegment(job.data.runId, { signal, workerId: worker.workerId, takeOver })
    )
    // When the job's own signal fired, the job is no longer this worker's to settle.
    if (result.status === 'yield' && !job.signal.aborted) await handOver(job, result.delayMs)
  }

  async function work(executor: SyncExecutor, worker: WorkerOptions): Promise<void> {
    const running = await boss()
    if (stopping.signal.aborted) return
    // A job that is retried, or was inserted while no notification could be heard, is found by asking: hence the
    // short intervals.
    const polling = { pollingIntervalSeconds: settings.pollSeconds, notifyPollingIntervalSeconds: settings.pollSeconds }
    workers = await running.work(
      runQueue,
      {
        ...polling,
        localConcurrency: worker.concurrency,
        includeMetadata: true,
        heartbeatRefreshSeconds: settings.refreshSeconds
      },
      async (jobs: Array<JobWithMetadata<RunHandle>>) => {
        for (const job of jobs) await execute(job, executor, worker)
      }
    )
    await running.work(deadQueue, polling, async (jobs: Array<{ data: RunHandle }>) => {
      for (const { data } of jobs) await executor.settleFailed(data.runId, workersLost('postgres'), 'failed')
    })
  }

  return {
    kind: 'postgres',
    durable: true,
    // A pg-boss of the host keeps its tables where the host put them.
    schemas: options.boss === undefined ? [options.schema ?? defaultSchema] : [],
    async open(context) {
      // A host that starts again may give the same object to its next app.
      stopping = new AbortController()
      working = Promise.resolve()
      workers = undefined
      source = await openBoss(options, settings, context)
      await source
        .started()
        .catch(error =>
          context.log.warn({ err: error }, 'the queue cannot be reached yet; until it can, starting a run fails')
        )
    },
    async dispatch(run, trx) {
      // Asked for outside the transaction first: it needs a connection of its own while it starts.
      const running = await boss()
      await running
        .send(runQueue, { ...run }, { singletonKey: run.runId, db: source!.fromKysely(trx as KyselyTransactionLike) })
        .catch(error => {
          throw missingTables(error) ?? error
        })
    },
    async afterCommit(run, { dispatched = false } = {}) {
      if (!dispatched) await send(run)
      if (workers !== undefined) (await boss()).notifyWorker(workers)
    },
    // A running run sees its flag at the next page, or when its lease is renewed; a waiting one was ended already.
    async cancel() {},
    async owns(run) {
      const jobs = await (await boss()).findJobs(runQueue, { key: run.runId })
      return jobs.some(({ state }) => state === 'created' || state === 'retry' || state === 'active')
    },
    async startWorker(executor, worker) {
      working = retry(() => work(executor, worker), stopping.signal, worker.log)
    },
    async stop({ graceMs }) {
      stopping.abort()
      await working
      const running = workers === undefined ? undefined : await boss()
      const handedOver = Promise.allSettled([runQueue, deadQueue].map(queue => running?.offWork(queue)))
      await waitAtMost(graceMs, handedOver)
      await source?.stop()
    }
  }
}

/** Somebody dropped what the queue stands on: an engine that cannot be reached would be the wrong thing to look for. */
function missingTables(error: unknown): Error | undefined {
  // undefined_table, invalid_schema_name
  if (!['42P01', '3F000'].includes((error as { code?: string }).code ?? '')) return undefined
  return Object.assign(
    new TransportError(
      "The tables of the queue are missing in the database (did the host's schema diff drop them?); restart a process with the transport 'postgres', which makes them again. Nothing was started"
    ),
    { cause: error }
  )
}

/**
 * A queue that is down when the process starts must not keep the host from starting. Returns once `work` was done, or
 * at the end.
 */
async function retry(work: () => Promise<void>, signal: AbortSignal, log: TransportLog): Promise<void> {
  while (!signal.aborted) {
    try {
      return await work()
    } catch (error) {
      log.warn({ err: error }, 'the queue cannot be reached; this process executes no runs until it can')
      await delay(retryStartMs, undefined, { signal }).catch(() => {})
    }
  }
}
