import { randomUUID } from 'node:crypto'
import { ProviderError, type ProviderContext, type ProviderSocket } from '../define.ts'
import { Correlator, type Command, type Frame } from './correlate.ts'
import { endOf, isObject, readAccount, readServerInfo, type Account, type ServerInfo } from './frames.ts'
import { GroupView } from './group-view.ts'
import { parseFrame } from './large-frame.ts'

export interface SessionOptions {
  ctx: Pick<ProviderContext<unknown, unknown>, 'fetch' | 'webSocket' | 'log'>
  /** Of `control.ashx`, scheme `ws:` or `wss:`. */
  controlUrl: URL
  /** Of `health.ashx`, asked first because a WebSocket that fails does not say why. */
  healthUrl: URL
  credentials: { username: string; password: string; token?: string | undefined }
  ca: string | undefined
  requestTimeoutMs: number
  pingMs: number
  signal: AbortSignal
  /** Called once, when the session is over for whatever reason. */
  onEnd(reason: ProviderError): void
}

export interface RequestOptions {
  signal: AbortSignal
  /** What silence means for this request; the server does not answer what the account may not do. */
  silence?: { kind: 'forbidden' | 'protocol'; message: string }
}

/** No reply in time: MeshCentral's way of saying no, or a server that hangs. */
export class NoReplyError extends ProviderError {}

/** Rejects with the signal's reason as soon as it fires; what `promise` does later is ignored. */
export async function untilAborted<T>(promise: Promise<T>, signal: AbortSignal): Promise<T> {
  signal.throwIfAborted()
  let onAbort = () => {}
  const aborted = new Promise<never>((_resolve, reject) => {
    onAbort = () => reject(signal.reason as Error)
    signal.addEventListener('abort', onAbort, { once: true })
  })
  try {
    return await Promise.race([promise, aborted])
  } finally {
    signal.removeEventListener('abort', onAbort)
  }
}

/** As authenticators show a code and people paste it, it has blanks or dashes in it that the server takes for part of it. */
function codeOf(token = ''): string {
  const code = token.replace(/[\s\u200b-\u200d\u2060\ufeff]+/g, '')
  return /^[\d\p{Pd}]+$/u.test(code) ? code.replace(/\p{Pd}/gu, '') : code
}

function authHeader({ username, password, token }: SessionOptions['credentials']): string {
  const code = codeOf(token)
  const parts = code === '' ? [username, password] : [username, password, code]
  return parts.map(part => Buffer.from(part, 'utf8').toString('base64')).join(',')
}

/** The list of devices is one message, whatever their number. */
function tooLarge(host: string): ProviderError {
  return new ProviderError(
    'protocol',
    `${host} sent a message that is larger than 256 MiB, or that cannot be read. If its list of devices has grown that large, set "maxDeviceView" (for example 10000) in the domain's part of MeshCentral's config.json, so that the list comes in parts; or connect several accounts that each see a part of the device groups`
  )
}

async function preflight({ ctx, healthUrl, signal }: SessionOptions): Promise<void> {
  const { status, text } = await ctx
    .fetch(healthUrl, { signal, maxBytes: 65_536 })
    .then(answer => ({ status: answer.status, text: answer.text() }))
  if (status === 200 && text.trim() === 'ok') return
  throw new ProviderError(
    'protocol',
    `${healthUrl.host} is there but does not answer like MeshCentral (${healthUrl.pathname} gave status ${status}). Check the URL, the domain, and the proxy in front of it`
  )
}

/**
 * One logged-in control socket: requests with replies, pushes, ping. Any number of requests may be in flight.
 * After its end every request is rejected at once with the reason; a new session has to be opened.
 */
export class Session {
  info!: ServerInfo
  account!: Account
  readonly groups = new GroupView()
  ended: ProviderError | null = null
  /** Resolves when the session is over. */
  readonly over: Promise<void>
  private finish = () => {}
  private readonly options: SessionOptions
  private readonly pending = new Correlator()
  private readonly listeners = new Set<(event: Frame) => void>()
  private socket: ProviderSocket | null = null
  private pinger: NodeJS.Timeout | undefined
  private ready: (() => void) | null = null
  private refused: ((error: ProviderError) => void) | null = null
  private turn: Promise<unknown> = Promise.resolve()

  private constructor(options: SessionOptions) {
    this.options = options
    this.over = new Promise(resolve => {
      this.finish = resolve
    })
  }

  /** Resolves once `serverinfo` and `userinfo` have come: an open socket alone proves nothing. */
  static async open(options: SessionOptions): Promise<Session> {
    await preflight(options)
    const session = new Session(options)
    await session.logIn()
    return session
  }

  private async logIn(): Promise<void> {
    const { ctx, controlUrl, credentials, ca, signal, requestTimeoutMs } = this.options
    const loggedIn = new Promise<void>((resolve, reject) => {
      this.ready = resolve
      this.refused = reject
    })
    loggedIn.catch(() => {})
    const timer = setTimeout(
      () =>
        this.end(
          new ProviderError(
            'protocol',
            `${controlUrl.host} opened a socket but never said who we are: check the URL and the domain`
          )
        ),
      requestTimeoutMs
    )
    try {
      this.socket = await ctx.webSocket(controlUrl, {
        headers: { 'x-meshauth': authHeader(credentials) },
        ...(ca === undefined ? {} : { ca }),
        signal,
        onMessage: text => this.receive(text),
        onClose: ({ code, refused }) =>
          this.end(
            refused
              ? tooLarge(controlUrl.host)
              : new ProviderError('unreachable', `The connection to ${controlUrl.host} was lost (${code})`)
          )
      })
      if (this.ended) this.socket.abort()
      await untilAborted(loggedIn, signal)
    } catch (error) {
      this.end(
        error instanceof ProviderError
          ? error
          : new ProviderError('unreachable', `No session with ${controlUrl.host}`, { cause: error })
      )
      throw error
    } finally {
      clearTimeout(timer)
    }
    this.pinger = setInterval(() => this.ping(), this.options.pingMs).unref()
  }

  /**
   * Sends one command and waits for its reply. Throws `ProviderError`: `unreachable` where the session ends meanwhile,
   * `NoReplyError` with the kind of `silence` after the time-out; or the signal's reason.
   */
  async request(command: Command, { signal, silence }: RequestOptions): Promise<Frame> {
    signal.throwIfAborted()
    if (this.ended) throw this.ended
    const id = randomUUID()
    let timer: NodeJS.Timeout | undefined
    const reply = new Promise<Frame>((resolve, reject) => {
      this.pending.add(id, { command, resolve, reject })
      timer = setTimeout(() => {
        this.pending.drop(id)
        const { kind, message } = silence ?? {
          kind: 'protocol',
          message: `MeshCentral did not answer "${command.action}" within ${this.options.requestTimeoutMs / 1000} s; probably it is not permitted, or the server is overloaded`
        }
        reject(new NoReplyError(kind, message))
      }, this.options.requestTimeoutMs)
    })
    reply.catch(() => {})
    try {
      this.socket!.send(JSON.stringify({ ...command, responseid: id, tag: id }))
      return await untilAborted(reply, signal)
    } finally {
      clearTimeout(timer)
      this.pending.drop(id)
    }
  }

  /** Runs what must not overlap on one session: the server keeps the page of a paged list per socket. */
  async alone<T>(work: () => Promise<T>): Promise<T> {
    const mine = this.turn.then(work, work)
    this.turn = mine.catch(() => {})
    return await mine
  }

  /** Pushed events; returns the function that stops them. */
  onEvent(listener: (event: Frame) => void): () => void {
    this.listeners.add(listener)
    return () => {
      this.listeners.delete(listener)
    }
  }

  /** Ends the session; the first reason given stays. */
  end(reason: ProviderError): void {
    if (this.ended) return
    this.ended = reason
    clearInterval(this.pinger)
    this.socket?.abort()
    this.refused?.(reason)
    this.pending.rejectAll(reason)
    this.listeners.clear()
    this.finish()
    this.options.onEnd(reason)
  }

  private ping(): void {
    const lost = () => this.end(new ProviderError('unreachable', `${this.options.controlUrl.host} stopped answering`))
    this.request({ action: 'ping' }, { signal: this.options.signal }).catch(error => {
      if (error instanceof NoReplyError) lost()
    })
  }

  private receive(text: string): void {
    if (this.ended) return
    let frame: unknown
    try {
      frame = parseFrame(text)
    } catch {
      this.options.ctx.log.debug({ length: text.length }, 'a frame of MeshCentral is not JSON')
      // Whose answer it was cannot be read. Whoever waits would wait for nothing, and blame a missing right.
      if (text.startsWith('{'))
        this.pending.rejectAll(
          new ProviderError(
            'protocol',
            `${this.options.controlUrl.host} sent an answer of ${text.length} characters that is not complete JSON: something between it and us cuts long answers, or changes them. Check the proxy in front of MeshCentral`
          )
        )
      return
    }
    if (!isObject(frame)) return
    this.groups.take(frame)
    const end = endOf(frame, codeOf(this.options.credentials.token) !== '')
    if (end) this.end(end)
    else if (frame['action'] === 'event') this.publish(frame['event'])
    else if (frame['action'] === 'serverinfo' && isObject(frame['serverinfo']))
      this.info = readServerInfo(frame['serverinfo'], Date.now())
    else if (frame['action'] === 'userinfo' && isObject(frame['userinfo']))
      this.account = readAccount(frame['userinfo'])
    else this.pending.settle(frame)
    if (this.ready && this.info && this.account) {
      this.ready()
      this.ready = null
    }
  }

  private publish(event: unknown): void {
    if (!isObject(event)) return
    for (const listener of [...this.listeners]) listener(event)
    const account = event['account']
    if (event['action'] === 'accountchange' && isObject(account) && account['_id'] === this.account?.id) {
      this.account = readAccount(account)
    }
  }
}
