import { setTimeout as sleep } from 'node:timers/promises'
import { request } from 'undici'
import type { Agent } from 'undici'
import { ProviderError } from '../../providers/define.ts'
import type { FetchOptions, FetchResponse, ProviderFetch, ProviderLog } from '../../providers/define.ts'
import { type Failure, redirectFailure } from './failures.ts'
import type { Redact } from './redact.ts'
import type { Permit, RateLimiter } from './limiter.ts'

/** One request as it went out, for metrics; once per attempt. */
export interface RequestInfo {
  host: string
  method: string
  attempt: number
  durationMs: number
  /** Null where no answer came. */
  status: number | null
  /** Waited for the rate limit before it went out. */
  waitedMs: number
}

export interface FetchDeps {
  agent: Agent
  limiter: RateLimiter
  checkHost(address: string | URL): URL
  redact: Redact
  /** What was thrown, as a sentence for the operator. */
  describe(error: unknown, host: string): Failure
  log: ProviderLog
  signal: AbortSignal
  retry: { attempts: number; baseMs: number; maxWaitMs: number }
  totalMs: number
  /** A person waits: a pause that the platform asked for before does not keep these requests back. */
  atOnce: boolean
  now(): number
  random(): number
  /** Told how every attempt ended: with a sentence where it failed. */
  note(trouble: string | null): void
  onRequest?(info: RequestInfo): void
}

const defaultMaxBytes = 32 * 1024 * 1024
/** A platform cannot lock us out for longer with one header. */
const longestRetryAfterMs = 24 * 3_600_000

interface Call {
  url: URL
  method: string
  options: FetchOptions
  signal: AbortSignal
  retryable: boolean
}

type Outcome =
  | { response: FetchResponse }
  /** `waitMs`: not earlier than this; null where the platform said nothing. */
  | { error: ProviderError; retry: boolean; waitMs: number | null }

/**
 * Milliseconds of `Retry-After` (seconds or HTTP date), or null. A date is read by our clock and by theirs, whichever
 * says longer. At most a day.
 */
export function retryAfterMs(headers: Record<string, string>, now: number): number | null {
  const value = headers['retry-after']?.trim()
  if (!value) return null
  if (/^\d+$/.test(value)) return Math.min(longestRetryAfterMs, Number(value) * 1000)
  const until = Date.parse(value)
  if (Number.isNaN(until)) return null
  const theirs = Date.parse(headers['date'] ?? '')
  return Math.min(longestRetryAfterMs, Math.max(0, until - now, Number.isNaN(theirs) ? 0 : until - theirs))
}

function flatten(headers: Record<string, string | string[] | undefined>): Record<string, string> {
  const flat: Record<string, string> = {}
  for (const [name, value] of Object.entries(headers)) {
    if (value !== undefined) flat[name.toLowerCase()] = Array.isArray(value) ? value.join(', ') : value
  }
  return flat
}

function toResponse(host: string, status: number, headers: Record<string, string>, body: Buffer): FetchResponse {
  const text = () => body.toString('utf8')
  return {
    status,
    headers,
    text,
    json() {
      try {
        return JSON.parse(text().replace(/^\uFEFF/, ''))
      } catch {
        const html = /html/i.test(headers['content-type'] ?? '') || /^\s*</.test(body.toString('utf8', 0, 200))
        const what =
          body.length === 0 ? 'an empty answer' : html ? 'a web page' : 'something that is not (complete) JSON'
        throw new ProviderError(
          'protocol',
          `${host} answered ${status} with ${what} instead of JSON. Check the address of this connection, and any proxy or sign-in page in front of it`
        )
      }
    }
  }
}

async function readBody(body: AsyncIterable<Buffer>, host: string, maxBytes: number): Promise<Buffer> {
  const chunks: Buffer[] = []
  let size = 0
  for await (const chunk of body) {
    size += chunk.length
    // Throwing out of the loop destroys the body and its socket.
    if (size > maxBytes)
      throw new ProviderError(
        'protocol',
        `${host} answered with more than ${maxBytes} bytes, which is not read further`
      )
    chunks.push(chunk)
  }
  return Buffer.concat(chunks)
}

async function exchange(deps: FetchDeps, call: Call, attempt: number, waitedMs: number): Promise<FetchResponse> {
  const { url, method, options } = call
  const started = deps.now()
  const deadline = new AbortController()
  const timer = setTimeout(
    () => deadline.abort(Object.assign(new Error('total time-out'), { code: 'RMM_TOTAL_TIMEOUT' })),
    deps.totalMs
  )
  let status: number | null = null
  try {
    const answer = await request(url, {
      dispatcher: deps.agent,
      method: method as 'GET',
      headers: { accept: 'application/json', 'user-agent': 'fastify-rmm-sync', ...options.headers },
      body: options.body ?? null,
      signal: AbortSignal.any([call.signal, deadline.signal])
    })
    status = answer.statusCode
    const headers = flatten(answer.headers)
    if (status >= 300 && status < 400 && status !== 304) {
      await answer.body.dump({ limit: 1024 }).catch(() => {})
      throw redirectFailure(url, headers['location'], deps.redact)
    }
    return toResponse(
      url.host,
      status,
      headers,
      await readBody(answer.body, url.host, options.maxBytes ?? defaultMaxBytes)
    )
  } finally {
    clearTimeout(timer)
    const durationMs = deps.now() - started
    deps.onRequest?.({ host: url.host, method, attempt, durationMs, status, waitedMs })
    deps.log.debug(
      { host: url.host, method, path: deps.redact(url.pathname), status, attempt, durationMs },
      'platform request'
    )
  }
}

function judge(deps: FetchDeps, call: Call, response: FetchResponse): Outcome {
  const { status } = response
  if (status !== 429 && status < 500) return { response }
  const { host } = call.url
  const waitMs = retryAfterMs(response.headers, deps.now())
  const long = waitMs !== null && waitMs > deps.retry.maxWaitMs
  const options = waitMs === null ? {} : { retryAfterMs: waitMs }
  const error =
    status === 429 || long
      ? new ProviderError(
          'rate_limited',
          `${host} is too busy for us (status ${status})${waitMs === null ? '' : ` and asks to wait ${Math.ceil(waitMs / 1000)} s`}. The work goes on later; lower the requests per minute if this happens often`,
          options
        )
      : new ProviderError(
          'unreachable',
          `${host} failed with status ${status}. The fault is on that side: try again later, and look at its status page or log`,
          options
        )
  return { error, retry: !long, waitMs }
}

/** One try, with a permit held from start to the last byte. */
async function attemptOnce(deps: FetchDeps, call: Call, attempt: number, backoffMs: number): Promise<Outcome> {
  const asked = deps.now()
  const permit: Permit = await deps.limiter.acquire(call.signal, deps.retry.maxWaitMs, deps.atOnce)
  try {
    const response = await exchange(deps, call, attempt, deps.now() - asked)
    const outcome = judge(deps, call, response)
    deps.note('error' in outcome ? outcome.error.message : null)
    if (response.status === 429) {
      const told = 'waitMs' in outcome ? outcome.waitMs : null
      const reason = 'error' in outcome ? outcome.error.message : undefined
      permit.throttled(told ?? backoffMs, told !== null, reason)
    } else if (deps.atOnce && response.status < 500) permit.answered()
    return outcome
  } catch (error) {
    call.signal.throwIfAborted()
    const failure = deps.describe(error, call.url.host)
    deps.note(failure.error.message)
    return { error: failure.error, retry: !failure.permanent, waitMs: null }
  } finally {
    permit.release()
  }
}

/**
 * `fetch` for providers: one connection's hosts, rate limit, bounded retries. Rejects with `ProviderError` or the
 * signal's reason.
 */
export function createFetch(deps: FetchDeps): ProviderFetch {
  return async (address, options = {}) => {
    const url = deps.checkHost(address)
    const method = options.method ?? 'GET'
    const signal = options.signal ? AbortSignal.any([deps.signal, options.signal]) : deps.signal
    const call = { url, method, options, signal, retryable: options.idempotent ?? method === 'GET' }
    const { attempts, baseMs, maxWaitMs } = deps.retry
    for (let attempt = 1; ; attempt++) {
      const backoffMs = Math.min(maxWaitMs, baseMs * 2 ** (attempt - 1)) * (0.5 + deps.random() / 2)
      const outcome = await attemptOnce(deps, call, attempt, backoffMs)
      if ('response' in outcome) return outcome.response
      if (!outcome.retry || !call.retryable || attempt >= attempts) throw outcome.error
      // A told wait is a lower bound; the jitter on top keeps several runs from coming back in the same instant.
      const waitMs = outcome.waitMs === null ? backoffMs : outcome.waitMs + (baseMs * deps.random()) / 2
      deps.log.info(
        { host: url.host, attempt, waitMs: Math.round(waitMs), reason: outcome.error.message },
        'platform request will be repeated'
      )
      await sleep(waitMs, undefined, { signal }).catch(error => {
        signal.throwIfAborted()
        throw error
      })
    }
  }
}
