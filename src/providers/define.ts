import type { Static, TObject } from '@sinclair/typebox'
import type { ProviderContext } from './context.ts'
import type {
  AlertRecord,
  DeviceRecord,
  Hint,
  OrganizationRecord,
  Resource,
  UpdateRecord,
  Visibility
} from './records.ts'

export * from './context.ts'
export * from './records.ts'
export { exampleOf, isRecordId, mapRecords, type Misreadings, misreadings } from './map-records.ts'

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

export interface ProviderWebhook<Client = any> {
  /**
   * True when the raw body or a header proves one of `secrets` (current first, then those still in rotation).
   * Constant time.
   */
  verify(request: WebhookRequest, secrets: string[]): boolean
  /**
   * Called only after `verify`. Throws on a body it cannot read (answered 400). Unknown event types return no hints.
   */
  parse(request: WebhookRequest): WebhookEvent
  /**
   * Sets the webhook up on the platform, where its API can: called when a connection was made and when the secret was
   * rotated. It replaces the one that is there. What it throws leaves the connection as it is; the operator reads it,
   * beside the instructions.
   */
  register?(client: Client, target: { url: string; secret: string }, signal: AbortSignal): Promise<void>
  /** Takes it away again, when the connection is disconnected. One that is not there is fine. */
  unregister?(client: Client, signal: AbortSignal): Promise<void>
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

/**
 * What the person at the device is asked before somebody looks at their screen: nothing, to be told, or to agree. At
 * least that: a platform may be set to ask for more.
 */
export type Consent = 'none' | 'notify' | 'prompt'

/** What a provider's remote sessions can be asked for; what is not declared is refused, never ignored. */
export interface RemoteSessionOptions {
  /** Sessions without keyboard and mouse. Default false. */
  viewOnly?: boolean
  /** Default none of them: the platform's own settings hold. */
  consent?: readonly Consent[]
}

/**
 * One platform. Required members are few; every optional member's presence *is* the capability.
 * Providers never see the database, Fastify or the environment.
 */
export interface RmmProvider<Config = any, Secrets = any, Client = any> {
  /** Lower-case, e.g. `levelio`. */
  id: string
  name: string
  description: string
  /** An SVG as a data URI (`data:image/svg+xml,…`), shown beside the name. */
  icon?: string
  /** The platform's own site. */
  homepage?: string
  /** Where its set-up is described. */
  docsUrl?: string
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
  /**
   * Whether the account sees everything at this moment; asked when a single read finds nothing. With `partial` that says
   * nothing about the record. Default `all`.
   */
  visibility?(client: Client, signal: AbortSignal): Visibility | Promise<Visibility>
  deviceGroups?: DeviceGroups<Client>
  /** Resolves on the platform. Resolving a resolved alert is fine. */
  resolveAlert?(client: Client, externalId: string, signal: AbortSignal): Promise<AlertRecord | null>
  /** Only where there is `remoteSession`. */
  remoteSessionOptions?: RemoteSessionOptions
  remoteSession?(
    client: Client,
    externalId: string,
    options: {
      minutes: number
      viewOnly: boolean
      /** Absent where nobody asked for one: the platform's own settings hold. */
      consent?: Consent | undefined
      /** Who is coming, for the person at the device. */
      guestName: string
    },
    signal: AbortSignal
  ): Promise<RemoteSession>
  installLink?(client: Client, groupId: string, options: { hours: number }, signal: AbortSignal): Promise<RemoteSession>
  webhook?: ProviderWebhook<Client>
  /**
   * Pushed changes as hints. Ends or throws when the socket is lost; the engine reconnects. Calls `subscribed` once
   * pushes arrive: only then the engine reads what changed while nobody listened. Where it is never called, the first
   * hint counts. Called again, it has everything read again: what could not be told at first can be told now.
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
  if (definition.icon !== undefined && !definition.icon.startsWith('data:image/svg+xml'))
    throw new TypeError(`provider '${definition.id}': icon must be an SVG as a data URI`)
  for (const link of ['homepage', 'docsUrl'] as const) {
    const address = definition[link]
    if (address !== undefined && !/^https:\/\//.test(address))
      throw new TypeError(`provider '${definition.id}': ${link} must be an https address`)
  }
  for (const [name, resource] of Object.entries(definition.resources)) {
    if (typeof resource.pull !== 'function')
      throw new TypeError(`provider '${definition.id}': resource '${name}' needs 'pull'`)
  }
  return Object.freeze({ ...definition }) as RmmProvider<Static<C>, Static<S>, Client>
}
