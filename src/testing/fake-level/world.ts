import { collection, type Collection, sourceOf } from './collection.ts'
import { levelId } from './types.ts'
import type {
  LevelAlert,
  LevelAutomation,
  LevelAutomationRun,
  LevelCustomField,
  LevelCustomFieldValue,
  LevelDevice,
  LevelGroup,
  LevelTag,
  LevelUpdate,
  LevelWorld
} from './types.ts'

/** The account behind the server: what is in it now, and how the platform shows it. */
export interface State {
  groups: Collection<LevelGroup>
  devices: Collection<LevelDevice>
  alerts: Collection<LevelAlert>
  updates: Collection<LevelUpdate>
  tags: Collection<LevelTag>
  customFields: Collection<LevelCustomField>
  values: LevelCustomFieldValue[]
  automations: Collection<LevelAutomation>
  runs: Map<string, LevelAutomationRun>
  now(): Date
  newId(type: string): string
  /** To be called after every change of a group or of where a device is. */
  moved(): void
  /** The group and everything below it. Survives cycles. */
  subtree(groupId: string): Set<string>
  groupView(group: LevelGroup, single?: boolean): Record<string, unknown>
  /** Keys of `include` that are off are absent. */
  deviceView(device: LevelDevice, include: ReadonlySet<string>): Record<string, unknown>
  tagView(tag: LevelTag): Record<string, unknown>
  automationView(automation: LevelAutomation): Record<string, unknown>
}

/** Query flag → the keys it adds. */
export const includes: Record<string, string[]> = {
  include_operating_system: ['operating_system'],
  include_cpus: ['cpus'],
  include_memory: ['memory'],
  include_disks: ['disks', 'disk_partitions'],
  include_disk_partitions: ['disk_partitions'],
  include_network_interfaces: ['network_interfaces'],
  include_motherboard: ['motherboard'],
  include_security: ['security']
}
const includable = new Set(Object.values(includes).flat())

export function createState(world: LevelWorld, now: () => Date): State {
  const groups = collection(sourceOf(world.groups ?? []))
  const devices = collection(sourceOf(world.devices ?? []))
  let tree: Tree | undefined
  let nextId = 900001
  const current = () => (tree ??= treeOf(groups, devices))
  const subtree = (groupId: string) => current().subtree(groupId)
  const nameOf = (groupId: string | null | undefined) => (groupId == null ? null : (groups.get(groupId)?.name ?? null))
  return {
    groups,
    devices,
    alerts: collection(sourceOf(world.alerts ?? [])),
    updates: collection(sourceOf(world.updates ?? [])),
    tags: collection(sourceOf(world.tags ?? [])),
    customFields: collection(sourceOf(world.customFields ?? [])),
    values: [...(world.customFieldValues ?? [])],
    automations: collection(sourceOf(world.automations ?? [])),
    runs: new Map(),
    now,
    newId: type => levelId(type, nextId++),
    moved: () => {
      tree = undefined
    },
    subtree,
    groupView(group, single = false) {
      const { id, parent_id, name, custom_fields } = group
      const { children, counts } = current()
      let descendants = 0
      for (const below of subtree(id)) descendants += counts.get(below) ?? 0
      return {
        id,
        parent_id,
        child_ids: children.get(id) ?? [],
        name,
        device_count: counts.get(id) ?? 0,
        descendent_device_count: descendants,
        ...(single && custom_fields ? { custom_fields } : {})
      }
    },
    deviceView(device, include) {
      const view: Record<string, unknown> = {}
      for (const [key, value] of Object.entries(device)) {
        if (!includable.has(key) || include.has(key)) view[key] = value
      }
      // Sparse devices and older copies of the API have no group_name.
      return 'manufacturer' in device ? { ...view, group_name: nameOf(device.group_id) } : view
    },
    tagView(tag) {
      let count = 0
      for (const device of devices.records()) if (Array.isArray(device.tags) && device.tags.includes(tag.name)) count++
      return { ...tag, device_count: count }
    },
    automationView: automation => ({ ...automation, group_name: nameOf(automation.group_id) })
  }
}

interface Tree {
  children: Map<string, string[]>
  /** Direct members. */
  counts: Map<string, number>
  subtree(groupId: string): Set<string>
}

function treeOf(groups: State['groups'], devices: State['devices']): Tree {
  const children = new Map<string, string[]>()
  for (const { id, parent_id } of groups.records()) {
    if (parent_id === null) continue
    const siblings = children.get(parent_id)
    if (siblings) siblings.push(id)
    else children.set(parent_id, [id])
  }
  const counts = new Map<string, number>()
  for (const id of devices.groupIds()) if (id !== null) counts.set(id, (counts.get(id) ?? 0) + 1)
  return {
    children,
    counts,
    subtree(groupId) {
      const seen = new Set([groupId])
      for (const id of seen) for (const child of children.get(id) ?? []) seen.add(child)
      return seen
    }
  }
}
