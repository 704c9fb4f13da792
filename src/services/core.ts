import type { FastifyBaseLogger } from 'fastify'
import type { AdoptGroup, Directory, OnChanges, SecretBox } from '../types.ts'
import type { Actors } from './actors.ts'
import type { ProviderRegistry } from './platform/registry.ts'
import type { Clock } from './clock.ts'
import type { Database } from './store/database.ts'

/** Times and limits of the engine; all in milliseconds unless named otherwise. */
export interface Settings {
  /** How long a worker may be silent before another takes its run over. */
  leaseMs: number
  /** How often due schedules, waiting runs and the outbox are looked at. */
  tickMs: number
  /** Longest time `onChanges` may take; it runs inside our transaction. */
  onChangesMs: number
  /** Failed attempts after which a run fails. */
  maxAttempts: number
  /** Workers that may die with a run, one after the other and without getting any further, before it fails. */
  maxDeaths: number
  retryDelayMs: number
  /** Records of a sync committed in one transaction, and given to `onChanges`, at most. */
  batchRecords: number
  /** Longest time a request of a mounted route waits for the platform. */
  interactiveMs: number
}

export const defaultSettings: Settings = {
  leaseMs: 15_000,
  tickMs: 3_000,
  onChangesMs: 30_000,
  maxAttempts: 2,
  maxDeaths: 20,
  retryDelayMs: 1_000,
  batchRecords: 500,
  interactiveMs: 20_000
}

/**
 * One that fails may be at fault itself. That the other side is down (a platform, a sink, an engine) is concluded from
 * so many different ones that failed in a row.
 */
export const severalFail = 3

/** What every service needs; built once per registration, nothing of it is shared between two. */
export interface Core {
  database: Database
  registry: ProviderRegistry
  secrets: SecretBox
  directory: Directory
  onChanges: OnChanges | undefined
  /** Whether `onChanges` is tried with ever smaller portions where it fails. */
  isolate: boolean
  adoptGroup: AdoptGroup | undefined
  /** Who is behind the call under way. */
  actors: Actors
  /** Names of the sinks that new events wait for; `events` keeps it. */
  sinks: string[]
  /** Everything of a webhook's address before its key; null where platforms cannot be told where to send webhooks. */
  hooksUrl: string | null
  log: FastifyBaseLogger
  settings: Settings
  /** Identifies this process in leases. */
  worker: string
  /** The database's time, as well as this process can tell. */
  now(): Date
  clock: Clock
  /** Aborted when the host closes. */
  signal: AbortSignal
}
