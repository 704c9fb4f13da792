import { createHmac, randomUUID, timingSafeEqual } from 'node:crypto'
import { Type } from '@sinclair/typebox'
import { defineProvider, mapRecords, ProviderError } from '../../src/providers/define.ts'
import type {
  DeviceRecord,
  FetchResponse,
  KnownRevisions,
  Page,
  ProviderContext,
  RmmProvider,
  WebhookRequest
} from '../../src/providers/define.ts'

/** What a careless author might have done; without any of them the provider keeps every rule. */
export type Mistake =
  | 'record twice'
  | 'late clock'
  | 'forgetful checkpoint'
  | 'deaf to abort'
  | 'server error is the end'
  | 'empty page is the end'
  | 'repeated cursor is the end'
  | 'endless on a repeated cursor'
  | 'impatient'
  | 'unknown id throws'
  | 'auth is unreachable'
  | 'phones home'
  | 'goes around the egress'
  | 'logs the key'
  | 'prints the key'
  | 'key in the error'
  | 'nameless account'
  | 'narrow schema'
  | 'closes once'
  | 'leaves out the unknown'
  | 'known is known'
  | 'marks as it likes'
  | 'own fields with the inventory'
  | 'forgets the known'
  | 'no length check'
  | 'open without a secret'
  | 'one secret'
  | 'new id per delivery'
  | 'parses anything'

interface Raw {
  id: string
  hostname?: string
  group_id?: string | null
}
type Context = ProviderContext<{ baseUrl: string }, { apiKey: string }>
interface Client {
  context: Context
  closed: boolean
}

/** Devices and signed webhooks over Level's list of devices, in as few lines as a rule-abiding provider takes. */
export function tinyProvider(mistake?: Mistake, elsewhere = 'https://elsewhere.example'): RmmProvider {
  const is = (candidate: Mistake) => candidate === mistake

  async function get({ context }: Client, path: string, signal: AbortSignal): Promise<FetchResponse> {
    const { baseUrl } = context.config
    const { apiKey } = context.secrets
    if (is('phones home')) await context.fetch(elsewhere).catch(() => {})
    if (is('goes around the egress')) await fetch(elsewhere).then(response => response.text())
    if (is('logs the key')) context.log.debug({ headers: { authorization: apiKey } }, 'asking')
    if (is('prints the key')) console.log(`asking with ${apiKey}`)
    const options = { headers: { authorization: apiKey }, ...(is('deaf to abort') ? {} : { signal }) }
    const response = is('impatient')
      ? await impatientFetch(baseUrl + path, options)
      : await context.fetch(baseUrl + path, options)
    if (response.status === 401)
      throw new ProviderError(
        is('auth is unreachable') ? 'unreachable' : 'auth',
        `The platform refused the API key${is('key in the error') ? ` ${apiKey}` : ''}: enter a new one`
      )
    return response
  }

  /** Host names stand for facts that would cost a request of their own, read only where they are not known yet. */
  function withInventory(record: DeviceRecord, hostname: string | undefined, mark: string | undefined): DeviceRecord {
    const revision = `named ${String(hostname)}`
    const leftOut = is('leaves out the unknown') || (is('known is known') ? mark !== undefined : mark === revision)
    const own = is('own fields with the inventory') && !leftOut ? { location: 'here' } : {}
    return {
      ...record,
      ...own,
      inventory: {
        revision: leftOut && is('marks as it likes') ? 'as before' : revision,
        facts: leftOut ? null : { hostname: hostname ?? null }
      }
    }
  }

  function toDevice(raw: Raw, mark: string | undefined): DeviceRecord {
    const { id, hostname, group_id } = raw
    if (typeof id !== 'string') throw new Error('the device has no id')
    const record = { externalId: id, displayName: String(hostname ?? id), organizationExternalId: group_id }
    return withInventory(record, hostname, mark)
  }

  async function* pull(
    client: Client,
    from: unknown,
    signal: AbortSignal,
    known?: KnownRevisions
  ): AsyncGenerator<Page<DeviceRecord>> {
    if (is('forgetful checkpoint') && from !== null) return
    const seen = new Set<string>()
    for (let after = typeof from === 'string' ? from : null; ; ) {
      if (!is('deaf to abort')) signal.throwIfAborted()
      let observedAt = new Date()
      let page: { data: Raw[]; has_more: boolean }
      try {
        const place = after === null ? '' : `&starting_after=${encodeURIComponent(after)}`
        const response = await get(client, `/v2/devices?limit=100${place}`, signal)
        if (response.status !== 200) throw new ProviderError('gone', 'The platform does not know this place any more')
        page = response.json() as typeof page
      } catch (error) {
        if (is('server error is the end') && error instanceof ProviderError && error.kind === 'unreachable') return
        throw error
      }
      if (is('late clock')) observedAt = new Date()
      if (!Array.isArray(page?.data)) throw new ProviderError('protocol', 'The platform sent no list of devices')
      const last = page.data.at(-1)?.id
      if (page.has_more && last === undefined) {
        if (is('empty page is the end')) return
        throw new ProviderError('protocol', 'The list of devices broke off: more was promised and nothing came')
      }
      if (last !== undefined && seen.has(last) && !is('endless on a repeated cursor')) {
        if (is('repeated cursor is the end')) return
        throw new ProviderError('protocol', 'The list of devices runs in a circle')
      }
      if (last !== undefined) seen.add(last)
      const marks = await known?.(page.data.flatMap(({ id }) => (typeof id === 'string' ? [id] : [])))
      const asked = is('forgets the known') ? page.data.filter(({ id }) => marks?.get(id) === undefined) : page.data
      const { records, rejected } = mapRecords(
        asked,
        ({ id }) => id,
        raw => toDevice(raw, marks?.get(raw.id))
      )
      if (is('record twice') && records[0]) records.push(records[0])
      after = last ?? after
      yield { observedAt, records, rejected, checkpoint: after }
      if (!page.has_more) return
    }
  }

  const provider = defineProvider({
    id: 'tiny',
    name: 'Tiny',
    description: 'Shows what the contract asks of a provider',
    configSchema: Type.Object({ baseUrl: Type.String({ format: 'uri' }) }),
    secretSchema: Type.Object({ apiKey: Type.String(is('narrow schema') ? { maxLength: 3 } : {}) }),
    open: (context): Client => ({ context, closed: false }),
    async check(client, signal) {
      await get(client, '/v2/devices?limit=1', signal)
      return { account: is('nameless account') ? '' : 'the account of this key', warnings: [] }
    },
    resources: {
      devices: {
        deletes: 'snapshot',
        pull,
        async fetchOne(client, id, signal) {
          const response = await get(client, `/v2/devices/${encodeURIComponent(id)}`, signal)
          if (response.status === 404 && !is('unknown id throws')) return null
          if (response.status !== 200) throw new ProviderError('gone', 'The device is gone')
          return toDevice(response.json() as Raw, undefined)
        }
      }
    },
    webhook: {
      verify: ({ headers, rawBody }, secrets) => verify(headers['x-level-signature'], rawBody, secrets, is),
      parse: request => parse(request, is),
      setup: {
        signatureHeader: 'X-Level-Signature',
        secretHeader: null,
        events: [],
        payloadTemplate: null,
        instructions: []
      }
    },
    async close(client) {
      if (is('closes once') && client.closed) throw new Error('already closed')
      client.closed = true
    }
  })
  return provider
}

function verify(
  signature: string | undefined,
  rawBody: Buffer,
  secrets: string[],
  is: (mistake: Mistake) => boolean
): boolean {
  const given = Buffer.from(signature ?? '')
  const accepted = is('one secret') ? secrets.slice(0, 1) : secrets
  if (is('open without a secret') && accepted.length === 0) return true
  return accepted.some(secret => {
    if (secret === '') return false
    const right = Buffer.from(`sha256=${createHmac('sha256', secret).update(rawBody).digest('hex')}`)
    return (is('no length check') || given.length === right.length) && timingSafeEqual(given, right)
  })
}

function parse({ rawBody }: WebhookRequest, is: (mistake: Mistake) => boolean) {
  let body: { event_type?: string; event_id?: string } | null = null
  try {
    body = JSON.parse(rawBody.toString())
  } catch (error) {
    if (!is('parses anything')) throw error
  }
  if (typeof body?.event_id !== 'string' && !is('parses anything')) throw new Error('not an event')
  return {
    id: is('new id per delivery') ? randomUUID() : (body?.event_id ?? 'none'),
    type: body?.event_type ?? '',
    occurredAt: null,
    hints: []
  }
}

/** A client of its own that asks again at once, whatever the platform said. */
async function impatientFetch(
  url: string,
  options: { headers: Record<string, string>; signal?: AbortSignal }
): Promise<FetchResponse> {
  const answer = async () => fetch(url, { ...options, redirect: 'error' })
  const broken = (error: unknown): never => {
    options.signal?.throwIfAborted()
    throw new ProviderError('unreachable', String(error))
  }
  let response = await answer().catch(broken)
  if (response.status === 429) response = await answer().catch(broken)
  if (response.status >= 500) throw new ProviderError('unreachable', `status ${response.status}`)
  const text = await response.text()
  return { status: response.status, headers: {}, text: () => text, json: () => JSON.parse(text) }
}
