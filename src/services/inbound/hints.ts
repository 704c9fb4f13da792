import { messageOf } from '../../log.ts'
import { ProviderError, type ProviderErrorKind, type RmmProvider } from '../../providers/define.ts'
import type { ResourceName } from '../../types.ts'
import { waitAtMost, withHardLimit } from '../../waits.ts'
import { createJudge, type Fault, isList, subjectOf, type Setback, type UsableHint } from '../model/index.ts'
import type { ClientFactory, OpenClient } from '../platform/index.ts'
import type { ReRead, SyncService } from '../sync/index.ts'
import type { ConnectionRow } from '../store/index.ts'

/**
 * Nothing failed, it is only not the time for it: what a hint asks for can be done after the run that is active now.
 */
class Deferred extends Error {
  readonly retryMs: number
  constructor(message: string, retryMs: number) {
    super(message)
    this.retryMs = retryMs
  }
}

const afterRunMs = 3_000
/** Longest time for one subject; one that ignores the end of it gets a little longer. */
const subjectMs = 20_000
const ignoredSignalMs = 2_000
/** One that takes longer than this does not keep the next one waiting, as long as no more are under way. */
const overtakenMs = 1_000
const atOnce = 3

export interface Following {
  signal: AbortSignal
  /** A client that is open already. */
  using?: OpenClient
  /** The platform was down when it was asked last. */
  failing?: boolean
  /**
   * Told what an attempt at a subject came to (null: it is done) once it is known whether it says something about that
   * subject alone. Subjects that the platform's trouble kept from being asked are not told of.
   */
  told(subject: string, trouble: Setback | null): void | Promise<void>
}

export interface Hints {
  /** What is read as one: each record alone, or the whole list. */
  subjects(row: Pick<ConnectionRow, 'provider'>, hints: readonly UsableHint[]): Map<string, UsableHint[]>
  /** Reads the subjects again. Resolves with why the others were not asked; null where none was left out. */
  follow(row: ConnectionRow, work: ReadonlyMap<string, UsableHint[]>, following: Following): Promise<Setback | null>
}

/** A tree has to be read whole, and so has what cannot be read one by one. */
function isWhole(provider: RmmProvider | undefined, resource: ResourceName): boolean {
  return resource === 'organizations' || resource === 'updates' || provider?.resources[resource]?.fetchOne === undefined
}

const faults: Record<ProviderErrorKind, Fault> = {
  auth: 'account',
  rate_limited: 'account',
  unreachable: 'silent',
  protocol: 'silent',
  forbidden: 'answered',
  gone: 'answered',
  not_in_plan: 'answered'
}

export function setbackOf(error: unknown): Setback {
  const reason = messageOf(error)
  if (error instanceof Deferred) return { fault: 'wait', reason, retryMs: error.retryMs }
  if (error instanceof ProviderError) return { fault: faults[error.kind], reason, retryMs: error.retryAfterMs ?? 0 }
  return { fault: (error as Error)?.name === 'TimeoutError' ? 'silent' : 'ours', reason, retryMs: 0 }
}

export function createHints(
  providerOf: (id: string) => RmmProvider | undefined,
  clients: ClientFactory,
  reread: ReRead,
  sync: SyncService
): Hints {
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

  /** One that opens after its time is closed again. */
  async function opened(row: ConnectionRow, signal: AbortSignal): Promise<OpenClient> {
    let opening: Promise<OpenClient> | undefined
    try {
      return await withHardLimit(subjectMs, ignoredSignalMs, [signal], limited => {
        opening = clients.open(row, limited)
        return opening
      })
    } catch (error) {
      void opening?.then(
        late => late.close(),
        () => {}
      )
      throw error
    }
  }

  async function followAll(
    row: ConnectionRow,
    open: OpenClient,
    work: ReadonlyMap<string, UsableHint[]>,
    { signal, failing = false, told }: Following
  ): Promise<Setback | null> {
    const judge = createJudge(failing)
    const under = new Set<Promise<void>>()
    let broken: { error: unknown } | undefined

    async function attempt(subject: string, same: UsableHint[]): Promise<void> {
      const trouble = await withHardLimit(subjectMs, ignoredSignalMs, [signal], limited =>
        followOne(row, open, same, limited)
      ).then(() => null, setbackOf)
      // What was cut off by the end of the process says nothing.
      if (trouble !== null && signal.aborted) return
      // That a run was asked for says nothing about the platform.
      if (trouble !== null || !isList(subject))
        for (const known of judge.tell(subject, trouble)) await told(known.subject, known.trouble)
      if (trouble === null || ['wait', 'answered', 'ours'].includes(trouble.fault)) await told(subject, trouble)
    }

    // What a device is in comes before the device.
    const isTree = (subject: string): number => Number(subject === subjectOf('organizations'))
    for (const [subject, same] of [...work].sort(([a], [b]) => isTree(b) - isTree(a))) {
      while (under.size >= atOnce) await Promise.race(under)
      if (judge.down() !== null || signal.aborted || broken !== undefined) break
      const one: Promise<void> = attempt(subject, same)
        .catch(error => {
          broken ??= { error }
        })
        .finally(() => under.delete(one))
      under.add(one)
      await waitAtMost(overtakenMs, one)
    }
    await Promise.all(under)
    if (broken !== undefined) throw broken.error
    const down = judge.down()
    // In a platform that is known to be down it is not the subject's failure.
    if (!signal.aborted && !(failing && down !== null))
      for (const known of judge.end()) await told(known.subject, known.trouble)
    return signal.aborted ? { fault: 'wait', reason: 'this process stopped', retryMs: 0 } : down
  }

  return {
    subjects(row, hints) {
      const provider = providerOf(row.provider)
      return Map.groupBy(hints, ({ resource, externalId }) =>
        isWhole(provider, resource) ? subjectOf(resource) : subjectOf(resource, externalId)
      )
    },
    async follow(row, work, following) {
      if (work.size === 0) return null
      if (following.using !== undefined) return await followAll(row, following.using, work, following)
      let open: OpenClient
      try {
        open = await opened(row, following.signal)
      } catch (error) {
        return following.signal.aborted ? { ...setbackOf(error), fault: 'wait' } : setbackOf(error)
      }
      try {
        return await followAll(row, open, work, following)
      } finally {
        await open.close()
      }
    }
  }
}
