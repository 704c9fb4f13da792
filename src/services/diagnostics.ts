import { channel } from 'node:diagnostics_channel'
import type { Delivery, ResourceName, Run, RunStatus, RunTotals } from '../types.ts'

/**
 * What happens inside, for tracing and metrics: `node:diagnostics_channel`s that cost nothing while nobody listens.
 * Messages never carry secrets or a platform's payload. Durations are milliseconds.
 */

interface About {
  tenantId: string
  connectionId: string
  provider: string
}

/** `rmm-sync:run`: an attempt at a run began, ended it, or handed it back. */
export interface RunMessage extends About {
  phase: 'started' | 'ended' | 'yielded'
  runId: string
  trigger: Run['trigger']
  mode: Run['mode']
  /** Set where `phase` is `ended`. */
  status: RunStatus | null
  /** Of this attempt; 0 at its start. */
  durationMs: number
}

/** `rmm-sync:page`: pages were committed together. */
export interface PageMessage extends About {
  runId: string
  resource: ResourceName
  pages: number
  records: number
  /** What became of them; all 0 for other resources than devices, but for `failed`. */
  outcomes: RunTotals
  /** Of the transaction, the host's `onChanges` included. */
  durationMs: number
}

/** `rmm-sync:request`: one attempt at one request to a platform. */
export interface RequestMessage {
  connectionId: string
  provider: string
  host: string
  method: string
  /** Null where no answer came. */
  status: number | null
  /** From 1; a repeated request has more than one. */
  attempt: number
  durationMs: number
  /** Waited for the rate limit before it was sent. */
  waitedMs: number
}

/** `rmm-sync:delivery`: a webhook was accepted, worked on, or refused. A refused one belongs to nobody. */
export type DeliveryMessage =
  | { phase: 'refused' }
  | (About & { eventType: string } & (
        | { phase: 'received'; outcome: 'stored' | 'duplicate' | 'ignored' | 'unusable' }
        | { phase: 'settled'; outcome: Exclude<Delivery['status'], 'pending'> | 'retried'; attempts: number }
      ))

/** `rmm-sync:sink`: a sink was offered events. */
export interface SinkMessage {
  sink: string
  /** How many it took. */
  events: number
  durationMs: number
  /** Why it did not take the others. */
  error: string | null
}

/** `rmm-sync:duty`: a duty of the process began a turn, or ended it. */
export interface DutyMessage {
  duty: string
  phase: 'started' | 'ended'
  /** How long after its time the turn began. */
  lateMs: number
  /** Of the turn; 0 at its start. */
  durationMs: number
  /** Why the turn failed. */
  error: string | null
}

/** Channel name to message, for `diagnostics_channel.subscribe`. */
export interface RmmChannels {
  'rmm-sync:run': RunMessage
  'rmm-sync:page': PageMessage
  'rmm-sync:request': RequestMessage
  'rmm-sync:delivery': DeliveryMessage
  'rmm-sync:sink': SinkMessage
  'rmm-sync:duty': DutyMessage
}

/** The message is made only when somebody listens. */
function publisher<Name extends keyof RmmChannels>(name: Name): (message: () => RmmChannels[Name]) => void {
  const out = channel(name)
  return message => {
    if (out.hasSubscribers) out.publish(message())
  }
}

export const publishRun = publisher('rmm-sync:run')
export const publishPage = publisher('rmm-sync:page')
export const publishRequest = publisher('rmm-sync:request')
export const publishDelivery = publisher('rmm-sync:delivery')
export const publishSink = publisher('rmm-sync:sink')
export const publishDuty = publisher('rmm-sync:duty')
