import type { State } from './world.ts'
import type { LevelAlert, LevelDevice, LevelGroup, LevelUpdate } from './types.ts'

export interface Emit {
  /** Sends the change's webhook. Default: the option `emit` of `startFakeLevel`. */
  emit?: boolean
}

/** Tells the webhook sender about a change; `emit` overrides the default. */
export type Announce = (type: string, data: { id: string }, options?: Emit) => void

/** An `id` that is left out is made up; one that exists is replaced. */
export type Draft<T extends { id: string }> = Partial<T>

export interface Records<T extends { id: string }> {
  readonly size: number
  /** The stored record, undefined where there is none. */
  get(id: string): T | undefined
  /** Every id, in list order. */
  ids(): string[]
  set(record: Draft<T>, options?: Emit): T
  /** Throws `RangeError` for an unknown id. */
  patch(id: string, change: Partial<T>, options?: Emit): T
  /** False where there was nothing to delete. */
  delete(id: string, options?: Emit): boolean
}

export interface FakeDevices extends Records<LevelDevice> {
  /** Null takes the device out of its group. */
  move(id: string, groupId: string | null, options?: Emit): LevelDevice
}

export interface FakeGroups extends Records<LevelGroup> {
  move(id: string, parentId: string | null, options?: Emit): LevelGroup
  /** Makes the first child of the group its parent. Throws `RangeError` where it has no child. */
  cycle(id: string): void
  /** Points the group at a parent that does not exist. */
  orphan(id: string): void
}

export interface FakeAlerts extends Records<LevelAlert> {
  /** A new alert on the device; `alert` overrides any of its values. */
  trigger(deviceId: string, alert?: Partial<LevelAlert>, options?: Emit): LevelAlert
  /** Resolving twice changes nothing and announces nothing. */
  resolve(id: string, options?: Emit): LevelAlert
}

export interface FakeUpdates extends Records<LevelUpdate> {
  install(id: string): LevelUpdate
}

export interface Mutations {
  devices: FakeDevices
  groups: FakeGroups
  alerts: FakeAlerts
  updates: FakeUpdates
}

export function mutations(state: State, announce: Announce): Mutations {
  const devices = records<LevelDevice>(
    state,
    'devices',
    'Device',
    id => ({ id, hostname: `HD-NEW-${state.devices.size + 1}`, group_id: null, tags: [], online: true }),
    announce
  )
  const groups = records<LevelGroup>(
    state,
    'groups',
    'Group',
    id => ({ id, name: 'New group', parent_id: null }),
    announce
  )
  const alerts = records<LevelAlert>(state, 'alerts', 'Alert', id => ({
    id,
    device_id: '',
    name: 'Disk space low',
    description: 'C: has less than 10 percent free',
    payload: null,
    severity: 'warning',
    is_resolved: false,
    started_at: state.now().toISOString(),
    resolved_at: null
  }))
  const updates = records<LevelUpdate>(state, 'updates', 'Update', id => ({
    id,
    device_id: '',
    name: 'Cumulative Update (KB0000001)',
    category: 'Security Updates',
    kb_ids: ['KB0000001'],
    is_available: true,
    installed_on: null
  }))
  return {
    devices: { ...devices, move: (id, groupId, options) => devices.patch(id, { group_id: groupId }, options) },
    groups: {
      ...groups,
      move: (id, parentId, options) => groups.patch(id, { parent_id: parentId }, options),
      cycle(id) {
        const child = groups.ids().find(other => state.groups.get(other)?.parent_id === id)
        if (child === undefined) throw new RangeError(`group ${id} has no child to make a cycle with`)
        groups.patch(id, { parent_id: child })
      },
      orphan: id => {
        groups.patch(id, { parent_id: state.newId('Group') })
      }
    },
    alerts: {
      ...alerts,
      trigger(deviceId, alert, options) {
        const hostname = state.devices.get(deviceId)?.hostname
        const raised = alerts.set({
          device_id: deviceId,
          device_hostname: typeof hostname === 'string' ? hostname : null,
          ...alert
        })
        announce('alert_active', raised, options)
        return raised
      },
      resolve(id, options) {
        const alert = alerts.get(id)
        if (alert?.is_resolved) return alert
        const resolved = alerts.patch(id, { is_resolved: true, resolved_at: state.now().toISOString() })
        announce('alert_resolved', resolved, options)
        return resolved
      }
    },
    updates: {
      ...updates,
      install: id => updates.patch(id, { is_available: false, installed_on: state.now().toISOString() })
    }
  }
}

function records<T extends { id: string }>(
  state: State,
  list: 'devices' | 'groups' | 'alerts' | 'updates',
  type: string,
  fresh: (id: string) => T,
  announce?: Announce
): Records<T> {
  const store = state[list] as unknown as State['devices']
  const get = (id: string) => store.get(id) as unknown as T | undefined
  const name = type.toLowerCase()
  const put = (record: T, event: string, options: Emit | undefined) => {
    store.set(record)
    state.moved()
    announce?.(`${name}_${event}`, record, options)
    return record
  }
  return {
    get size() {
      return store.size
    },
    get,
    ids: () => [...store.ids()],
    set(draft, options) {
      const id = draft.id ?? state.newId(type)
      return put({ ...fresh(id), ...draft, id }, store.has(id) ? 'updated' : 'created', options)
    },
    patch(id, change, options) {
      const record = get(id)
      if (!record) throw new RangeError(`no ${name} ${id}`)
      return put({ ...record, ...change }, 'updated', options)
    },
    delete(id, options) {
      if (!store.delete(id)) return false
      state.moved()
      // Of a deleted record only the id can be trusted, so only the id is sent.
      announce?.(`${name}_deleted`, { id }, options)
      return true
    }
  }
}
