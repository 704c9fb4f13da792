import type { DeviceGroup } from '../../providers/define.ts'
import type { Client } from '../../types.ts'
import { groupName, nameKey, wordIndex } from './group-names.ts'

export interface Claims {
  /** The groups each client could mean, from the first rung of the ladder that has any. */
  claims: Map<string, DeviceGroup[]>
  /** Whether a person mapped these groups to the client, rather than their names fitting. */
  byHand: Set<string>
  /** Group → how many clients could mean it. */
  rivals: Map<string, number>
}

interface Claiming {
  clients: Client[]
  /** Groups that nobody holds. */
  free: DeviceGroup[]
  /** Groups a person has mapped: the client, or null for excluded. */
  mappings: ReadonlyMap<string, string | null>
  sanitizeName: (name: string) => string
}

/**
 * What is nobody's yet, and who could mean it: a person's mapping → exactly "{client} Devices" → exactly "{client}" →
 * the client's name as whole words together with "Devices". A group that a client means on one rung is not looked at
 * for another client on a lower one: "Gadget Devices" is Gadget's also where a client is called "Gadget Devices", and
 * "Acme East Devices" is not Acme's.
 */
export function claimGroups({ clients, free, mappings, sanitizeName }: Claiming): Claims {
  const exact = Map.groupBy(free, group => nameKey(group.name))
  const claims = new Map<string, DeviceGroup[]>(clients.map(({ id }) => [id, []]))
  const byHand = new Set<string>()
  const explained = new Set<string>()
  const open = (): Client[] => clients.filter(({ id }) => claims.get(id)!.length === 0)
  const rung = (groupsOf: (client: Client) => DeviceGroup[]): void => {
    const found = open().map(({ id, name }) => {
      const fitting = groupsOf({ id, name })
      return [id, fitting.filter(group => !explained.has(group.id) && isAllowed(mappings, group.id, id))] as const
    })
    for (const [id, groups] of found) claims.set(id, groups)
    for (const [, groups] of found) for (const group of groups) explained.add(group.id)
  }

  const mapped = Map.groupBy(
    free.filter(({ id }) => typeof mappings.get(id) === 'string'),
    ({ id }) => mappings.get(id) as string
  )
  const named = (wanted: string) => (wanted === '' ? [] : (exact.get(nameKey(wanted)) ?? []))
  rung(client => bestNamed(mapped.get(client.id) ?? [], client, sanitizeName))
  for (const [id, groups] of claims) if (groups.length > 0) byHand.add(id)
  rung(client => named(groupName(client, sanitizeName)))
  rung(client => named(sanitizeName(client.name)))
  const containing = wordIndex(free.filter(({ id }) => !explained.has(id)))
  rung(client => containing(sanitizeName(client.name)))

  const rivals = new Map<string, number>()
  for (const { id } of [...claims.values()].flat()) rivals.set(id, (rivals.get(id) ?? 0) + 1)
  return { claims, byHand, rivals }
}

function isAllowed(mappings: Claiming['mappings'], groupId: string, clientId: string): boolean {
  return !mappings.has(groupId) || mappings.get(groupId) === clientId
}

/** Of several groups that a person mapped to one client, those whose name says that it is the client's own. */
function bestNamed(groups: DeviceGroup[], client: Client, sanitizeName: Claiming['sanitizeName']): DeviceGroup[] {
  if (groups.length < 2) return groups
  const plain = sanitizeName(client.name)
  for (const wanted of [groupName(client, sanitizeName), plain]) {
    const fitting = groups.filter(group => wanted !== '' && nameKey(group.name) === nameKey(wanted))
    if (fitting.length > 0) return fitting
  }
  const containing = wordIndex(groups)(plain)
  return containing.length > 0 ? containing : groups
}
