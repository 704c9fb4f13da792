import { setTimeout as delay } from 'node:timers/promises'
import { ProviderRecordError } from '../../errors.ts'
import { ProviderError } from '../../providers/define.ts'
import type { ResourceName, RunItem } from '../../types.ts'
import { type Normal, normalizers } from './prepare.ts'
import { readOne } from './read-one.ts'
import type { Source } from './reading.ts'

/** What the platform said of records that a list did not show, kept for the length of one resource's read. */
export interface Words {
  /** When the first of them was asked for; what was seen later is not gone. Null as long as nobody was asked. */
  askedAt: Date | null
  gone: Set<string>
  /** There all the same: the list was short. */
  alive: Map<string, Normal>
  /** Of these it would not say: nothing is concluded. */
  unsure: Map<string, RunItem>
  /** It cannot be reached: asking on would only take time. */
  silent: boolean
  /** As long may still be waited where it asks for that, milliseconds. */
  waitMs: number
  /** Whether it is waited for at all. */
  patient: boolean
}

/** What one resource's questions may wait altogether. An attempt of its own would read the whole list again. */
export const askingWaitMs = 5 * 60_000

export function noWords(waitMs = 0): Words {
  return {
    askedAt: null,
    gone: new Set(),
    alive: new Map(),
    unsure: new Map(),
    silent: false,
    waitMs,
    patient: waitMs > 0
  }
}

/** An alert that is over was left out of the list with reason. */
export function lives(record: Normal | undefined): boolean {
  return record !== undefined && (record as { status?: unknown }).status !== 'resolved'
}

export function isAsked({ gone, alive, unsure }: Words, externalId: string): boolean {
  return gone.has(externalId) || alive.has(externalId) || unsure.has(externalId)
}

/** After so many failures in a row the platform is left alone. */
const silentAfter = 3

/**
 * Asks for records one by one, each once. A platform that does not say leaves the record as it is and the rest goes on;
 * refused credentials end the read. Being asked to wait ends it as well where nothing may be waited; otherwise it is
 * waited for, and where it takes too long, nobody is asked any more.
 */
export async function ask(source: Source, name: ResourceName, ids: readonly string[], words: Words): Promise<void> {
  const open = ids.filter(id => !isAsked(words, id))
  if (open.length > 0) words.askedAt ??= source.core.now()
  if (open.length > 0) await source.prefetch?.(name, open)
  let failures = 0
  for (const id of open) {
    if (words.silent) return
    failures = (await askOne(source, name, id, words)) ? failures + 1 : 0
    source.heartbeat?.()
    words.silent = failures >= silentAfter
  }
}

async function readWhenAllowed(source: Source, name: ResourceName, externalId: string, words: Words) {
  for (;;) {
    try {
      return await readOne(source, name, externalId, words.askedAt!, source.signal)
    } catch (error) {
      const told = error instanceof ProviderError && error.kind === 'rate_limited' ? error.retryAfterMs : undefined
      if (told === undefined || told >= words.waitMs) throw error
      words.waitMs -= told
      source.heartbeat?.()
      await delay(told, undefined, { signal: source.signal })
    }
  }
}

/** True where the platform could not be reached. */
async function askOne(source: Source, name: ResourceName, externalId: string, words: Words): Promise<boolean> {
  source.signal.throwIfAborted()
  const unsure = (why: string): void => {
    const reason = `not in the list any more, but ${why}`
    words.unsure.set(externalId, { resource: name, externalId, outcome: 'ambiguous', reason })
  }
  try {
    const record = await readWhenAllowed(source, name, externalId, words)
    const normal = record === null ? null : normalizers[name](record, words.askedAt!)
    if (normal === null) words.gone.add(externalId)
    else if (normal.externalId === externalId) words.alive.set(externalId, normal)
    else unsure(`asked for it, the platform tells about another one (${normal.externalId})`)
    return false
  } catch (error) {
    const kind = error instanceof ProviderError ? error.kind : null
    const isThere = error instanceof ProviderRecordError
    if (source.signal.aborted || kind === 'auth' || (kind === null && !isThere)) throw error
    if (kind === 'rate_limited' && !words.patient) throw error
    words.silent ||= kind === 'rate_limited'
    unsure(`${isThere ? 'it is there' : 'the platform does not say whether it is gone'}: ${(error as Error).message}`)
    return kind === 'unreachable'
  }
}
