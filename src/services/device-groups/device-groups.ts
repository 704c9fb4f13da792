import { withTimeLimit } from '../../waits.ts'
import { createHash, randomUUID } from 'node:crypto'
import { setTimeout as delay } from 'node:timers/promises'
import { ConflictError, NotFoundError, NotSupportedError, PlatformError } from '../../errors.ts'
import { type DeviceGroups, ProviderError } from '../../providers/define.ts'
import type { Rmm } from '../../rmm.ts'
import type { Client, DeviceGroupResult, DeviceGroupSync } from '../../types.ts'
import { type ClientFactory, linkOf, toRouteError } from '../platform/index.ts'
import type { Core } from '../core.ts'
import { planGroups } from '../model/index.ts'
import { execute, foresee, type GroupSession } from './run.ts'
import { createGroupStatus, type Target } from './status.ts'
import { hostsOf } from '../egress/index.ts'
import { act, audit } from '../inventory/index.ts'
import {
  type ConnectionRow,
  dropLease,
  readGroups,
  readLink,
  requireConnection,
  setStatus,
  takeLease
} from '../store/index.ts'

/** A holder that died keeps the others out for this long. */
const leaseMs = 20_000
const askAgainMs = 250
/** What nobody waits for may take. */
const backgroundMs = 15 * 60_000
/** For what is under way when the time is up, so that its outcome is known and stored. */
const graceMs = 5_000
const defaultLinkHours = 24

interface Work {
  clients: Client[]
  rename?: boolean
  insist?: string
  budgetMs: number
}

interface Planned extends GroupSession {
  complete: boolean
}

export interface DeviceGroupsService {
  rmm: Rmm['deviceGroups']
  /** `syncAll` for nobody who waits. Null: another process is at it. */
  background(row: ConnectionRow): Promise<DeviceGroupSync | null>
}

export function createDeviceGroups(core: Core, clients: ClientFactory): DeviceGroupsService {
  const { database, directory } = core
  const status = createGroupStatus(core, clients, target)

  async function target(tenantId: string, connectionId: string): Promise<Target> {
    const row = await requireConnection(database, tenantId, connectionId)
    return { row, groups: groupsOf(row) }
  }

  function groupsOf(row: ConnectionRow): DeviceGroups<unknown> {
    const provider = core.registry.get(row.provider)
    if (provider?.deviceGroups === undefined)
      throw new NotSupportedError(
        `${provider?.name ?? row.provider} has no device groups to make; map its organizations instead`
      )
    return provider.deviceGroups
  }

  /**
   * One at a time per server, in all processes and for all tenants: the platform refuses neither a second group of
   * the same name nor a second mark on one group. Null where the lease was not to be had in time.
   */
  async function exclusively<T>(
    row: ConnectionRow,
    waitMs: number,
    work: (lost: AbortSignal) => Promise<T>
  ): Promise<T | null> {
    const hosts = hostsOf(core.registry.get(row.provider)!, row.config).sort().join()
    const name = `groups:${createHash('sha256').update(`${row.provider}\0${hosts}`).digest('hex')}`
    const holder = `${core.worker}:${randomUUID()}`
    const giveUp = Date.now() + waitMs
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
      status.forget(row)
      await dropLease(database, name, holder)
    }
  }

  /** One log-in, one list, one plan. */
  async function withPlan<T>(
    { row, groups }: Target,
    { clients: all, rename = false, insist, budgetMs }: Work,
    work: (planned: Planned) => Promise<T>,
    lost?: AbortSignal
  ): Promise<T> {
    const deadline = Date.now() + budgetMs
    const signals = lost === undefined ? [core.signal] : [core.signal, lost]
    return await withTimeLimit(budgetMs + graceMs, signals, async signal => {
      try {
        const open = await clients.open(row, signal)
        try {
          const listed = await groups.list(open.client, signal)
          const { links, mappings } = await readGroups(database, row.id)
          const steps = planGroups({
            ...listed,
            tenantId: row.tenant_id,
            clients: all,
            links,
            mappings,
            insist,
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
        if (error instanceof ProviderError && error.kind === 'auth')
          await setStatus(database, row.id, 'error', error.message)
        if (signal.aborted && !core.signal.aborted && error === signal.reason)
          throw new PlatformError('The platform did not answer in time; what was done until then is kept, try again')
        throw toRouteError(error, 'action')
      }
    })
  }

  async function syncAll(
    where: Target,
    { dryRun, rename, budgetMs, waitMs }: { dryRun: boolean; rename: boolean; budgetMs: number; waitMs: number }
  ): Promise<DeviceGroupSync | null> {
    const all = await directory.clients(where.row.tenant_id)
    if (all.length === 0) return summarize([], { dryRun, complete: true, drifted: 0 })
    const run = (lost?: AbortSignal) =>
      withPlan(
        where,
        { clients: all, rename, budgetMs },
        async session => {
          const results = dryRun
            ? session.steps.map(step => foresee(step, rename))
            : (await execute(core, session, session.steps)).map(({ result }) => result)
          return summarize(results, {
            dryRun,
            complete: session.complete,
            drifted: session.steps.filter(step => step.kind === 'existing' && step.rename !== null).length
          })
        },
        lost
      )
    return dryRun ? await run() : await exclusively(where.row, waitMs, run)
  }

  async function client(tenantId: string, clientRef: string): Promise<Client> {
    const found = await directory.client(tenantId, clientRef)
    if (found === null) throw new NotFoundError('Client')
    return found
  }

  async function ensure(where: Target, wanted: Client) {
    const all = await directory.clients(where.row.tenant_id)
    const budgetMs = core.settings.interactiveMs
    const done = await exclusively(where.row, budgetMs, lost =>
      withPlan(
        where,
        { clients: [...all, wanted], insist: wanted.id, budgetMs },
        async session => {
          const step = session.steps.find(step => step.client.id === wanted.id)!
          if (step.kind === 'conflict' || step.kind === 'failed') throw new ConflictError(step.reason)
          const [performed] = await execute(core, session, [step])
          if (step.kind === 'missing') throw new ConflictError(step.reason)
          if (performed!.cause !== undefined) throw performed!.cause
          return performed!.result
        },
        lost
      )
    )
    return done ?? busy()
  }

  return {
    async background(row) {
      return await syncAll(
        { row, groups: groupsOf(row) },
        { dryRun: false, rename: false, budgetMs: backgroundMs, waitMs: 0 }
      )
    },
    rmm: {
      async syncAll(tenantId, connectionId, { dryRun = false, rename = false } = {}) {
        const { interactiveMs } = core.settings
        return (
          (await syncAll(await target(tenantId, connectionId), {
            dryRun,
            rename,
            budgetMs: interactiveMs,
            waitMs: interactiveMs
          })) ?? busy()
        )
      },
      async ensure(tenantId, connectionId, clientRef) {
        const where = await target(tenantId, connectionId)
        const { groupId, name, outcome } = await ensure(where, await client(tenantId, clientRef))
        if (groupId === null) throw new PlatformError('The group could not be made')
        return {
          success: true,
          clientRef,
          name,
          groupId,
          created: outcome === 'created',
          linked: outcome === 'linked',
          message: sentence(outcome, name)
        }
      },
      status: (tenantId, connectionId) => status.of(tenantId, connectionId),
      async installLink(tenantId, connectionId, clientRef, { hours = defaultLinkHours } = {}) {
        const { row } = await target(tenantId, connectionId)
        const provider = core.registry.get(row.provider)!
        if (provider.installLink === undefined) throw new NotSupportedError(`${provider.name} has no install links`)
        await client(tenantId, clientRef)
        const link = await readLink(database, row.id, clientRef)
        if (link === null) throw new ConflictError('This client has no device group yet; ensure it first')
        const { url, expiresAt } = linkOf(
          provider,
          'installLink',
          await act(core, clients, row, 'installLink', (open, signal) =>
            provider.installLink!(open, link.externalId, { hours }, signal)
          )
        )
        await audit(
          core,
          row,
          {
            type: 'RMM_INSTALL_LINK_CREATED',
            payload: { clientRef, groupId: link.externalId, expiresAt: expiresAt.toISOString() }
          },
          {
            target: { clientRef },
            summary: `Made an install link into the group of ${clientRef}, good until ${expiresAt.toISOString()}`
          }
        )
        return { url, expiresAt: expiresAt.toISOString() }
      }
    }
  }
}

function busy(): never {
  throw new ConflictError('The device groups of this server are being synced already; try again when that has ended')
}

function summarize(
  results: DeviceGroupResult[],
  { dryRun, complete, drifted }: { dryRun: boolean; complete: boolean; drifted: number }
): DeviceGroupSync {
  const count = (outcome: DeviceGroupResult['outcome']): number =>
    results.filter(result => result.outcome === outcome).length
  const counts = {
    created: count('created'),
    linked: count('linked'),
    existing: count('existing'),
    renamed: count('renamed'),
    conflicts: count('conflict'),
    failed: count('failed')
  }
  const told =
    Object.entries(counts)
      .filter(([, number]) => number > 0)
      .map(([what, number]) => `${number} ${what}`)
      .join(', ') || 'no clients'
  const stale = drifted - counts.renamed
  const names = stale > 0 ? `. ${stale} no longer named after their client; "rename" gives them its name` : ''
  const hidden = complete
    ? ''
    : '. The account does not see all groups of the server: groups that others made may stay hidden'
  return {
    success: counts.failed === 0 && counts.conflicts === 0,
    message: `${dryRun ? 'Dry run, nothing was changed: ' : ''}${told}${names}${hidden}`,
    totalClients: results.length,
    ...counts,
    results
  }
}

function sentence(outcome: DeviceGroupResult['outcome'], name: string): string {
  return (
    { created: `Created the group "${name}"`, linked: `Linked the group "${name}"` }[outcome as 'created'] ??
    `The group "${name}" is there`
  )
}
