import { type Hint, ProviderError } from '../providers/define.ts'
import type { ClientFactory, OpenClient } from './clients.ts'
import type { Core } from './core.ts'
import type { ReRead } from './reread.ts'
import { type ConnectionRow, setStatus } from './store/connections.ts'
import type { SyncService } from './sync.ts'

export function hintKey (hint: Hint): string {
  return `${hint.resource}|${hint.externalId}`
}

/** Hints whose work failed, with why; the others are done. */
export type HintFailures = Map<string, unknown>

export interface Hints {
  /** Reads again what the hints point at, each thing once however many hints there are. */
  follow (row: ConnectionRow, hints: Hint[], signal: AbortSignal, using?: OpenClient): Promise<HintFailures>
}

export function createHints (core: Core, clients: ClientFactory, reread: ReRead, sync: SyncService): Hints {
  async function followOne (row: ConnectionRow, { provider, client }: OpenClient, hint: Hint, signal: AbortSignal): Promise<void> {
    const observedAt = core.now()
    if (hint.resource === 'devices' && provider.resources.devices?.fetchOne) {
      await reread.applyDevice(row, hint.externalId, await provider.resources.devices.fetchOne(client, hint.externalId, signal), observedAt)
    } else if (hint.resource === 'alerts' && provider.resources.alerts?.fetchOne) {
      await reread.applyAlert(row, hint.externalId, await provider.resources.alerts.fetchOne(client, hint.externalId, signal), observedAt)
    } else if (provider.resources[hint.resource] !== undefined) {
      // A tree has to be read whole, and so has what cannot be read one by one. An active run is as good as a new one.
      await sync.request(row, { resources: [hint.resource], mode: 'full' }, 'webhook')
    }
  }

  async function followAll (row: ConnectionRow, open: OpenClient, hints: Hint[], signal: AbortSignal): Promise<HintFailures> {
    const failures: HintFailures = new Map()
    // One request for the tree, however many of its groups changed.
    const trees = new Set<string>()
    for (const [key, hint] of new Map(hints.map(hint => [hintKey(hint), hint]))) {
      const whole = open.provider.resources[hint.resource]?.fetchOne === undefined || hint.resource === 'organizations'
      if (whole && trees.has(hint.resource)) continue
      if (whole) trees.add(hint.resource)
      try {
        signal.throwIfAborted()
        await followOne(row, open, hint, signal)
      } catch (error) {
        failures.set(key, error)
        if (signal.aborted || (error instanceof ProviderError && error.kind === 'auth')) {
          for (const rest of hints) if (!failures.has(hintKey(rest)) && hints.indexOf(rest) > hints.indexOf(hint)) failures.set(hintKey(rest), error)
          if (!signal.aborted) await setStatus(core.database, row.id, 'error', (error as Error).message)
          break
        }
      }
    }
    return failures
  }

  return {
    async follow (row, hints, signal, using) {
      if (using !== undefined) return await followAll(row, using, hints, signal)
      let open: OpenClient
      try {
        open = await clients.open(row, signal)
      } catch (error) {
        return new Map(hints.map(hint => [hintKey(hint), error]))
      }
      try {
        return await followAll(row, open, hints, signal)
      } finally {
        await open.close()
      }
    }
  }
}
