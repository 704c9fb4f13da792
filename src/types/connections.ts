/** Accounts on platforms, and the providers they are made with. */

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
  /** SVG as a data URI. */
  icon: string | null
  homepage: string | null
  docsUrl: string | null
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
  /** Whether the platform's pushes arrive; null where it has none, or the connection is disconnected. */
  live: { since: string | null; lastError: string | null } | null
  /** `broken`: organizations are mapped to clients that the directory no longer has. */
  mappingStatus: 'ok' | 'broken'
  counts: {
    organizations: number
    mappedOrganizations: number
    devices: number
    mappedDevices: number
    unmappedDevices: number
    onlineDevices: number
    activeAlerts: number
    brokenMappings: number
  }
}

export interface CreateConnection {
  provider: string
  name?: string
  config?: Record<string, unknown>
  secrets: Record<string, unknown>
  schedule?: Partial<Schedule>
  movePolicy?: MovePolicy
  /** Connects an account that another connection of the tenant has already: every device will be there twice. */
  allowDuplicate?: boolean
}

export interface UpdateConnection {
  name?: string
  config?: Record<string, unknown>
  secrets?: Record<string, unknown>
  schedule?: Partial<Schedule>
  movePolicy?: MovePolicy
  /** Takes over an account that another connection of the tenant has already: every device will be there twice. */
  allowDuplicate?: boolean
}

/** The webhook address of a connection with its secret; the secret is shown this once. */
export interface WebhookSecret extends Partial<WebhookRegistered> {
  url: string
  secret: string
}

/** Where the platform's API can set the webhook up: whether it was, and if not, why. */
export interface WebhookRegistered {
  registered: boolean
  message: string | null
}

/** A connection that was just made. */
export interface CreatedConnection {
  connection: Connection
  /** Null where the provider has no webhooks. `url` is null where no `publicUrl` is set: platforms cannot reach us. */
  webhook: ({ url: string | null; secret: string } & Partial<WebhookRegistered>) | null
  /** What works but should be looked at, e.g. missing rights. */
  warnings: string[]
}

export interface ConnectionTest {
  ok: true
  account: string
  checkedAt: string
  warnings: string[]
}
