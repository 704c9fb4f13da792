import type { Actor } from '../events.ts'
import type { ChangeCause, ChangeEntity, ChangeKind, ChangeState } from '../words.ts'

/** The change log. */

/** One field before and after, named as in `Device` (or the organization, alert or connection it is of). */
export interface FieldChange {
  field: string
  from: unknown
  to: unknown
}

/** One thing that happened, or is planned or held, to one record. */
export interface Change {
  id: string
  /** The run that did it; of a mapping change the id under which it can be listed and undone; null for single reads. */
  runId: string | null
  connectionId: string
  cause: ChangeCause
  entity: ChangeEntity
  /** Null while it is only planned to be made. */
  entityId: string | null
  externalId: string | null
  displayName: string | null
  /** The client it belongs to by this change. */
  clientRef: string | null
  kind: ChangeKind
  /** Fields that differ; empty for what came or went whole. Heartbeats are no change. */
  changed: FieldChange[]
  state: ChangeState
  /** Why it is held, stale or was skipped. */
  reason: string | null
  /** The person who did it, where one did. */
  actor: Actor | null
  at: string
}

export interface ChangeFilter {
  kind?: ChangeKind
  state?: ChangeState
  clientRef?: string
  entity?: ChangeEntity
}
