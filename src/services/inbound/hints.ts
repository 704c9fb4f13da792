import { ProviderError, type ProviderErrorKind, type RmmProvider } from '../../providers/define.ts'
import type { ResourceName } from '../../types.ts'
import type { ClientFactory, OpenClient } from '../platform/index.ts'
import type { UsableHint } from '../model/index.ts'
import type { ReRead, SyncService } from '../sync/index.ts'
import type { ConnectionRow } from '../store/index.ts'

export function hintKey(hint: UsableHint): string {
  return `${hint.resource}|${hint.externalId}`
}

/** Hints whose work failed, with why; the others are done. */
export type HintFailures = Map<string, unknown>

/**
 * Nothing failed, it is only not the time for it: what a hint asks for can be done after the run that is active now.
 */
export class Deferred extends Error {
  readonly retryMs: number
  constructor(message: string, retryMs: number) {
    super(message)
    this.retryMs = retryMs
  }
}

const afterRunMs = 3_000

/** Failures of the platform as a whole: asking it for the next thing would only fail again. */
const general: readonly ProviderErrorKind[] = ['auth', 'unreachable', 'rate_limited']

export interface Hints {
  /** Reads again what the hints point at, each thing once however many hints there are. */
  follow(row: ConnectionRow, hints: UsableHint[], signal: AbortSignal, using?: OpenClient): Promise<HintFailures>
}

/** A tree has to be read whole, and so has what cannot be read one by one. */
function isWhole(provider: RmmProvider, resource: ResourceName): boolean {
  return resource === 'organizations' || resource === 'updates' || provider.resources[resource]?.fetchOne === undefined
}

const isOfGroup = ([hint]: UsableHint[]): boolean => hint!.resource === 'organizations'

export function createHints(clients: ClientFactory, reread: ReRead, sync: SyncService): Hints {
  async function readWhole(row: ConnectionRow, resources: ResourceName[]): Promise<void> {
    const { run, deduplicated } = await sync.request(row, { resources, mode: 'full' }, 'webhook')
    // A run that has begun may have passed by already what changed.
    if (
      deduplicated &&
      !(
        run.status === 'queued' &&
        run.startedAt === null &&
        resources.every(resource => run.resources.includes(resource))
      )
    )
      throw new Deferred(`waits for the run ${run.id} to end`, afterRunMs)
  }

  async function followOne(
    row: ConnectionRow,
    open: OpenClient,
    same: UsableHint[],
    signal: AbortSignal
  ): Promise<void> {
    const { provider } = open
    const { resource, externalId } = same[0]!
    const deleted = same.filter(({ kind }) => kind === 'deleted')
    if (isWhole(provider, resource)) {
      const takesDevices = resource === 'organizations' && provider.resources.devices !== undefined
      if (resource === 'organizations' && deleted.length > 0)
        await reread.followDeleted(
          row,
          open,
          deleted.map(hint => hint.externalId),
          signal
        )
      // The devices of an organization that is gone are elsewhere now, or gone with it; platforms do not say so for
      // each of them.
      await readWhole(row, takesDevices && deleted.length > 0 ? [resource, 'devices'] : [resource])
    } else if (resource === 'devices')
      await reread.followDevice(row, open, { externalId, deleted: deleted.length > 0 }, signal)
    else await reread.followAlert(row, open, externalId, signal)
  }

  async function followAll(
    row: ConnectionRow,
    open: OpenClient,
    hints: UsableHint[],
    signal: AbortSignal
  ): Promise<HintFailures> {
    const failures: HintFailures = new Map()
    // What is read whole is read once, however many of its parts changed; it fails for all of them.
    const work = new Map<string, UsableHint[]>()
    for (const hint of hints) {
      const key = isWhole(open.provider, hint.resource) ? hint.resource : hintKey(hint)
      work.set(key, [...(work.get(key) ?? []), hint])
    }
    let ended: { error: unknown } | undefined
    // What a device is in comes before the device.
    const organizationsFirst = [...work.values()].sort((a, b) => Number(isOfGroup(b)) - Number(isOfGroup(a)))
    for (const same of organizationsFirst) {
      try {
        if (ended !== undefined) throw ended.error
        signal.throwIfAborted()
        await followOne(row, open, same, signal)
      } catch (error) {
        for (const hint of same) failures.set(hintKey(hint), error)
        if (signal.aborted || (error instanceof ProviderError && general.includes(error.kind))) ended = { error }
      }
    }
    return failures
  }

  return {
    async follow(row, hints, signal, using) {
      if (hints.length === 0) return new Map()
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
