import { createHash, randomUUID } from 'node:crypto'
import { setTimeout as delay } from 'node:timers/promises'
import { PlatformError } from '../../errors.ts'
import type { Client } from '../../types.ts'
import { withTimeLimit } from '../../waits.ts'
import type { Core } from '../core.ts'
import { hostsOf } from '../egress/index.ts'
import { planGroups } from '../model/index.ts'
import { type ClientFactory, toRouteError } from '../platform/index.ts'
import { type ConnectionRow, dropLease, readGroups, takeLease } from '../store/index.ts'
import { adoptedGroups } from './adopt.ts'
import type { GroupSession } from './run.ts'
import type { Target } from './status.ts'

/** A holder that died keeps the others out for this long. */
const leaseMs = 20_000
const askAgainMs = 250
/** For what is under way when the time is up, so that its outcome is known and stored. */
const graceMs = 5_000

export interface Work {
  clients: Client[]
  rename?: boolean
  insist?: string
  /** A person's word: client → group. */
  decided?: ReadonlyMap<string, string>
  /** When whoever asked stops waiting: taken at entry, so that waiting for a turn and for the platform share it. */
  deadline: number
}

export interface Planned extends GroupSession {
  complete: boolean
}

export interface GroupSessions {
  exclusively<T>(row: ConnectionRow, giveUp: number, work: (lost: AbortSignal) => Promise<T>): Promise<T | null>
  withPlan<T>(target: Target, work: Work, act: (planned: Planned) => Promise<T>, lost?: AbortSignal): Promise<T>
}

/** Turns and open sessions for work on a server's groups. `forget` is called when a turn has ended. */
export function createGroupSessions(
  core: Core,
  clients: ClientFactory,
  forget: (row: ConnectionRow) => void
): GroupSessions {
  const { database } = core

  /**
   * One at a time per server, in all processes and for all tenants: the platform refuses neither a second group of
   * the same name nor a second mark on one group. Null where the lease was not to be had in time.
   */
  async function exclusively<T>(
    row: ConnectionRow,
    giveUp: number,
    work: (lost: AbortSignal) => Promise<T>
  ): Promise<T | null> {
    const hosts = hostsOf(core.registry.get(row.provider)!, row.config).sort().join()
    const name = `groups:${createHash('sha256').update(`${row.provider}\0${hosts}`).digest('hex')}`
    const holder = `${core.worker}:${randomUUID()}`
    while (!(await takeLease(database, name, holder, leaseMs))) {
      if (Date.now() >= giveUp) return null
      await delay(askAgainMs, undefined, { signal: core.signal })
    }
    const lost = new AbortController()
    const keep = setInterval(() => {
      takeLease(database, name, holder, leaseMs).then(
        held => {
          if (!held) lost.abort()
        },
        error => core.log.debug({ err: error }, 'the lease of the device groups could not be renewed')
      )
    }, leaseMs / 4).unref()
    try {
      return await work(lost.signal)
    } finally {
      clearInterval(keep)
      forget(row)
      await dropLease(database, name, holder)
    }
  }

  /** One log-in, one list, one plan. */
  async function withPlan<T>(
    { row }: Target,
    { clients: all, rename = false, insist, decided, deadline }: Work,
    work: (planned: Planned) => Promise<T>,
    lost?: AbortSignal
  ): Promise<T> {
    const signals = lost === undefined ? [core.signal] : [core.signal, lost]
    return await withTimeLimit(Math.max(0, deadline - Date.now()) + graceMs, signals, async signal => {
      try {
        const open = await clients.open(row, signal)
        try {
          const groups = open.provider.deviceGroups!
          const listed = await groups.list(open.client, signal)
          const { links, mappings } = await readGroups(database, row.id)
          const steps = planGroups({
            ...listed,
            tenantId: row.tenant_id,
            clients: all,
            links,
            mappings,
            insist,
            decided,
            adopted: await adoptedGroups(core, row.tenant_id, listed.groups, links),
            sanitizeName: groups.sanitizeName
          })
          return await work({
            row,
            groups,
            client: open.client,
            signal,
            server: listed.server,
            complete: listed.complete,
            steps,
            rename,
            deadline
          })
        } finally {
          await open.close()
        }
      } catch (error) {
        if (signal.aborted && !core.signal.aborted && error === signal.reason)
          throw new PlatformError('The platform did not answer in time; what was done until then is kept, try again')
        throw toRouteError(error, 'action')
      }
    })
  }

  return { exclusively, withPlan }
}
