import { createHmac } from 'node:crypto'
import { sql } from 'kysely'
import type { RmmEvent } from '../../../src/index.ts'
import { openDatabase } from '../../../src/services/store/database.ts'
import { type Host, secrets } from '../../helper.ts'
import { until } from '../../until.ts'

/** A connection's webhook as the platform knows it. */
export interface Hook {
  path: string
  secret: string
  url: string
}

export async function rotateHook(host: Host, connectionId: string, graceMinutes = 60, tenant = 't1'): Promise<Hook> {
  const { url, secret } = await host.app.rmm.webhooks.rotate(tenant, connectionId, { graceMinutes })
  return { url, secret, path: new URL(url).pathname }
}

export const signature = (secret: string, body: string | Buffer): string =>
  `sha256=${createHmac('sha256', secret).update(body).digest('hex')}`

export interface Sent {
  status: number
  body: any
  headers: Record<string, unknown>
}

/** One request to a hook; signed with `secret` unless `headers` say otherwise. */
export async function post(
  host: Host,
  path: string,
  body: unknown,
  secret: string | null,
  headers: Record<string, string> = {}
): Promise<Sent> {
  const payload = typeof body === 'string' || Buffer.isBuffer(body) ? body : JSON.stringify(body)
  const signed = secret === null ? {} : { 'x-level-signature': signature(secret, payload) }
  const response = await host.app.inject({
    method: 'POST',
    url: path,
    payload,
    headers: { 'content-type': 'application/json', ...signed, ...headers }
  })
  return {
    status: response.statusCode,
    body: response.body === '' ? null : JSON.parse(response.body),
    headers: response.headers
  }
}

let count = 0
/** One of Level's own events, with an id of its own unless one is given. */
export function event(type: string, data: object, more: object = {}): Record<string, unknown> {
  return {
    event_type: type,
    event_id: `event-${process.pid}-${++count}`,
    occurred_at: new Date().toISOString(),
    data,
    ...more
  }
}

/** All deliveries of a connection have been worked on. */
export async function settled(host: Host, connectionId: string, tenant = 't1') {
  return await until(async () => {
    const { items } = await host.app.rmm.webhooks.deliveries(tenant, connectionId, { limit: 200 })
    return items.length > 0 && items.every(item => item.status !== 'pending') && items
  })
}

/** Every event of the outbox so far, in order. */
export async function outbox(host: Host): Promise<RmmEvent[]> {
  const { db, t } = await openDatabase(host.orm, host.schema)
  const { rows } =
    await sql<RmmEvent>`select id, type, connection_id as "connectionId", payload from ${t.outbox} order by seq`.execute(
      db
    )
  return rows
}

/** Seals like the host under test. */
export const sealed = (text: string, tenant: string, connectionId: string) =>
  secrets.seal(text, `${tenant}:${connectionId}`)
