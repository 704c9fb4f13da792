import { Agent } from 'undici'
import type { ProviderFetch, ProviderLog, ProviderWebSocket } from '../../providers/define.ts'
import { createRedact, type Redact } from './redact.ts'
import { namesOf, trust } from './authority.ts'
import { describeFailure } from './failures.ts'
import { createFetch, type RequestInfo } from './fetch.ts'
import { createHostCheck, guardedConnector } from './hosts.ts'
import { createRateLimiter, type Limits, type RateLimiter } from './limiter.ts'
import { createWebSocket } from './socket.ts'

export { type Destination, destinationOf, leadsElsewhere } from './destination.ts'
export { isInsideAddress } from './addresses.ts'
export { hostsOf } from './hosts.ts'
export { createRateLimiter } from './limiter.ts'
export { createRedact, type Redact } from './redact.ts'
export type { Limits, RateLimiter } from './limiter.ts'
export type { RequestInfo } from './fetch.ts'

export interface EgressOptions {
  /**
   * `https://host:port` for one origin, `host:port` for it with either scheme; without port the scheme's default port
   * is meant.
   */
  hosts: string[]
  /**
   * True lets requests reach private, loopback and link-local addresses, and these also without TLS. The host
   * developer's decision.
   */
  allowPrivateNetwork: boolean
  /** PEM of a certificate authority, trusted in addition to Node's. */
  ca?: string | undefined
  limits?: Limits | undefined
  /** The connection's shared limiter; without it this egress has its own, made from `limits`. */
  limiter?: RateLimiter | undefined
  /** A person waits for it: requests are not kept back by a pause that the platform asked for. Default false. */
  atOnce?: boolean | undefined
  log: ProviderLog
  /** Aborting it ends every request and socket at once. */
  signal: AbortSignal
  /** Secret values that must not appear in an error or a log line, or what takes them out. */
  redact: string[] | Redact
  /**
   * Milliseconds. Defaults: connect 10 000, headers 30 000, body 30 000 between two chunks, total 120 000 per
   * attempt.
   */
  timeouts?: { connectMs?: number; headersMs?: number; bodyMs?: number; totalMs?: number } | undefined
  /**
   * Defaults: 4 attempts in all, back-off from 500 ms doubling with jitter, 10 000 ms as the longest wait inside a
   * request.
   */
  retry?: { attempts?: number; baseMs?: number; maxWaitMs?: number } | undefined
  /** Clock in milliseconds. Default `Date.now`. */
  now?: (() => number) | undefined
  /** 0 to 1, for the jitter. Default `Math.random`. */
  random?: (() => number) | undefined
  /** Called after every attempt, for metrics. */
  onRequest?: ((info: RequestInfo) => void) | undefined
}

/** A provider's way out, bound to one connection. */
export interface Egress {
  /**
   * Resolves with the answer whatever its status, but for exhausted 429 and 5xx. Rejects with `ProviderError`:
   * `rate_limited` (with `retryAfterMs` where told), `unreachable`, `protocol` (redirect, too large), `forbidden`
   * (not this connection's host), or with the signal's reason.
   */
  fetch: ProviderFetch
  webSocket: ProviderWebSocket
  /** Why the last request or handshake failed; null where it did not. Also told while it is repeated or waited for. */
  trouble(): string | null
  /** Ends requests in flight and open sockets. Safe to call twice. */
  close(): Promise<void>
}

/**
 * The egress of one connection over its own undici `Agent` (HTTP/1.1 only; the global dispatcher stays untouched).
 * Close it when the provider's client is closed.
 */
export function createEgress(options: EgressOptions): Egress {
  const { connectMs = 10_000, headersMs = 30_000, bodyMs = 30_000, totalMs = 120_000 } = options.timeouts ?? {}
  const { attempts = 4, baseMs = 500, maxWaitMs = 10_000 } = options.retry ?? {}
  const now = options.now ?? Date.now
  const { allowPrivateNetwork, log } = options
  const redact = typeof options.redact === 'function' ? options.redact : createRedact(options.redact)
  const closing = new AbortController()
  const signal = AbortSignal.any([options.signal, closing.signal])
  const agent = new Agent({
    allowH2: false,
    pipelining: 1,
    headersTimeout: headersMs,
    bodyTimeout: bodyMs,
    connect: guardedConnector({ allowPrivateNetwork, timeout: connectMs, secureContext: trust(options.ca) })
  })
  let trouble: string | null = null
  const note = (reason: string | null): void => {
    trouble = reason
  }
  return {
    trouble: () => trouble,
    fetch: createFetch({
      agent,
      limiter: options.limiter ?? createRateLimiter(options.limits, options.now),
      checkHost: createHostCheck(options.hosts, ['https:', 'http:']),
      redact,
      describe: (error, host) => describeFailure(error, host, redact, namesOf(options.ca)),
      log,
      signal,
      retry: { attempts, baseMs, maxWaitMs },
      totalMs,
      atOnce: options.atOnce === true,
      now,
      random: options.random ?? Math.random,
      note,
      ...(options.onRequest ? { onRequest: options.onRequest } : {})
    }),
    webSocket: createWebSocket({
      checkHost: createHostCheck(options.hosts, ['wss:', 'ws:']),
      redact,
      describe: (error, host, ca) => describeFailure(error, host, redact, namesOf(options.ca, ca)),
      signal,
      allowPrivateNetwork,
      secureContext: ca => trust(options.ca, ca),
      connectMs,
      headersMs,
      note
    }),
    async close() {
      if (closing.signal.aborted) return
      closing.abort(new DOMException('The connection was closed', 'AbortError'))
      await agent.destroy()
    }
  }
}
