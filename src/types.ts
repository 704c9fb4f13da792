/**
 * The public vocabulary. Times in these shapes are ISO 8601 UTC strings, ids are opaque strings,
 * sizes are bytes. The shapes are those of the mounted routes, field for field.
 */

export { eventPayloads, eventTypes } from './events.ts'
export type { Actor, EventPayloads, NewEvent, RmmEvent, RmmEventType } from './events.ts'
export { resourceNames } from './words.ts'
export type {
  AlertSeverity,
  ChangeCause,
  ChangeEntity,
  ChangeKind,
  ChangeState,
  ResourceName,
  RunKind,
  RunStatus,
  RunTrigger,
  SyncMode
} from './words.ts'
export type * from './types/lists.ts'
export type * from './types/connections.ts'
export type * from './types/organizations.ts'
export type * from './types/runs.ts'
export type * from './types/changes.ts'
export * from './types/devices.ts'
export type * from './types/alerts.ts'
export type * from './types/device-groups.ts'
export type * from './types/webhooks.ts'
export type * from './types/health.ts'
export type * from './types/host.ts'
export * from './types/actions.ts'
