import { randomBytes } from 'node:crypto'
import { setTimeout as delay } from 'node:timers/promises'
import { Type } from '@sinclair/typebox'
import Fastify, { type FastifyInstance } from 'fastify'
import {
  aesGcmSecretBox,
  type DeviceRecord,
  defineProvider,
  type RmmProvider,
  type Run,
  rmmSync
} from '../src/index.ts'
import type { BenchDatabase } from './database.ts'

export interface Feed {
  /** Devices in pages of `pageSize`, each page after `latencyMs`. */
  count: number
  device(n: number): DeviceRecord
  pageSize: number
  latencyMs: number
}

/** A platform in the same process that costs nothing but the objects it makes: what is measured is the engine. */
export function feedProvider(feed: Feed): RmmProvider {
  async function* pages(signal: AbortSignal) {
    for (let from = 0; from < feed.count; from += feed.pageSize) {
      const observedAt = new Date()
      if (feed.latencyMs > 0) await delay(feed.latencyMs, undefined, { signal })
      const size = Math.min(feed.pageSize, feed.count - from)
      const last = from + size >= feed.count
      yield {
        observedAt,
        records: Array.from({ length: size }, (_, i) => feed.device(from + i)),
        checkpoint: last ? null : { after: from + size }
      }
    }
  }
  async function* groups() {
    yield {
      observedAt: new Date(),
      records: Array.from({ length: 50 }, (_, n) => ({ externalId: `group-${n}`, name: `Group ${n}` })),
      checkpoint: null
    }
  }
  return defineProvider({
    id: 'feed',
    name: 'Feed',
    description: 'Devices from memory',
    configSchema: Type.Object({}),
    secretSchema: Type.Object({}),
    hosts: () => [],
    open: () => ({}),
    check: async () => ({ account: 'feed', warnings: [] }),
    resources: {
      organizations: { deletes: 'snapshot', pull: groups },
      devices: { deletes: 'snapshot', pull: (_client, _from, signal) => pages(signal) }
    }
  })
}

export interface Engine {
  app: FastifyInstance
  connectionId: string
  /** Runs a full sync of the devices; `ms` is the time between its start and its end as the run row tells it. */
  sync(): Promise<{ run: Run; ms: number }>
  close(): Promise<void>
}

export async function startEngine(
  database: BenchDatabase,
  provider: RmmProvider,
  options: object = {},
  account: { config?: Record<string, unknown>; secrets: Record<string, unknown> } = { secrets: {} }
): Promise<Engine> {
  const app = Fastify()
  await app.register(rmmSync, {
    orm: database.orm,
    schema: database.schema,
    migrations: 'run',
    providers: [provider],
    tenant: () => 'bench',
    authorize: () => {},
    directory: { clients: () => [], client: (_tenant: string, id: string) => ({ id, name: id }) },
    secrets: aesGcmSecretBox({ keys: { bench: randomBytes(32).toString('base64') }, current: 'bench' }),
    schedule: { enabled: false },
    engine: { tickMs: 60_000, leaseMs: 600_000 },
    ...options
  })
  await app.ready()
  const { connection } = await app.rmm.connections.create('bench', { provider: provider.id, ...account })
  const groups = await app.rmm.sync.start('bench', connection.id, { resources: ['organizations'] })
  await app.rmm.sync.settled('bench', groups.run.id)
  const { items } = await app.rmm.organizations.list('bench', connection.id, { limit: 200 })
  await app.rmm.organizations.map(
    'bench',
    connection.id,
    items.map(({ id }, n) => ({ organizationId: id, mode: 'mapped', clientRef: `client-${n % 10}` }))
  )
  return {
    app,
    connectionId: connection.id,
    async sync() {
      const { run } = await app.rmm.sync.start('bench', connection.id, { resources: ['devices'] })
      const ended = await app.rmm.sync.settled('bench', run.id)
      if (ended.status !== 'succeeded') throw new Error(`the sync ${ended.status}: ${ended.error?.message}`)
      return { run: ended, ms: Date.parse(ended.finishedAt!) - Date.parse(ended.startedAt!) }
    },
    close: () => app.close()
  }
}
