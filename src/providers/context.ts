/** Everything a provider gets to reach its platform; bound to one connection. */
export interface ProviderContext<Config, Secrets> {
  config: Config
  secrets: Secrets
  /**
   * A person waits for the answer (a test, new secrets): a pause that the platform asked for earlier is not kept. `fetch`
   * sees to it by itself.
   */
  atOnce?: boolean
  log: ProviderLog
  /** Aborted when the connection's work has to stop. */
  signal: AbortSignal
  /** Time-outs, bounded retries, `Retry-After`, rate limit, no redirects, only the connection's hosts. */
  fetch: ProviderFetch
  /** The same egress for a WebSocket. */
  webSocket: ProviderWebSocket
  /** What logging in brought: shared by all runs and processes of the connection. */
  session: ProviderSession
}

/** A value of a session, and how long it is good. */
export interface SessionValue {
  value: string
  /** Milliseconds from now; a value that is over is as good as none. Default: until config or secrets change. */
  expiresInMs?: number | undefined
}

/**
 * Tokens, cookies, rotated refresh tokens: texts by key, stored sealed, hidden in everything that is logged or
 * answered. They belong to the config and secrets the client was opened with: whoever changes those starts without
 * them. Keys have at most 100 characters, values at most 64 KiB.
 */
export interface ProviderSession {
  /** The value of a key, or null where there is none or it is over. */
  get(key: string): Promise<string | null>
  set(key: string, value: SessionValue): Promise<void>
  delete(key: string): Promise<void>
  /**
   * The value of a key, which `make` brings where there is none. However many ask at once, in however many processes,
   * one of them makes it and all get it; where making fails, the next one tries.
   *
   * @param refused the value that the platform takes no more: it counts as none
   */
  renew(
    key: string,
    make: () => Promise<SessionValue>,
    options?: { refused?: string | undefined; signal?: AbortSignal | undefined }
  ): Promise<string>
}

export interface ProviderLog {
  debug(fields: object, message: string): void
  info(fields: object, message: string): void
  warn(fields: object, message: string): void
}

export interface FetchOptions {
  method?: 'GET' | 'POST' | 'PUT' | 'PATCH' | 'DELETE'
  headers?: Record<string, string>
  body?: string
  signal?: AbortSignal
  /** Repeating it does no harm, so it may be retried. Default: true for GET, false otherwise. */
  idempotent?: boolean
  /** Bytes of the answer at most. Default 32 MiB. */
  maxBytes?: number
}

export interface FetchResponse {
  status: number
  headers: Record<string, string>
  text(): string
  /** Throws `ProviderError('protocol')` where the body is not JSON. */
  json(): unknown
}

export type ProviderFetch = (url: string | URL, options?: FetchOptions) => Promise<FetchResponse>

/** An open socket. `abort` destroys it at once, without the closing handshake. */
export interface ProviderSocket {
  send(text: string): void
  close(): void
  abort(): void
  readonly closed: boolean
}

export type ProviderWebSocket = (
  url: string | URL,
  options: {
    headers?: Record<string, string>
    /** PEM; trusted in addition to the system's. */
    ca?: string
    onMessage(text: string): void
    /**
     * `refused`: it was ended on our side over a message that is larger than `maxMessageBytes`, or that cannot be read.
     */
    onClose(info: { code: number; reason: string; refused?: boolean }): void
    signal?: AbortSignal
    /** Bytes of one message at most. Default 256 MiB. */
    maxMessageBytes?: number
  }
) => Promise<ProviderSocket>
