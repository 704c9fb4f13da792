import { ProviderError, type ProviderContext } from '../define.ts'
import type { Command, Frame } from './correlate.ts'
import { Presence } from './presence.ts'
import { Session, untilAborted, type RequestOptions } from './session.ts'

export interface MeshConfig {
  url: string
  domain?: string
  ca?: string
}

export interface MeshSecrets {
  username: string
  password: string
  token?: string
  loginKey?: string
}

export interface MeshTimings {
  requestTimeoutMs: number
  pingMs: number
  offlineGraceMs: number
  inventoryMaxAgeMs: number
}

type Context = ProviderContext<MeshConfig, MeshSecrets>

/**
 * The address of `file` on this server and domain, with the login key where the server wants one. Connections made
 * before it was a secret have it in the URL (`?key=`): there it is kept.
 */
function address({ url, domain }: MeshConfig, file: string, loginKey?: string): URL {
  let result: URL
  try {
    result = new URL(url)
  } catch {
    throw new ProviderError('protocol', 'The URL of MeshCentral cannot be read: write it like https://mesh.example.com')
  }
  if (result.protocol !== 'https:' && result.protocol !== 'http:')
    throw new ProviderError('protocol', 'The URL of MeshCentral must start with https://')
  const base = result.pathname.replace(/\/*$/, '/')
  result.pathname = `${base}${domain ? `${encodeURIComponent(domain)}/` : ''}${file}`
  result.hash = ''
  result.username = result.password = ''
  if (loginKey) result.search = String(new URLSearchParams({ key: loginKey }))
  return result
}

/** What a connection's clients in one process share: who was online, and whether the server asked for a pause. */
export class ServerState {
  readonly presence: Presence
  /** Until then (`performance.now()`) the server has asked to be left alone, and with what words. */
  pause: { until: number; reason: string } | null = null

  constructor(offlineGraceMs: number) {
    this.presence = new Presence(offlineGraceMs)
  }
}

/** One connection's way to its server: at most one control socket, opened on first use and again after a loss. */
export class MeshClient {
  readonly ctx: Context
  readonly state: ServerState
  readonly baseUrl: URL
  readonly timings: MeshTimings
  private readonly closing = new AbortController()
  private opening: Promise<Session> | null = null
  private current: Session | null = null

  constructor(ctx: Context, timings: MeshTimings, state: ServerState) {
    this.ctx = ctx
    this.timings = timings
    this.state = state
    this.baseUrl = address(ctx.config, '')
  }

  /** The server answers nothing that does not carry its login key. */
  get isKeyed(): boolean {
    return Boolean(this.ctx.secrets.loginKey) || this.baseUrl.searchParams.has('key')
  }

  get host(): string {
    return this.baseUrl.host
  }

  /** The logged-in session; joins one that is just being opened. */
  async session(signal: AbortSignal): Promise<Session> {
    signal.throwIfAborted()
    if (this.closing.signal.aborted) throw new ProviderError('unreachable', 'This MeshCentral client is closed')
    if (this.current && !this.current.ended) return this.current
    const { pause } = this.state
    const wait = pause === null ? 0 : pause.until - performance.now()
    if (pause !== null && wait > 0 && this.ctx.atOnce !== true)
      throw new ProviderError('rate_limited', `${pause.reason} (next try in ${Math.ceil(wait / 1000)} s)`, {
        retryAfterMs: wait
      })
    this.opening ??= this.open().finally(() => {
      this.opening = null
    })
    this.opening.catch(() => {})
    return await untilAborted(this.opening, signal)
  }

  async request(command: Command, options: RequestOptions): Promise<Frame> {
    const session = await this.session(options.signal)
    return await session.request(command, options)
  }

  close(): void {
    this.closing.abort(new ProviderError('unreachable', 'This MeshCentral client is closed'))
    this.current?.end(new ProviderError('unreachable', 'This MeshCentral client is closed'))
    this.current = null
  }

  get closed(): boolean {
    return this.closing.signal.aborted || this.ctx.signal.aborted
  }

  private async open(): Promise<Session> {
    const {
      ctx,
      timings: { requestTimeoutMs, pingMs },
      state
    } = this
    const { loginKey } = ctx.secrets
    const controlUrl = address(ctx.config, 'control.ashx', loginKey)
    controlUrl.protocol = controlUrl.protocol === 'https:' ? 'wss:' : 'ws:'
    try {
      this.current = await Session.open({
        ctx,
        controlUrl,
        healthUrl: address(ctx.config, 'health.ashx', loginKey),
        credentials: ctx.secrets,
        ca: ctx.config.ca,
        requestTimeoutMs,
        pingMs,
        signal: AbortSignal.any([ctx.signal, this.closing.signal]),
        onEnd: reason => this.ended(reason)
      })
    } catch (error) {
      if (error instanceof ProviderError && error.kind === 'unreachable' && !this.closed) state.presence.disconnected()
      throw error
    }
    state.pause = null
    state.presence.connected(Date.now())
    return this.current
  }

  private ended(reason: ProviderError): void {
    if (reason.retryAfterMs !== undefined)
      this.state.pause = { until: performance.now() + reason.retryAfterMs, reason: reason.message }
    if (reason.kind === 'unreachable' && !this.closed) this.state.presence.disconnected()
  }
}
