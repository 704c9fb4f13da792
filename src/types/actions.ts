import type { Actor, RmmEventType } from '../events.ts'

/** What is asked before something is done, and what is remembered of it. */

/** Every question `authorize` is asked. */
export const actions = [
  'provider:read',
  'connection:read',
  'connection:write',
  'mapping:read',
  'mapping:write',
  'sync:read',
  'sync:run',
  'sync:plan',
  'device:read',
  'device:remote',
  'alert:read',
  'alert:resolve',
  'device-group:read',
  'device-group:write',
  'activity:read',
  'health:read'
] as const
export type Action = (typeof actions)[number]

/** What is noted as done: the event it is told with, or a word of its own where it has none. */
export type ActivityType = RmmEventType | 'RMM_SYNC_CANCELLED' | 'RMM_DELIVERY_REPLAYED'

/** Something a person did, or the engine without being asked. */
export interface Activity {
  id: string
  at: string
  /** Null where no person did it, or the host does not tell. */
  actor: Actor | null
  type: ActivityType
  target: ActionTarget
  /** One sentence about what was done; names of what changed, never a secret. */
  summary: string
}

export interface ActivityFilter {
  /** Only what this actor (by id) did. */
  actor?: string
  /** Only what is of this `ActivityType`. */
  type?: string
  /** ISO 8601; only what was done then or later. */
  since?: string
}

/**
 * What the action is about. In the first question, before the body is read, as far as the URL tells; in the second,
 * completed by what is stored, with `body`.
 */
export interface ActionTarget {
  connectionId?: string
  organizationId?: string
  runId?: string
  deviceId?: string
  alertId?: string
  deliveryId?: string
  /** In the second question about a device: the client it belongs to; missing where it belongs to none. */
  clientRef?: string
  /** Only in the second question: what is asked for, checked and with its defaults; `{}` where the route takes none. */
  body?: unknown
}
