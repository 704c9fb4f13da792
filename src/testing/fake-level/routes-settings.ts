import { deviceIds } from './routes-inventory.ts'
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
import type { LevelAutomation, LevelCustomField, LevelCustomFieldValue, LevelTag } from './types.ts'

/** Tags, custom fields and automations. */
export const settingsRoutes: Route[] = [
  route('GET', '/v2/tags', (call, { state, list }) => {
    const device = call.query.get('device_id')
    const worn = device === null ? undefined : state.devices.get(device)?.tags
    return list<LevelTag>(
      call,
      state.tags,
      tag => state.tagView(tag),
      device === null ? undefined : tag => Array.isArray(worn) && worn.includes(tag.name)
    )
  }),
  route('POST', '/v2/tags', ({ body }, { state }) => {
    if (!named(body)) return failure(422, "Name can't be blank")
    const tag = { id: state.newId('Tag'), name: body.name }
    state.tags.set(tag)
    return created(state.tagView(tag))
  }),
  route('GET', '/v2/tags/{id}', ({ id }, { state }) => {
    const tag = state.tags.get(id)
    return tag ? ok(state.tagView(tag)) : notFound()
  }),
  route('PATCH', '/v2/tags/{id}', ({ id, body }, context) => {
    const tag = context.state.tags.get(id)
    if (!tag) return notFound()
    const renamed = { ...tag, ...(named(body) ? { name: body.name } : {}) }
    retag(context, null, device => device.map(name => (name === tag.name ? renamed.name : name)))
    context.state.tags.set(renamed)
    return ok(context.state.tagView(renamed))
  }),
  route('DELETE', '/v2/tags/{id}', ({ id }, context) => {
    const tag = context.state.tags.get(id)
    if (!tag) return notFound()
    retag(context, null, names => names.filter(name => name !== tag.name))
    context.state.tags.delete(id)
    return { status: 200 }
  }),
  route('POST', '/v2/tags/{id}/devices', ({ id, body }, context) => {
    const tag = context.state.tags.get(id)
    if (!tag) return notFound()
    retag(context, deviceIds(body) ?? [], names => [...new Set([...names, tag.name])])
    return ok(context.state.tagView(tag))
  }),
  route('DELETE', '/v2/tags/{id}/devices', ({ id, body }, context) => {
    const tag = context.state.tags.get(id)
    if (!tag) return notFound()
    retag(context, deviceIds(body) ?? [], names => names.filter(name => name !== tag.name))
    return { status: 200 }
  }),

  route('GET', '/v2/custom_fields', (call, { state, list }) =>
    list<LevelCustomField>(call, state.customFields, field => field)
  ),
  route('POST', '/v2/custom_fields', ({ body }, { state }) => {
    if (!named(body)) return failure(422, "Name can't be blank")
    const field = {
      id: state.newId('CustomField'),
      name: body.name,
      reference: `cf_${body.name.toLowerCase().replace(/\W+/g, '_')}`,
      admin_only: body['admin_only'] === true
    }
    state.customFields.set(field)
    return created(field)
  }),
  route('GET', '/v2/custom_fields/{id}', ({ id }, { state }) => {
    const field = state.customFields.get(id)
    return field ? ok(field) : notFound()
  }),
  route('PATCH', '/v2/custom_fields/{id}', ({ id, body }, { state }) => {
    const field = state.customFields.get(id)
    if (!field) return notFound()
    const changed = {
      ...field,
      ...(named(body) ? { name: body.name } : {}),
      ...('admin_only' in body ? { admin_only: body['admin_only'] === true } : {})
    }
    state.customFields.set(changed)
    return ok(changed)
  }),
  route('DELETE', '/v2/custom_fields/{id}', ({ id }, { state }) =>
    state.customFields.delete(id) ? { status: 200 } : notFound()
  ),

  route('GET', '/v2/custom_field_values', listValues),
  route('PATCH', '/v2/custom_field_values', patchValue),
  route('DELETE', '/v2/custom_field_values', ({ body }, { state }) => {
    const index = state.values.findIndex(
      value =>
        value.custom_field_id === body['custom_field_id'] && value.assigned_to_id === (body['assigned_to_id'] ?? null)
    )
    if (index < 0) return notFound()
    state.values.splice(index, 1)
    return { status: 200 }
  }),

  route('GET', '/v2/automations', (call, { state, list }) =>
    list<LevelAutomation>(call, state.automations, automation => state.automationView(automation))
  ),
  route('GET', '/v2/automations/webhooks', (_call, { state }) =>
    ok(
      [...state.automations.records()].map(automation => ({
        url: `https://api.level.io/v2/automations/webhooks/${tokenOf(automation)}`,
        automation_id: automation.id,
        automation_name: automation.name,
        requires_authorization_header: true,
        parameters: []
      }))
    )
  ),
  route('POST', '/v2/automations/webhooks/{token}', trigger),
  route('GET', '/v2/automation-runs/{id}', ({ id, query }, { state }) => {
    const run = state.runs.get(id)
    if (!run) return notFound()
    const { steps, ...rest } = run
    return ok(query.get('include_steps') === 'true' ? { ...rest, steps } : rest)
  })
]

const named = (body: Record<string, unknown>): body is Record<string, unknown> & { name: string } =>
  typeof body['name'] === 'string' && body['name'] !== ''

/** Changes the tag names of these devices, or of all with null. */
function retag({ state, devices }: RouteContext, ids: string[] | null, change: (names: string[]) => string[]): void {
  for (const id of ids ?? [...state.devices.ids()]) {
    const names = state.devices.get(id)?.tags
    if (!Array.isArray(names)) continue
    const changed = change(names)
    if (changed.join('\0') !== names.join('\0')) devices.patch(id, { tags: changed })
  }
}

/**
 * As observed: a device shows its effective values, inherited ones included; a group and no one show account-wide
 * values only; `custom_field_id` is ignored; rows have no id, so a cursor is a field id here for want of anything
 * better.
 */
function listValues(call: Call, { state, list }: RouteContext): Answer {
  const device = state.devices.get(call.query.get('assigned_to_id') ?? '')
  const rows = new Map<string, LevelCustomFieldValue>()
  const add = (value: LevelCustomFieldValue) => {
    if (!rows.has(value.custom_field_id)) rows.set(value.custom_field_id, value)
  }
  if (device) {
    for (const value of state.values) if (value.assigned_to_id === device.id) add(value)
    const seen = new Set<string>()
    for (
      let group = state.groups.get(device.group_id ?? '');
      group && !seen.has(group.id);
      group = state.groups.get(group.parent_id ?? '')
    ) {
      seen.add(group.id)
      for (const [field, value] of Object.entries(group.custom_fields ?? {}))
        add({ custom_field_id: field, assigned_to_id: group.id, value })
    }
  }
  for (const value of state.values) if (value.assigned_to_id === null) add(value)
  const view = (value: LevelCustomFieldValue) => ({
    ...value,
    custom_field_name: state.customFields.get(value.custom_field_id)?.name ?? ''
  })
  return list<LevelCustomFieldValue & { id: string }>(
    call,
    [...rows.values()].map(value => ({ ...value, id: value.custom_field_id })),
    ({ id: _id, ...value }) => view(value)
  )
}

function patchValue({ body }: Call, { state }: RouteContext): Answer {
  const field = state.customFields.get(String(body['custom_field_id']))
  if (!field) return notFound()
  if (typeof body['value'] !== 'string') return failure(422, "Value can't be blank")
  const target = (body['assigned_to_id'] ?? null) as string | null
  const row = { custom_field_id: field.id, assigned_to_id: target, value: body['value'] }
  // As observed: for a group the answer is 200 and nothing changes.
  if (target === null || state.devices.has(target)) {
    const index = state.values.findIndex(value => value.custom_field_id === field.id && value.assigned_to_id === target)
    if (index < 0) state.values.push(row)
    else state.values[index] = row
  } else if (!state.groups.has(target)) return notFound()
  return ok({ ...row, custom_field_name: field.name })
}

const tokenOf = (automation: LevelAutomation) => `token-${automation.id.replace(/\W/g, '')}`

function trigger({ id: token, body }: Call, { state }: RouteContext): Answer {
  const automation = [...state.automations.records()].find(candidate => tokenOf(candidate) === token)
  if (!automation) return notFound()
  const time = state.now().toISOString()
  const runs = (deviceIds(body) ?? [])
    .filter(id => state.devices.has(id))
    .map(device => {
      const id = state.newId('AutomationRun')
      state.runs.set(id, {
        id,
        automation_id: automation.id,
        automation_name: automation.name,
        device_id: device,
        status: 'success',
        started_at: time,
        ended_at: time,
        steps: [{ name: 'Run script', status: 'success', output: 'done' }]
      })
      return { id, device_id: device }
    })
  return { status: 202, body: { runs } }
}
