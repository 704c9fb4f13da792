import type { DeviceGroup } from '../../providers/define.ts'
import type { Client } from '../../types.ts'
import { clean } from './normalize/field-values.ts'
import { groupName, marker, markOf, nameKey, wordIndex } from './group-names.ts'
import { storable } from './stable-json.ts'

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
  | { kind: 'link'; client: Client; group: DeviceGroup; note: string | null }
  | { kind: 'create'; client: Client; name: string }
  | { kind: 'conflict'; client: Client; reason: string }
  | { kind: 'missing'; client: Client; link: GroupLink; reason: string }
  | { kind: 'failed'; client: Client; reason: string }

export interface PlanInput {
  tenantId: string
  /** All clients of the tenant: also those that are not asked for decide what is ambiguous. */
  clients: Client[]
  links: GroupLink[]
  /** Organizations an operator has mapped by hand: the client, or null for excluded. */
  mappings?: ReadonlyMap<string, string | null>
  groups: DeviceGroup[]
  /** The installation that was listed; links to another one say nothing. */
  server: string | null
  /** The list shows every group of the server; only then does absence prove anything. */
  complete: boolean
  /** The client an operator asked for by name: for this one an incomplete list is proof enough. */
  insist?: string | undefined
  sanitizeName: (name: string) => string
}

/** What the plan is made from, looked up once for all clients. */
interface Ground extends PlanInput {
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
  claims: Map<string, DeviceGroup[]>
  /** Group → how many clients could mean it. */
  rivals: Map<string, number>
}

/**
 * Finds each client's group: its stored id → our marker → exactly "{client} Devices" → exactly "{client}" → the
 * client's name as whole words together with "Devices". By name only among groups that nobody holds, only when
 * exactly one fits, and never for clients that share a name. Applied and planned again, everything is `existing`.
 */
export function planGroups(input: PlanInput): GroupStep[] {
  const clients = [...new Map(input.clients.map(({ id, name }) => [id, { id, name: storable(name ?? '') }])).values()]
  const ground = survey({
    ...input,
    clients,
    groups: input.groups.map(group => ({ ...group, name: storable(group.name ?? '') }))
  })
  return clients.map(client => stepFor(client, ground))
}

function survey(input: PlanInput): Ground {
  const { clients, groups, sanitizeName, server } = input
  const byId = new Map(groups.map(group => [group.id, group]))
  const links = input.links.filter(link => link.server === null || server === null || link.server === server)
  const known = new Set(clients.map(({ id }) => id))
  // A client that left the directory holds its group until somebody takes its mark away.
  const holding = links.filter(
    link => byId.has(link.externalId) && (known.has(link.clientRef) || markOf(byId.get(link.externalId)!) !== null)
  )
  const holders = new Map(holding.map(link => [link.externalId, link.clientRef]))
  const free = groups.filter(group => !holders.has(group.id) && markOf(group) === null)
  const claims = claimsByName(input, free)
  const rivals = new Map<string, number>()
  for (const { id } of [...claims.values()].flat()) rivals.set(id, (rivals.get(id) ?? 0) + 1)
  return {
    ...input,
    byId,
    holders,
    claims,
    rivals,
    linkOf: new Map(links.map(link => [link.clientRef, link])),
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

function oldestFirst(a: DeviceGroup, b: DeviceGroup): number {
  const time = (group: DeviceGroup): number => group.createdAt?.getTime() ?? Number.MAX_SAFE_INTEGER
  return time(a) - time(b) || (a.id < b.id ? -1 : 1)
}

/** The groups each client could mean, from the first rung of the ladder that has any. */
function claimsByName({ clients, mappings, sanitizeName }: PlanInput, free: DeviceGroup[]): Map<string, DeviceGroup[]> {
  const exact = Map.groupBy(free, group => nameKey(group.name))
  const isAllowed =
    (client: Client) =>
    ({ id }: DeviceGroup): boolean =>
      mappings?.has(id) !== true || mappings.get(id) === client.id
  const claims = new Map<string, DeviceGroup[]>()
  for (const client of clients) {
    const name = sanitizeName(client.name)
    const of = (wanted: string): DeviceGroup[] =>
      name === '' ? [] : (exact.get(nameKey(wanted)) ?? []).filter(isAllowed(client))
    const best = of(groupName(client, sanitizeName))
    claims.set(client.id, best.length > 0 ? best : of(name))
  }
  // A group that is exactly one client's is not what another's name is part of: "Acme East Devices" is not Acme's.
  const explained = new Set([...claims.values()].flat().map(({ id }) => id))
  const containing = wordIndex(free.filter(({ id }) => !explained.has(id)))
  for (const client of clients) {
    if (claims.get(client.id)!.length === 0)
      claims.set(client.id, containing(sanitizeName(client.name)).filter(isAllowed(client)))
  }
  return claims
}

function stepFor(client: Client, ground: Ground): GroupStep {
  if (clean(client.id) !== client.id)
    return { kind: 'failed', client, reason: "the client's id has characters that cannot be stored" }
  const own = ground.marked.get(marker(ground.tenantId, client.id)) ?? []
  const link = ground.linkOf.get(client.id)
  const stored = link === undefined ? undefined : ground.byId.get(link.externalId)
  if (link !== undefined && stored !== undefined) return existing(client, link, stored, own, ground)
  const [winner] = own
  if (winner !== undefined) {
    const holder = ground.holders.get(winner.id)
    if (holder !== undefined)
      return {
        kind: 'conflict',
        client,
        reason: `${list([winner])} carries its mark but is linked to the client ${holder}; remove the mark from the group's description`
      }
    return { kind: 'link', client, group: winner, note: twice(own.slice(1)) }
  }
  if (link !== undefined && !isGone(client, link, ground))
    return { kind: 'missing', client, link, reason: missingReason(link, ground) }
  return byName(client, ground)
}

function isGone(client: Client, link: GroupLink, { complete, insist }: Ground): boolean {
  return link.missingSince !== null && (complete || insist === client.id)
}

function missingReason({ name }: GroupLink, { complete }: Ground): string {
  if (complete)
    return `the group "${name}" is not in the list any more; if the next sync does not see it either, a new one is made`
  return `the group "${name}" is not in the list any more, and the account does not see all groups: it was deleted, or a right was taken away. Give the account the right on it, or ensure this client (twice) to make a new one`
}

function existing(client: Client, link: GroupLink, group: DeviceGroup, own: DeviceGroup[], ground: Ground): GroupStep {
  const mark = markOf(group)
  const isOurs = mark === marker(ground.tenantId, client.id)
  if (mark !== null && !isOurs)
    return {
      kind: 'conflict',
      client,
      reason: `its group ${list([group])} carries the mark of another client; remove that mark from the group's description, then sync again`
    }
  const rename = renameOf(client, link, group, ground)
  const drift = [
    rename?.why,
    mappedElsewhere(client, group, ground),
    twice(own.filter(({ id }) => id !== group.id))
  ].filter(reason => typeof reason === 'string')
  return {
    kind: 'existing',
    client,
    link,
    group,
    marked: isOurs,
    drift: drift.length > 0 ? drift.join('; ') : null,
    rename: rename === null ? null : { to: rename.to, blocked: rename.blocked }
  }
}

function twice(others: DeviceGroup[]): string | null {
  return others.length === 0
    ? null
    : `the same mark is also on ${list(others)}: move the devices out of there and delete it, or remove the mark from its description`
}

function mappedElsewhere(client: Client, { id }: DeviceGroup, { mappings }: Ground): string | null {
  const mapped = mappings?.get(id)
  if (mapped === undefined || mapped === client.id) return null
  return mapped === null ? 'the group is excluded from the sync' : `the group is mapped to the client ${mapped} by hand`
}

function renameOf(
  client: Client,
  link: GroupLink,
  group: DeviceGroup,
  { sanitizeName, groupsNamed, namesakes }: Ground
): { to: string; why: string; blocked: string | null } | null {
  const to = groupName(client, sanitizeName)
  if (to === '' || group.name === to) return null
  const why =
    link.clientName !== client.name
      ? `the client was renamed from "${link.clientName}" to "${client.name}"; the group is still "${group.name}"`
      : link.name !== group.name
        ? `the group was renamed on the platform from "${link.name}" to "${group.name}"`
        : null
  if (why === null) return null
  const others = (groupsNamed.get(nameKey(to)) ?? []).filter(({ id }) => id !== group.id)
  const blocked =
    others.length > 0
      ? `there is a group of that name already: ${list(others)}`
      : namesakes.get(nameKey(to))!.length > 1
        ? 'another client has this name'
        : null
  return { to, why, blocked: blocked === null ? null : `"${group.name}" is not renamed to "${to}": ${blocked}` }
}

function byName(client: Client, ground: Ground): GroupStep {
  const name = groupName(client, ground.sanitizeName)
  if (name === '')
    return {
      kind: 'failed',
      client,
      reason: "nothing usable is left of the client's name for a group; rename the client"
    }
  const candidates = ground.claims.get(client.id)!
  const namesakes = ground.namesakes.get(nameKey(name))!
  if (namesakes.length > 1) return { kind: 'conflict', client, reason: sharedName(namesakes, candidates, ground) }
  if (candidates.length > 1)
    return {
      kind: 'conflict',
      client,
      reason: `more than one group fits: ${list(candidates)}; rename or delete the wrong ones`
    }
  if (candidates.length === 1) {
    if (ground.rivals.get(candidates[0]!.id) === 1) return { kind: 'link', client, group: candidates[0]!, note: null }
    return {
      kind: 'conflict',
      client,
      reason: `other clients' names fit ${list(candidates)} as well; rename it to exactly "{client} Devices" of the one it belongs to`
    }
  }
  const left = (ground.groupsNamed.get(nameKey(name)) ?? []).filter(({ id }) => ground.holders.has(id))
  if (left.length > 0)
    return {
      kind: 'conflict',
      client,
      reason: `${list(left)} is linked to another client (${left.map(({ id }) => ground.holders.get(id)).join(', ')}); remove the mark from its description if that client is gone, otherwise rename the group`
    }
  return { kind: 'create', client, name }
}

function sharedName(namesakes: Client[], candidates: DeviceGroup[], { linkOf, byId }: Ground): string {
  const theirs = namesakes.flatMap(({ id }) => byId.get(linkOf.get(id)?.externalId ?? '') ?? [])
  const meant = [...new Set([...candidates, ...theirs])]
  const clients = namesakes
    .slice(0, 10)
    .map(({ id }) => id)
    .join(', ')
  return `${namesakes.length} clients have this name (${clients}); ${meant.length > 0 ? `groups that could be meant: ${list(meant)}; ` : ''}rename one of them, then ensure each`
}

function list(groups: DeviceGroup[]): string {
  const shown = groups
    .slice(0, 10)
    .map(group => `"${group.name}" (${group.id})`)
    .join(', ')
  return groups.length > 10 ? `${shown} and ${groups.length - 10} more` : shown
}
