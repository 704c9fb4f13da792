/**
 * One request as the fake server sees it. `path` is decoded from nothing: it is the path as sent, without the query.
 */
export interface FakeRequest {
  method: string
  path: string
  query: URLSearchParams
}

/**
 * What may go wrong:
 *
 * - `status`: the answer is this status with `{ error }` (updates 403, alerts 404, 500, …);
 * - `empty-page`: `has_more: true` with no data; `repeated-cursor`: the first page again, with `has_more: true`;
 * - `missing-last-id`: `has_more: true`, and the last record has no id;
 * - `cursor-deleted`: the page is true, then its last record is deleted;
 * - `malformed-record`: of one record in the middle only the id is as documented; `unidentified-record`: it has no id;
 * - `short-list`: half of the page, and `has_more: false`; `moved`: the last record of the page before comes once more;
 * - `rate-limited`: 429 with `retryAfter`;
 * - `html`: 200 with a page of HTML; `truncated`: 200 with half of the JSON; `cut-body`: the connection dies in the
 * body;
 * - `slow-body`: half of the body, the rest after `delayMs`; `no-answer`: nothing at all; `reset`: the connection
 * dies at once;
 * - `redirect`: 302 to `location`.
 */
export type FaultKind =
  | 'empty-page'
  | 'repeated-cursor'
  | 'missing-last-id'
  | 'cursor-deleted'
  | 'malformed-record'
  | 'unidentified-record'
  | 'short-list'
  | 'moved'
  | 'rate-limited'
  | 'html'
  | 'truncated'
  | 'cut-body'
  | 'slow-body'
  | 'no-answer'
  | 'reset'
  | 'redirect'

export interface FaultOptions {
  /** Path prefix or pattern. Default: every path. */
  path?: string | RegExp
  method?: string
  /** Query values the request must have, e.g. `{ status: 'available' }`. */
  query?: Record<string, string>
  /** Requests to fail. Default 1; `Infinity` = until cleared. */
  times?: number
  /** Matching requests that pass before the first one fails. Default 0. */
  after?: number
  /** Give this or `kind`. */
  status?: number
  kind?: FaultKind
  /**
   * Seconds, a time (sent as an HTTP date), any text, or null for no header. Default 1. Goes with `rate-limited` and
   * `status`.
   */
  retryAfter?: number | Date | string | null
  /** Milliseconds of `slow-body`. Default 60,000. */
  delayMs?: number
  /** Target of `redirect`. Default `https://elsewhere.example/`. */
  location?: string
}

export interface Fault {
  /** Requests that failed so far. */
  readonly hits: number
  clear(): void
}

export interface Faults {
  /** Throws `TypeError` where neither `status` nor `kind` is given. */
  add(options: FaultOptions): Fault
  clear(): void
  /** The first fault that wants this request, and counts it. */
  take(request: FakeRequest): FaultOptions | undefined
}

export function createFaults(): Faults {
  const active = new Set<{ options: FaultOptions; passed: number; hits: number }>()
  return {
    add(options) {
      if ((options.status === undefined) === (options.kind === undefined))
        throw new TypeError('a fault needs either status or kind')
      const fault = { options, passed: 0, hits: 0 }
      active.add(fault)
      return {
        get hits() {
          return fault.hits
        },
        clear: () => {
          active.delete(fault)
        }
      }
    },
    clear: () => active.clear(),
    take(request) {
      for (const fault of active) {
        if (!matches(fault.options, request)) continue
        if (fault.passed < (fault.options.after ?? 0)) fault.passed++
        else if (fault.hits < (fault.options.times ?? 1)) {
          fault.hits++
          return fault.options
        }
      }
      return undefined
    }
  }
}

function matches({ path, method, query }: FaultOptions, request: FakeRequest): boolean {
  if (method !== undefined && method !== request.method) return false
  if (typeof path === 'string' ? !request.path.startsWith(path) : path && !path.test(request.path)) return false
  return Object.entries(query ?? {}).every(([name, value]) => request.query.get(name) === value)
}

/** `Retry-After` as the fault wants it. */
export function retryAfter({ retryAfter = 1 }: FaultOptions): Record<string, string> {
  if (retryAfter === null) return {}
  return { 'retry-after': retryAfter instanceof Date ? retryAfter.toUTCString() : String(retryAfter) }
}

export const pageFaults: ReadonlySet<FaultKind | undefined> = new Set<FaultKind>([
  'empty-page',
  'repeated-cursor',
  'missing-last-id',
  'cursor-deleted',
  'malformed-record',
  'unidentified-record',
  'short-list',
  'moved'
])
