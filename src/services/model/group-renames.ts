import type { DeviceGroup } from '../../providers/define.ts'
import type { Client } from '../../types.ts'
import { groupName, nameKey } from './group-names.ts'

/** A group that should be called otherwise, and why. */
export interface WantedName {
  to: string
  why: string
}

/** The last that was known of a group's name, and of its client's when it was named. */
export interface KnownNames {
  name: string
  clientName: string
}

/** The name a group should have; null where it has it, or where it was never ours to give. */
export function wantedName(
  client: Client,
  known: KnownNames,
  group: DeviceGroup,
  sanitizeName: (name: string) => string
): WantedName | null {
  const to = groupName(client, sanitizeName)
  if (to === '' || group.name === to) return null
  if (known.clientName !== client.name)
    return {
      to,
      why: `the client was renamed from "${known.clientName}" to "${client.name}"; the group is still "${group.name}"`
    }
  if (known.name !== group.name)
    return { to, why: `the group was renamed on the platform from "${known.name}" to "${group.name}"` }
  return null
}

/**
 * The groups that stand in the way of each group's new name. One that gets another name itself does not: clients that
 * exchanged their names, and chains of them, come out right in one go.
 *
 * @param wanted the new names, by group
 */
export function blockers(
  groups: readonly DeviceGroup[],
  wanted: ReadonlyMap<string, WantedName>
): (groupId: string) => DeviceGroup[] {
  const named = Map.groupBy(groups, group => nameKey(group.name))
  const inTheWay = (groupId: string) =>
    (named.get(nameKey(wanted.get(groupId)!.to)) ?? []).filter(({ id }) => id !== groupId)
  const stuck = new Map<string, boolean>()
  function isStuck(groupId: string): boolean {
    if (!wanted.has(groupId)) return true
    const known = stuck.get(groupId)
    if (known !== undefined) return known
    // Met again on the way round, it moves: everybody in the circle does.
    stuck.set(groupId, false)
    const result = inTheWay(groupId).some(({ id }) => isStuck(id))
    stuck.set(groupId, result)
    return result
  }
  return groupId => inTheWay(groupId).filter(({ id }) => isStuck(id))
}

/** Groups that have to leave their name before another can take it. */
export function inTheWayOf(renames: ReadonlyArray<{ group: DeviceGroup; to: string }>): DeviceGroup[] {
  const taken = new Map(renames.map(({ group, to }) => [nameKey(to), group.id]))
  return renames.flatMap(({ group }) => {
    const taker = taken.get(nameKey(group.name))
    return taker === undefined || taker === group.id ? [] : group
  })
}
