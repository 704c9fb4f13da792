import { sql } from 'kysely'
import type { Test } from 'tap'
import { defineProvider, type Hint, type RmmProvider, type WebhookEvent } from '../../../src/providers/define.ts'
import type { HostOptions } from '../../helper.ts'
import { createScript, device, scriptedHost } from '../scripted.ts'
import { until } from '../../until.ts'

export interface Delivered {
  status: string
  attempts: number
  lastError: string | null
  eventId: string
  id: string
}

/** What reading one device comes to; a device unless it throws. */
export type Answer = (externalId: string, signal: AbortSignal) => unknown

/**
 * A host with a platform whose events carry the hints a test wants, and whose answers for single devices a test
 * writes.
 */
export async function hinting(t: Test, options: HostOptions & { mapped?: boolean } = {}) {
  const script = createScript()
  const state: { answer: Answer; asked: string[] } = { answer: () => {}, asked: [] }
  const { resources } = script.provider
  script.provider = defineProvider({
    ...(script.provider as never as Parameters<typeof defineProvider>[0]),
    resources: {
      ...resources,
      devices: {
        ...resources.devices!,
        async fetchOne(_client: unknown, externalId: string, signal: AbortSignal) {
          state.asked.push(externalId)
          await state.answer(externalId, signal)
          return device(externalId, { displayName: `read ${externalId}` })
        }
      }
    },
    webhook: {
      verify: ({ headers }, secrets) => secrets.includes(headers['x-secret'] ?? ''),
      parse: ({ rawBody }) => ({ occurredAt: null, hints: [], ...JSON.parse(rawBody.toString()) }) as WebhookEvent,
      setup: {
        signatureHeader: null,
        secretHeader: 'x-secret',
        events: [],
        payloadTemplate: null,
        instructions: []
      }
    }
  }) as RmmProvider
  const host = await scriptedHost(t, { ...options, script })
  const { t: tables, db } = host.database

  /** A connection's address for events. */
  async function hookOf(connectionId: string, tenant = 't1') {
    const { url, secret } = await host.app.rmm.webhooks.rotate(tenant, connectionId)
    let count = 0
    return async (hints: Array<Hint | string>, more: object = {}): Promise<string> => {
      const id = `e${++count}`
      const response = await host.app.inject({
        method: 'POST',
        url: new URL(url).pathname,
        headers: { 'x-secret': secret },
        payload: {
          id,
          type: 'changed',
          hints: hints.map(hint =>
            typeof hint === 'string' ? { resource: 'devices', externalId: hint, kind: 'changed' } : hint
          ),
          ...more
        }
      })
      if (response.statusCode >= 300) throw new Error(response.body)
      return id
    }
  }

  return {
    ...host,
    script,
    state,
    hookOf,
    send: await hookOf(host.connectionId),
    async deliveries(connectionId = host.connectionId, tenant = 't1'): Promise<Delivered[]> {
      return (await host.app.rmm.webhooks.deliveries(tenant, connectionId, { limit: 200 })).items
    },
    async delivery(eventId: string): Promise<Delivered> {
      const { items } = await host.app.rmm.webhooks.deliveries('t1', host.connectionId, { limit: 200 })
      return items.find(item => item.eventId === eventId)!
    },
    becomes: (eventId: string, status: string) =>
      until(`${eventId} to be ${status}`, async () => {
        const { items } = await host.app.rmm.webhooks.deliveries('t1', host.connectionId, { limit: 200 })
        return items.find(item => item.eventId === eventId && item.status === status)
      }),
    /** What waits for its time is due now. */
    async due(): Promise<void> {
      await sql`update ${tables.inbox_subject} set next_at = now()`.execute(db)
    },
    subjects: async () =>
      (
        await sql<{
          subject: string
          failures: number
        }>`select subject, failures from ${tables.inbox_subject} order by subject`.execute(db)
      ).rows,
    async names(): Promise<string[]> {
      return (await host.app.rmm.inventory.list('t1', { limit: 200 })).items.map(item => item.displayName).sort()
    }
  }
}
