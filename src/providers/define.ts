import type { Static, TObject } from '@sinclair/typebox'
import type { AlertSeverity, ResourceName } from '../words.ts'

/** Opaque JSON that a resource resumes from. The engine stores it, only the provider reads it. */
export type Checkpoint = string | number | boolean | { [key: string]: Checkpoint | null } | Array<Checkpoint | null>

/** A record that could not be mapped to our model. It becomes one `run_item`; the rest of its page lands. */
export interface RejectedRecord {
  externalId: string | null
  reason: string
}

export interface Page<R> {
  /** Clock read *before* the request that produced this page; decides which of two writes is newer. */
  observedAt: Date
  records: R[]
  rejected?: RejectedRecord[] | undefined
  /** Only where deletes are explicit: ids the platform says are gone. */
  deletedIds?: string[] | undefined
  /** Committed together with the records; absent or null = start over next time. */
  checkpoint?: Checkpoint | null | undefined
}

/**
 * What `inventory.revision` is stored for each of these devices; those that are new, removed or without inventory are
 * missing.
 */
export type KnownRevisions = (externalIds: string[]) => Promise<Map<string, string>>

export interface Resource<Client, R> {
  /**
   * How removal is told. `snapshot`: a complete full read tombstones what it did not see;
   * `explicit`: only `deletedIds`; `none`: never.
   */
  deletes: 'snapshot' | 'explicit' | 'none'
  /**
   * Reads page by page. Returning means "that was everything", throwing means "incomplete". `known` comes with
   * devices, for providers that mark their inventory; ask it once per page. Without it everything is read.
   */
  pull(client: Client, from: Checkpoint | null, signal: AbortSignal, known?: KnownRevisions): AsyncIterable<Page<R>>
  /** One record, or null where the platform does not know it (any more). */
  fetchOne?(client: Client, externalId: string, signal: AbortSignal): Promise<R | null>
}

/** A platform's organization: Level group, MeshCentral device group. `null` = the platform did not tell. */
export interface OrganizationRecord {
  externalId: string
  name: string
  parentExternalId?: string | null | undefined
  deviceCount?: number | null | undefined
  descendantDeviceCount?: number | null | undefined
}

/** What a device tells about itself. A missing or null field means "not told" and never erases a known value. */
export interface DeviceFacts {
  assetType?: 'workstation' | 'server' | null | undefined
  hostname?: string | null | undefined
  serialNumber?: string | null | undefined
  manufacturer?: string | null | undefined
  model?: string | null | undefined
  osType?: string | null | undefined
  osVersion?: string | null | undefined
  lastRebootAt?: Date | null | undefined
  currentUser?: string | null | undefined
  lanIp?: string | null | undefined
  wanIp?: string | null | undefined
  macAddresses?: string[] | null | undefined
  cpuModel?: string | null | undefined
  cpuCores?: number | null | undefined
  ramBytes?: number | null | undefined
  /** `freeBytes` is volatile: it is stored with the heartbeat. */
  volumes?: Array<{ name: string; totalBytes: number | null; freeBytes: number | null }> | null | undefined
  antivirus?: { provider: string | null; status: string | null } | null | undefined
  location?: string | null | undefined
  tags?: string[] | null | undefined
  maintenanceMode?: boolean | null | undefined
  /** Platform facts without a column of their own; JSON, stable key order not required. */
  details?: Record<string, unknown> | null | undefined
}

/**
 * Facts that cost requests of their own, such as hardware. A field told here is told here only: the record's own
 * fields are read every time.
 */
export interface DeviceInventory {
  /** Opaque mark of the state the facts were read at. The same mark means the same facts. */
  revision: string
  /** Null where they were not read, because `revision` is the known one: what is stored stays. */
  facts: DeviceFacts | null
}

/**
 * A device in our terms. A missing or null field means "not told" and never erases a known value; the one exception is
 * `organizationExternalId`, where null says "in no organization" and only a missing one says nothing.
 * Volatile values are kept apart and never count as a change of the device.
 */
export interface DeviceRecord extends DeviceFacts {
  externalId: string
  displayName: string
  organizationExternalId?: string | null | undefined
  /** Only for platforms where some facts are too expensive to be read with every list. */
  inventory?: DeviceInventory | null | undefined
  /** Volatile. */
  online?: boolean | null | undefined
  /** Volatile. */
  lastSeenAt?: Date | null | undefined
  /** Volatile. */
  uptimeSeconds?: number | null | undefined
}

export interface UpdateRecord {
  externalId: string
  deviceExternalId: string
}

export interface AlertRecord {
  externalId: string
  deviceExternalId?: string | null | undefined
  name: string
  description?: string | null | undefined
  severity: AlertSeverity
  /** The platform's own word. */
  providerSeverity?: string | null | undefined
  status: 'active' | 'resolved'
  startedAt: Date
  resolvedAt?: Date | null | undefined
  details?: Record<string, unknown> | null | undefined
  /**
   * The platform did not tell the alert's id: `externalId` stands for device and condition. Such an alert is never
   * asked for on the platform; it ends with a resolved event, by hand, or by becoming the platform's own alert of the
   * same device and name.
   */
  derived?: boolean | undefined
}

/** "Look at this again": never data to write, always a reason to read. */
export interface Hint {
  resource: ResourceName
  externalId: string
  /** `heartbeat`: the platform pushed an online/offline change. */
  kind?: 'changed' | 'deleted' | 'heartbeat'
}

/** A group on the platform that can hold one client's devices. */
export interface DeviceGroup {
  id: string
  name: string
  description: string | null
  /** When it was made, where the platform tells: of two groups that are meant to be one, the older is kept. */
  createdAt?: Date | null | undefined
}

export interface DeviceGroups<Client> {
  /** Every group the account can see. `server` identifies the installation: a change means "migrated". */
  list(
    client: Client,
    signal: AbortSignal
  ): Promise<{ groups: DeviceGroup[]; server: string | null; complete: boolean }>
  create(client: Client, group: { name: string; description: string }, signal: AbortSignal): Promise<DeviceGroup>
  /** Changes name and/or description; returns the group as the platform confirms it. */
  rename(
    client: Client,
    id: string,
    change: { name?: string; description?: string },
    signal: AbortSignal
  ): Promise<DeviceGroup>
  /** The name as the platform will store it; empty when nothing usable is left. */
  sanitizeName(name: string): string
}

/** An inbound request as the provider sees it: headers lower-cased, body still raw. */
export interface WebhookRequest {
  headers: Record<string, string | undefined>
  rawBody: Buffer
}

export interface WebhookEvent {
  /** Stable id of the event on the platform, or one derived from device and condition: never one per delivery. */
  id: string
  type: string
  /** When the platform says it happened, if it does. */
  occurredAt: Date | null
  hints: Hint[]
  /**
   * The id was made from what the event is about: after an event of another type about the same alert it is a new
   * event, not a repetition.
   */
  derivedId?: boolean | undefined
  /** An alert that the payload alone describes well enough to be shown until it was re-read. */
  alert?: AlertRecord | undefined
  /**
   * For a body that names its device by host name only: which one that is, the inventory knows. Where exactly one device
   * of the connection has it, `as` gives the event about that device; otherwise the body is refused (400).
   */
  locate?: { hostname: string; as(deviceExternalId: string): WebhookEvent } | undefined
}

/** A value of the payload template that is no variable of the platform: the operator writes it, once per set-up. */
export interface TemplateInput {
  /** The template's field. */
  field: string
  label: string
  /** What may be chosen; null: any text. */
  choices: string[] | null
}

export interface ProviderWebhook {
  /**
   * True when the raw body or a header proves one of `secrets` (current first, then those still in rotation).
   * Constant time.
   */
  verify(request: WebhookRequest, secrets: string[]): boolean
  /**
   * Called only after `verify`. Throws on a body it cannot read (answered 400). Unknown event types return no hints.
   */
  parse(request: WebhookRequest): WebhookEvent
  /** What the operator sets up on the platform. */
  setup: {
    signatureHeader: string | null
    secretHeader: string | null
    events: string[]
    payloadTemplate: Record<string, string> | null
    /** What of the template the operator writes. @default none */
    templateInputs?: TemplateInput[]
    instructions: string[]
  }
}

/** A short-lived link into a device. */
export interface RemoteSession {
  url: string
  expiresAt: Date
}

/** Everything a provider gets to reach its platform; bound to one connection. */
export interface ProviderContext<Config, Secrets> {
  config: Config
  secrets: Secrets
  log: ProviderLog
  /** Aborted when the connection's work has to stop. */
  signal: AbortSignal
  /** Time-outs, bounded retries, `Retry-After`, rate limit, no redirects, only the connection's hosts. */
  fetch: ProviderFetch
  /** The same egress for a WebSocket. */
  webSocket: ProviderWebSocket
}

export interface ProviderLog {
  debug(fields: object, message: string): void
  info(fields: object, message: string): void
  warn(fields: object, message: string): void
}

export interface FetchOptions {
  method?: 'GET' | 'POST' | 'PUT' | 'PATCH' | 'DELETE'
  headers?: Record<string, string>
  body?: string
  signal?: AbortSignal
  /** Repeating it does no harm, so it may be retried. Default: true for GET, false otherwise. */
  idempotent?: boolean
  /** Bytes of the answer at most. Default 32 MiB. */
  maxBytes?: number
}

export interface FetchResponse {
  status: number
  headers: Record<string, string>
  text(): string
  /** Throws `ProviderError('protocol')` where the body is not JSON. */
  json(): unknown
}

export type ProviderFetch = (url: string | URL, options?: FetchOptions) => Promise<FetchResponse>

/** An open socket. `abort` destroys it at once, without the closing handshake. */
export interface ProviderSocket {
  send(text: string): void
  close(): void
  abort(): void
  readonly closed: boolean
}

export type ProviderWebSocket = (
  url: string | URL,
  options: {
    headers?: Record<string, string>
    /** PEM; trusted in addition to the system's. */
    ca?: string
    onMessage(text: string): void
    /**
     * `refused`: it was ended on our side over a message that is larger than `maxMessageBytes`, or that cannot be read.
     */
    onClose(info: { code: number; reason: string; refused?: boolean }): void
    signal?: AbortSignal
    /** Bytes of one message at most. Default 256 MiB. */
    maxMessageBytes?: number
  }
) => Promise<ProviderSocket>

/**
 * One platform. Required members are few; every optional member's presence *is* the capability.
 * Providers never see the database, Fastify or the environment.
 */
export interface RmmProvider<Config = any, Secrets = any, Client = any> {
  /** Lower-case, e.g. `levelio`. */
  id: string
  name: string
  description: string
  /** TypeBox object; validation, the settings form and OpenAPI come from it. */
  configSchema: TObject
  secretSchema: TObject
  /**
   * Hosts a connection with this config may talk to, as `host` or `host:port`.
   * Default: the hosts of every config field with `format: 'uri'`.
   */
  hosts?(config: Config): string[]
  /** The host developer's decision, never the tenant's. Default false. */
  allowPrivateNetwork?: boolean
  /** PEM of an own certificate authority for this connection. */
  ca?(config: Config): string | undefined
  /** Requests in flight and per minute to one connection's platform; all runs of a connection share it. */
  limits?: { concurrency?: number; perMinute?: number }
  open(ctx: ProviderContext<Config, Secrets>): Client | Promise<Client>
  /** Proves that the connection works; throws `ProviderError` with a sentence for the operator. */
  check(client: Client, signal: AbortSignal): Promise<{ account: string; warnings: string[] }>
  resources: {
    organizations?: Resource<Client, OrganizationRecord>
    devices?: Resource<Client, DeviceRecord>
    updates?: Resource<Client, UpdateRecord>
    alerts?: Resource<Client, AlertRecord>
  }
  deviceGroups?: DeviceGroups<Client>
  /** Resolves on the platform. Resolving a resolved alert is fine. */
  resolveAlert?(client: Client, externalId: string, signal: AbortSignal): Promise<AlertRecord | null>
  remoteSession?(
    client: Client,
    externalId: string,
    options: { minutes: number; viewOnly: boolean; guestName: string },
    signal: AbortSignal
  ): Promise<RemoteSession>
  installLink?(client: Client, groupId: string, options: { hours: number }, signal: AbortSignal): Promise<RemoteSession>
  webhook?: ProviderWebhook
  /**
   * Pushed changes as hints. Ends or throws when the socket is lost; the engine reconnects. Calls `subscribed` once
   * pushes arrive: only then the engine reads what changed while nobody listened. Where it is never called, the first
   * hint counts.
   */
  listen?(client: Client, signal: AbortSignal, subscribed?: () => void): AsyncIterable<Hint>
  /** Safe to call twice. */
  close?(client: Client): Promise<void>
}

export type ProviderErrorKind =
  | 'auth'
  | 'forbidden'
  | 'rate_limited'
  | 'unreachable'
  | 'protocol'
  | 'gone'
  | 'not_in_plan'

/** A failure of the platform with a sentence for the operator that says what to do. */
export class ProviderError extends Error {
  override name = 'ProviderError'
  readonly kind: ProviderErrorKind
  /** Milliseconds to wait before asking again, where the platform said so. */
  readonly retryAfterMs: number | undefined

  constructor(
    kind: ProviderErrorKind,
    message: string,
    options: { retryAfterMs?: number | undefined; cause?: unknown } = {}
  ) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause })
    this.kind = kind
    this.retryAfterMs = options.retryAfterMs
  }
}

/** The provider as the author typed it, config and secrets inferred from the schemas. */
export type ProviderDefinition<C extends TObject, S extends TObject, Client> = Omit<
  RmmProvider<Static<C>, Static<S>, Client>,
  'configSchema' | 'secretSchema'
> & { configSchema: C; secretSchema: S }

const idPattern = /^[a-z][a-z0-9]{1,39}$/

/** Checks a provider's shape once, at definition, and infers its types. Throws `TypeError` naming the wrong member. */
export function defineProvider<C extends TObject, S extends TObject, Client>(
  definition: ProviderDefinition<C, S, Client>
): RmmProvider<Static<C>, Static<S>, Client> {
  if (!idPattern.test(definition.id)) throw new TypeError(`provider id '${definition.id}' must match ${idPattern}`)
  for (const member of ['open', 'check'] as const) {
    if (typeof definition[member] !== 'function')
      throw new TypeError(`provider '${definition.id}' needs the function '${member}'`)
  }
  for (const [name, resource] of Object.entries(definition.resources)) {
    if (typeof resource.pull !== 'function')
      throw new TypeError(`provider '${definition.id}': resource '${name}' needs 'pull'`)
  }
  return Object.freeze({ ...definition }) as RmmProvider<Static<C>, Static<S>, Client>
}

/** Maps every raw record of a page; one that throws is rejected with its reason, the rest go on. */
export function mapRecords<Raw, R>(
  raw: readonly Raw[],
  id: (record: Raw) => unknown,
  map: (record: Raw) => R
): { records: R[]; rejected: RejectedRecord[] } {
  const records: R[] = []
  const rejected: RejectedRecord[] = []
  for (const record of raw) {
    try {
      records.push(map(record))
    } catch (error) {
      let externalId: unknown
      try {
        externalId = id(record)
      } catch {}
      rejected.push({
        externalId: typeof externalId === 'string' ? externalId : null,
        reason: (error as Error).message
      })
    }
  }
  return { records, rejected }
}
