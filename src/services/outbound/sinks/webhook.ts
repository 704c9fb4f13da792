import { createHmac } from 'node:crypto'
import { OptionError } from '../../../errors.ts'
import { ProviderError } from '../../../providers/define.ts'
import type { EventSink, RmmEvent, Taken } from '../../../types.ts'
import { createEgress, type Egress, type RateLimiter } from '../../egress/index.ts'

export interface WebhookSinkOptions {
  /** Where events are posted. `https:`, or `http:` with `allowPrivateNetwork`. */
  url: string
  /** `whsec_` and base64 of 24 to 64 bytes; during a rotation several, the new one first: each gives a signature. */
  secret: string | string[]
  /**
   * Hosts that `url` may name, as `host` or `host:port`: set it where the address comes from a tenant. @default the
   * host of `url`
   */
  hosts?: string[]
  /** Lets `url` reach private and loopback addresses. @default false */
  allowPrivateNetwork?: boolean
  /** Longest time for one request, in milliseconds. @default 10000 */
  timeoutMs?: number
  /** Requests under way at once, 1 to 100: each for another connection, whose events follow each other. @default 16 */
  parallel?: number
  /** Identifies the sink across restarts. @default 'webhook:' and the host of `url` */
  name?: string
}

const defaultParallel = 16
/** No request begins later than this before the batch has to end. */
const turnMs = 20_000

/**
 * Posts every event as a request of its own in the Standard Webhooks format: headers `webhook-id` (the event's id:
 * the receiver's key against repetitions), `webhook-timestamp` (seconds, of this attempt) and `webhook-signature`
 * (`v1,` and the base64 HMAC-SHA256 of `id.timestamp.body`), body `{ type, timestamp, data }` with the whole event in
 * `data`. Any 2xx is taken; everything else comes again later, and the events behind it on the same connection wait.
 * Redirects are not followed.
 *
 * @throws `RMM_ERR_OPTION` when the address, the host or a secret cannot be used
 */
export function webhookSink(options: WebhookSinkOptions): EventSink {
  const { timeoutMs = 10_000, allowPrivateNetwork = false, parallel = defaultParallel } = options
  const url = readUrl(options.url, options.hosts, allowPrivateNetwork)
  const keys = [options.secret].flat().map(readSecret)
  if (keys.length === 0)
    throw new OptionError("webhookSink: 'secret' is missing; make one with: echo whsec_$(openssl rand -base64 32)")
  if (!Number.isInteger(timeoutMs) || timeoutMs < 1)
    throw new OptionError("webhookSink: 'timeoutMs' must be a whole number from 1")
  if (!Number.isInteger(parallel) || parallel < 1 || parallel > 100)
    throw new OptionError("webhookSink: 'parallel' must be a whole number from 1 to 100")
  let ended = new AbortController()
  let egress: Egress | undefined
  const open = (): Egress =>
    (egress ??= createEgress({
      hosts: options.hosts ?? [url.host],
      allowPrivateNetwork,
      log: silent,
      signal: ended.signal,
      redact: [options.secret].flat(),
      limiter: unlimited,
      timeouts: { totalMs: timeoutMs, headersMs: timeoutMs, bodyMs: timeoutMs, connectMs: timeoutMs },
      // Repetitions come through the outbox, where they survive a restart.
      retry: { attempts: 1, maxWaitMs: 0 }
    }))
  return {
    name: options.name ?? `webhook:${url.host}`,
    parallel,
    async publish(events, signal) {
      return await postAll(events, parallel, signal, event => post(open(), url, keys, event, signal))
    },
    // A host that starts again may give the same object to its next app.
    async close() {
      const closing = egress
      ended.abort()
      ended = new AbortController()
      egress = undefined
      await closing?.close()
    }
  }
}

/** How many requests are under way is the relay's business, and so is waiting after a 429: that is the connection's. */
const unlimited: RateLimiter = { acquire: async () => ({ release() {}, throttled() {}, answered() {} }) }

/**
 * The events of each connection one after the other; several connections at once. A failure ends its own connection's
 * turn only.
 */
async function postAll(
  events: RmmEvent[],
  parallel: number,
  signal: AbortSignal,
  send: (event: RmmEvent) => Promise<void>
): Promise<Taken> {
  const began = Date.now()
  const waiting = [...Map.groupBy(events, event => event.connectionId).values()]
  const ids: string[] = []
  let error: unknown
  async function serve(): Promise<void> {
    for (let queue = waiting.shift(); queue !== undefined; queue = waiting.shift()) {
      try {
        for (const event of queue) {
          if (signal.aborted || Date.now() - began > turnMs) return
          await send(event)
          ids.push(event.id)
        }
      } catch (failure) {
        if (signal.aborted) return
        error ??= failure
        // Asked to wait: that is meant for all of them.
        if (failure instanceof ProviderError && failure.kind === 'rate_limited') waiting.length = 0
      }
    }
  }
  await Promise.all(Array.from({ length: Math.min(parallel, waiting.length) }, serve))
  return error === undefined && ids.length === 0
    ? { ids, error: new Error('there was no time to post an event') }
    : { ids, ...(error === undefined ? {} : { error }) }
}

async function post(egress: Egress, url: URL, keys: Buffer[], event: RmmEvent, signal: AbortSignal): Promise<void> {
  const body = JSON.stringify({ type: event.type, timestamp: event.occurredAt, data: event })
  const response = await egress.fetch(url, {
    method: 'POST',
    body,
    signal,
    maxBytes: 1024 * 1024,
    headers: { 'content-type': 'application/json', ...signed(keys, event.id, body) }
  })
  if (response.status < 200 || response.status > 299)
    throw new Error(`${url.host} answered ${response.status} to event ${event.id}; it is sent again`)
}

function signed(keys: Buffer[], id: string, body: string): Record<string, string> {
  const timestamp = String(Math.floor(Date.now() / 1000))
  const signatures = keys.map(
    key => `v1,${createHmac('sha256', key).update(`${id}.${timestamp}.${body}`).digest('base64')}`
  )
  return { 'webhook-id': id, 'webhook-timestamp': timestamp, 'webhook-signature': signatures.join(' ') }
}

function readUrl(text: string, hosts: string[] | undefined, allowPrivateNetwork: boolean): URL {
  const url = URL.canParse(text) ? new URL(text) : null
  if (url === null || !(url.protocol === 'https:' || (allowPrivateNetwork && url.protocol === 'http:')))
    throw new OptionError("webhookSink: 'url' must be an https address (http only with allowPrivateNetwork)")
  if (url.username !== '' || url.password !== '')
    throw new OptionError("webhookSink: 'url' must not contain a user name or password")
  if (
    hosts !== undefined &&
    !hosts.some(host => host.toLowerCase() === url.host || host.toLowerCase() === url.hostname)
  )
    throw new OptionError(`webhookSink: ${url.host} is not among 'hosts' (${hosts.join(', ')})`)
  return url
}

function readSecret(secret: string): Buffer {
  const [, text = ''] = /^whsec_([A-Za-z0-9+/]+={0,2})$/.exec(secret) ?? []
  const key = Buffer.from(text, 'base64')
  if (key.length < 24 || key.length > 64)
    throw new OptionError(
      "webhookSink: 'secret' must be whsec_ and the base64 of 24 to 64 bytes; make one with: echo whsec_$(openssl rand -base64 32)"
    )
  return key
}

const silent = { debug() {}, info() {}, warn() {} }
