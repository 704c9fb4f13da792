import type { NewEvent, ResourceName, RunItem } from '../../types.ts'
import type { OutOfSight } from '../store/index.ts'
import type { Source } from './reading.ts'

/** Then a single read that finds nothing says nothing about the record. */
export async function seesPart({ provider, client, signal }: Source): Promise<boolean> {
  return (await provider.visibility?.(client, signal)) === 'partial'
}

/** Named in an event at most. */
const groupsAtMost = 50
const sampleSize = 10

/**
 * One event and one item for everything that went out of sight at once. A group whose devices were told about before its
 * own turn came is not told again.
 */
export function tellSight(
  { organizations, devices }: OutOfSight,
  resource: ResourceName,
  items: RunItem[]
): NewEvent[] {
  const untold = organizations.some(({ devices }) => devices === 0)
  if (devices.length === 0 && !untold) return []
  const groups = [
    ...new Set([...organizations.map(({ name }) => name), ...devices.flatMap(({ group }) => group ?? [])])
  ]
  const named = groups.slice(0, sampleSize).join(', ')
  items.push({
    resource,
    externalId: null,
    outcome: 'ambiguous',
    reason: `${count(organizations.length, 'group')} and ${count(devices.length, 'device')} are out of the account's sight: ${named}${groups.length > sampleSize ? ', …' : ''}. They keep their clients and assets. If the account lost a right by mistake, give it back; what was really deleted can be told when the account sees everything`
  })
  return [
    {
      type: 'RMM_OUT_OF_SIGHT',
      payload: {
        organizations: organizations.length,
        devices: devices.length,
        groups: groups.slice(0, groupsAtMost),
        sample: devices
          .slice(0, sampleSize)
          .map(({ deviceId, externalId, displayName, clientRef }) => ({ deviceId, externalId, displayName, clientRef }))
      }
    }
  ]
}

function count(n: number, what: string): string {
  return `${n} ${what}${n === 1 ? '' : 's'}`
}
