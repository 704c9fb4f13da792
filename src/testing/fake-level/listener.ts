import type { IncomingMessage, ServerResponse } from 'node:http'
import { setTimeout as wait } from 'node:timers/promises'
import { type FakeRequest, type FaultKind, type FaultOptions, type Faults, pageFaults, retryAfter } from './faults.ts'
import { type Answer, failure, notFound, type RouteContext } from './route.ts'
import { findRoute } from './routes.ts'

export interface LoggedRequest {
  method: string
  /** As sent, still encoded, without the query. */
  path: string
  query: Record<string, string>
  /** Null until answered, and for good where the connection died. */
  status: number | null
  time: Date
}

export interface ListenerOptions {
  apiKey: string
  readOnlyKey: string
  latencyMs: number
  now(): Date
  faults: Faults
  context: RouteContext
  signal: AbortSignal
}

/** The server's request handler: log, latency, faults, key, route, answer; in this order. */
export function listener(options: ListenerOptions) {
  const requests: LoggedRequest[] = []
  let inFlight = 0
  let maxInFlight = 0

  async function answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const url = new URL(request.url ?? '/', 'http://fake')
    const seen = { method: request.method ?? 'GET', path: url.pathname, query: url.searchParams }
    const entry: LoggedRequest = {
      method: seen.method,
      path: seen.path,
      query: Object.fromEntries(seen.query),
      status: null,
      time: options.now()
    }
    requests.push(entry)
    response.once('finish', () => {
      entry.status = response.statusCode
    })
    const body = await readBody(request)
    if (options.latencyMs > 0) await wait(options.latencyMs, undefined, { signal: options.signal })
    const fault = options.faults.take(seen)
    if (fault && !pageFaults.has(fault.kind) && playInstead(fault, request, response)) return
    const truth = options.context.state
    const again = fault?.kind === 'repeated-cursor' ? { ...seen, query: without(seen.query, 'starting_after') } : seen
    const one = (id: string): unknown =>
      respond(options, request, { ...seen, path: `${seen.path}/${encodeURIComponent(id)}` }, '').body
    await write(response, shape(fault, respond(options, request, again, body), seen, truth, one), fault, options.signal)
  }

  return {
    requests,
    maxInFlight: () => maxInFlight,
    onRequest(request: IncomingMessage, response: ServerResponse): void {
      maxInFlight = Math.max(maxInFlight, ++inFlight)
      response.once('close', () => {
        inFlight--
      })
      answer(request, response).catch(error => {
        // The peer went away or the server is closing; anything else is a bug of the fake and must be seen.
        if (options.signal.aborted || request.socket.destroyed) response.destroy()
        else if (!response.headersSent)
          response.writeHead(500).end(JSON.stringify({ error: `fake Level: ${String(error)}` }))
        else response.destroy()
      })
    }
  }
}

function respond(options: ListenerOptions, request: IncomingMessage, seen: FakeRequest, text: string): Answer {
  const key = request.headers.authorization
  if (key !== options.apiKey && key !== options.readOnlyKey) return failure(401, 'Access denied')
  const found = findRoute(seen.method, seen.path)
  if (!found) return notFound()
  if (found.route.write && key === options.readOnlyKey) return failure(403, 'This API key is read-only')
  let body: unknown
  try {
    body = text === '' ? {} : JSON.parse(text)
  } catch {
    return failure(400, 'Invalid JSON')
  }
  if (body === null || typeof body !== 'object' || Array.isArray(body))
    return failure(400, 'The body must be an object')
  return found.route.handle({ ...seen, id: found.id, body: body as Record<string, unknown> }, options.context)
}

/** Plays the faults that need no true answer. False = it needs one. */
function playInstead(fault: FaultOptions, request: IncomingMessage, response: ServerResponse): boolean {
  if (fault.status !== undefined || fault.kind === 'rate-limited') {
    const status = fault.status ?? 429
    const limited = status === 429 || fault.retryAfter !== undefined
    response.writeHead(status, { 'content-type': 'application/json', ...(limited ? retryAfter(fault) : {}) })
    response.end(JSON.stringify({ error: status === 429 ? 'Too many requests' : `Status ${status}` }))
  } else if (fault.kind === 'reset') request.socket.resetAndDestroy()
  else if (fault.kind === 'redirect')
    response.writeHead(302, { location: fault.location ?? 'https://elsewhere.example/' }).end()
  else if (fault.kind === 'html')
    response
      .writeHead(200, { 'content-type': 'text/html' })
      .end('<!doctype html><title>Maintenance</title><p>Back soon')
  else return fault.kind === 'no-answer'
  return true
}

/** Lies about a page. Answers that are no page stay as they are. */
function shape(
  fault: FaultOptions | undefined,
  answer: Answer,
  seen: FakeRequest,
  state: RouteContext['state'],
  one: (id: string) => unknown
): Answer {
  if (!fault || !pageFaults.has(fault.kind) || answer.status !== 200) return answer
  const page = answer.body as { data?: Array<{ id: string }> }
  const last = page.data?.at(-1)
  if (!page.data) return answer
  if (fault.kind === 'cursor-deleted') {
    const list = /^\/v2\/(groups|devices|alerts|updates|tags)$/.exec(seen.path)?.[1] as
      | 'groups'
      | 'devices'
      | 'alerts'
      | 'updates'
      | 'tags'
      | undefined
    if (list && last) state[list].delete(last.id)
    state.moved()
    return answer
  }
  const { data } = page
  const middle = data[(data.length - 1) >> 1]
  const before = seen.query.get('starting_after')
  const altered: Partial<Record<FaultKind, () => object>> = {
    'empty-page': () => ({ data: [], has_more: true }),
    'repeated-cursor': () => ({ data, has_more: true }),
    'missing-last-id': () => ({ data: instead(data, last, { id: undefined }), has_more: true }),
    'malformed-record': () => ({ ...page, data: instead(data, middle, malformed(middle)) }),
    'unidentified-record': () => ({ ...page, data: instead(data, middle, { id: undefined }) }),
    'short-list': () => ({ data: data.slice(0, data.length >> 1), has_more: false }),
    moved: () => ({ ...page, data: [...(before === null ? [] : [one(before)]), ...data] })
  }
  return { status: 200, body: altered[fault.kind!]?.() ?? page }
}

const instead = <T extends object>(data: T[], which: T | undefined, other: object): object[] =>
  data.map(record => (record === which ? { ...record, ...other } : record))

/** Every field but the id is of a type that it never has. */
const malformed = (record: object = {}): object =>
  Object.fromEntries(Object.keys(record).map(key => (key === 'id' ? [key, record[key as never]] : [key, { odd: [0] }])))

async function write(
  response: ServerResponse,
  { status, body }: Answer,
  fault: FaultOptions | undefined,
  signal: AbortSignal
): Promise<void> {
  if (body === undefined) {
    response.writeHead(status).end()
    return
  }
  const bytes = Buffer.from(JSON.stringify(body))
  const half = bytes.subarray(0, bytes.length >> 1)
  const whole = fault?.kind === 'truncated' ? half : bytes
  response.writeHead(status, { 'content-type': 'application/json', 'content-length': whole.length })
  if (fault?.kind === 'cut-body') response.write(half, () => response.destroy())
  else if (fault?.kind === 'slow-body') {
    response.write(half)
    await wait(fault.delayMs ?? 60_000, undefined, { signal })
    response.end(bytes.subarray(half.length))
  } else response.end(whole)
}

async function readBody(request: IncomingMessage): Promise<string> {
  const chunks: Buffer[] = []
  for await (const chunk of request) chunks.push(chunk as Buffer)
  return Buffer.concat(chunks).toString()
}

function without(query: URLSearchParams, name: string): URLSearchParams {
  const copy = new URLSearchParams(query)
  copy.delete(name)
  return copy
}
