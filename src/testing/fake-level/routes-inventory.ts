import { includes } from './world.ts'
import {
  type Answer,
  type Call,
  created,
  failure,
  notFound,
  ok,
  route,
  type Route,
  type RouteContext
} from './route.ts'
import type { LevelAlert, LevelDevice, LevelGroup, LevelUpdate } from './types.ts'

/** Groups, devices, alerts and updates: what a sync reads. */
export const inventoryRoutes: Route[] = [
  route('GET', '/v2/groups', listGroups),
  route('POST', '/v2/groups', ({ body }, { state, groups }) => {
    if (typeof body['name'] !== 'string' || body['name'] === '') return failure(422, "Name can't be blank")
    const parent = parentOf(body, state.groups)
    if (parent === undefined) return failure(422, 'Parent must exist')
    return created(state.groupView(groups.set({ name: body['name'], parent_id: parent }), true))
  }),
  route('GET', '/v2/groups/{id}', ({ id }, { state }) => {
    const group = state.groups.get(id)
    return group ? ok(state.groupView(group, true)) : notFound()
  }),
  route('PATCH', '/v2/groups/{id}', patchGroup),
  route('DELETE', '/v2/groups/{id}', deleteGroup),
  route('POST', '/v2/groups/{id}/devices', ({ id, body }, { state, devices }) => {
    const group = state.groups.get(id)
    if (!group) return notFound()
    const ids = deviceIds(body)
    if (!ids) return failure(422, 'device_ids must be a list')
    for (const device of ids) if (state.devices.has(device)) devices.move(device, id)
    return ok({ group: state.groupView(group) })
  }),
  route('DELETE', '/v2/groups/{id}/devices', ({ id, body }, { state, devices }) => {
    if (!state.groups.has(id)) return notFound()
    for (const device of deviceIds(body) ?? [])
      if (state.devices.get(device)?.group_id === id) devices.move(device, null)
    return { status: 200 }
  }),

  route('GET', '/v2/devices', listDevices),
  route('GET', '/v2/devices/{id}', (call, { state }) => {
    const device = state.devices.get(call.id)
    return device ? ok(state.deviceView(device, included(call))) : notFound()
  }),
  route('PATCH', '/v2/devices/{id}', patchDevice),
  route('DELETE', '/v2/devices/{id}', ({ id }, { devices }) => (devices.delete(id) ? { status: 200 } : notFound())),

  route('GET', '/v2/alerts', (call, { state, list }) => {
    const status = call.query.get('status')
    const device = call.query.get('device_id')
    return list<LevelAlert>(
      call,
      state.alerts,
      alert => alert,
      alert =>
        (status === null || alert.is_resolved === (status === 'resolved')) &&
        (device === null || alert.device_id === device)
    )
  }),
  route('GET', '/v2/alerts/{id}', ({ id }, { state }) => {
    const alert = state.alerts.get(id)
    return alert ? ok(alert) : notFound()
  }),
  route('POST', '/v2/alerts/{id}/resolve', ({ id }, { state, alerts }) =>
    state.alerts.has(id) ? ok(alerts.resolve(id)) : notFound()
  ),

  route('GET', '/v2/updates', (call, { state, list }) => {
    const status = call.query.get('status')
    const device = call.query.get('device_id')
    const category = call.query.get('category')
    return list<LevelUpdate>(
      call,
      state.updates,
      update => update,
      update =>
        (status === null || update.is_available === (status === 'available')) &&
        (device === null || update.device_id === device) &&
        (category === null || update.category === category)
    )
  }),
  route('GET', '/v2/updates/{id}', ({ id }, { state }) => {
    const update = state.updates.get(id)
    return update ? ok(update) : notFound()
  })
]

function listGroups(call: Call, { state, list }: RouteContext): Answer {
  const parent = call.query.get('parent_id')
  // The published text promises the roots for `null`; a live integration got this.
  if (parent === 'null') return notFound()
  return list<LevelGroup>(
    call,
    state.groups,
    group => state.groupView(group),
    parent === null ? undefined : group => group.parent_id === parent
  )
}

function patchGroup({ id, body }: Call, { state, groups }: RouteContext): Answer {
  const group = state.groups.get(id)
  if (!group) return notFound()
  // The published text: "if not provided, or null, moved to root". Here it does what it says, dangerous as it is.
  const parent = parentOf(body, state.groups)
  if (parent === undefined) return failure(422, 'Parent must exist')
  const fields = body['custom_fields'] as LevelGroup['custom_fields']
  return ok(
    state.groupView(
      groups.patch(id, {
        parent_id: parent,
        ...(typeof body['name'] === 'string' ? { name: body['name'] } : {}),
        ...(fields ? { custom_fields: { ...group.custom_fields, ...fields } } : {})
      }),
      true
    )
  )
}

/** Undocumented on the platform: here members are ungrouped and children become roots. */
function deleteGroup({ id }: Call, { state, groups, devices }: RouteContext): Answer {
  if (!groups.delete(id)) return notFound()
  for (const device of [...state.devices.records()]) if (device.group_id === id) devices.move(device.id, null)
  for (const group of [...state.groups.records()]) if (group.parent_id === id) groups.move(group.id, null)
  return { status: 200 }
}

function listDevices(call: Call, { state, list }: RouteContext): Answer {
  const include = included(call)
  const wants: Array<(device: LevelDevice) => boolean> = []
  const filter = (name: string, make: (value: string) => (device: LevelDevice) => boolean) => {
    const value = call.query.get(name)
    if (value !== null) wants.push(make(value))
  }
  filter('group_id', value => device => (device.group_id ?? 'null') === value)
  filter('ancestor_group_id', value => {
    const groups = state.subtree(value)
    return device => device.group_id != null && groups.has(device.group_id)
  })
  filter('tag_id', value => {
    const tag = state.tags.get(value)?.name
    return device => tag !== undefined && Array.isArray(device.tags) && device.tags.includes(tag)
  })
  filter('hostname', value => device => device.hostname === value)
  filter('serial_number', value => device => device['serial_number'] === value)
  return list<LevelDevice>(
    call,
    state.devices,
    device => state.deviceView(device, include),
    wants.length === 0 ? undefined : device => wants.every(want => want(device))
  )
}

/** Whether `name` lands in `nickname` or in `hostname` nobody tells; a nickname is what the screen shows. */
function patchDevice({ id, body }: Call, { state, devices }: RouteContext): Answer {
  if (!state.devices.has(id)) return notFound()
  const group = body['group_id'] as string | null | undefined
  if (group != null && !state.groups.has(group)) return failure(422, 'Group must exist')
  const device = devices.patch(id, {
    ...('name' in body ? { nickname: body['name'] as string } : {}),
    ...('notes' in body ? { notes: body['notes'] } : {}),
    ...(group === undefined ? {} : { group_id: group })
  })
  return ok(state.deviceView(device, new Set()))
}

function included(call: Call): Set<string> {
  return new Set(Object.entries(includes).flatMap(([flag, keys]) => (call.query.get(flag) === 'true' ? keys : [])))
}

/** Undefined = it names a group that is not there. */
function parentOf(body: Record<string, unknown>, groups: { has(id: string): boolean }): string | null | undefined {
  const parent = body['parent_id'] ?? null
  return parent === null ? null : typeof parent === 'string' && groups.has(parent) ? parent : undefined
}

export function deviceIds(body: Record<string, unknown>): string[] | undefined {
  const ids = body['device_ids']
  return Array.isArray(ids) && ids.every(id => typeof id === 'string') ? ids : undefined
}
