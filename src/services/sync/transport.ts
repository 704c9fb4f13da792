import type { DeviceSyncResult, Run, RunStatus } from '../../types.ts'

/** The seam between the engine and what decides where and when it runs. */

export interface SegmentContext {
  /** Aborted when the worker has to stop. */
  signal: AbortSignal
  /** The queue has given up on the previous worker: do not wait for its lease. */
  takeOver?: boolean
  /** Called as pages land. */
  heartbeat?(): void
  workerId?: string
}

export type SegmentResult =
  | { status: 'done'; state: RunStatus; error: Run['error'] }
  /** Handed back; to be executed again, not before `delayMs`. */
  | { status: 'yield'; reason: 'shutdown' | 'retry'; delayMs: number }
  /** A living worker holds it. */
  | { status: 'held' }

/** The engine as transports see it: implemented once, whatever decides where it runs. */
export interface SyncExecutor {
  /**
   * Executes a run from its last checkpoint to its end, or until it has to be handed back. Safe to call for a run
   * that ended.
   */
  runSegment(runId: string, context: SegmentContext): Promise<SegmentResult>
  /** Ends a run that no attempt ended. Idempotent. */
  settleFailed(runId: string, error: unknown, kind: 'failed' | 'cancelled'): Promise<void>
  /** Reads one device now. Throws the error that the asking route answers with. */
  device(tenantId: string, connectionId: string, externalId: string): Promise<DeviceSyncResult>
}

/** A run as a transport knows it. */
export interface RunHandle {
  runId: string
  tenantId: string
  connectionId: string
  provider: string
}

/** One device to be read again, as a transport knows it. */
export interface DeviceHandle {
  tenantId: string
  connectionId: string
  provider: string
  externalId: string
}

/** What every process of a host gives a transport, whether it executes runs or only starts them. */
export interface TransportContext {
  /**
   * Attempts that an engine may make at one job. Failures and the deaths of workers are counted in the run's row, by
   * what they led to; this only ends what never gets as far as that row.
   */
  maxAttempts: number
  log: TransportLog
}

export interface WorkerOptions {
  /** Runs executed at the same time in this process. */
  concurrency: number
  workerId: string
  log: TransportLog
}

export interface TransportLog {
  info(fields: object, message: string): void
  warn(fields: object, message: string): void
  error(fields: object, message: string): void
}

/**
 * Decides where and when the next attempt of a run executes, nothing else: the run row is the truth, whatever a
 * transport loses or repeats.
 */
export interface SyncTransport {
  /** `direct`, `postgres`, `temporal`, or the name of one's own. */
  readonly kind: string
  /**
   * The engine keeps what it was given when this process dies. A run it owns is left to it; runs of the others go to
   * whoever asks first.
   */
  readonly durable: boolean
  /**
   * PostgreSQL schemas with tables of its own in the host's database: the host's schema diff has to leave them alone,
   * and the plugin refuses to boot where it would not. @default none
   */
  readonly schemas?: readonly string[]
  /**
   * Once, when the plugin is registered: loads the engine's packages. The engine itself may be down: that is found
   * out, and told, when a run is started. Throws `RMM_ERR_OPTION` when a package is missing.
   */
  open?(context: TransportContext): Promise<void>
  /** Inside the transaction that inserts the run, for engines that can join it; `trx` is a Kysely transaction. */
  dispatch?(run: RunHandle, trx: unknown): Promise<void>
  /**
   * After that commit, and again whenever a run has to be executed (again). Idempotent per run. Throws when the
   * engine cannot be reached. `dispatched`: `dispatch` took part in the commit just before.
   */
  afterCommit?(run: RunHandle, options?: { dispatched?: boolean }): Promise<void>
  /**
   * Reads one device where the runs are executed, for engines that can answer; without it, it is read in the asking
   * process.
   */
  device?(device: DeviceHandle): Promise<DeviceSyncResult>
  /** A hint; the truth is the run's cancel flag. */
  cancel(run: RunHandle): Promise<void>
  /** Whether the engine still knows the run as queued or running. Throws when it cannot be asked. */
  owns(run: RunHandle): Promise<boolean>
  startWorker(executor: SyncExecutor, options: WorkerOptions): Promise<void>
  /** Stops taking runs, tells running ones to hand over at the next page, waits `graceMs` for that. */
  stop(options: { graceMs: number }): Promise<void>
}
