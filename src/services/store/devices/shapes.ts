import type { Actor, ChangeBatch, ChangeCause, Device, FieldChange, MovePolicy } from '../../../types.ts'
import type { Assigned, Assignment, NormalDevice } from '../../model/index.ts'

export interface MergeContext {
  tenantId: string
  connectionId: string
  provider: string
  movePolicy: MovePolicy
  /** Whether there is a host that is told. */
  hears: boolean
  by: Origin
}

/** What makes changes: told with each of them in the change log. */
export interface Origin {
  cause: ChangeCause
  /** The run, or what stands for one. */
  runId: string | null
  /** Default: who is behind the transaction. */
  actor: Actor | null
}

/** What the host is told of a device. */
export type HostedChange = ChangeBatch['devices'][number]
/** The same of what happened just now. */
export type DeviceChange = HostedChange & { change: Exclude<HostedChange['change'], 'handover'> }

/** As much of a change as its event tells. */
export interface DeviceEvent {
  change: DeviceChange['change']
  changed?: FieldChange[]
  device: Pick<Device, 'id' | 'externalId' | 'displayName' | 'clientRef' | 'assetRef'>
}

/** What is stored about a record, as far as the merge has to know. */
export interface ComparedRow {
  external_id: string
  id: string | null
  display_name: string | null
  hash: string | null
  observed_at: Date | string | null
  /** The stored inventory was read later. */
  newer_inventory: boolean | null
  same: boolean | null
  rebooted: boolean | null
  same_status: boolean | null
  same_revision: boolean
  stale: boolean | null
  removed: boolean
  out_of_sight: boolean
  /** The organization it is in by now, and whether that is a living one of ours. */
  organization: string | null
  organization_known: boolean
  client_ref: string | null
  assignment: Assignment | null
  asset_ref: string | null
  target_client: string | null
  target: Assignment
}

/** A heartbeat to be written. */
export interface Beat {
  id: string
  record: NormalDevice
}

/** A device to be written, over `row` where that has an id. */
export interface Write extends Beat {
  row: ComparedRow
  to: Assigned
}
