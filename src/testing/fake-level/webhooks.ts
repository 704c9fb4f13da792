import { withTimeLimit } from '../../waits.ts'
import { createHmac, randomUUID } from 'node:crypto'
import { request as httpRequest } from 'node:http'
import { request as httpsRequest } from 'node:https'
import { setTimeout as wait } from 'node:timers/promises'

/** Level API: the envelope of every outbound webhook. */
export interface LevelEvent {
  event_type: string
  /** UUID; the same in every retry and re-run. */
  event_id: string
  /** ISO 8601 UTC. */
  occurred_at: string
  data: { id: string; [field: string]: unknown }
}

export interface WebhookOptions {
  url: string
  /** None = unsigned requests, as when the field was left blank. */
  secret?: string
  /** Default: all events, future ones included. */
  events?: string[]
  /** For `signWith: 'previous'`: what the platform still uses just after a rotation. */
  previousSecret?: string
}

export interface SendOptions {
  /** Default `current`. `wrong` signs with a secret nobody knows; `none` sends no signature. */
  signWith?: 'current' | 'previous' | 'wrong' | 'none'
}

export interface Attempt {
  status: number | null
  error: string | null
}

export interface LevelDelivery {
  url: string
  event: LevelEvent
  attempts: Attempt[]
  /** True when an attempt was answered with 2xx. */
  delivered: boolean
}

export interface FakeWebhooks {
  /** Set up by hand on the platform. Returns its removal. */
  add(options: WebhookOptions): () => void
  /**
   * Completes the event and delivers it to every webhook that wants it, with retries. Resolves when all gave an
   * answer or gave up.
   */
  send(
    event: Partial<LevelEvent> & Pick<LevelEvent, 'event_type' | 'data'>,
    options?: SendOptions
  ): Promise<LevelDelivery[]>
  /**
   * Delivers the events in the opposite order, each one settled before the next; `occurred_at` stays in the given
   * order.
   */
  sendReversed(
    events: Array<Partial<LevelEvent> & Pick<LevelEvent, 'event_type' | 'data'>>,
    options?: SendOptions
  ): Promise<LevelDelivery[]>
  /**
   * What the button in the platform's Requests tab does: the same event again, with the same id. Throws `RangeError`
   * for an unknown id.
   */
  rerun(eventId: string, options?: SendOptions): Promise<LevelDelivery[]>
  /** All deliveries so far, finished or not. */
  readonly deliveries: readonly LevelDelivery[]
  /** Resolves when nothing is on its way any more. */
  idle(): Promise<void>
}

/** Level API: `sha256=` and the hex HMAC-SHA256 of the exact body. */
export function signLevel(secret: string, rawBody: string | Buffer): string {
  return `sha256=${createHmac('sha256', secret).update(rawBody).digest('hex')}`
}

/** A webhook as it arrives: what `fake.webhooks.send` would post. Without a secret it is unsigned. */
export function levelWebhookRequest(
  event: Partial<LevelEvent> & Pick<LevelEvent, 'event_type' | 'data'>,
  secret?: string
): { headers: Record<string, string>; rawBody: Buffer } {
  return requestOf(complete(event, new Date()), secret)
}

function requestOf(event: LevelEvent, secret: string | undefined) {
  const rawBody = Buffer.from(JSON.stringify(event))
  return {
    headers: {
      'content-type': 'application/json',
      ...(secret === undefined ? {} : { 'x-level-signature': signLevel(secret, rawBody) })
    },
    rawBody
  }
}

function complete(event: Partial<LevelEvent> & Pick<LevelEvent, 'event_type' | 'data'>, now: Date): LevelEvent {
  return {
    event_type: event.event_type,
    event_id: event.event_id ?? randomUUID(),
    occurred_at: event.occurred_at ?? now.toISOString(),
    data: event.data
  }
}

function secretFor(webhook: WebhookOptions, signWith: SendOptions['signWith'] = 'current'): string | undefined {
  if (signWith === 'none') return undefined
  if (signWith === 'wrong') return 'a secret nobody knows'
  if (signWith === 'current') return webhook.secret
  if (webhook.previousSecret === undefined) throw new TypeError('the webhook has no previousSecret to sign with')
  return webhook.previousSecret
}

/**
 * Level API: up to three attempts in all, about two minutes and 1 to 60 s of jitter apart; here `retryDelayMs` apart.
 * The counted success (any 2xx) and the time-out (5 s) are assumptions.
 */
export function createWebhooks({
  retryDelayMs,
  now,
  signal
}: {
  retryDelayMs: number
  now: () => Date
  signal: AbortSignal
}): FakeWebhooks {
  const webhooks = new Set<WebhookOptions>()
  const sent = new Map<string, LevelEvent>()
  const deliveries: LevelDelivery[] = []
  const underway = new Set<Promise<LevelDelivery>>()

  async function attempts(
    webhook: WebhookOptions,
    delivery: LevelDelivery,
    options: SendOptions
  ): Promise<LevelDelivery> {
    const { headers, rawBody } = requestOf(delivery.event, secretFor(webhook, options.signWith))
    for (let attempt = 1; attempt <= 3 && !signal.aborted; attempt++) {
      if (attempt > 1) await wait(retryDelayMs, undefined, { signal }).catch(() => {})
      if (signal.aborted) break
      const outcome = await post(webhook.url, headers, rawBody, signal)
      delivery.attempts.push(outcome)
      delivery.delivered = outcome.status !== null && outcome.status >= 200 && outcome.status < 300
      if (delivery.delivered) break
    }
    return delivery
  }

  async function deliver(event: LevelEvent, options: SendOptions = {}): Promise<LevelDelivery[]> {
    sent.set(event.event_id, event)
    const wanted = [...webhooks].filter(webhook => webhook.events?.includes(event.event_type) ?? true)
    return Promise.all(
      wanted.map(async webhook => {
        const delivery: LevelDelivery = { url: webhook.url, event, attempts: [], delivered: false }
        deliveries.push(delivery)
        const work = attempts(webhook, delivery, options)
        underway.add(work)
        try {
          return await work
        } finally {
          underway.delete(work)
        }
      })
    )
  }

  return {
    add(options) {
      webhooks.add(options)
      return () => {
        webhooks.delete(options)
      }
    },
    send: async (event, options) => deliver(complete(event, now()), options),
    async sendReversed(events, options) {
      const first = now().getTime()
      const completed = events.map((event, index) => complete(event, new Date(first + index * 1000)))
      const results: LevelDelivery[] = []
      for (const event of completed.reverse()) results.push(...(await deliver(event, options)))
      return results
    },
    async rerun(eventId, options) {
      const event = sent.get(eventId)
      if (!event) throw new RangeError(`no event ${eventId} was sent`)
      return deliver(event, options)
    },
    deliveries,
    async idle() {
      while (underway.size > 0) await Promise.allSettled(underway)
    }
  }
}

/** One request on a connection of its own, so that nothing keeps the receiver's server open. */
function post(url: string, headers: Record<string, string>, rawBody: Buffer, signal: AbortSignal): Promise<Attempt> {
  const open = url.startsWith('https:') ? httpsRequest : httpRequest
  const attempt = (bound: AbortSignal) =>
    new Promise<Attempt>(resolve => {
      const failed = (error: Error) => resolve({ status: null, error: error.message })
      try {
        open(
          url,
          {
            method: 'POST',
            agent: false,
            signal: bound,
            headers: { ...headers, 'content-length': rawBody.length }
          },
          response => {
            response
              .resume()
              .on('end', () => resolve({ status: response.statusCode ?? null, error: null }))
              .on('error', failed)
          }
        )
          .on('error', failed)
          .end(rawBody)
      } catch (error) {
        failed(error as Error)
      }
    })
  return withTimeLimit(5000, [signal], attempt)
}
