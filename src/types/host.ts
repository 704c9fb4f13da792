import type { EntityManager } from '@mikro-orm/core'
import type { RmmEvent } from '../events.ts'
import type { FieldChange } from './changes.ts'
import type { Alert } from './alerts.ts'
import type { Device } from './devices.ts'
import type { Client } from './organizations.ts'

/** What a host gives us: sinks, its records, its secrets and its clients. */

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

/** What waits for a sink. */
export interface SinkLag {
  sink: string
  /** Events it has not taken. */
  pending: number
  /** Age of the oldest of them, in milliseconds. */
  oldestAgeMs: number | null
  /** Attempts that failed since the last that took something; of several connections, those of the worst. */
  failures: number
  lastError: string | null
  /** Whether a process takes events to it. What waits for one that was taken away waits until it is dropped. */
  served: boolean
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
  /**
   * Calls that may be under way at once, 1 to 100, each with the events of one connection. @default 1: one call at a
   * time, with up to 500 events of up to 100 connections
   */
  parallel?: number
  close?(): Promise<void>
}

/** What happened to one device, as the host hears of it. */
export interface HostDeviceChange {
  /**
   * `handover`: known already, but the host never had it or lost it. Treat it as `created` where you have no record of
   * it, as `updated` otherwise.
   */
  change: 'created' | 'updated' | 'removed' | 'moved' | 'handover'
  device: Device
  /**
   * With `updated` and `moved`: the fields that the platform changed, before and after. A host that writes only these
   * keeps what its people edited.
   */
  changed?: FieldChange[]
}

/** One committed step handed to the host, inside our transaction. */
export interface ChangeBatch {
  tenantId: string
  connectionId: string
  provider: string
  devices: HostDeviceChange[]
  alerts: Array<{ change: 'triggered' | 'updated' | 'resolved' | 'handover'; alert: Alert }>
}

export interface ChangesTaken {
  /** Your asset for each device, by the device's id. */
  assetRefs?: Record<string, string>
  /** Devices that you do not take, by id, with the reason: told as failed in the run, everything else is kept. */
  refused?: Record<string, string>
}

export type OnChanges = (batch: ChangeBatch, em: EntityManager) => Promise<void | ChangesTaken> | void | ChangesTaken

/**
 * Seals secrets. `aad` binds the sealed text to what it is for and whose it is (`connection:<tenant>:<id>`, `hook:…`,
 * `session:…`); opening with another `aad` must fail.
 */
export interface SecretBox {
  seal(plain: string, aad: string): string | Promise<string>
  /** Throws where the text does not open: another `aad`, a key that is missing, a text that was changed. */
  open(sealed: string, aad: string): string | Promise<string>
  /**
   * The id of the key that a text was sealed with, read from the text alone; null where it does not tell. With it the
   * keys in use can be counted, and a rotation leaves alone what is sealed with the current key already.
   */
  keyId?(sealed: string): string | null
}

/** How many stored values are sealed with one key. */
export interface KeyUsage {
  /** Null where the box does not tell. */
  keyId: string | null
  values: number
  /** Whether the box opens them: a few of them were tried. */
  opens: boolean
}

export interface SecretsUsage {
  /** The key that seals from now on; null where the box does not tell. */
  current: string | null
  keys: KeyUsage[]
}

/** What a pass over everything sealed did, or with `plan` would do. */
export interface Resealed {
  plan: boolean
  /** The key that seals from now on; null where the box does not tell: then every value is sealed anew. */
  current: string | null
  /** By the key that sealed them before. */
  keys: Array<{ keyId: string | null; values: number; resealed: number; unreadable: number }>
  resealed: number
  /** Values that do not open: their key is missing in the box. They are left as they are. */
  unreadable: number
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
  /** Those of these clients that exist: one question in the place of one for each. */
  clientsByIds?(tenantId: string, ids: string[]): Client[] | Promise<Client[]>
}
