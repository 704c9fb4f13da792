import { ConflictError, NotFoundError, NotSupportedError, PlatformError, ValidationError } from '../../errors.ts'
import type { DeviceGroups } from '../../providers/define.ts'
import type { Rmm } from '../../rmm.ts'
import type { Client, DeviceGroupResult, DeviceGroupSync } from '../../types.ts'
import type { Core } from '../core.ts'
import { audit } from '../inventory/index.ts'
import type { GroupStep } from '../model/index.ts'
import { act, type ClientFactory, linkOf } from '../platform/index.ts'
import { type ConnectionRow, readLink, requireConnection } from '../store/index.ts'
import { acceptStored, execute, foresee } from './run.ts'
import { createGroupSessions, type Planned } from './session.ts'
import { createGroupStatus, type Target } from './status.ts'

/** What nobody waits for may take. */
const backgroundMs = 15 * 60_000
const defaultLinkHours = 24

export interface DeviceGroupsService {
  rmm: Rmm['deviceGroups']
  /** `syncAll` for nobody who waits. Null: another process is at it. */
  background(row: ConnectionRow): Promise<DeviceGroupSync | null>
}

export function createDeviceGroups(core: Core, clients: ClientFactory): DeviceGroupsService {
  const { database, directory } = core
  const status = createGroupStatus(core, clients, target)
  const { exclusively, withPlan } = createGroupSessions(core, clients, status.forget)

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

  async function syncAll(
    where: Target,
    { dryRun, rename, deadline, giveUp }: { dryRun: boolean; rename: boolean; deadline: number; giveUp: number }
  ): Promise<DeviceGroupSync | null> {
    const all = await directory.clients(where.row.tenant_id)
    if (all.length === 0) return summarize([], { dryRun, complete: true, drifted: 0 })
    const run = (lost?: AbortSignal) =>
      withPlan(
        where,
        { clients: all, rename, deadline },
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
    return dryRun ? await run() : await exclusively(where.row, giveUp, run)
  }

  const interactive = (): number => Date.now() + core.settings.interactiveMs

  /** Clients get the groups a person names. All or none: what one of them may not have refuses the whole call. */
  async function decide(
    where: Target,
    decisions: ReadonlyArray<{ clientRef: string; groupId: string }>,
    dryRun: boolean
  ) {
    const deadline = interactive()
    const decided = new Map(decisions.map(({ clientRef, groupId }) => [clientRef, groupId]))
    if (decided.size < decisions.length || new Set(decided.values()).size < decisions.length)
      throw new ValidationError('every client and every group may be named once')
    const wanted = await Promise.all([...decided.keys()].map(ref => client(where.row.tenant_id, ref)))
    const all = await directory.clients(where.row.tenant_id)
    const run = (lost?: AbortSignal) =>
      withPlan(
        where,
        { clients: [...all, ...wanted], decided, deadline },
        async session => {
          const steps = session.steps.filter(step => decided.has(step.client.id))
          const unknown = steps.find(step => step.kind === 'failed')
          if (unknown !== undefined) throw new NotFoundError('Device group')
          const held = steps.find(step => step.kind === 'conflict')
          if (held !== undefined) throw new ConflictError(held.reason)
          const results = dryRun
            ? steps.map(step => foresee(step, false))
            : (await execute(core, session, steps)).map(({ result }) => result)
          return summarize(results, { dryRun, complete: session.complete, drifted: 0 })
        },
        lost
      )
    return dryRun ? await run() : ((await exclusively(where.row, deadline, run)) ?? busy())
  }

  /** Work on what the plan says of one client, in this server's turn and within the time of one request. */
  async function onStep(
    where: Target,
    wanted: Client,
    work: (session: Planned, step: GroupStep) => Promise<DeviceGroupResult>,
    insist?: string
  ): Promise<DeviceGroupResult> {
    const deadline = interactive()
    const all = await directory.clients(where.row.tenant_id)
    const onPlan = (session: Planned) => work(session, session.steps.find(step => step.client.id === wanted.id)!)
    const done = await exclusively(where.row, deadline, lost =>
      withPlan(
        where,
        { clients: [...all, wanted], ...(insist === undefined ? {} : { insist }), deadline },
        onPlan,
        lost
      )
    )
    return done ?? busy()
  }

  /** The name a group has on the platform is right: nothing drifts from it any more. */
  const acceptName = (where: Target, wanted: Client) =>
    onStep(where, wanted, async (session, step) => {
      if (step.kind !== 'existing')
        throw new ConflictError('reason' in step ? step.reason : 'This client has no device group yet; ensure it first')
      await acceptStored(core, session, step)
      return foresee(step, false)
    })

  async function client(tenantId: string, clientRef: string): Promise<Client> {
    const found = await directory.client(tenantId, clientRef)
    if (found === null) throw new NotFoundError('Client')
    return found
  }

  const ensure = (where: Target, wanted: Client) =>
    onStep(
      where,
      wanted,
      async (session, step) => {
        if (step.kind === 'conflict' || step.kind === 'failed') throw new ConflictError(step.reason)
        const [performed] = await execute(core, session, [step])
        if (step.kind === 'missing') throw new ConflictError(step.reason)
        if (performed!.cause !== undefined) throw performed!.cause
        return performed!.result
      },
      wanted.id
    )

  return {
    async background(row) {
      return await syncAll(
        { row, groups: groupsOf(row) },
        { dryRun: false, rename: false, deadline: Date.now() + backgroundMs, giveUp: Date.now() }
      )
    },
    rmm: {
      async syncAll(tenantId, connectionId, { dryRun = false, rename = false } = {}) {
        const deadline = interactive()
        const where = await target(tenantId, connectionId)
        return (await syncAll(where, { dryRun, rename, deadline, giveUp: deadline })) ?? busy()
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
      async assign(tenantId, connectionId, links, { dryRun = false } = {}) {
        return await decide(await target(tenantId, connectionId), links, dryRun)
      },
      async acceptName(tenantId, connectionId, clientRef) {
        const where = await target(tenantId, connectionId)
        const { groupId, name } = await acceptName(where, await client(tenantId, clientRef))
        return {
          success: true,
          clientRef,
          name,
          groupId: groupId!,
          created: false,
          linked: false,
          message: `The group keeps its name "${name}"`
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
            open.provider.installLink!(open.client, link.externalId, { hours }, signal)
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
