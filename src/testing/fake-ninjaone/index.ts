import { randomUUID } from 'node:crypto'
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { text } from 'node:stream/consumers'
import { answer, type NinjaAnswer, type NinjaCall, type NinjaState, type NinjaWebhook } from './routes.ts'
import type { NinjaActivity } from './types.ts'
import { type NinjaSeed, NinjaWorld } from './world.ts'

export interface FakeNinjaOptions extends NinjaSeed {
  /** Default 0 = any free port. Always on 127.0.0.1. */
  port?: number
  /** Default `ninja-test-client`. */
  clientId?: string
  /** Default `ninja-test-client-secret`. */
  clientSecret?: string
  /** Seconds a token is good for. Default 3600. */
  tokenSeconds?: number
  /** Most rows of a page, whatever the client asks for: many pages from few records. Default 1000. */
  maxPage?: number
  /** Default: the system clock. */
  now?(): Date
}

/** Answers a request in the platform's place, knowing what it would say; undefined lets it answer by itself. */
export type NinjaFault = (call: NinjaCall, truth: () => NinjaAnswer) => NinjaAnswer | 'reset' | 'html' | undefined

export interface FakeNinja {
  /** `http://127.0.0.1:<port>`, for the config's `baseUrl`. */
  url: string
  port: number
  clientId: string
  clientSecret: string
  world: NinjaWorld
  /** The webhook that was set; its activities are sent while the server runs. */
  readonly webhook: NinjaWebhook | null
  /** Whether the API client may set the webhook. Default true. */
  administrator(may: boolean): void
  /** Ends all tokens. */
  revoke(): void
  /** Ends all cursors of reports. */
  expireCursors(): void
  /** Answers activities as `{ lastActivityId, activities }`. */
  wrapActivities(wrap: boolean): void
  /** Null takes it back. */
  fail(fault: NinjaFault | null): void
  /** Every request since the start: method and path. Set `length = 0` to forget them. */
  requests: string[]
  /** Token requests since the start. */
  readonly logins: number
  /** What the webhook's receiver answered. */
  delivered: Array<{ activity: NinjaActivity; status: number }>
  close(): Promise<void>
}

/**
 * Starts a NinjaOne of your own: a real HTTP server with OAuth tokens, organizations and locations, devices, patches,
 * alerts, activities and the one webhook, from the published specification. Pages tell nothing of what follows, and a
 * short page is not the last one.
 */
export async function startFakeNinjaOne(options: FakeNinjaOptions = {}): Promise<FakeNinja> {
  const { clientId = 'ninja-test-client', clientSecret = 'ninja-test-client-secret', tokenSeconds = 3600 } = options
  const now = options.now ?? (() => new Date())
  const tokens = new Map<string, number>()
  const requests: string[] = []
  const delivered: FakeNinja['delivered'] = []
  const state: NinjaState = {
    world: new NinjaWorld(now, options),
    webhook: null,
    administrator: true,
    maxPage: options.maxPage ?? 1000,
    cursors: new Map(),
    wrapActivities: false
  }
  let logins = 0
  let fault: NinjaFault | null = null

  function logIn(form: URLSearchParams): NinjaAnswer {
    logins++
    const known = form.get('client_id') === clientId && form.get('client_secret') === clientSecret
    if (!known) return { status: 401, body: { error: 'invalid_client' } }
    if (form.get('grant_type') !== 'client_credentials')
      return { status: 400, body: { error: 'unsupported_grant_type' } }
    const token = randomUUID()
    tokens.set(token, now().getTime() + tokenSeconds * 1000)
    return {
      status: 200,
      body: { access_token: token, expires_in: tokenSeconds, token_type: 'Bearer', scope: form.get('scope') }
    }
  }

  function respond(request: IncomingMessage, call: NinjaCall, raw: string) {
    const form = () => logIn(new URLSearchParams(raw))
    if (call.path === '/ws/oauth/token') return fault?.(call, form) ?? form()
    const token = request.headers.authorization?.replace(/^Bearer /, '') ?? ''
    if ((tokens.get(token) ?? 0) <= now().getTime()) return { status: 401, body: { error: 'invalid_token' } }
    const truth = () => answer(call, state)
    return fault?.(call, truth) ?? truth()
  }

  async function onRequest(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const { pathname, searchParams } = new URL(request.url ?? '/', 'http://fake')
    const raw = await text(request)
    const json = request.headers['content-type']?.includes('json') && raw !== ''
    const call = {
      method: request.method ?? 'GET',
      path: pathname,
      query: searchParams,
      body: json ? JSON.parse(raw) : raw
    }
    requests.push(`${call.method} ${pathname}`)
    write(request, response, respond(request, call, raw))
  }

  const server = createServer((request, response) => {
    onRequest(request, response).catch(error => response.destroy(error as Error))
  })
  await new Promise<void>((resolve, reject) =>
    server.once('error', reject).listen(options.port ?? 0, '127.0.0.1', resolve)
  )
  const { port } = server.address() as AddressInfo
  const stop = new AbortController()
  state.world.publish = activity => {
    const { webhook } = state
    if (webhook?.activities[activity.activityType]?.includes(activity.statusCode))
      void deliver(webhook, activity, stop.signal).then(status => delivered.push({ activity, status }))
  }

  return {
    url: `http://127.0.0.1:${port}`,
    port,
    clientId,
    clientSecret,
    world: state.world,
    get webhook() {
      return state.webhook
    },
    administrator: may => void (state.administrator = may),
    revoke: () => tokens.clear(),
    expireCursors: () => state.cursors.clear(),
    wrapActivities: wrap => void (state.wrapActivities = wrap),
    fail: given => void (fault = given),
    requests,
    get logins() {
      return logins
    },
    delivered,
    async close() {
      stop.abort()
      const closed = new Promise<void>(resolve => server.close(() => resolve()))
      server.closeAllConnections()
      await closed
    }
  }
}

function write(request: IncomingMessage, response: ServerResponse, given: NinjaAnswer | 'reset' | 'html'): void {
  if (given === 'reset') request.socket.resetAndDestroy()
  else if (given === 'html')
    response.writeHead(200, { 'content-type': 'text/html' }).end('<!doctype html><title>Maintenance</title>')
  else if (given.body === undefined) response.writeHead(given.status, given.headers).end()
  else
    response
      .writeHead(given.status, { 'content-type': 'application/json', ...given.headers })
      .end(JSON.stringify(given.body))
}

/** The status, 0 where nobody answered. */
async function deliver(webhook: NinjaWebhook, activity: NinjaActivity, signal: AbortSignal): Promise<number> {
  const own = Object.fromEntries(webhook.headers.map(({ name, value }) => [name, value]))
  const headers = { 'content-type': 'application/json', ...own }
  return await fetch(webhook.url, { method: 'POST', headers, body: JSON.stringify(activity), signal }).then(
    ({ status }) => status,
    () => 0
  )
}

export type { NinjaAnswer, NinjaCall, NinjaWebhook } from './routes.ts'
export type { NinjaActivity, NinjaAlert, NinjaDevice, NinjaLocation, NinjaOrganization, NinjaPatch } from './types.ts'
export type { NinjaSeed, NinjaWorld } from './world.ts'
