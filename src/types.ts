import type { EntityManager } from '@mikro-orm/core'
import type { Actor, RmmEvent, RmmEventType } from './events.ts'
import type { AlertSeverity, ResourceName, RunKind, RunStatus, RunTrigger, SyncMode } from './words.ts'

export { eventPayloads, eventTypes } from './events.ts'
export type { Actor, EventPayloads, NewEvent, RmmEvent, RmmEventType } from './events.ts'
export { resourceNames } from './words.ts'
export type { AlertSeverity, ResourceName, RunKind, RunStatus, RunTrigger, SyncMode } from './words.ts'

/**
 * The public vocabulary. Times in these shapes are ISO 8601 UTC strings, ids are opaque strings,
 * sizes are bytes. The shapes are those of the mounted routes, field for field.
 */

export interface Capabilities {
  connection: boolean
  scopeSync: boolean
  deviceSync: boolean
  patchSync: boolean
  alertSync: boolean
  alertResolve: boolean
  deviceGroups: boolean
  events: boolean
  remoteSessions: boolean
  remoteActions: boolean
}

export interface ProviderInfo {
  id: string
  name: string
  description: string
  capabilities: Capabilities
  configSchema: object
  secretSchema: object
}

export interface Schedule {
  enabled: boolean
  /** Minutes between two scheduled syncs, 15 to 1440. */
  everyMinutes: number
  /** Minutes between two full reads, at least `everyMinutes`; those in between are incremental. */
  fullEveryMinutes: number
}

/**
 * What happens to a device that the platform moved under another client: follow it, or keep the old client and
 * report.
 */
export type MovePolicy = 'follow' | 'hold'

export interface Connection {
  id: string
  provider: string
  name: string
  config: Record<string, unknown>
  status: 'connected' | 'error' | 'disconnected'
  statusReason: string | null
  account: string | null
  connectedAt: string | null
  lastSyncAt: string | null
  lastFullSyncAt: string | null
  lastScheduledSyncAt: string | null
  syncStatus: 'idle' | 'queued' | 'running' | 'completed' | 'failed'
  syncError: string | null
  schedule: Schedule
  movePolicy: MovePolicy
  counts: {
    organizations: number
    mappedOrganizations: number
    devices: number
    mappedDevices: number
    unmappedDevices: number
    onlineDevices: number
    activeAlerts: number
  }
}

export interface CreateConnection {
  provider: string
  name?: string
  config?: Record<string, unknown>
  secrets: Record<string, unknown>
  schedule?: Partial<Schedule>
  movePolicy?: MovePolicy
}

export interface UpdateConnection {
  name?: string
  config?: Record<string, unknown>
  secrets?: Record<string, unknown>
  schedule?: Partial<Schedule>
  movePolicy?: MovePolicy
}

/** The webhook address of a connection with its secret; the secret is shown this once. */
export interface WebhookSecret {
  url: string
  secret: string
}

/** A connection that was just made. */
export interface CreatedConnection {
  connection: Connection
  /** Null where the provider has no webhooks. `url` is null where no `publicUrl` is set: platforms cannot reach us. */
  webhook: { url: string | null; secret: string } | null
  /** What works but should be looked at, e.g. missing rights. */
  warnings: string[]
}

export interface ConnectionTest {
  ok: true
  account: string
  checkedAt: string
  warnings: string[]
}

export type MappingMode = 'inherit' | 'mapped' | 'excluded'

export interface Organization {
  id: string
  externalId: string
  name: string
  parentExternalId: string | null
  path: string
  depth: number
  deviceCount: number
  descendantDeviceCount: number
  /** `by`: a person, or we when the group was linked to the client; null while it inherits. */
  mapping: { mode: MappingMode; clientRef: string | null; by: 'operator' | 'device-group' | null }
  effectiveClientRef: string | null
  autoSync: boolean
  removedAt: string | null
}

export interface MappingChange {
  mode?: MappingMode
  clientRef?: string | null
  autoSync?: boolean
}

export interface MappingSuggestion {
  organizationId: string
  clientRef: string
  clientName: string
  /** 0 to 1; 1 is the same name after normalising. */
  score: number
  reason: string
}

export interface Client {
  id: string
  name: string
}

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
}

export interface DeviceVolume {
  name: string
  totalBytes: number | null
  freeBytes: number | null
  /** Used share of the volume, 0 to 1. */
  utilization: number | null
}

export interface Device {
  id: string
  connectionId: string
  provider: string
  externalId: string
  organizationExternalId: string | null
  clientRef: string | null
  assetRef: string | null
  assetType: 'workstation' | 'server'
  displayName: string
  hostname: string | null
  serialNumber: string | null
  manufacturer: string | null
  model: string | null
  osType: string | null
  osVersion: string | null
  online: boolean
  agentStatus: 'online' | 'offline'
  lastSeenAt: string | null
  lastRebootAt: string | null
  uptimeSeconds: number | null
  currentUser: string | null
  lanIp: string | null
  wanIp: string | null
  macAddresses: string[]
  cpuModel: string | null
  cpuCores: number | null
  ramBytes: number | null
  volumes: DeviceVolume[]
  antivirus: { provider: string | null; status: string | null }
  pendingOsPatches: number | null
  location: string | null
  tags: string[]
  maintenanceMode: boolean
  removedAt: string | null
  observedAt: string
  updatedAt: string
}

export interface DeviceDetail extends Device {
  details: Record<string, unknown>
}

export const deviceSorts = ['name', 'lastSeenAt', 'updatedAt'] as const
export type DeviceSort = (typeof deviceSorts)[number]

export interface DeviceFilter {
  connectionId?: string
  clientRef?: string
  online?: boolean
  mapped?: boolean
  /** `true`: only those the platform no longer has; `'any'`: those as well. Default: living devices only. */
  removed?: boolean | 'any'
  provider?: string
  /** The platform's own id, exactly. */
  externalId?: string
  assetRef?: string
  serialNumber?: string
  organizationExternalId?: string
  /** With `organizationExternalId`: devices of the organizations below it too. Default false. */
  descendants?: boolean
  /** Only those whose record changed at or after this time (ISO 8601). */
  updatedSince?: string
  /** `name` (default) from A to Z; the times newest first, what has none last. */
  sort?: DeviceSort
  /** Matches names, serial number, addresses and user, case-insensitively. */
  q?: string
}

export interface Alert {
  id: string
  connectionId: string
  externalId: string
  deviceId: string | null
  deviceExternalId: string | null
  /** The device's name; null where it is not in the inventory. */
  deviceName?: string | null
  name: string
  description: string | null
  severity: AlertSeverity
  providerSeverity: string | null
  status: 'active' | 'resolved'
  startedAt: string
  resolvedAt: string | null
}

export interface AlertFilter {
  connectionId?: string
  deviceId?: string
  status?: 'active' | 'resolved'
  severity?: AlertSeverity
}

export interface PageQuery {
  /** 1 to 200. Default 50. */
  limit?: number
  cursor?: string
}

/** For lists that can be counted. */
export interface CountedQuery extends PageQuery {
  /** Also tell how many there are in all, which costs a statement of its own. Default false. */
  total?: boolean
}

export interface List<T> {
  items: T[]
  nextCursor: string | null
  /** Of all pages together; only where it was asked for. */
  total?: number
}

export interface DeviceSyncResult {
  outcome: 'created' | 'updated' | 'unchanged' | 'unmapped' | 'removed'
  device: DeviceDetail | null
}

export interface DeviceGroupResult {
  clientRef: string
  clientName: string
  /** The group's name, as it is or would be after this; null where there is none. */
  groupName: string | null
  /** The group's name where there is one, else the client's. */
  name: string
  groupId: string | null
  outcome: 'created' | 'linked' | 'existing' | 'renamed' | 'conflict' | 'failed'
  error?: string
}

export interface DeviceGroupSync {
  success: boolean
  message: string
  totalClients: number
  created: number
  linked: number
  existing: number
  renamed: number
  conflicts: number
  failed: number
  results: DeviceGroupResult[]
}

export interface DeviceGroupEnsured {
  success: boolean
  clientRef: string
  name: string
  groupId: string
  created: boolean
  linked: boolean
  message: string
}

export interface DeviceGroupStatus {
  success: boolean
  /** `stored`: the platform did not answer, and this is what is known from before. */
  source: 'platform' | 'stored'
  /** Why the platform was not asked or did not answer. */
  message: string | null
  totalClients: number
  needsSync: number
  clients: Array<{
    clientRef: string
    clientName: string
    /** The client's name. */
    name: string
    hasGroup: boolean
    groupId: string | null
    groupName: string | null
    groupExists: boolean
    setupComplete: boolean
    linkedDevices: number
    needsSync: boolean
    drift: string | null
  }>
  /** Groups that are held by clients which the directory no longer knows. */
  orphans: Array<{ groupId: string; groupName: string; clientRef: string; reason: string }>
}

/** What waits, is late or failed; `ok` where none of it needs a person. */
export interface Health {
  ok: boolean
  schedules: {
    /** Connections whose sync was due a while ago and was not started. */
    late: number
    /** How long the one that waits longest is overdue; null where none is late. */
    oldestMs: number | null
  }
  runs: {
    /** Queued or interrupted: somebody will take them up. */
    waiting: number
    /** Nobody works on them although somebody should. */
    stuck: number
  }
  deliveries: { pending: number; dead: number; oldestMs: number | null }
  sinks: SinkHealth[]
  /** Connections in status `error`. */
  connections: { error: number }
}

export interface SinkHealth {
  name: string
  /** Events it has not taken. */
  pending: number
  /** Age of the oldest of them. */
  oldestMs: number | null
  /** Attempts that failed since the last that took something. */
  failures: number
}

/** The same over all tenants, and what this process does by itself. */
export interface ProcessHealth extends Health {
  /** Empty where the process has no worker. */
  duties: DutyHealth[]
}

/** How a duty of this process is doing. */
export interface DutyHealth {
  name: string
  /** Null before the first turn. */
  lastStartAt: string | null
  lastEndAt: string | null
  /** A turn is under way. */
  running: boolean
  /** By how much the next turn, or the end of the one under way, is overdue. */
  lateMs: number
  /** Turns that failed since the last that did not. */
  failures: number
  lastError: string | null
}

export interface WebhookInfo {
  url: string
  signatureHeader: string | null
  secretHeader: string | null
  events: string[]
  payloadTemplate: Record<string, string> | null
  /** What of the template the operator writes: its field, and what may be chosen (null: any text). */
  templateInputs: Array<{ field: string; label: string; choices: string[] | null }>
  instructions: string[]
  hasSecret: boolean
  lastDeliveryAt: string | null
}

export interface Delivery {
  id: string
  connectionId: string
  eventId: string
  eventType: string
  status: 'pending' | 'done' | 'ignored' | 'dead'
  attempts: number
  lastError: string | null
  receivedAt: string
  processedAt: string | null
}

/**
 * What a sink took of a batch that it did not take whole. Of one connection it may only be the first ones, or their
 * order is lost.
 */
export interface Taken {
  /** Ids of the events that need not come again. */
  ids: string[]
  /** Why the others were not taken; without it they only have not had their turn yet. */
  error?: unknown
}

/** Receives the outbox. Called with events in order per connection, at least once; throwing means "try these again". */
export interface EventSink {
  /** Identifies the sink across restarts and processes; unique within one registration. */
  name: string
  /**
   * Resolves when all were taken, or with what was. `signal` aborts when the time is up or the host closes: then
   * resolve with what was taken so far.
   */
  publish(events: RmmEvent[], signal: AbortSignal): Promise<void | Taken>
  close?(): Promise<void>
}

/** One committed step handed to the host, inside our transaction. */
export interface ChangeBatch {
  tenantId: string
  connectionId: string
  provider: string
  devices: Array<{ change: 'created' | 'updated' | 'removed' | 'moved'; device: Device }>
  alerts: Array<{ change: 'triggered' | 'updated' | 'resolved'; alert: Alert }>
}

export type OnChanges = (
  batch: ChangeBatch,
  em: EntityManager
) => Promise<void | { assetRefs?: Record<string, string> }> | void | { assetRefs?: Record<string, string> }

/** Seals secrets. `aad` binds the sealed text to `tenant:connection`; opening with another `aad` must fail. */
export interface SecretBox {
  seal(plain: string, aad: string): string | Promise<string>
  open(sealed: string, aad: string): string | Promise<string>
}

/** Whose a device group is that was made by a predecessor; null where it is nobody's. */
export type AdoptGroup = (
  group: { id: string; name: string; description: string | null },
  tenantId: string
) => string | null | Promise<string | null>

/** The host's clients, for mapping, suggestions and device groups. */
export interface Directory {
  clients(tenantId: string, query?: { q?: string }): Client[] | Promise<Client[]>
  client(tenantId: string, id: string): Client | null | Promise<Client | null>
}

/** Every question `authorize` is asked. */
export const actions = [
  'provider:read',
  'connection:read',
  'connection:write',
  'mapping:read',
  'mapping:write',
  'sync:read',
  'sync:run',
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
