import type { DeviceGroup } from '../../providers/define.ts'
import type { Client } from '../../types.ts'
import { type Claims, claimGroups } from './group-claims.ts'
import { groupName, markOf, nameKey } from './group-names.ts'
import { blockers, type WantedName, wantedName } from './group-renames.ts'

/** The stored association of a client with a group. */
export interface GroupLink {
  clientRef: string
  externalId: string
  /** The group's name when we last saw it. */
  name: string
  /** The client's name when we last named the group. */
  clientName: string
  /** The server the id is of; null where the platform does not tell. */
  server: string | null
  missingSince: Date | null
}

export type GroupStep =
  | {
      kind: 'existing'
      client: Client
      link: GroupLink
      group: DeviceGroup
      marked: boolean
      drift: string | null
      rename: { to: string; blocked: string | null } | null
    }
  | {
      kind: 'link'
      client: Client
      group: DeviceGroup
      note: string | null
      /** The client's former group, which keeps its devices and loses our mark. */
      release?: DeviceGroup
    }
  | { kind: 'create'; client: Client; name: string }
  | { kind: 'conflict'; client: Client; reason: string }
  | { kind: 'missing'; client: Client; link: GroupLink; reason: string }
  | { kind: 'failed'; client: Client; reason: string }

export interface PlanInput {
  tenantId: string
  /** All clients of the tenant: also those that are not asked for decide what is ambiguous. */
  clients: Client[]
  links: GroupLink[]
  /** Organizations a person has mapped by hand, not we with a link: the client, or null for excluded. */
  mappings?: ReadonlyMap<string, string | null>
  groups: DeviceGroup[]
  /** The installation that was listed; links to another one say nothing. */
  server: string | null
  /** The list shows every group of the server; only then does absence prove anything. */
  complete: boolean
  /**
   * The client an operator asked for by name: for this one a complete list is proof at once, and an incomplete one when
   * it was missing before.
   */
  insist?: string | undefined
  /** Groups of a predecessor, as the host knows them: group → client. */
  adopted?: ReadonlyMap<string, string> | undefined
  /** A person's word that this group is this client's: client → group. It wins over everything else. */
  decided?: ReadonlyMap<string, string> | undefined
  sanitizeName: (name: string) => string
}

/** What the plan is made from, looked up once for all clients. */
export interface Ground extends PlanInput, Claims {
  byId: Map<string, DeviceGroup>
  /** Links of this server, by client. */
  linkOf: Map<string, GroupLink>
  /** Group → client, where the link says so. */
  holders: Map<string, string>
  /** Mark → the groups that carry it, oldest first. */
  marked: Map<string, DeviceGroup[]>
  /** Clients that would name their group alike. */
  namesakes: Map<string, Client[]>
  groupsNamed: Map<string, DeviceGroup[]>
  /** Free groups of a predecessor, by client. */
  adoptable: Map<string, DeviceGroup[]>
  /** Clients of the directory. */
  known: Set<string>
  wanted: Map<string, WantedName>
  blocking: (groupId: string) => DeviceGroup[]
}

/** Looks everything up that the ladder asks for. */
export function survey(input: PlanInput): Ground {
  const { clients, groups, sanitizeName, server } = input
  const byId = new Map(groups.map(group => [group.id, group]))
  const links = input.links.filter(link => link.server === null || server === null || link.server === server)
  const known = new Set(clients.map(({ id }) => id))
  // A client that left the directory holds its group until somebody takes its mark away.
  const holding = links.filter(
    link => byId.has(link.externalId) && (known.has(link.clientRef) || markOf(byId.get(link.externalId)!) !== null)
  )
  const holders = new Map(holding.map(link => [link.externalId, link.clientRef]))
  const claimed = new Set(input.decided?.values())
  const free = groups.filter(group => !holders.has(group.id) && !claimed.has(group.id) && markOf(group) === null)
  // What a person mapped to somebody, or excluded, is not adopted by anybody else.
  const adopter = ({ id }: DeviceGroup): string => {
    const adopted = input.adopted?.get(id) ?? ''
    const mapped = input.mappings?.get(id)
    return known.has(adopted) && (mapped === undefined || mapped === adopted) ? adopted : ''
  }
  const adoptable = Map.groupBy(free, adopter)
  const linkOf = new Map(links.map(link => [link.clientRef, link]))
  const wanted = wantedNames(input, byId, linkOf)
  return {
    ...input,
    ...claimGroups({
      clients,
      free: free.filter(group => adopter(group) === ''),
      mappings: input.mappings ?? new Map(),
      sanitizeName
    }),
    byId,
    holders,
    known,
    adoptable,
    linkOf,
    wanted,
    blocking: blockers(groups, wanted),
    marked: Map.groupBy(
      [...groups].sort(oldestFirst).filter(group => markOf(group) !== null),
      group => markOf(group)!
    ),
    namesakes: Map.groupBy(
      clients.filter(client => groupName(client, sanitizeName) !== ''),
      client => nameKey(groupName(client, sanitizeName))
    ),
    groupsNamed: Map.groupBy(groups, group => nameKey(group.name))
  }
}

/** What every linked group should be called, where it is called otherwise. */
function wantedNames(
  { clients, sanitizeName }: PlanInput,
  byId: Map<string, DeviceGroup>,
  linkOf: Map<string, GroupLink>
): Map<string, WantedName> {
  return new Map(
    clients.flatMap(client => {
      const link = linkOf.get(client.id)
      const group = byId.get(link?.externalId ?? '')
      const wanted = link && group ? wantedName(client, link, group, sanitizeName) : null
      return group && wanted ? [[group.id, wanted] as const] : []
    })
  )
}

function oldestFirst(a: DeviceGroup, b: DeviceGroup): number {
  const time = (group: DeviceGroup): number => group.createdAt?.getTime() ?? Number.MAX_SAFE_INTEGER
  return time(a) - time(b) || (a.id < b.id ? -1 : 1)
}
