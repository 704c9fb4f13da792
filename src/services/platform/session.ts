import { randomUUID } from 'node:crypto'
import { setTimeout as delay } from 'node:timers/promises'
import type { ProviderSession, SessionValue } from '../../providers/define.ts'
import type { Core } from '../core.ts'
import {
  type ConnectionRow,
  deleteSessionValue,
  dropLease,
  readSessionValue,
  takeLease,
  writeSessionValue
} from '../store/index.ts'
import { checkedKey, checkedValue, type PendingValues, singleFlight } from '../egress/index.ts'
import { seal, unseal } from './vault.ts'

/** How long a process may take to bring a value before another tries; its requests have shorter limits of their own. */
const leaseMs = 60_000
const lookAgainMs = 100

/**
 * The session of a stored connection. Values are bound to the revision of the row, and so to the config and secrets
 * that were good when they were brought: what an older client still writes is found by no newer one.
 *
 * @param learned told of every value that is read or written, so that it can be hidden
 */
export function createSession(
  core: Core,
  row: ConnectionRow,
  pending: PendingValues,
  learned: (value: string) => void
): ProviderSession {
  const { database } = core
  const owner = { connectionId: row.id, revision: row.revision }

  async function get(key: string): Promise<string | null> {
    const sealed = await readSessionValue(database, owner, checkedKey(key))
    if (sealed === null) return null
    // One that does not open any more is no loss: another is brought.
    const value = await unseal(core, 'session', row, sealed).then(
      ({ plain }) => plain,
      () => null
    )
    if (value !== null) learned(value)
    return value
  }

  async function set(key: string, given: SessionValue): Promise<void> {
    const { value, expiresInMs } = checkedValue(given)
    learned(value)
    const sealed = await seal(core, 'session', row, value)
    await writeSessionValue(database, owner, checkedKey(key), sealed, expiresInMs)
  }

  /** One process at a time; the others look for what it brings. */
  async function bring(key: string, make: () => Promise<SessionValue>, usable: Usable, signal: AbortSignal) {
    const name = `session:${row.id}:${key}`
    const holder = `${core.worker}:${randomUUID()}`
    while (!(await takeLease(database, name, holder, leaseMs))) {
      await delay(lookAgainMs, undefined, { signal })
      const found = usable(await get(key))
      if (found !== null) return found
    }
    try {
      const found = usable(await get(key))
      if (found !== null) return found
      const made = checkedValue(await make())
      await set(key, made)
      return made.value
    } finally {
      await dropLease(database, name, holder)
    }
  }

  return {
    get,
    set,
    delete: key => deleteSessionValue(database, owner, checkedKey(key)),
    async renew(key, make, { refused, signal = core.signal } = {}) {
      const usable: Usable = value => (value === refused ? null : value)
      const found = usable(await get(key))
      if (found !== null) return found
      return await singleFlight(pending, `${row.id}:${row.revision}:${key}`, usable, () =>
        bring(key, make, usable, AbortSignal.any([signal, core.signal]))
      )
    }
  }
}

type Usable = (value: string | null) => string | null
