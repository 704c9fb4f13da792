import { waitAtMost } from '../../waits.ts'
import { setTimeout as delay } from 'node:timers/promises'
import { type Hint, ProviderError } from '../../providers/define.ts'
import { blamed, type ClientFactory, identityOf, isAboutSecrets, type OpenClient } from '../platform/index.ts'
import type { Core } from '../core.ts'
import type { Hints } from './hints.ts'
import { connectedTo, type ConnectionRow, dropLease, takeLease } from '../store/index.ts'
import { subjectOf, type Setback, type UsableHint, usableHint } from '../model/index.ts'
import type { SyncService } from '../sync/index.ts'

export interface Listeners {
  /** Takes up the connections nobody listens to; renews those held here. */
  tend(): Promise<void>
  /** The connection is gone: its socket goes with it. */
  drop(connectionId: string): void
  stop(): Promise<void>
}

const leaseMs = 30_000
const collectMs = 1_000
const slowestRetryMs = 60_000
const afterRefusalMs = 10 * 60_000
const stopMs = 2_000
/** Sentences about unusable hints that one socket may log. */
const mostRefusals = 20

const keyOf = (hint: UsableHint): string => subjectOf(hint.resource, hint.externalId)

interface Listening {
  /** As read last: its mapping policy may change while the socket stays. */
  row: ConnectionRow
  identity: string
  renewedAt: number
  stop: AbortController
  signal: AbortSignal
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
      const began = Date.now()
      const wait = await session(mine, missed).then(
        () => 0,
        error => pause(mine, error, ++failures)
      )
      missed = true
      if (Date.now() - began > slowestRetryMs) failures = 0
      if (wait > 0) await delay(wait, undefined, { signal }).catch(() => {})
    }
  }

  /**
   * How long to leave the platform alone. Refused secrets are not tried again: every try may count towards a
   * lock-out.
   */
  function pause({ row, identity, signal }: Listening, error: unknown, failures: number): number {
    if (signal.aborted) return 0
    const kind = error instanceof ProviderError ? error.kind : isAboutSecrets(error) ? 'auth' : 'unreachable'
    core.log.info({ err: error, connectionId: row.id, failures }, 'the push socket was lost')
    if (kind === 'auth') refused.set(row.id, identity)
    if (kind === 'auth' || kind === 'forbidden') return kind === 'auth' ? 0 : afterRefusalMs
    const backoff = Math.min(1_000 * 2 ** Math.min(failures, 10), slowestRetryMs) * (0.5 + Math.random() / 2)
    return Math.max(backoff, error instanceof ProviderError ? (error.retryAfterMs ?? 0) : 0)
  }

  /** One socket from its opening to its loss. What happened while there was none is found by a run. */
  async function session(mine: Listening, missed: boolean): Promise<void> {
    const { signal } = mine
    const over = new AbortController()
    const lost = AbortSignal.any([signal, over.signal])
    let reconciling: Promise<void> | undefined
    const subscribed = (): void => {
      if (missed) reconciling ??= reconcile(mine, lost)
    }
    const open = await clients.open(mine.row, signal)
    const follower = createFollower(mine, open, lost)
    try {
      for await (const hint of open.provider.listen!(open.client, signal, subscribed)) {
        subscribed()
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

  /** Gathers hints and follows them a batch at a time. */
  function createFollower(mine: Listening, open: OpenClient, lost: AbortSignal) {
    const collected = new Map<string, UsableHint>()
    let following: Promise<void> | undefined
    const refused = new Set<string>()
    /** Once per socket and sentence: a provider that is wrong is so with every push. */
    function refuse(why: string): void {
      if (refused.size >= mostRefusals || refused.has(why)) return
      refused.add(why)
      core.log.warn({ connectionId: mine.row.id }, `${why}; what it is about is read with the next sync`)
    }
    // What comes in while a batch is read is the next one; what has to wait for a run is part of it.
    async function follow(): Promise<void> {
      for (let waitMs = collectMs; collected.size > 0; ) {
        await delay(waitMs, undefined, { signal: lost }).catch(() => {})
        if (lost.aborted) return
        const batch = [...collected.values()]
        collected.clear()
        const failed: Setback[] = []
        waitMs = collectMs
        const ended = await hints.follow(mine.row, hints.subjects(mine.row, batch), {
          signal: mine.signal,
          using: open,
          told(subject, trouble) {
            if (trouble === null) return
            if (trouble.fault !== 'wait') failed.push(trouble)
            else {
              waitMs = Math.max(waitMs, trouble.retryMs)
              for (const hint of hints.subjects(mine.row, batch).get(subject) ?? [])
                if (!collected.has(keyOf(hint))) collected.set(keyOf(hint), hint)
            }
          }
        })
        if (ended !== null) failed.push(ended)
        if (failed.length > 0 && !lost.aborted)
          core.log.warn(
            { connectionId: mine.row.id, failed: failed.length, reason: failed[0]!.reason },
            'pushed changes could not be re-read; the next sync repairs them'
          )
      }
    }
    return {
      add(told: Hint): void {
        const hint = usableHint(told, open.provider)
        if (typeof hint === 'string') {
          refuse(hint)
          return
        }
        // That something is gone is not forgotten because it also changed.
        const known = collected.get(keyOf(hint))
        if (known?.kind !== 'deleted') collected.set(keyOf(hint), hint)
        following ??= follow()
          .catch(error =>
            core.log.warn(
              { err: error, connectionId: mine.row.id },
              'pushed changes could not be followed; the next sync repairs them'
            )
          )
          .finally(() => {
            following = undefined
          })
      },
      settled: async (): Promise<void> => await following
    }
  }

  /**
   * Reads everything that can be pushed. A run that has begun already may have passed by what was missed: then
   * another one follows it.
   */
  async function reconcile({ row }: Listening, signal: AbortSignal): Promise<void> {
    try {
      for (;;) {
        signal.throwIfAborted()
        const { run, deduplicated } = await sync.request(
          row,
          { resources: ['organizations', 'devices'], mode: 'full' },
          'webhook'
        )
        if (!deduplicated || (run.status === 'queued' && run.startedAt === null && run.resources.includes('devices')))
          return
        await sync.settled(row.tenant_id, run.id, signal)
      }
    } catch (error) {
      if (!signal.aborted)
        core.log.warn(
          { err: error, connectionId: row.id },
          'the read after a lost socket could not be started; the next sync repairs what was missed'
        )
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
      done: Promise.resolve()
    }
    held.set(row.id, mine)
    mine.done = listen(mine)
      .catch(error => core.log.warn({ err: error, connectionId: row.id }, 'listening ended'))
      .then(() => dropLease(database, `listen:${row.id}`, core.worker))
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
    if (!(await takeLease(database, `listen:${row.id}`, core.worker, leaseMs))) mine?.stop.abort()
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
