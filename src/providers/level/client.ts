import { ProviderError } from '../define.ts'
import type { FetchResponse, ProviderFetch } from '../define.ts'
import * as paging from '../paging.ts'
import * as values from '../values.ts'

/** One page of a list. `next` is the cursor of the following one, null on the last. */
export type ListPage = paging.RawPage<unknown, string>

export type ListName = 'groups' | 'devices' | 'updates' | 'alerts'

/** Level's REST API, version 2, as far as it is read here. Every call throws `ProviderError`. */
export interface LevelClient {
  /** Host name and port, for the operator. */
  host: string
  encrypted: boolean
  /**
   * Pages behind `after` to the end. Returning means complete; a list that contradicts itself throws, and so does a cursor
   * that Level does not take any more (`gone`).
   */
  list(
    name: ListName,
    query: Record<string, string>,
    after: string | null,
    signal: AbortSignal
  ): AsyncIterable<ListPage>
  /** The first entry at most; the cheapest proof that the key works. */
  probe(signal: AbortSignal): Promise<unknown[]>
  /** One object, or null where Level does not know it. */
  read(
    name: ListName,
    id: string,
    query: Record<string, string>,
    signal: AbortSignal
  ): Promise<{ observedAt: Date; row: unknown } | null>
  /** Resolves an alert; repeating it does no harm. The body may be empty. Null where Level does not know the alert. */
  resolve(id: string, signal: AbortSignal): Promise<FetchResponse | null>
}

const pageSize = 100
const settings = 'in Level under Settings → API keys'

/** Resources that a plan may lack: Level answers 403 or 404 for the whole list. */
const optional = new Set<ListName>(['updates', 'alerts'])

function keyOf(apiKey: string): string {
  const key = apiKey.trim()
  if (!/^[\x21-\x7e]+$/.test(key)) {
    throw new ProviderError(
      'auth',
      `The API key is empty or contains spaces or characters that no key has. Copy it again ${settings}, without "Bearer"`
    )
  }
  return key
}

function baseOf(baseUrl: string): URL {
  const url = URL.canParse(baseUrl) ? new URL(baseUrl) : null
  if (!url || (url.protocol !== 'https:' && url.protocol !== 'http:'))
    throw new ProviderError('protocol', 'The address of Level is not a URL. Enter it like https://api.level.io')
  url.pathname = url.pathname.replace(/\/+(v2\/*)?$/, '')
  url.search = url.hash = ''
  return url
}

/** `.` and `..` would be taken for directories, however they are encoded. */
const usableId = (id: string) => !/^\.*$/.test(id) && id.isWellFormed()

function refusal(response: FetchResponse, host: string, what: string): ProviderError {
  const { status } = response
  if (status === 401)
    return new ProviderError(
      'auth',
      `Level refused the API key: it is wrong, was regenerated or was deleted. Create one ${settings} and enter it in this connection`
    )
  if (status === 403)
    return new ProviderError(
      'forbidden',
      `Level does not let this API key read ${what}. Check the key ${settings}, and that the plan includes the API`
    )
  if (status === 404)
    return new ProviderError(
      'protocol',
      `${host} has no ${what} (status 404). Check the address of this connection: it is usually https://api.level.io`
    )
  return new ProviderError(
    'protocol',
    `${host} answered status ${status} when asked for ${what}. If it stays so, report it together with that status`
  )
}

const notInPlan = (name: ListName, status: number) =>
  new ProviderError(
    'not_in_plan',
    `Level does not offer ${name} to this account (status ${status}): the plan may not include them. The other resources are read as before`
  )

const succeeded = (response: FetchResponse) => response.status >= 200 && response.status < 300

/** `{ data, has_more }`, or a sentence about what came instead. */
function envelope(response: FetchResponse, host: string, name: string): { rows: unknown[]; more: boolean } {
  const body = response.json()
  if (!values.isObject(body) || !Array.isArray(body['data']) || typeof body['has_more'] !== 'boolean') {
    throw new ProviderError(
      'protocol',
      `${host} answered with something that is not a list of ${name}. Check the address of this connection`
    )
  }
  return { rows: body['data'], more: body['has_more'] }
}

/** Throws `ProviderError` on an address or key that cannot work. */
export function createClient(options: { fetch: ProviderFetch; baseUrl: string; apiKey: string }): LevelClient {
  const { fetch } = options
  const base = baseOf(options.baseUrl)
  // Level wants the bare key: `Bearer` is answered 401.
  const headers = { authorization: keyOf(options.apiKey) }

  const address = (path: string[], query: Record<string, string>) => {
    const url = new URL(base)
    url.pathname = [base.pathname.replace(/\/$/, ''), 'v2', ...path.map(encodeURIComponent)].join('/')
    url.search = String(new URLSearchParams(query))
    return url
  }
  const get = (path: string[], query: Record<string, string>, signal: AbortSignal) =>
    fetch(address(path, query), { headers, signal })

  async function listPage(
    name: ListName,
    query: Record<string, string>,
    after: string | null,
    signal: AbortSignal
  ): Promise<{ rows: unknown[]; next: string | null; more: boolean }> {
    const place = after === null ? {} : { starting_after: after }
    const response = await get([name], { ...query, limit: String(pageSize), ...place }, signal)
    // A cursor whose record was deleted meanwhile may be refused.
    if (after !== null && [400, 404, 422].includes(response.status))
      throw new ProviderError(
        'gone',
        `Level does not take the place in its list of ${name} any more where it was read up to`
      )
    if (optional.has(name) && [403, 404].includes(response.status)) throw notInPlan(name, response.status)
    if (!succeeded(response)) throw refusal(response, base.host, name)
    const { rows, more } = envelope(response, base.host, name)
    const last = rows.at(-1)
    return { rows, more, next: (more && values.isObject(last) && values.id(last['id'])) || null }
  }

  return {
    host: base.host,
    encrypted: base.protocol === 'https:',
    list: (name, query, from, signal) =>
      paging.cursorPages({
        what: `Level's list of ${name}`,
        from,
        signal,
        ask: after => listPage(name, query, after, signal)
      }),
    async probe(signal) {
      const response = await get(['groups'], { limit: '1' }, signal)
      if (!succeeded(response)) throw refusal(response, base.host, 'groups')
      return envelope(response, base.host, 'groups').rows
    },
    async read(name, id, query, signal) {
      if (!usableId(id)) return null
      const observedAt = new Date()
      const response = await get([name, id], query, signal)
      if (response.status === 404) return null
      if (!succeeded(response)) throw refusal(response, base.host, `one of its ${name}`)
      return { observedAt, row: response.json() }
    },
    async resolve(id, signal) {
      if (!usableId(id)) return null
      const response = await fetch(address(['alerts', id, 'resolve'], {}), {
        method: 'POST',
        headers,
        signal,
        idempotent: true
      })
      if (response.status === 404) return null
      if (response.status === 403)
        throw new ProviderError(
          'forbidden',
          `Level does not let this API key resolve alerts: it is read-only. Set its access to "Read & write" ${settings}; the key itself stays the same`
        )
      if (!succeeded(response)) throw refusal(response, base.host, 'resolving an alert')
      return response
    }
  }
}
