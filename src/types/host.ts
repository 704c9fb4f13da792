import type { EntityManager } from '@mikro-orm/core'
import type { RmmEvent } from '../events.ts'
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
