import { ProviderError } from '../define.ts'
import type { FetchResponse, ProviderFetch, ProviderLog } from '../define.ts'
import { isObject } from './values.ts'

/** One page of a list. `after` is the cursor of the next one, null on the last. */
export interface ListPage {
  observedAt: Date
  rows: unknown[]
  after: string | null
}

export type ListName = 'groups' | 'devices' | 'updates' | 'alerts'

/** Level's REST API, version 2, as far as it is read here. Every call throws `ProviderError`. */
export interface LevelClient {
  /** Host name and port, for the operator. */
  host: string
  encrypted: boolean
  /** Pages from `after` (exclusive) to the end. Returning means complete; a list that contradicts itself throws. */
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
/** A million records: beyond that the list is taken to run in circles. */
const mostPages = 10_000
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
  if (!isObject(body) || !Array.isArray(body['data']) || typeof body['has_more'] !== 'boolean') {
    throw new ProviderError(
      'protocol',
      `${host} answered with something that is not a list of ${name}. Check the address of this connection`
    )
  }
  return { rows: body['data'], more: body['has_more'] }
}

/** The cursor of the next page. A list that promises more without saying from where must not pass for a short one. */
function nextCursor(rows: unknown[], seen: Set<string>, name: string): string {
  const last = rows.at(-1)
  const id = isObject(last) ? last['id'] : undefined
  if (typeof id !== 'string' || id === '') {
    throw new ProviderError(
      'protocol',
      `Level's list of ${name} says that there is more, but its page is empty or ends without an id. Nothing is removed; the next run reads it again`
    )
  }
  if (seen.has(id))
    throw new ProviderError(
      'protocol',
      `Level's list of ${name} runs in circles: the same page came twice. Nothing is removed; the next run reads it again`
    )
  seen.add(id)
  return id
}

/** Throws `ProviderError` on an address or key that cannot work. */
export function createClient(options: {
  fetch: ProviderFetch
  log: ProviderLog
  baseUrl: string
  apiKey: string
}): LevelClient {
  const { fetch, log } = options
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

  /** A cursor whose record was deleted meanwhile may be refused: null tells the caller to start over. */
  async function firstPage(
    name: ListName,
    query: Record<string, string>,
    after: string,
    signal: AbortSignal
  ): Promise<FetchResponse | null> {
    const response = await get([name], { ...query, limit: String(pageSize), starting_after: after }, signal)
    if (![400, 404, 422].includes(response.status)) return response
    log.info(
      { resource: name, status: response.status },
      'Level refused the cursor to resume from; reading the list from its beginning'
    )
    return null
  }

  async function* list(
    name: ListName,
    query: Record<string, string>,
    from: string | null,
    signal: AbortSignal
  ): AsyncIterable<ListPage> {
    const seen = new Set<string>(from === null ? [] : [from])
    let after = from
    for (let page = 0; page < mostPages; page++) {
      signal.throwIfAborted()
      let observedAt = new Date()
      let response = page === 0 && after !== null ? await firstPage(name, query, after, signal) : null
      if (!response) {
        if (page === 0) {
          seen.clear()
          after = null
        }
        observedAt = new Date()
        response = await get(
          [name],
          { ...query, limit: String(pageSize), ...(after === null ? {} : { starting_after: after }) },
          signal
        )
      }
      if (optional.has(name) && (response.status === 403 || (response.status === 404 && after === null)))
        throw notInPlan(name, response.status)
      if (!succeeded(response)) throw refusal(response, base.host, name)
      const { rows, more } = envelope(response, base.host, name)
      after = more ? nextCursor(rows, seen, name) : null
      yield { observedAt, rows, after }
      if (after === null) return
    }
    throw new ProviderError(
      'protocol',
      `Level's list of ${name} did not end after ${mostPages} pages. Nothing is removed; the next run reads it again`
    )
  }

  return {
    host: base.host,
    encrypted: base.protocol === 'https:',
    list,
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
