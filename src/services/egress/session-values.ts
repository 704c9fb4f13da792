import { ProviderFaultError } from '../../errors.ts'
import type { ProviderSession, SessionValue } from '../../providers/define.ts'

const longestKey = 100
const longestValue = 64 * 1024

/** What is being brought at the moment in this process. */
export type PendingValues = Map<string, Promise<string>>

export function checkedKey(key: string): string {
  if (typeof key === 'string' && key !== '' && key.length <= longestKey && key.isWellFormed() && !key.includes('\0'))
    return key
  throw broken(`a key of its session is a text of 1 to ${longestKey} characters`)
}

export function checkedValue(given: SessionValue): SessionValue {
  const { value, expiresInMs } = given ?? {}
  if (typeof value !== 'string' || value === '' || value.length > longestValue || value.includes('\0'))
    throw broken(`a value of its session is a text of 1 to ${longestValue} characters`)
  if (expiresInMs !== undefined && !(Number.isFinite(expiresInMs) && expiresInMs >= 0))
    throw broken('expiresInMs of a value of its session is a number of milliseconds from now')
  return { value, expiresInMs }
}

function broken(rule: string): Error {
  return new ProviderFaultError(`The provider broke a rule: ${rule}`)
}

/**
 * One of several callers in this process does `work`; the others get what it brought, where that is usable to them. A
 * failure is everybody's who waited: the platform was just asked.
 */
export async function singleFlight(
  pending: PendingValues,
  name: string,
  usable: (value: string | null) => string | null,
  work: () => Promise<string>
): Promise<string> {
  const running = pending.get(name)
  if (running !== undefined) {
    const found = usable(await running)
    if (found !== null) return found
  }
  const made = pending.get(name) ?? begin(pending, name, work)
  return await made
}

function begin(pending: PendingValues, name: string, work: () => Promise<string>): Promise<string> {
  const made = work().finally(() => pending.delete(name))
  pending.set(name, made)
  return made
}

export interface MemorySession extends ProviderSession {
  /** What is good at the moment. */
  entries(): Array<[string, SessionValue]>
}

/** A session that nobody shares, for values that are not stored (yet). */
export function memorySession(learned: (value: string) => void = () => {}): MemorySession {
  const values = new Map<string, { value: string; until: number }>()
  const pending: PendingValues = new Map()
  const get = (key: string): string | null => {
    const kept = values.get(checkedKey(key))
    return kept !== undefined && performance.now() < kept.until ? kept.value : null
  }
  const set = (key: string, given: SessionValue): string => {
    const { value, expiresInMs = Number.POSITIVE_INFINITY } = checkedValue(given)
    learned(value)
    values.set(checkedKey(key), { value, until: performance.now() + expiresInMs })
    return value
  }
  return {
    entries: () =>
      [...values]
        .map(([key, { value, until }]): [string, SessionValue] => [
          key,
          { value, expiresInMs: until === Number.POSITIVE_INFINITY ? undefined : until - performance.now() }
        ])
        .filter(([, { expiresInMs = 1 }]) => expiresInMs > 0),
    get: async key => get(key),
    set: async (key, value) => void set(key, value),
    delete: async key => void values.delete(checkedKey(key)),
    async renew(key, make, { refused } = {}) {
      const usable = (value: string | null) => (value === refused ? null : value)
      return usable(get(key)) ?? (await singleFlight(pending, key, usable, async () => set(key, await make())))
    }
  }
}
