import type { SyncExecutor } from '../services/executor.ts'

/** A run as a transport knows it. */
export interface RunHandle {
  runId: string
  tenantId: string
  connectionId: string
  provider: string
}

export interface WorkerOptions {
  /** Runs executed at the same time in this process. */
  concurrency: number
  workerId: string
  /** Attempts that may fail before the run fails. */
  maxAttempts: number
  retryDelayMs: number
  log: TransportLog
}

export interface TransportLog {
  info (fields: object, message: string): void
  warn (fields: object, message: string): void
  error (fields: object, message: string): void
}

/**
 * Decides where and when the next attempt of a run executes, nothing else: the run row is the truth, whatever a transport loses or repeats.
 */
export interface SyncTransport {
  /** `direct`, `postgres`, `temporal`, or the name of one's own. */
  readonly kind: string
  /** Runs survive this process without `reconcile`. */
  readonly durable: boolean
  /** Inside the transaction that inserts the run, for engines that can join it; `trx` is a Kysely transaction. */
  dispatch? (run: RunHandle, trx: unknown): Promise<void>
  /** After that commit, and again whenever a run has to be executed (again). Idempotent per run. Throws when the engine cannot be reached. */
  afterCommit? (run: RunHandle, options?: { delayMs?: number }): Promise<void>
  /** A hint; the truth is the run's cancel flag. */
  cancel (run: RunHandle): Promise<void>
  /** Whether the engine still knows the run as queued or running. */
  owns (run: RunHandle): Promise<boolean>
  startWorker (executor: SyncExecutor, options: WorkerOptions): Promise<void>
  /** Stops taking runs, tells running ones to hand over at the next page, waits `graceMs` for that. */
  stop (options: { graceMs: number }): Promise<void>
}
