import { createHash } from 'node:crypto'
import type { FetchOptions, FetchResponse, ProviderContext, ProviderFetch } from '../define.ts'
import { ProviderError } from '../define.ts'
import { oauth2 } from '../oauth2.ts'
import * as paging from '../paging.ts'
import * as values from '../values.ts'

export interface NinjaConfig {
  region: 'us' | 'us2' | 'eu' | 'oc' | 'ca' | 'fed'
  baseUrl?: string
}

export interface NinjaSecrets {
  clientId: string
  clientSecret: string
}

export type Query = Record<string, string>

/** NinjaOne's REST API, version 2, as far as it is used here. Every call throws `ProviderError`. */
export interface NinjaClient {
  /** Host name and port, for the operator. */
  host: string
  encrypted: boolean
  /** Tells two API clients apart without showing the id of either. */
  account: string
  /** Rows behind the id `after`, until a page is empty: a short page is not the last one. */
  rows(path: string, query: Query, after: string | null, signal: AbortSignal): AsyncIterable<NinjaPage>
  /** Rows of a report. Its cursors live on the platform and expire, so a report is read in one go. */
  report(name: string, query: Query, signal: AbortSignal): AsyncIterable<NinjaPage>
  /** A list that comes in one answer. */
  list(path: string, query: Query, signal: AbortSignal): AsyncIterable<NinjaPage>
  /** One object, or null where NinjaOne does not know it. */
  read(path: string, signal: AbortSignal): Promise<unknown>
  /** The newest activities that `query` asks for. */
  activities(query: Query, signal: AbortSignal): Promise<unknown[]>
  send(method: 'POST' | 'PUT' | 'DELETE', path: string, body: unknown, signal: AbortSignal): Promise<FetchResponse>
}

export type NinjaPage = paging.RawPage<unknown, string>

const pageSize = 200
const where = 'in NinjaOne under Administration → Apps → API'

const hosts: Record<NinjaConfig['region'], string> = {
  us: 'app.ninjarmm.com',
  us2: 'us2.ninjarmm.com',
  eu: 'eu.ninjarmm.com',
  oc: 'oc.ninjarmm.com',
  ca: 'ca.ninjarmm.com',
  fed: 'fed.ninjarmm.com'
}

/** Where a config leads to. */
export function baseOf({ region, baseUrl }: NinjaConfig): URL {
  const url = new URL(baseUrl ?? `https://${hosts[region]}`)
  url.pathname = url.pathname.replace(/\/+(v2\/*)?$/, '')
  return url
}

export const succeeded = ({ status }: FetchResponse): boolean => status >= 200 && status < 300

/** A status that says nothing of the one thing that was asked for. */
export function refusal({ status }: FetchResponse, host: string, what: string): ProviderError {
  if (status === 401)
    return new ProviderError(
      'auth',
      `NinjaOne takes the access token of this API client no more. Check the client ${where}, and enter its id and secret in this connection`
    )
  if (status === 403)
    return new ProviderError(
      'forbidden',
      `NinjaOne does not let this API client have ${what}. Give it the scopes "monitoring" and "management" ${where}`
    )
  return new ProviderError(
    'protocol',
    `${host} answered status ${status} when asked for ${what}. If it stays so, report it together with that status`
  )
}

/** Ids are numbers on the platform: what is none cannot be one, and must not lead to another path. */
export const isNumber = (id: string): boolean => /^\d{1,18}$/.test(id)

/** The access token is asked for once for all runs and processes of a connection. */
export function createClient(
  ctx: Pick<ProviderContext<NinjaConfig, NinjaSecrets>, 'config' | 'secrets' | 'fetch' | 'session'>
): NinjaClient {
  const base = baseOf(ctx.config)
  const { clientId, clientSecret } = ctx.secrets
  const address = (path: string, query: Query = {}): URL => {
    const url = new URL(base)
    url.pathname = base.pathname.replace(/\/$/, '') + path
    url.search = String(new URLSearchParams(query))
    return url
  }
  const { fetch } = oauth2(ctx, {
    tokenUrl: address('/ws/oauth/token'),
    grant: 'client_credentials',
    clientId: clientId.trim(),
    clientSecret: clientSecret.trim(),
    scope: 'monitoring management',
    refused: `NinjaOne refused the API client: its id or secret is wrong, or it may not use "client credentials". Check it ${where} (an app of the kind "API services"), and enter both again`
  })
  return createCalls(base.host, base.protocol === 'https:', accountOf(clientId), fetch, address)
}

const accountOf = (clientId: string) => createHash('sha256').update(clientId.trim()).digest('hex').slice(0, 8)

function createCalls(
  host: string,
  encrypted: boolean,
  account: string,
  fetch: ProviderFetch,
  address: (path: string, query?: Query) => URL
): NinjaClient {
  async function get(path: string, query: Query, signal: AbortSignal): Promise<unknown> {
    const response = await fetch(address(path, query), { signal })
    if (!succeeded(response)) throw refusal(response, host, path)
    return response.json()
  }

  /** A bare array; anything else is no list, and must not look like an empty one. */
  async function getList(path: string, query: Query, signal: AbortSignal): Promise<unknown[]> {
    const body = await get(path, query, signal)
    if (!Array.isArray(body))
      throw new ProviderError('protocol', `${host} answered ${path} with something that is not a list`)
    return body
  }

  const page = async (path: string, query: Query, after: string | null, signal: AbortSignal) => {
    const place = after === null ? {} : { after }
    const rows = await getList(path, { pageSize: String(pageSize), ...query, ...place }, signal)
    const last = rows.at(-1)
    const next = values.isObject(last) ? values.id(last['id']) : null
    return { rows, next, more: 'untold' as const }
  }

  return {
    host,
    encrypted,
    account,
    rows: (path, query, from, signal) =>
      paging.cursorPages({ what: `NinjaOne's ${path}`, from, signal, ask: after => page(path, query, after, signal) }),
    report: (name, query, signal) =>
      paging.cursorPages({
        what: `NinjaOne's report ${name}`,
        from: null,
        signal,
        ask: at => reportPage(host, fetch, address(`/v2/queries/${name}`, reportQuery(query, at)), at, signal)
      }),
    list: (path, query, signal) =>
      paging.oneList({
        what: `NinjaOne's ${path}`,
        signal,
        ask: async () => ({ rows: await getList(path, query, signal) })
      }),
    async read(path, signal) {
      const response = await fetch(address(path), { signal })
      if (response.status === 404) return null
      if (!succeeded(response)) throw refusal(response, host, path)
      return response.json()
    },
    async activities(query, signal) {
      const body = await get('/v2/activities', { pageSize: String(pageSize), ...query }, signal)
      const rows = values.isObject(body) ? body['activities'] : body
      if (!Array.isArray(rows))
        throw new ProviderError('protocol', `${host} answered with something that is not a list of activities`)
      return rows
    },
    async send(method, path, body, signal) {
      const json = body === undefined ? {} : { body: JSON.stringify(body) }
      const headers = { 'content-type': 'application/json' }
      const options: FetchOptions = { method, headers, ...json, signal, idempotent: true }
      return await fetch(address(path), options)
    }
  }
}

/** A report's place: the cursor's name stays the same, its offset moves on. */
const placeOf = (name: string, offset: number) => `${offset}:${name}`

function reportQuery(query: Query, at: string | null): Query {
  const cursor = at === null ? {} : { cursor: at.slice(at.indexOf(':') + 1) }
  return { ...query, ...cursor, pageSize: String(pageSize) }
}

async function reportPage(host: string, fetch: ProviderFetch, url: URL, at: string | null, signal: AbortSignal) {
  const response = await fetch(url, { signal })
  if (at !== null && [400, 404, 410].includes(response.status))
    throw new ProviderError('gone', `The place in NinjaOne's report where it was read up to has expired`)
  if ([403, 404].includes(response.status))
    throw new ProviderError(
      'not_in_plan',
      `NinjaOne does not offer this report to the API client (status ${response.status})`
    )
  if (!succeeded(response)) throw refusal(response, host, url.pathname)
  const body = response.json()
  if (!values.isObject(body) || !Array.isArray(body['results']))
    throw new ProviderError('protocol', `${host} answered with something that is not a report`)
  const rows: unknown[] = body['results']
  const name = values.text(values.of(body).object('cursor').raw['name'])
  const read = (at === null ? 0 : Number(at.slice(0, at.indexOf(':')))) + rows.length
  return { rows, next: name ? placeOf(name, read) : null, more: name ? ('untold' as const) : false }
}
