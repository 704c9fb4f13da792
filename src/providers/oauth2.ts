import type { FetchOptions, FetchResponse, ProviderContext, ProviderFetch, SessionValue } from './context.ts'
import { ProviderError } from './define.ts'
import * as values from './values.ts'

export interface OAuth2Options {
  /** The token endpoint (RFC 6749, section 3.2); on one of the connection's hosts. */
  tokenUrl: string | URL
  /** `client_credentials` for machine-to-machine clients, `refresh_token` for an account that agreed once. */
  grant: 'client_credentials' | 'refresh_token'
  clientId: string
  clientSecret: string
  /** Scopes, separated by blanks. Default: those the client was given. */
  scope?: string
  /** The one that the operator entered; where the platform rotates it, the newest is kept in the session. */
  refreshToken?: string
  /** Where the client's id and secret go: into the form, or into an `Authorization: Basic` header. Default `form`. */
  clientAuth?: 'form' | 'basic'
  /** Seconds a token is good for where the platform does not tell. Default 3600. */
  expiresInSeconds?: number
  /** What the operator is told when the platform refuses the client: what is wrong, and what to do. */
  refused: string
}

export interface OAuth2 {
  /** `ctx.fetch` with the token in it. One that is refused (401) is renewed, and the request made once more. */
  fetch: ProviderFetch
  /** A token that is good as far as is known. */
  token(signal?: AbortSignal): Promise<string>
}

/** A token is not used for its last seconds: the request has to arrive, and clocks differ. */
const marginSeconds = 60
const tokenKey = 'oauth2.token'
const refreshKey = 'oauth2.refresh'

/**
 * Access tokens for a provider: asked for once for all runs and processes of a connection, renewed shortly before they
 * are over, and once more when the platform refuses one. Throws `ProviderError`: `auth` with the sentence `refused`
 * where the client or its refresh token is refused.
 *
 * @example open: ctx => ({ fetch: oauth2(ctx, { tokenUrl, grant: 'client_credentials', … }).fetch })
 */
export function oauth2(
  { fetch, session }: Pick<ProviderContext<unknown, unknown>, 'fetch' | 'session'>,
  options: OAuth2Options
): OAuth2 {
  const renew = (refused: string | undefined, signal: AbortSignal | undefined) =>
    session.renew(tokenKey, () => askForToken(fetch, session, options, signal), { refused, signal })
  // Looked up again for every request: another process may have a newer one, and ours may be over.
  const token = (signal?: AbortSignal) => renew(undefined, signal)
  return {
    token,
    async fetch(url, request = {}) {
      const used = await token(request.signal)
      const response = await fetch(url, withToken(request, used))
      if (response.status !== 401) return response
      return await fetch(url, withToken(request, await renew(used, request.signal)))
    }
  }
}

function withToken(request: FetchOptions, token: string): FetchOptions {
  return { ...request, headers: { ...request.headers, authorization: `Bearer ${token}` } }
}

async function askForToken(
  fetch: ProviderFetch,
  session: ProviderContext<unknown, unknown>['session'],
  options: OAuth2Options,
  signal: AbortSignal | undefined
): Promise<SessionValue> {
  const { grant, refreshToken, expiresInSeconds = 3600 } = options
  const kept = grant === 'refresh_token' ? await session.get(refreshKey) : null
  const response = await fetch(options.tokenUrl, {
    ...tokenRequest(options, kept ?? refreshToken),
    ...(signal === undefined ? {} : { signal }),
    // A token that is asked for twice does no harm; a refresh token may be good only once.
    idempotent: grant === 'client_credentials'
  })
  if (response.status !== 200) throw refusal(response, options)
  const read = values.of(response.json() as Record<string, unknown>, () => {})
  const value = read.text('access_token')
  if (!value)
    throw new ProviderError('protocol', `${new URL(options.tokenUrl).host} answered a log-in without an access token`)
  const rotated = read.text('refresh_token')
  if (grant === 'refresh_token' && rotated && rotated !== kept) await session.set(refreshKey, { value: rotated })
  const good = read.seconds('expires_in') ?? expiresInSeconds
  return { value, expiresInMs: Math.max(good - marginSeconds, good / 2) * 1000 }
}

function tokenRequest(
  { grant, clientId, clientSecret, scope, clientAuth = 'form' }: OAuth2Options,
  refreshToken: string | undefined
): FetchOptions {
  const form = new URLSearchParams({ grant_type: grant })
  const headers: Record<string, string> = {
    'content-type': 'application/x-www-form-urlencoded',
    accept: 'application/json'
  }
  if (clientAuth === 'form') {
    form.set('client_id', clientId)
    form.set('client_secret', clientSecret)
  } else {
    // RFC 6749, 2.3.1: both are form-encoded before they are joined.
    const pair = [clientId, clientSecret].map(text => new URLSearchParams([['', text]]).toString().slice(1)).join(':')
    headers['authorization'] = `Basic ${Buffer.from(pair).toString('base64')}`
  }
  if (scope !== undefined) form.set('scope', scope)
  if (grant === 'refresh_token') form.set('refresh_token', refreshToken ?? '')
  return { method: 'POST', headers, body: form.toString() }
}

/** RFC 6749, 5.2: 400 and 401 name the error; all of them but a scope are about the client or its refresh token. */
function refusal(response: FetchResponse, { tokenUrl, refused }: OAuth2Options): ProviderError {
  const { host } = new URL(tokenUrl)
  const { status } = response
  if (status === 400 || status === 401 || status === 403) return new ProviderError('auth', refused)
  return new ProviderError(
    'protocol',
    `${host} answered a log-in with status ${status}. If it stays so, report it together with that status`
  )
}
