import type { Actor } from '../events.ts'
import type { ChangeEntity, ChangeKind, ResourceName, RunKind, RunStatus, RunTrigger, SyncMode } from '../words.ts'
import type { DeviceDetail } from './devices.ts'

/** Syncs: what is asked for, how far they are, what came of them. */

export interface RunFilter {
  connectionId?: string
  status?: RunStatus
  kind?: RunKind
}

export interface RunTotals {
  created: number
  updated: number
  unchanged: number
  removed: number
  unmapped: number
  failed: number
  /** Known devices that were given to the host again; where any were. */
  handedOver?: number
}

/** How far one resource of a run is. */
export interface ResourceProgress {
  resource: ResourceName
  /** Pages committed. */
  pages: number
  /** Records on them. */
  processed: number
  /** The list was read to its end. */
  complete: boolean
  /** `failed` may be read again while the run has not ended. `skipped`: the account lacks it, or the run ended before. */
  status: 'waiting' | 'reading' | 'complete' | 'failed' | 'skipped'
  /** Why it failed or was skipped. */
  error: { code: string; message: string } | null
}

export interface Run {
  id: string
  connectionId: string
  kind: RunKind
  /** Who asked for it; null where nobody did, or the host does not name people. */
  actor: Actor | null
  trigger: RunTrigger
  resources: ResourceName[]
  mode: SyncMode
  transport: string
  status: RunStatus
  queuedAt: string
  startedAt: string | null
  finishedAt: string | null
  /** In the order of reading. */
  progress: ResourceProgress[]
  totals: RunTotals
  /** One sentence that tells "nothing changed", "nothing mapped" and "nothing came" apart. */
  summary: string | null
  /** Why it failed; of a `partial` run, what failed and why. */
  error: { code: string; message: string } | null
  /** When the earlier run began whose place this one went on from; null where it began at the beginning. */
  continuedFrom: string | null
  /** What a plan found; null of every other run. */
  plan: PlanResult | null
}

/** What a plan found; its changes are listed one by one at `GET /runs/:runId/changes`. */
export interface PlanResult {
  counts: Array<{ entity: ChangeEntity; kind: ChangeKind; clientRef: string | null; count: number }>
  /** Brakes that would trip, and what would be left undecided: to be read first. */
  warnings: Array<{ code: string; message: string }>
  /** Until when it can be applied. */
  expiresAt: string
}

export interface RunItem {
  resource: string
  externalId: string | null
  outcome: 'failed' | 'held' | 'ambiguous' | 'skipped'
  reason: string
}

export interface SyncRequest {
  resources?: ResourceName[]
  mode?: SyncMode
  /** Confirms a mass removal that the brake refused. */
  force?: boolean
  /** Reads and compares, and writes nothing but what would change. @default false */
  plan?: boolean
}

export interface HandOverRequest {
  /** Only devices of this client. */
  clientRef?: string
  /** Only these devices, by our ids. */
  deviceIds?: string[]
  /** Only devices that the host named no asset for. @default false */
  onlyWithoutAsset?: boolean
}

export interface DeviceSyncResult {
  outcome: 'created' | 'updated' | 'unchanged' | 'unmapped' | 'removed'
  device: DeviceDetail | null
}
