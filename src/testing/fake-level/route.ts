import type { Collection } from './collection.ts'
import type { FakeRequest } from './faults.ts'
import type { Mutations } from './mutations.ts'
import type { State } from './world.ts'

export interface Answer {
  status: number
  /** Undefined = no body. */
  body?: unknown
}

export interface Call extends FakeRequest {
  /** Decoded path parameter, '' where the route has none. */
  id: string
  body: Record<string, unknown>
}

export interface RouteContext extends Mutations {
  state: State
  /** Answers with a page of `records` shown by `view`. Cursors are checked here. */
  list<T extends { id: string }>(
    call: Call,
    records: Collection<T> | T[],
    view: (record: T) => unknown,
    where?: (record: T) => boolean
  ): Answer
}

export interface Route {
  method: string
  pattern: RegExp
  /** Needs a key that may write. */
  write: boolean
  handle(call: Call, context: RouteContext): Answer
}

/** `/v2/devices/{id}` → a route; `{…}` is one path segment. */
export function route(method: string, path: string, handle: Route['handle']): Route {
  return { method, pattern: new RegExp(`^${path.replace(/\{\w+\}/, '([^/]+)')}$`), write: method !== 'GET', handle }
}

export const ok = (body: unknown): Answer => ({ status: 200, body })
export const created = (body: unknown): Answer => ({ status: 201, body })
export const failure = (status: number, error: string): Answer => ({ status, body: { error } })
export const notFound = (): Answer => failure(404, 'Not found')
