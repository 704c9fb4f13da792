import { HostError } from '../../errors.ts'
import type { DeviceGroup } from '../../providers/define.ts'
import type { Core } from '../core.ts'
import { type GroupLink, markOf } from '../model/index.ts'

/**
 * Asks the host whose the groups of a predecessor are: those without a mark that no client is linked to.
 *
 * @throws `RMM_ERR_HOST` where the host's function throws, or answers with something that is no client
 */
export async function adoptedGroups(
  { adoptGroup }: Core,
  tenantId: string,
  groups: readonly DeviceGroup[],
  links: readonly GroupLink[]
): Promise<Map<string, string>> {
  const adopted = new Map<string, string>()
  if (adoptGroup === undefined) return adopted
  const linked = new Set(links.map(({ externalId }) => externalId))
  for (const group of groups) {
    if (linked.has(group.id) || markOf(group) !== null) continue
    const { id, name, description } = group
    const clientRef: unknown = await ask(() => adoptGroup({ id, name, description }, tenantId))
    if (clientRef === null || clientRef === undefined) continue
    if (typeof clientRef !== 'string' || clientRef === '')
      throw new HostError(
        `the host's deviceGroups.adopt must return the id of a client, or null; not ${typeof clientRef}`
      )
    adopted.set(id, clientRef)
  }
  return adopted
}

async function ask(adopt: () => unknown): Promise<unknown> {
  try {
    return await adopt()
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error)
    throw Object.assign(new HostError(`the host's deviceGroups.adopt failed: ${reason}`), { cause: error })
  }
}
