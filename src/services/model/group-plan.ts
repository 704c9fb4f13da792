import type { DeviceGroup } from '../../providers/define.ts'
import type { Client } from '../../types.ts'
import { clean } from './normalize/field-values.ts'
import { type Ground, type GroupLink, type GroupStep, type PlanInput, survey } from './group-ground.ts'
import { groupName, marker, markOf, nameKey } from './group-names.ts'
import { storable } from './stable-json.ts'

/**
 * Finds each client's group: a person's word → its stored id → our marker → what the host adopts → a person's mapping →
 * names (`claimGroups`). By name only among groups that nobody holds, only when exactly one fits, and never for clients
 * that share a name. Applied and planned again, everything is `existing`.
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

function stepFor(client: Client, ground: Ground): GroupStep {
  if (clean(client.id) !== client.id)
    return { kind: 'failed', client, reason: "the client's id has characters that cannot be stored" }
  const own = ground.marked.get(marker(ground.tenantId, client.id)) ?? []
  const link = ground.linkOf.get(client.id)
  const stored = link === undefined ? undefined : ground.byId.get(link.externalId)
  const decided = ground.decided?.get(client.id)
  if (decided !== undefined && decided !== stored?.id) return asDecided(client, decided, stored, ground)
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
  return adopt(client, ground) ?? byName(client, ground)
}

/** A person says which group it is. What nobody may take is refused, with who holds it. */
function asDecided(client: Client, groupId: string, former: DeviceGroup | undefined, ground: Ground): GroupStep {
  const group = ground.byId.get(groupId)
  if (group === undefined) return { kind: 'failed', client, reason: `there is no group with the id ${groupId}` }
  const holder = holderOf(group, client, ground)
  if (holder !== null)
    return { kind: 'conflict', client, reason: `${list([group])} is held by ${holder}; let go of it there first` }
  return { kind: 'link', client, group, note: null, ...(former === undefined ? {} : { release: former }) }
}

/** The other client of the directory that has a group, in words; null where none has. */
function holderOf(group: DeviceGroup, client: Client, ground: Ground): string | null {
  const others = [ground.holders.get(group.id), ground.mappings?.get(group.id)]
  const other = others.find(ref => typeof ref === 'string' && ref !== client.id && ground.known.has(ref))
  if (other !== undefined) return `the client ${other}`
  const mark = markOf(group)
  if (mark === null || mark === marker(ground.tenantId, client.id)) return null
  const marked = ground.clients.find(({ id }) => marker(ground.tenantId, id) === mark)
  if (marked !== undefined) return `the client ${marked.id} (its mark)`
  // A client that is gone from the directory held it: its link says so. Otherwise it is somebody else's installation.
  const gone = ground.holders.get(group.id)
  return gone !== undefined && marker(ground.tenantId, gone) === mark
    ? null
    : 'another tenant or installation (its mark)'
}

function adopt(client: Client, ground: Ground): GroupStep | null {
  const groups = ground.adoptable.get(client.id) ?? []
  const [group] = groups
  if (group === undefined) return null
  if (groups.length === 1) return { kind: 'link', client, group, note: null }
  return {
    kind: 'conflict',
    client,
    reason: `more than one group is adopted for it: ${list(groups)}; say which one it is`
  }
}

function isGone(client: Client, link: GroupLink, { complete, insist }: Ground): boolean {
  const insisted = insist === client.id
  return complete ? insisted || link.missingSince !== null : insisted && link.missingSince !== null
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
  const rename = renameOf(group, ground)
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
  group: DeviceGroup,
  { wanted, blocking, namesakes }: Ground
): { to: string; why: string; blocked: string | null } | null {
  const name = wanted.get(group.id)
  if (name === undefined) return null
  const others = blocking(group.id)
  const blocked =
    others.length > 0
      ? `there is a group of that name already: ${list(others)}`
      : namesakes.get(nameKey(name.to))!.length > 1
        ? 'another client has this name'
        : null
  return { ...name, blocked: blocked === null ? null : `"${group.name}" is not renamed to "${name.to}": ${blocked}` }
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
  const byHand = ground.byHand.has(client.id)
  if (namesakes.length > 1 && !byHand)
    return { kind: 'conflict', client, reason: sharedName(namesakes, candidates, ground) }
  if (candidates.length > 1)
    return {
      kind: 'conflict',
      client,
      reason: byHand
        ? `more than one group is mapped to it by hand: ${list(candidates)}; say which of them is its own`
        : `more than one group fits: ${list(candidates)}; rename or delete the wrong ones`
    }
  if (candidates.length === 1) {
    if (ground.rivals.get(candidates[0]!.id) === 1) return { kind: 'link', client, group: candidates[0]!, note: null }
    return {
      kind: 'conflict',
      client,
      reason: `other clients' names fit ${list(candidates)} as well; rename it to exactly "{client} Devices" of the one it belongs to`
    }
  }
  const gone = (ground.groupsNamed.get(nameKey(name)) ?? []).filter(({ id }) => isOfGone(id, ground))
  if (gone.length > 0)
    return {
      kind: 'conflict',
      client,
      reason: `${list(gone)} is mapped by hand to a client that the directory no longer knows; map it to this one`
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

/** Mapped by a person to a client that is gone: a second group of that name would be a second home for its devices. */
function isOfGone(groupId: string, { mappings, known }: Ground): boolean {
  const mapped = mappings?.get(groupId)
  return typeof mapped === 'string' && !known.has(mapped)
}

function sharedName(namesakes: Client[], candidates: DeviceGroup[], { linkOf, byId }: Ground): string {
  const theirs = namesakes.flatMap(({ id }) => byId.get(linkOf.get(id)?.externalId ?? '') ?? [])
  const meant = [...new Set([...candidates, ...theirs])]
  const clients = namesakes
    .slice(0, 10)
    .map(({ id }) => id)
    .join(', ')
  const cutAlike = new Set(namesakes.map(({ name }) => nameKey(name.trim()))).size > 1
  return `${namesakes.length} clients have this name${cutAlike ? ' after it is cut and cleaned for the platform' : ''} (${clients}); ${meant.length > 0 ? `groups that could be meant: ${list(meant)}; ` : ''}rename one of them, then ensure each`
}

function list(groups: DeviceGroup[]): string {
  const shown = groups
    .slice(0, 10)
    .map(group => `"${group.name}" (${group.id})`)
    .join(', ')
  return groups.length > 10 ? `${shown} and ${groups.length - 10} more` : shown
}
