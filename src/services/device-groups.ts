import { randomUUID } from 'node:crypto'
import { setTimeout as delay } from 'node:timers/promises'
import { ConflictError, NotFoundError, NotSupportedError, PlatformError } from '../errors.ts'
import { type DeviceGroup, type DeviceGroups, ProviderError } from '../providers/define.ts'
import type { Rmm } from '../rmm.ts'
import type { Client, DeviceGroupResult, DeviceGroupSync } from '../types.ts'
import { addMoves, applyChanges, noChanges } from './changes.ts'
import { type ClientFactory, toRouteError } from './clients.ts'
import type { Core } from './core.ts'
import { describe, type GroupStep, groupName, marker, planGroups } from './group-plan.ts'
import { act, audit } from './inventory.ts'
import { contextOf } from './reread.ts'
import { devicesPerGroup, markMissing, type NewLink, readLinks, rememberServer, writeLinks } from './store/client-groups.ts'
import { type ConnectionRow, connectionRow } from './store/connections.ts'
import { holdConnection } from './store/leases.ts'
import { dropLease, takeLease } from './store/named-lease.ts'
import { placeTree, reassignDevices } from './store/organizations.ts'

const leaseMs = 60_000
const waitForLeaseMs = 30_000
/** Requests under way at once; a platform tells every session about every new group, so more is not faster. */
const inFlight = 8
/** Links stored in one transaction: a run that dies repeats at most these, and finds them by their marks. */
const chunkSize = 40
const defaultLinkHours = 24
const runMs = 15 * 60_000

interface Target {
  row: ConnectionRow
  groups: DeviceGroups<unknown>
}

interface Session extends Target {
  client: unknown
  signal: AbortSignal
  steps: GroupStep[]
  rename: boolean
}

export function createDeviceGroups (core: Core, clients: ClientFactory): Rmm['deviceGroups'] {
  const { database, directory } = core

  async function target (tenantId: string, connectionId: string): Promise<Target> {
    const row = await connectionRow(database, tenantId, connectionId)
    if (row === null) throw new NotFoundError('Connection')
    const provider = core.registry.get(row.provider)
    if (provider?.deviceGroups === undefined) throw new NotSupportedError(`${provider?.name ?? row.provider} has no device groups to make; map its organizations instead`)
    return { row, groups: provider.deviceGroups }
  }

  /** One at a time per connection, in all processes: the platform itself does not refuse a second group of the same name. */
  async function exclusively<T> (row: ConnectionRow, work: () => Promise<T>): Promise<T> {
    const name = `groups:${row.id}`
    const holder = `${core.worker}:${randomUUID()}`
    const giveUp = Date.now() + waitForLeaseMs
    while (!await takeLease(database, name, holder, leaseMs)) {
      if (Date.now() > giveUp) throw new ConflictError('The device groups of this connection are being synced already; try again when that has ended')
      await delay(250, undefined, { signal: core.signal })
    }
    const keep = setInterval(() => { takeLease(database, name, holder, leaseMs).catch(() => {}) }, leaseMs / 3).unref()
    try {
      return await work()
    } finally {
      clearInterval(keep)
      await dropLease(database, name, holder)
    }
  }

  /** One log-in, one list, one plan. */
  async function withPlan<T> ({ row, groups }: Target, all: Client[], rename: boolean, work: (session: Session) => Promise<T>): Promise<T> {
    const signal = AbortSignal.any([core.signal, AbortSignal.timeout(runMs)])
    try {
      const open = await clients.open(row, signal)
      try {
        const { groups: listed, server } = await groups.list(open.client, signal)
        const before = row.state['server']
        const migrated = typeof before === 'string' && server !== null && before !== server
        const steps = planGroups({ tenantId: row.tenant_id, clients: all, links: await readLinks(database, row.id), groups: listed, migrated, sanitizeName: groups.sanitizeName })
        const result = await work({ row, groups, client: open.client, signal, steps, rename })
        if (server !== null && before !== server) await rememberServer(database, row.id, server)
        return result
      } finally {
        await open.close()
      }
    } catch (error) {
      throw toRouteError(error, 'action')
    }
  }

  async function store (session: Session, done: Done[]): Promise<void> {
    const links = done.flatMap(({ link }) => link ?? [])
    const context = contextOf(session.row)
    await database.transaction(async trx => {
      if (!await holdConnection(trx, database.t, session.row.id)) throw new NotFoundError('Connection')
      await writeLinks(trx, database.t, context, links)
      const changes = noChanges()
      if (links.length > 0) addMoves(changes, await reassignDevices(trx, database.t, context, await placeTree(trx, database.t, session.row.id)))
      await applyChanges(core, trx, context, changes, done.flatMap(({ result }) => eventOf(result)))
    })
  }

  async function execute (session: Session, steps: GroupStep[]): Promise<DeviceGroupResult[]> {
    const results: DeviceGroupResult[] = []
    const quiet = steps.filter(step => !writes(step, session.rename))
    results.push(...quiet.map(step => describeStep(step, session.rename)))
    const missing = steps.flatMap(step => step.kind === 'missing' ? step.client.id : [])
    if (missing.length > 0) await markMissing(database, session.row.id, missing, core.now())
    const busy = steps.filter(step => writes(step, session.rename))
    for (let at = 0; at < busy.length; at += chunkSize) {
      const done = await pooled(busy.slice(at, at + chunkSize), step => perform(session, step))
      await store(session, done)
      results.push(...done.map(({ result }) => result))
    }
    const order = new Map(steps.map((step, n) => [step.client.id, n]))
    return results.sort((a, b) => order.get(a.clientRef)! - order.get(b.clientRef)!)
  }

  async function client (tenantId: string, clientRef: string): Promise<Client> {
    const found = await directory.client(tenantId, clientRef)
    if (found === null) throw new NotFoundError('Client')
    return found
  }

  return {
    async syncAll (tenantId, connectionId, { dryRun = false, rename = false } = {}) {
      const where = await target(tenantId, connectionId)
      const all = await directory.clients(tenantId)
      const results = await exclusively(where.row, () => withPlan(where, all, rename, async session =>
        dryRun ? session.steps.map(step => describeStep(step, rename)) : await execute(session, session.steps)))
      return summarize(results, dryRun)
    },
    async ensure (tenantId, connectionId, clientRef) {
      const where = await target(tenantId, connectionId)
      const wanted = await client(tenantId, clientRef)
      const all = await directory.clients(tenantId)
      const known = all.some(({ id }) => id === clientRef) ? all : [...all, wanted]
      const [result] = await exclusively(where.row, () => withPlan(where, known, false, session => execute(session, session.steps.filter(step => step.client.id === clientRef))))
      const { outcome, groupId, name, error } = result!
      if (outcome === 'conflict') throw new ConflictError(error!)
      if (groupId === null || outcome === 'failed') throw new PlatformError(error ?? 'The group could not be made')
      return { success: true, clientRef, name, groupId, created: outcome === 'created', linked: outcome === 'linked', message: sentence(result!) }
    },
    async status (tenantId, connectionId) {
      const where = await target(tenantId, connectionId)
      const all = await directory.clients(tenantId)
      const [links, counts] = [new Map((await readLinks(database, connectionId)).map(link => [link.clientRef, link])), await devicesPerGroup(database, connectionId)]
      const steps = await withPlan(where, all, false, async session => session.steps)
      const items = steps.map(step => {
        const link = links.get(step.client.id)
        const exists = step.kind === 'existing'
        const drift = exists ? step.drift : step.kind === 'missing' ? 'the group is no longer in the list; the next sync confirms that it is gone' : step.kind === 'conflict' || step.kind === 'failed' ? step.reason : null
        const setupComplete = exists && step.marked
        return {
          clientRef: step.client.id, name: step.client.name, hasGroup: link !== undefined, groupId: link?.externalId ?? null, groupName: exists ? step.group.name : link?.name ?? null,
          groupExists: exists, setupComplete, linkedDevices: counts.get(link?.externalId ?? '') ?? 0, needsSync: !setupComplete || drift !== null, drift
        }
      })
      return { success: true, totalClients: items.length, needsSync: items.filter(item => item.needsSync).length, clients: items }
    },
    async installLink (tenantId, connectionId, clientRef, { hours = defaultLinkHours } = {}) {
      const { row } = await target(tenantId, connectionId)
      const provider = core.registry.get(row.provider)!
      if (provider.installLink === undefined) throw new NotSupportedError(`${provider.name} has no install links`)
      await client(tenantId, clientRef)
      const link = (await readLinks(database, connectionId)).find(link => link.clientRef === clientRef)
      if (link === undefined) throw new ConflictError('This client has no device group yet; ensure it first')
      const { url, expiresAt } = await act(core, clients, row, (open, signal) => provider.installLink!(open, link.externalId, { hours }, signal))
      await audit(core, row, { type: 'RMM_INSTALL_LINK_CREATED', payload: { clientRef, groupId: link.externalId, expiresAt: expiresAt.toISOString() } })
      return { url, expiresAt: expiresAt.toISOString() }
    }
  }
}

interface Done { result: DeviceGroupResult, link?: NewLink }

function writes (step: GroupStep, rename: boolean): boolean {
  return step.kind === 'create' || step.kind === 'link' || (step.kind === 'existing' && (!step.marked || (rename && step.drift !== null)))
}

/** One step on the platform; its failure is its own. */
async function perform (session: Session, step: GroupStep): Promise<Done> {
  const { client } = step
  try {
    const group = await change(session, step)
    const outcome = step.kind === 'create' ? 'created' : step.kind === 'link' ? 'linked' : session.rename && step.kind === 'existing' && step.drift !== null ? 'renamed' : 'existing'
    return { result: { clientRef: client.id, name: group.name, groupId: group.id, outcome }, link: { clientRef: client.id, externalId: group.id, name: group.name, clientName: client.name } }
  } catch (error) {
    // A lost connection concerns all of them; the run ends and the next one goes on.
    if (session.signal.aborted || (error instanceof ProviderError && error.kind === 'auth')) throw error
    return { result: { clientRef: client.id, name: client.name, groupId: null, outcome: 'failed', error: (error as Error).message } }
  }
}

async function change (session: Session, step: GroupStep): Promise<DeviceGroup> {
  const { groups, client: open, signal, row } = session
  const mark = marker(row.tenant_id, step.client.id)
  if (step.kind === 'create') return await groups.create(open, { name: step.name, description: describe(null, mark) }, signal)
  if (step.kind !== 'link' && step.kind !== 'existing') throw new TypeError(`nothing to do for ${step.kind}`)
  const name = session.rename && step.kind === 'existing' && step.drift !== null ? { name: groupName(step.client, groups.sanitizeName) } : {}
  const description = step.group.description?.includes(mark) ? {} : { description: describe(step.group.description, mark) }
  if (!('name' in name) && !('description' in description)) return step.group
  return await groups.rename(open, step.group.id, { ...name, ...description }, signal)
}

/** What a step would do, or why it does nothing. */
function describeStep (step: GroupStep, rename: boolean): DeviceGroupResult {
  const base = { clientRef: step.client.id, name: step.client.name }
  switch (step.kind) {
    case 'existing': return { ...base, name: step.group.name, groupId: step.group.id, outcome: rename && step.drift !== null ? 'renamed' : 'existing' }
    case 'link': return { ...base, name: step.group.name, groupId: step.group.id, outcome: 'linked' }
    case 'create': return { ...base, name: step.name, groupId: null, outcome: 'created' }
    case 'conflict': return { ...base, groupId: null, outcome: 'conflict', error: step.reason }
    case 'missing': return { ...base, groupId: step.link.externalId, outcome: 'failed', error: 'the group is not in the list any more; if the next sync does not see it either, a new one is made' }
    case 'failed': return { ...base, groupId: null, outcome: 'failed', error: step.reason }
  }
}

function summarize (results: DeviceGroupResult[], dryRun: boolean): DeviceGroupSync {
  const count = (outcome: DeviceGroupResult['outcome']): number => results.filter(result => result.outcome === outcome).length
  const counts = { created: count('created'), linked: count('linked'), existing: count('existing'), renamed: count('renamed'), conflicts: count('conflict'), failed: count('failed') }
  const told = Object.entries(counts).filter(([, number]) => number > 0).map(([what, number]) => `${number} ${what}`).join(', ') || 'no clients'
  return { success: counts.failed === 0 && counts.conflicts === 0, message: dryRun ? `Dry run, nothing was changed: ${told}` : told, totalClients: results.length, ...counts, results }
}

function sentence ({ outcome, name }: DeviceGroupResult): string {
  return { created: `Created the group "${name}"`, linked: `Linked the group "${name}"`, renamed: `Renamed the group to "${name}"` }[outcome as string] ?? `The group "${name}" is there`
}

function eventOf ({ outcome, clientRef, groupId, name }: DeviceGroupResult) {
  const type = ({ created: 'RMM_DEVICE_GROUP_CREATED', linked: 'RMM_DEVICE_GROUP_LINKED', renamed: 'RMM_DEVICE_GROUP_RENAMED' } as const)[outcome as 'created']
  return type === undefined ? [] : [{ type, payload: { clientRef, groupId, name } }]
}

/** Works through items a few at a time, results in order. */
async function pooled<T, R> (items: T[], work: (item: T) => Promise<R>): Promise<R[]> {
  const results = new Array<R>(items.length)
  let next = 0
  await Promise.all(Array.from({ length: Math.min(inFlight, items.length) }, async () => {
    for (let at = next++; at < items.length; at = next++) results[at] = await work(items[at]!)
  }))
  return results
}
