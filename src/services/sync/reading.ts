import type { RmmProvider } from '../../providers/define.ts'
import type { ResourceName, SyncMode } from '../../types.ts'
import type { Core } from '../core.ts'
import type { Isolation } from './host.ts'
import { type Attempt, type Db, holdRun, type MergeContext, type PageProgress } from '../store/index.ts'

/** An open client of one connection, and where what it tells is written. */
export interface Source {
  core: Core
  context: MergeContext
  provider: RmmProvider
  client: unknown
  signal: AbortSignal
  heartbeat?(): void
  /** Before single reads: may ask for all of them at once. */
  prefetch?(name: ResourceName, ids: readonly string[]): Promise<void>
}

/** Records that a run leaves alone. */
export interface Skip {
  has(entity: 'device' | 'organization' | 'alert', externalId: string): boolean
}

/** One attempt at one run, while it reads. */
export interface Reading extends Source {
  attempt: Attempt
  mode: SyncMode
  force: boolean
  /** A person asked for it: it never goes on from the place of an earlier run. */
  ownOnly: boolean
  state: PageProgress
  heartbeat(): void
  /** Null where a host that fails is not tried with less. */
  isolation: Isolation | null
  /** Records that are left alone. */
  skip?: Skip
}

/** Seen inside a page's transaction, which is rolled back by it. */
class Cancelled extends Error {
  readonly cancelled = true
}

/**
 * One step of the run, in one transaction that holds the run and its connection. It may be done again from its
 * beginning, so that `work` counts and collects in values of its own.
 */
export async function step<T>({ core, attempt }: Reading, work: (trx: Db) => Promise<T>): Promise<T> {
  return await core.database.transaction(async trx => {
    if ((await holdRun(trx, core.database.t, attempt)).cancelled) throw new Cancelled('the run was cancelled')
    return await work(trx)
  })
}
