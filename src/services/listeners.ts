import { setTimeout as delay } from 'node:timers/promises'
import { type Hint, ProviderError } from '../providers/define.ts'
import type { ClientFactory } from './clients.ts'
import type { Core } from './core.ts'
import type { Hints } from './hints.ts'
import { type ConnectionRow, connectedTo, setStatus } from './store/connections.ts'
import { dropLease, takeLease } from './store/named-lease.ts'
import type { SyncService } from './sync.ts'

export interface Listeners {
  /** Takes up the connections nobody listens to; renews those held here. */
  tend (): Promise<void>
  /** The connection is gone: its socket goes with it. */
  drop (connectionId: string): void
  stop (): Promise<void>
}

const leaseMs = 30_000
const collectMs = 1_000
const slowestRetryMs = 60_000
const afterRefusalMs = 10 * 60_000

interface Listening { stop: AbortController, done: Promise<void>, updated: string }

/** Holds the push socket of every connection whose provider has one: one per connection, in one of all processes. */
export function createListeners (core: Core, clients: ClientFactory, hints: Hints, sync: SyncService): Listeners {
  const held = new Map<string, Listening>()
  const providers = core.registry.ids().filter(id => core.registry.get(id)?.listen !== undefined)
  const { database } = core

  async function listen (row: ConnectionRow, signal: AbortSignal): Promise<void> {
    for (let failures = 0; !signal.aborted;) {
      const began = Date.now()
      const wait = await session(row, signal, failures > 0).then(() => 0, error => pause(error, ++failures))
      if (Date.now() - began > slowestRetryMs) failures = 0
      if (wait > 0) await delay(wait, undefined, { signal, ref: false }).catch(() => {})
    }
  }

  function pause (error: unknown, failures: number): number {
    const kind = error instanceof ProviderError ? error.kind : 'unreachable'
    core.log.info({ err: error, failures }, 'the push socket was lost')
    if (kind === 'auth' || kind === 'forbidden') return afterRefusalMs
    const backoff = Math.min(1_000 * 2 ** Math.min(failures, 10), slowestRetryMs) * (0.5 + Math.random() / 2)
    return Math.max(backoff, error instanceof ProviderError ? error.retryAfterMs ?? 0 : 0)
  }

  /** One socket from its opening to its loss. What happened while there was none is found by a run. */
  async function session (row: ConnectionRow, signal: AbortSignal, again: boolean): Promise<void> {
    const open = await clients.open(row, signal)
    const collected = new Map<string, Hint>()
    let flushing: Promise<void> | undefined
    const flush = async (): Promise<void> => {
      await delay(collectMs, undefined, { signal, ref: false }).catch(() => {})
      const batch = [...collected.values()]
      collected.clear()
      const failures = await hints.follow(row, batch, signal, open)
      if (failures.size > 0 && !signal.aborted) core.log.warn({ connectionId: row.id, failed: failures.size, err: [...failures.values()][0] }, 'pushed changes could not be re-read; the next sync repairs them')
    }
    try {
      if (again) await reconcile(row)
      for await (const hint of open.provider.listen!(open.client, signal)) {
        collected.set(`${hint.resource}|${hint.externalId}`, hint)
        flushing ??= flush().finally(() => { flushing = undefined })
      }
      if (!signal.aborted) throw new ProviderError('unreachable', 'The push socket ended')
    } catch (error) {
      if (error instanceof ProviderError && error.kind === 'auth') await setStatus(database, row.id, 'error', error.message)
      throw error
    } finally {
      await flushing?.catch(() => {})
      await open.close()
    }
  }

  async function reconcile (row: ConnectionRow): Promise<void> {
    await sync.request(row, { resources: ['organizations', 'devices'], mode: 'full' }, 'webhook').catch(error => core.log.debug({ err: error, connectionId: row.id }, 'reconcile after a lost socket could not be started'))
  }

  function drop (connectionId: string): void {
    held.get(connectionId)?.stop.abort()
  }

  return {
    drop,
    async tend () {
      const rows = providers.length === 0 ? [] : await connectedTo(database, providers)
      const wanted = new Set(rows.map(row => row.id))
      for (const id of held.keys()) if (!wanted.has(id)) drop(id)
      for (const row of rows) {
        const mine = held.get(row.id)
        // New secrets or another address: the socket of before is not the one that is wanted.
        const identity = `${row.sealed_secrets}|${JSON.stringify(row.config)}`
        if (mine !== undefined && mine.updated !== identity) mine.stop.abort()
        if (!await takeLease(database, `listen:${row.id}`, core.worker, leaseMs)) { mine?.stop.abort(); continue }
        if (mine !== undefined || core.signal.aborted) continue
        const stop = new AbortController()
        const signal = AbortSignal.any([stop.signal, core.signal])
        const done = listen(row, signal).catch(error => core.log.warn({ err: error, connectionId: row.id }, 'listening ended')).finally(() => { held.delete(row.id) })
        held.set(row.id, { stop, done, updated: identity })
      }
    },
    async stop () {
      const all = [...held.entries()]
      for (const [, { stop }] of all) stop.abort()
      await Promise.race([Promise.allSettled(all.map(([, { done }]) => done)), delay(2_000, undefined, { ref: false })])
      for (const [id] of all) await dropLease(database, `listen:${id}`, core.worker).catch(() => {})
    }
  }
}
