import { waitAtMost } from '../../waits.ts'
import { setTimeout as delay } from 'node:timers/promises'
import { messageOf } from '../../log.ts'
import { ProviderError } from '../../providers/define.ts'
import { blamed, type ClientFactory, identityOf, isAboutSecrets } from '../platform/index.ts'
import type { Run } from '../../types.ts'
import type { Core } from '../core.ts'
import { createFollower } from './follower.ts'
import type { Hints } from './hints.ts'
import {
  connectedTo,
  type ConnectionRow,
  dropLease,
  listenLease,
  noteListener,
  nudgedListeners,
  takeLease
} from '../store/index.ts'
import type { SyncService } from '../sync/index.ts'

export interface Listeners {
  /** Takes up the connections nobody listens to; renews those held here. */
  tend(): Promise<void>
  /** The connection is gone: its socket goes with it. */
  drop(connectionId: string): void
  stop(): Promise<void>
}

const leaseMs = 30_000
const slowestRetryMs = 60_000
const stopMs = 2_000
interface Listening {
  /** As read last: its mapping policy may change while the socket stays. */
  row: ConnectionRow
  identity: string
  renewedAt: number
  stop: AbortController
  signal: AbortSignal
  /** Ends the wait for the next try. */
  wake: AbortController
  /** What is told about it is told in order. */
  noted: Promise<void>
  done: Promise<void>
}

/** Holds the push socket of every connection whose provider has one: one per connection, in one of all processes. */
export function createListeners(core: Core, clients: ClientFactory, hints: Hints, sync: SyncService): Listeners {
  const held = new Map<string, Listening>()
  /** Secrets that the platform refused; they are tried again when somebody has changed them, or has seen them work. */
  const refused = new Map<string, string>()
  const providers = core.registry.ids().filter(id => core.registry.get(id)?.listen !== undefined)
  const { database } = core

  async function listen(mine: Listening): Promise<void> {
    const { signal } = mine
    // A connection that was read before may have changed while no process listened.
    let missed = mine.row.last_full_sync_at !== null
    for (let failures = 0; !signal.aborted && refused.get(mine.row.id) !== mine.identity; ) {
      // Whatever ends a socket that did all it is for, a load balancer say, the next one is not worse off for it.
      const worked = (): void => {
        failures = 0
      }
      const wait = await session(mine, missed, worked).then(
        () => 0,
        error => pause(mine, error, ++failures)
      )
      missed = true
      if (wait > 0)
        await delay(wait, undefined, { signal: AbortSignal.any([signal, mine.wake.signal]) }).catch(() => {})
      mine.wake = new AbortController()
    }
  }

  /**
   * How long to leave the platform alone. Refused secrets are not tried again: every try may count towards a
   * lock-out.
   */
  function pause(mine: Listening, error: unknown, failures: number): number {
    const { row, identity, signal } = mine
    if (signal.aborted) return 0
    const kind = error instanceof ProviderError ? error.kind : isAboutSecrets(error) ? 'auth' : 'unreachable'
    core.log.info({ err: error, connectionId: row.id, failures }, 'the push socket was lost')
    note(mine, false, messageOf(error))
    if (kind === 'auth') {
      refused.set(row.id, identity)
      return 0
    }
    const backoff = Math.min(1_000 * 2 ** Math.min(failures, 10), slowestRetryMs) * (0.5 + Math.random() / 2)
    return Math.max(backoff, error instanceof ProviderError ? (error.retryAfterMs ?? 0) : 0)
  }

  /** Tells whether pushes arrive, for whoever looks at the connection. */
  function note(mine: Listening, live: boolean, error: string | null): void {
    const { row } = mine
    mine.noted = mine.noted
      .then(() => noteListener(database, { connectionId: row.id, worker: core.worker, live, error }))
      .catch(failure => core.log.debug({ err: failure, connectionId: row.id }, 'the state of pushes was not stored'))
  }

  /**
   * One socket from its opening to its loss. What happened while there was none is found by a run; `worked` is called
   * when that has ended well.
   */
  async function session(mine: Listening, missed: boolean, worked: () => void): Promise<void> {
    const { signal } = mine
    const over = new AbortController()
    const lost = AbortSignal.any([signal, over.signal])
    let reconciling = Promise.resolve()
    let isHeard = false
    /** Called again by a provider that could not tell everything before. */
    const subscribed = (): void => {
      const isFirst = !isHeard
      isHeard = true
      if (isFirst) note(mine, true, null)
      if (isFirst && !missed) worked()
      else
        reconciling = reconciling.then(async () => {
          if (await reconcile(mine, lost)) worked()
        })
    }
    const open = await clients.open(mine.row, signal)
    const follower = createFollower(core, hints, mine, open, lost)
    try {
      for await (const hint of open.provider.listen!(open.client, signal, subscribed)) {
        if (!isHeard) subscribed()
        follower.add(hint)
      }
      if (!signal.aborted) throw new ProviderError('unreachable', 'The push socket ended')
    } catch (error) {
      throw blamed(open.provider, 'listen', error, signal)
    } finally {
      over.abort()
      await Promise.all([follower.settled(), reconciling])
      await open.close()
    }
  }

  /**
   * Reads everything that can be pushed, and tells whether it was read. A run that has begun already may have passed by
   * what was missed: then another one follows it.
   */
  async function reconcile({ row }: Listening, signal: AbortSignal): Promise<boolean> {
    try {
      for (;;) {
        signal.throwIfAborted()
        const { run, deduplicated } = await sync.request(
          row,
          { resources: ['organizations', 'devices'], mode: 'full' },
          'webhook'
        )
        const { status } = await lastSeen(row.tenant_id, run.id, signal)
        if (!deduplicated || (run.status === 'queued' && run.startedAt === null && run.resources.includes('devices')))
          return status === 'succeeded' || status === 'partial'
      }
    } catch (error) {
      if (!signal.aborted)
        core.log.warn(
          { err: error, connectionId: row.id },
          'the read after a lost socket could not be started; the next sync repairs what was missed'
        )
      return false
    }
  }

  /** The run when it has ended, or as it is when the socket is lost meanwhile. */
  async function lastSeen(tenantId: string, runId: string, signal: AbortSignal): Promise<Run> {
    try {
      return await sync.settled(tenantId, runId, signal)
    } catch (error) {
      if (core.signal.aborted || !signal.aborted) throw error
      return await sync.get(tenantId, runId)
    }
  }

  function drop(connectionId: string): void {
    held.get(connectionId)?.stop.abort()
  }

  function begin(row: ConnectionRow): void {
    const stop = new AbortController()
    const mine: Listening = {
      row,
      identity: identityOf(row),
      renewedAt: Date.now(),
      stop,
      signal: AbortSignal.any([stop.signal, core.signal]),
      wake: new AbortController(),
      noted: Promise.resolve(),
      done: Promise.resolve()
    }
    held.set(row.id, mine)
    mine.done = listen(mine)
      .catch(error => core.log.warn({ err: error, connectionId: row.id }, 'listening ended'))
      .then(() => mine.noted)
      .then(() => dropLease(database, listenLease(row.id), core.worker))
      .catch(error =>
        core.log.debug(
          { err: error, connectionId: row.id },
          'the lease of a push socket could not be given back; it runs out'
        )
      )
      .finally(() => {
        held.delete(row.id)
      })
  }

  async function tendTo(row: ConnectionRow): Promise<void> {
    const mine = held.get(row.id)
    const identity = identityOf(row)
    if (mine !== undefined) mine.row = row
    if (mine !== undefined && mine.identity !== identity) mine.stop.abort()
    if (row.status === 'connected') refused.delete(row.id)
    if (mine?.signal.aborted === true || refused.get(row.id) === identity) return
    if (!(await takeLease(database, listenLease(row.id), core.worker, leaseMs))) mine?.stop.abort()
    else if (mine !== undefined) mine.renewedAt = Date.now()
    else if (!core.signal.aborted) begin(row)
  }

  return {
    drop,
    async tend() {
      try {
        const rows = providers.length === 0 ? [] : await connectedTo(database, providers)
        const wanted = new Set(rows.map(row => row.id))
        for (const id of held.keys()) if (!wanted.has(id)) drop(id)
        for (const row of rows) await tendTo(row)
        if (held.size > 0) for (const id of await nudgedListeners(database, core.worker)) held.get(id)?.wake.abort()
      } finally {
        // Without the database nobody can tell us that another process has taken over.
        for (const { renewedAt, stop } of held.values()) if (Date.now() - renewedAt > leaseMs) stop.abort()
      }
    },
    async stop() {
      const all = [...held.values()]
      for (const { stop } of all) stop.abort()
      await waitAtMost(stopMs, Promise.allSettled(all.map(({ done }) => done)))
    }
  }
}
