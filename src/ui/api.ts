import type { List, Run } from '../types.ts'
import { readEvents } from './sse.ts'

export type ProblemKind = 'session' | 'forbidden' | 'network' | 'missing' | 'busy' | 'refused' | 'server'

/** An answer that was not a success, or no answer at all (`network`). `message` is the server's own sentence. */
export class ApiError extends Error {
  readonly kind: ProblemKind
  readonly code: string
  readonly status: number
  /** `RMM_ERR_ALREADY_CONNECTED`: which connection has the account. */
  readonly connectionId: string | null

  constructor(kind: ProblemKind, status: number, code: string, message: string, connectionId: string | null = null) {
    super(message)
    this.kind = kind
    this.status = status
    this.code = code
    this.connectionId = connectionId
  }
}

/** A bearer token, or how to get one. Asked before every request, so that a host may renew it. */
export type Token = string | null | undefined | (() => string | null | undefined | Promise<string | null | undefined>)

export type Query = Record<string, string | number | boolean | undefined>

export interface Api {
  get<T>(path: string, query?: Query, signal?: AbortSignal): Promise<T>
  send<T>(method: 'POST' | 'PATCH' | 'PUT' | 'DELETE', path: string, body?: unknown): Promise<T>
  /** Every item of a list, page after page, at most `most`. */
  all<T>(
    path: string,
    options?: { query?: Query; signal?: AbortSignal; most?: number; onProgress?: (count: number) => void }
  ): Promise<T[]>
  /** A run as it changes, to its end; reconnects by itself. `onLost` tells when it has to, false when it is back. */
  watch(runId: string, onRun: (run: Run) => void, onLost: (lost: boolean) => void, signal: AbortSignal): Promise<void>
}

const pageSize = 200
const kinds: Record<number, ProblemKind> = {
  401: 'session',
  403: 'forbidden',
  404: 'missing',
  429: 'busy',
  503: 'busy'
}

/** Talks to the routes below `base`. `onSession` is called when the server says that nobody is signed in. */
export function createApi(base: URL, token: () => Token, onSession: () => void): Api {
  async function request(method: string, path: string, init: RequestInit, query: Query = {}): Promise<Response> {
    const url = new URL(path, base)
    for (const [name, value] of Object.entries(query))
      if (value !== undefined && value !== '') url.searchParams.set(name, String(value))
    const headers = new Headers(init.headers)
    let response: Response
    try {
      const given = token()
      const bearer = typeof given === 'function' ? await given() : given
      if (bearer) headers.set('authorization', `Bearer ${bearer}`)
      response = await fetch(url, { ...init, method, headers, credentials: 'same-origin', cache: 'no-store' })
    } catch (error) {
      if (init.signal?.aborted) throw error
      throw new ApiError('network', 0, 'NETWORK', '')
    }
    if (response.ok && !signedOut(response)) return response
    const problem = await problemOf(response)
    if (problem.kind === 'session') onSession()
    throw problem
  }

  async function json<T>(response: Response): Promise<T> {
    if (response.status === 204) return undefined as T
    try {
      return (await response.json()) as T
    } catch {
      throw new ApiError('network', 0, 'NETWORK', '')
    }
  }

  const api: Api = {
    get: async (path, query, signal) => await json(await request('GET', path, signal ? { signal } : {}, query)),
    async send(method, path, body) {
      const init =
        body === undefined ? {} : { body: JSON.stringify(body), headers: { 'content-type': 'application/json' } }
      return await json(await request(method, path, init))
    },
    async all<T>(
      path: string,
      {
        query = {},
        signal,
        most = 50_000,
        onProgress
      }: { query?: Query; signal?: AbortSignal; most?: number; onProgress?: (count: number) => void } = {}
    ) {
      const items: T[] = []
      let cursor: string | undefined
      do {
        const page: List<T> = await api.get(path, { ...query, limit: pageSize, cursor }, signal)
        items.push(...page.items)
        cursor = page.nextCursor ?? undefined
        if (cursor !== undefined) onProgress?.(items.length)
      } while (cursor !== undefined && items.length < most)
      return items
    },
    async watch(runId, onRun, onLost, signal) {
      for (let failures = 0; !signal.aborted; ) {
        try {
          const response = await request('GET', `runs/${encodeURIComponent(runId)}/events`, {
            signal,
            headers: { accept: 'text/event-stream' }
          })
          for await (const { event, data } of readEvents(response.body!)) {
            failures = 0
            onLost(false)
            onRun(JSON.parse(data) as Run)
            if (event === 'done') return
          }
        } catch (error) {
          if (signal.aborted) return
          if (error instanceof ApiError && !['network', 'busy', 'server'].includes(error.kind)) throw error
        }
        onLost(true)
        await pause(Math.min(1000 * 2 ** failures++, 15_000), signal)
      }
    }
  }
  return api
}

/** A host that answers a lost session by sending its log-in page instead of 401. */
function signedOut(response: Response): boolean {
  return response.redirected && response.headers.get('content-type')?.startsWith('text/html') === true
}

async function problemOf(response: Response): Promise<ApiError> {
  if (signedOut(response)) return new ApiError('session', 401, 'SIGNED_OUT', '')
  const body = (await response.json().catch(() => null)) as {
    code?: unknown
    message?: unknown
    error?: unknown
    connectionId?: unknown
  } | null
  const connectionId = typeof body?.connectionId === 'string' ? body.connectionId : null
  const kind = kinds[response.status] ?? (response.status < 500 || response.status === 502 ? 'refused' : 'server')
  // A proxy in front of a server that is restarting answers 502 or 504 with a page of its own.
  if (body === null && response.status >= 502) return new ApiError('network', response.status, 'GATEWAY', '')
  return new ApiError(kind, response.status, String(body?.code ?? ''), messageOf(body), connectionId)
}

/** Ours, or what a host's own error format has in its place. */
function messageOf(body: { message?: unknown; error?: unknown } | null): string {
  const inner = body?.error as { message?: unknown } | null | undefined
  return [body?.message, inner?.message, inner].find((text): text is string => typeof text === 'string') ?? ''
}

function pause(ms: number, signal: AbortSignal): Promise<void> {
  return new Promise(resolve => {
    const timer = setTimeout(resolve, ms)
    signal.addEventListener(
      'abort',
      () => {
        clearTimeout(timer)
        resolve()
      },
      { once: true }
    )
  })
}
