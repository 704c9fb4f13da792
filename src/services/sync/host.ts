import { OnChangesError } from '../../errors.ts'
import type { RunItem } from '../../types.ts'
import type { Core } from '../core.ts'
import type { AlertChange, Db, HostedChange } from '../store/index.ts'
import { rollBackTo, savepoint } from '../store/index.ts'

/**
 * What of a run goes on where the host fails on single records: the calls that may still be made for it, and whether the
 * host has taken anything.
 */
export interface Isolation {
  left: number
  heard: boolean
  /** Devices it did not take in this run: told again by the next one, not by this. */
  failed: Set<string>
}

/** Calls beyond those that would be made anyway, per run. */
const extraCalls = 50

export const newIsolation = ({ isolate }: Pick<Core, 'isolate'>): Isolation | null =>
  isolate ? { left: extraCalls, heard: false, failed: new Set() } : null

export type HostChange = { device: HostedChange } | { alert: AlertChange }

export interface Heard {
  refs: Record<string, string>
  /** What the host would not take, with its words. */
  refused: Refused[]
}

export interface Refused {
  change: HostChange
  reason: string
  /** By its own word: told again when it changes, not before. */
  final?: boolean
}

export type CallHost = (devices: HostedChange[], alerts: AlertChange[]) => Promise<Heard>

/**
 * Tells the host of changes, and where it throws, of ever smaller portions of them down to single ones: what it takes is
 * kept, what fails alone is refused. Throws what the host threw where it took nothing at all.
 *
 * @param hasTaken whether the host has ever taken a device of this connection: then one that fails is at fault itself
 */
export async function tellApart(
  trx: Db,
  changes: HostChange[],
  isolation: Isolation,
  call: CallHost,
  hasTaken: () => Promise<boolean>
): Promise<Heard> {
  const heard: Heard = { refs: {}, refused: [] }
  let first: unknown
  const tell = async (some: HostChange[]): Promise<void> => {
    if (some.length === 0) return
    await savepoint(trx, 'rmm_host')
    try {
      const { refs, refused } = await call(
        some.flatMap(one => ('device' in one ? one.device : [])),
        some.flatMap(one => ('alert' in one ? one.alert : []))
      )
      isolation.heard = true
      Object.assign(heard.refs, refs)
      heard.refused.push(...refused)
    } catch (error) {
      if (!isOfRecords(error)) throw error
      first ??= error
      await rollBackTo(trx, 'rmm_host')
      if (some.length === 1 || isolation.left < 2) {
        for (const change of some) heard.refused.push({ change, reason: (error as Error).message })
        return
      }
      isolation.left -= 2
      const half = Math.ceil(some.length / 2)
      await tell(some.slice(0, half))
      await tell(some.slice(half))
    }
  }
  await tell(changes.filter(one => !('device' in one && isolation.failed.has(one.device.device.id))))
  if (first !== undefined && !isolation.heard && (changes.length > 1 || !(await hasTaken()))) throw first
  for (const { change } of heard.refused) if ('device' in change) isolation.failed.add(change.device.device.id)
  return heard
}

/** Waiting in vain, or a database that is in the way, says nothing about a record. */
function isOfRecords(error: unknown): boolean {
  if (!(error instanceof OnChangesError) || (error as { tooLong?: boolean }).tooLong === true) return false
  const cause = error.cause as { code?: unknown; message?: unknown } | undefined
  return (
    !/^(08|40|53|57|55P03|25P03)/.test(String(cause?.code)) && !/connection terminated/i.test(String(cause?.message))
  )
}

/** As items of a run. */
export function refusedItems(refused: Heard['refused']): RunItem[] {
  return refused.map(({ change, reason }) => ({
    resource: 'device' in change ? 'devices' : 'alerts',
    externalId: 'device' in change ? change.device.device.externalId : change.alert.alert.externalId,
    outcome: 'failed',
    reason
  }))
}
