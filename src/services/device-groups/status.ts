import { withTimeLimit } from '../../waits.ts'
import { type DeviceGroup, type DeviceGroups, ProviderError } from '../../providers/define.ts'
import type { DeviceGroupStatus } from '../../types.ts'
import { type ClientFactory, identityOf, isAboutSecrets } from '../platform/index.ts'
import type { Core } from '../core.ts'
import { type GroupLink, type GroupStep, marker, planGroups, type PlanInput } from '../model/index.ts'
import { type ConnectionRow, devicesPerGroup, readGroups, storedNames } from '../store/index.ts'

/** A page that is being looked at waits this long for the platform. */
const patienceMs = 3_000

/** A connection and its provider's groups. */
export interface Target {
  row: ConnectionRow
  groups: DeviceGroups<unknown>
}

type Seen = Pick<PlanInput, 'groups' | 'server' | 'complete' | 'links'>

/** All of a plan but the clients, and why the platform did not tell it where it did not. */
interface Look extends Omit<PlanInput, 'clients'> {
  message: string | null
}

export interface GroupStatus {
  /** As the platform shows the groups now; where it does not answer, as they were when it last did. */
  of(tenantId: string, connectionId: string): Promise<DeviceGroupStatus>
  /** Who asks from now on is not told what was seen before. */
  forget(row: ConnectionRow): void
}

export function createGroupStatus(
  core: Core,
  clients: ClientFactory,
  target: (tenantId: string, connectionId: string) => Promise<Target>
): GroupStatus {
  const { database, directory } = core
  const looking = new Map<string, Promise<Look>>()
  /** Secrets that the platform refused, and its words: a page that is opened again does not try them again. */
  const refused = new Map<string, { identity: string; message: string }>()

  /** The groups on the platform, or why they cannot be told. */
  async function ask({ row }: Target): Promise<Omit<Seen, 'links'> | string> {
    const before = refused.get(row.id)
    if (row.status === 'error' && before?.identity === identityOf(row)) return before.message
    return await withTimeLimit(Math.min(patienceMs, core.settings.interactiveMs), [core.signal], async signal => {
      try {
        const open = await clients.open(row, signal)
        try {
          const seen = await open.provider.deviceGroups!.list(open.client, signal)
          refused.delete(row.id)
          return seen
        } finally {
          await open.close()
        }
      } catch (error) {
        if (signal.aborted && !core.signal.aborted && !(error instanceof ProviderError))
          return 'The platform did not answer in time'
        if (error instanceof ProviderError && error.kind === 'auth')
          refused.set(row.id, { identity: identityOf(row), message: error.message })
        if (error instanceof ProviderError || isAboutSecrets(error)) return error.message
        throw error
      }
    })
  }

  async function take({ row, groups }: Target): Promise<Look> {
    // Links first: a group that is linked while the list is under way need not be in it.
    const { links, mappings } = await readGroups(database, row.id)
    const answer = await ask({ row, groups })
    const same = { tenantId: row.tenant_id, mappings, sanitizeName: groups.sanitizeName }
    return typeof answer === 'string'
      ? { ...same, ...(await recall({ row, groups }, links)), message: answer }
      : { ...same, ...answer, links, message: null }
  }

  /** The groups as the last sync and the last work on them left them. */
  async function recall({ row, groups: { sanitizeName } }: Target, links: GroupLink[]): Promise<Seen> {
    const linkOf = new Map(links.map(link => [link.externalId, link]))
    const groups = (await storedNames(database, row.id)).flatMap(({ id, name }): DeviceGroup[] => {
      const link = linkOf.get(id)
      if (link === undefined) return [{ id, name, description: null }]
      if (link.missingSince !== null) return []
      // A link was stored together with its mark. A sync keeps names in one line, which is no renaming.
      return [
        {
          id,
          name: sanitizeName(link.name) === sanitizeName(name) ? link.name : name,
          description: marker(row.tenant_id, link.clientRef)
        }
      ]
    })
    return { groups, links: links.map(link => ({ ...link, server: null })), server: null, complete: true }
  }

  /** Ten open pages are one log-in: they share it from before the connection is looked up. */
  async function look(tenantId: string, connectionId: string): Promise<Look> {
    const key = keyOf(tenantId, connectionId)
    const underWay = looking.get(key)
    if (underWay !== undefined) return await underWay
    const mine = target(tenantId, connectionId)
      .then(take)
      .finally(() => {
        if (looking.get(key) === mine) looking.delete(key)
      })
    looking.set(key, mine)
    return await mine
  }

  return {
    forget: row => {
      looking.delete(keyOf(row.tenant_id, row.id))
    },
    async of(tenantId, connectionId) {
      const { message, ...seen } = await look(tenantId, connectionId)
      const counts = await devicesPerGroup(database, connectionId)
      const linkOf = new Map(seen.links.map(link => [link.clientRef, link]))
      const steps = planGroups({ ...seen, clients: await directory.clients(tenantId) })
      const items = steps.map(step => statusOf(step, linkOf.get(step.client.id), counts, seen.server))
      return {
        success: true,
        source: message === null ? 'platform' : 'stored',
        message,
        totalClients: items.length,
        needsSync: items.filter(item => item.needsSync).length,
        clients: items,
        orphans: orphansOf(seen, new Set(items.map(({ clientRef }) => clientRef)))
      }
    }
  }
}

function keyOf(tenantId: string, connectionId: string): string {
  return JSON.stringify([tenantId, connectionId])
}

/** Clients that left the directory go on holding their groups, so that nothing takes them by accident. */
function orphansOf({ groups, links, server }: Seen, known: ReadonlySet<string>): DeviceGroupStatus['orphans'] {
  const byId = new Map(groups.map(group => [group.id, group]))
  return links.flatMap(link => {
    const group = byId.get(link.externalId)
    const elsewhere = link.server !== null && server !== null && link.server !== server
    if (group === undefined || elsewhere || known.has(link.clientRef)) return []
    const reason = `it is held by the client ${link.clientRef} ("${link.clientName}"), which the directory no longer knows; give it to another client, or remove the mark from its description`
    return { groupId: group.id, groupName: group.name, clientRef: link.clientRef, reason }
  })
}

function statusOf(
  step: GroupStep,
  link: GroupLink | undefined,
  counts: ReadonlyMap<string, number>,
  server: string | null
): DeviceGroupStatus['clients'][number] {
  const exists = step.kind === 'existing'
  const moved = link !== undefined && link.server !== null && server !== null && link.server !== server
  const drift = exists
    ? step.drift
    : 'reason' in step
      ? step.reason
      : moved
        ? `its group "${link.name}" was on another server than the one that answers now; sync-all finds it here, or makes it`
        : null
  const setupComplete = exists && step.marked && step.rename === null
  return {
    clientRef: step.client.id,
    clientName: step.client.name,
    name: step.client.name,
    hasGroup: link !== undefined,
    groupId: link?.externalId ?? null,
    groupName: exists ? step.group.name : (link?.name ?? null),
    groupExists: exists,
    setupComplete,
    linkedDevices: counts.get(link?.externalId ?? '') ?? 0,
    needsSync: !setupComplete || drift !== null,
    drift
  }
}
