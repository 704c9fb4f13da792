import { Agent, WebSocket } from 'undici'
import type { Dispatcher } from 'undici'
import type { IncomingHttpHeaders } from 'node:http'
import type { Socket } from 'node:net'
import type { SecureContext } from 'node:tls'
import { ProviderError } from '../../providers/define.ts'
import type { ProviderSocket, ProviderWebSocket } from '../../providers/define.ts'
import { type Failure, redirectFailure } from './failures.ts'
import type { Redact } from './redact.ts'
import { guardedConnector } from './hosts.ts'

export interface SocketDeps {
  checkHost(address: string | URL): URL
  redact: Redact
  /** What was thrown, as a sentence for the operator; `ca` is the one given for this socket. */
  describe(error: unknown, host: string, ca?: string): Failure
  signal: AbortSignal
  allowPrivateNetwork: boolean
  secureContext(ca: string | undefined): SecureContext | undefined
  connectMs: number
  headersMs: number
  /** Told how every handshake ended: with a sentence where it failed. */
  note(trouble: string | null): void
}

type Options = Parameters<ProviderWebSocket>[1]

/** What happened on the wire below the WebSocket, which itself only says "error". */
interface Wire {
  agent: Agent
  dispatcher: Dispatcher
  raw: Socket | null
  error: unknown
  refusal: { status: number; location: string | undefined } | null
}

const defaultMaxMessage = 256 * 1024 * 1024
/** Milliseconds a peer gets to answer our close frame. */
const closeGraceMs = 5000

/** Passes everything on, and notes the status of a server that answers an upgrade with anything else. */
function noteRefusal(handler: Dispatcher.DispatchHandler, wire: Wire): Dispatcher.DispatchHandler {
  const note = (status: number, headers: IncomingHttpHeaders) => {
    if (status >= 200) wire.refusal = { status, location: headers.location }
  }
  return {
    onRequestStart: (...args) => handler.onRequestStart?.(...args),
    onRequestUpgrade(controller, status, headers, socket) {
      note(status, headers)
      handler.onRequestUpgrade?.(controller, status, headers, socket)
    },
    onResponseStart(controller, status, headers, text) {
      note(status, headers)
      handler.onResponseStart?.(controller, status, headers, text)
    },
    onResponseData: (...args) => handler.onResponseData?.(...args),
    onResponseEnd: (...args) => handler.onResponseEnd?.(...args),
    onResponseError(controller, error) {
      wire.error ??= error
      handler.onResponseError?.(controller, error)
    }
  }
}

function openWire(deps: SocketDeps, options: Options): Wire {
  const { allowPrivateNetwork, connectMs: timeout } = deps
  const connect = guardedConnector({ allowPrivateNetwork, timeout, secureContext: deps.secureContext(options.ca) })
  const agent = new Agent({
    allowH2: false,
    headersTimeout: deps.headersMs,
    webSocket: { maxPayloadSize: options.maxMessageBytes ?? defaultMaxMessage },
    connect(target, callback) {
      // undici's WebSocket cannot be terminated, and its error event has no cause: keep both here.
      const connecting = connect(target, (error, socket) => {
        wire.error ??= error
        wire.raw = socket
        if (error) callback(error, null)
        else callback(null, socket!)
      })
      wire.raw ??= connecting ?? null
    }
  })
  const dispatcher = agent.compose(dispatch => (request, handler) => dispatch(request, noteRefusal(handler, wire)))
  const wire: Wire = { agent, dispatcher, raw: null, error: null, refusal: null }
  return wire
}

function dropWire(wire: Wire) {
  wire.raw?.destroy()
  wire.agent.destroy().catch(() => {})
}

function handshakeFailure(wire: Wire, url: URL, deps: SocketDeps, eventError: unknown, ca?: string): ProviderError {
  const { refusal } = wire
  if (!refusal) return deps.describe(wire.error ?? eventError, url.host, ca).error
  const { status, location } = refusal
  if (status >= 300 && status < 400) return redirectFailure(url, location, deps.redact)
  if (status === 401)
    return new ProviderError('auth', `${url.host} refused the credentials for its WebSocket (status 401). Check them`)
  if (status === 403)
    return new ProviderError(
      'forbidden',
      `${url.host} does not allow this WebSocket (status 403). Check the account's rights, and any address filter on the server`
    )
  if (status === 429) return new ProviderError('rate_limited', `${url.host} is too busy for us (status 429)`)
  if (status >= 500)
    return new ProviderError(
      'unreachable',
      `${url.host} failed with status ${status}. The fault is on that side: look at the server, and the proxy in front of it`
    )
  return new ProviderError(
    'protocol',
    `${url.host} has no WebSocket at this address (status ${status}). Check the address, and that a proxy in front of it passes WebSockets on`
  )
}

/**
 * True where a socket ended although nobody at the other end ended it: undici hangs up on what it does not take, and
 * does not say so.
 */
function hungUp(raw: Socket | null): boolean {
  return raw !== null && raw.errored === null && !raw.readableEnded
}

const toText = (data: unknown) => (typeof data === 'string' ? data : Buffer.from(data as ArrayBuffer).toString('utf8'))

/**
 * Wires an opened WebSocket to the provider's callbacks; `onClose` fires exactly once, and no message comes after it.
 */
function bind(ws: WebSocket, wire: Wire, options: Options, signal: AbortSignal, redact: Redact): ProviderSocket {
  let closed = false
  let timer: NodeJS.Timeout | undefined
  const finish = (code: number, reason: string, refused = false) => {
    if (closed) return
    closed = true
    clearTimeout(timer)
    signal.removeEventListener('abort', abort)
    dropWire(wire)
    options.onClose({ code, reason: redact(reason), ...(refused ? { refused } : {}) })
  }
  const abort = () => finish(1006, '')
  ws.onmessage = event => {
    if (!closed) options.onMessage(toText(event.data))
  }
  ws.onclose = event => finish(event.code, event.reason, event.code === 1006 && hungUp(wire.raw))
  ws.onerror = null
  signal.addEventListener('abort', abort, { once: true })
  return {
    get closed() {
      return closed
    },
    send(text) {
      if (closed || ws.readyState !== WebSocket.OPEN)
        throw new ProviderError(
          'unreachable',
          'The socket to the platform is closed; it is opened again with the next connection'
        )
      ws.send(text)
    },
    close() {
      if (closed || timer) return
      timer = setTimeout(abort, closeGraceMs).unref()
      ws.close(1000)
    },
    abort
  }
}

/**
 * `webSocket` for providers: same hosts and addresses as `fetch`. Resolves once open; rejects with `ProviderError` or
 * the signal's reason.
 */
export function createWebSocket(deps: SocketDeps): ProviderWebSocket {
  return async (address, options) => {
    const url = deps.checkHost(address)
    const signal = options.signal ? AbortSignal.any([deps.signal, options.signal]) : deps.signal
    signal.throwIfAborted()
    const wire = openWire(deps, options)
    return await new Promise<ProviderSocket>((resolve, reject) => {
      let ws: WebSocket
      const settle = (act: () => void) => {
        clearTimeout(timer)
        signal.removeEventListener('abort', onAbort)
        act()
      }
      const fail = (error: unknown) =>
        settle(() => {
          if (error instanceof ProviderError) deps.note(error.message)
          if (ws) ws.onopen = ws.onclose = ws.onerror = null
          dropWire(wire)
          reject(error)
        })
      const onAbort = () => fail(signal.reason)
      const timer = setTimeout(
        () => fail(deps.describe({ code: 'UND_ERR_HEADERS_TIMEOUT', message: 'no handshake' }, url.host).error),
        deps.connectMs + deps.headersMs
      )
      signal.addEventListener('abort', onAbort, { once: true })
      try {
        ws = new WebSocket(url, {
          dispatcher: wire.dispatcher,
          ...(options.headers ? { headers: options.headers } : {})
        })
      } catch {
        fail(deps.describe({ code: 'UND_ERR_INVALID_ARG', message: 'invalid header' }, url.host).error)
        return
      }
      ws.binaryType = 'arraybuffer'
      let eventError: unknown
      ws.onerror = event => {
        eventError = event.error
      }
      ws.onclose = () => fail(handshakeFailure(wire, url, deps, eventError, options.ca))
      ws.onopen = () =>
        settle(() => {
          deps.note(null)
          resolve(bind(ws, wire, options, signal, deps.redact))
        })
    })
  }
}
