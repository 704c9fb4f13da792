import { randomUUID } from 'node:crypto'
import type { NinjaWorld } from './world.ts'

export interface NinjaCall {
  method: string
  path: string
  query: URLSearchParams
  body: unknown
}

export interface NinjaAnswer {
  status: number
  headers?: Record<string, string>
  body?: unknown
}

/** The one webhook that the API client has. */
export interface NinjaWebhook {
  url: string
  activities: Record<string, string[]>
  headers: Array<{ name: string; value: string }>
}

export interface NinjaState {
  world: NinjaWorld
  webhook: NinjaWebhook | null
  /** Whether the API client may set it. */
  administrator: boolean
  /** Most rows of a page, whatever the client asks for. */
  maxPage: number
  /** Cursors of reports by name: where each goes on. They expire when a test says so. */
  cursors: Map<string, number>
  /** Turns the bare answer of the activities into the object of newer servers. */
  wrapActivities: boolean
}

type Route = (call: NinjaCall, state: NinjaState, id: string) => NinjaAnswer

const ok = (body: unknown): NinjaAnswer => ({ status: 200, body })
const gone: NinjaAnswer = { status: 404, body: { errorMessage: 'not found' } }

const sizeOf = ({ query }: NinjaCall, { maxPage }: NinjaState) =>
  Math.min(Number(query.get('pageSize') ?? 1000), maxPage)

/** Sorted by id, behind `after`; nothing tells whether there is more. */
function behind<R extends { id: number }>(rows: Iterable<R>, call: NinjaCall, state: NinjaState): R[] {
  const after = Number(call.query.get('after') ?? 0)
  return [...rows]
    .filter(({ id }) => id > after)
    .sort((a, b) => a.id - b.id)
    .slice(0, sizeOf(call, state))
}

function locations({ world }: NinjaState) {
  return world.organizations.flatMap(({ id, locations }) =>
    locations.map(location => ({ ...location, organizationId: id }))
  )
}

function activities(call: NinjaCall, state: NinjaState): NinjaAnswer {
  const { query } = call
  const { world } = state
  const newer = Number(query.get('newerThan') ?? 0)
  const older = Number(query.get('olderThan') ?? Number.POSITIVE_INFINITY)
  const [type, status] = [query.get('type'), query.get('status')]
  const found = world.activities
    .filter(({ id }) => id > newer && id < older)
    .filter(each => type === null || each.activityType === type)
    .filter(each => status === null || each.statusCode === status)
    .reverse()
    .slice(0, Math.min(sizeOf(call, state), 200))
  return ok(state.wrapActivities ? { lastActivityId: world.activities.at(-1)?.id ?? 0, activities: found } : found)
}

function patches(call: NinjaCall, state: NinjaState): NinjaAnswer {
  const { query } = call
  const status = query.get('status')
  const rows = state.world.patches.filter(patch => status === null || patch.status === status)
  const name = query.get('cursor') ?? randomUUID()
  const offset = query.has('cursor') ? state.cursors.get(name) : 0
  if (offset === undefined) return { status: 400, body: { errorMessage: 'cursor expired' } }
  const results = rows.slice(offset, offset + sizeOf(call, state))
  state.cursors.set(name, offset + results.length)
  const expires = state.world.seconds() + 300
  return ok({ cursor: { name, offset: offset + results.length, count: results.length, expires }, results })
}

function setWebhook({ body }: NinjaCall, state: NinjaState): NinjaAnswer {
  if (!state.administrator) return { status: 403, body: { errorMessage: 'system administrators only' } }
  state.webhook = body as NinjaWebhook
  return { status: 204 }
}

function dropWebhook(_call: NinjaCall, state: NinjaState): NinjaAnswer {
  if (!state.administrator) return { status: 403, body: { errorMessage: 'system administrators only' } }
  state.webhook = null
  return { status: 204 }
}

const reset: Route = (_call, { world }, uid) => (world.reset(uid) ? { status: 204 } : gone)

const routes: ReadonlyArray<[string, RegExp, Route]> = [
  ['GET', /^\/v2\/organizations-detailed$/, (call, state) => ok(behind(state.world.organizations, call, state))],
  ['GET', /^\/v2\/locations$/, (call, state) => ok(behind(locations(state), call, state))],
  ['GET', /^\/v2\/devices-detailed$/, (call, state) => ok(behind(state.world.devices.values(), call, state))],
  [
    'GET',
    /^\/v2\/device\/(\d+)$/,
    (_call, { world }, id) => {
      const device = world.devices.get(Number(id))
      return device === undefined ? gone : ok(device)
    }
  ],
  [
    'GET',
    /^\/v2\/device\/(\d+)\/dashboard-url$/,
    (_call, { world }, id) =>
      world.devices.has(Number(id))
        ? ok({ url: `https://app.ninjarmm.com/#/deviceDashboard/${id}?t=one-time`, expires: world.seconds() + 600 })
        : gone
  ],
  ['GET', /^\/v2\/activities$/, activities],
  ['GET', /^\/v2\/queries\/os-patches$/, patches],
  ['GET', /^\/v2\/alerts$/, (_call, { world }) => ok([...world.alerts.values()])],
  ['POST', /^\/v2\/alert\/([^/]+)\/reset$/, reset],
  ['DELETE', /^\/v2\/alert\/([^/]+)$/, reset],
  ['PUT', /^\/v2\/webhook$/, setWebhook],
  ['DELETE', /^\/v2\/webhook$/, dropWebhook]
]

export function answer(call: NinjaCall, state: NinjaState): NinjaAnswer {
  for (const [method, pattern, route] of routes) {
    const match = method === call.method ? pattern.exec(call.path) : null
    if (match !== null) return route(call, state, decodeURIComponent(match[1] ?? ''))
  }
  return gone
}
