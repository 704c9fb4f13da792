import { setTimeout as delay } from 'node:timers/promises'
import { Type } from '@sinclair/typebox'
import Fastify from 'fastify'
import { sql } from 'kysely'
import { aesGcmSecretBox, callbackSink, defineProvider, rmmSync } from '../src/index.ts'
import { openDatabase } from '../src/services/store/database.ts'
import { type Kind, openBenchDatabase } from './database.ts'
import { type Row, row } from './report.ts'

const tickMs = 500
const waitingEvents = 3_700
const waitingDeliveries = 200
const sinkMs = 200
const platformMs = 2_000

/** A platform that takes its time for single devices of the connections that say so. */
function slowPlatform() {
  async function* nothing() {
    yield { observedAt: new Date(), records: [], checkpoint: null }
  }
  return defineProvider({
    id: 'slowfeed',
    name: 'Slow feed',
    description: 'Takes its time',
    configSchema: Type.Object({ slow: Type.Boolean() }),
    secretSchema: Type.Object({}),
    hosts: () => [],
    open: ({ config }) => config,
    check: async ({ slow }) => ({ account: slow ? 'slow' : 'quick', warnings: [] }),
    resources: {
      devices: {
        deletes: 'snapshot',
        pull: nothing,
        async fetchOne({ slow }, _externalId, signal) {
          if (slow) await delay(platformMs, undefined, { signal })
          return null
        }
      }
    }
  })
}

/** How late a due sync starts beside a slow sink and the inbox of a slow platform, in ticks. */
export async function tickBench(kind: Kind, { quick }: { quick: boolean }): Promise<Row[]> {
  const rounds = quick ? 3 : 20
  const database = await openBenchDatabase(kind)
  const app = Fastify()
  const slowSink = callbackSink(
    async (events, signal) => {
      for (const _ of events) await delay(sinkMs, undefined, { signal })
    },
    { name: 'slow' }
  )
  await app.register(rmmSync, {
    orm: database.orm,
    schema: database.schema,
    migrations: 'run',
    providers: [slowPlatform()],
    tenant: () => 'bench',
    authorize: () => {},
    secrets: aesGcmSecretBox({ keys: { k: Buffer.alloc(32, 1).toString('base64') }, current: 'k' }),
    engine: { tickMs },
    events: [slowSink]
  } as never)
  await app.ready()
  const { db, t } = await openDatabase(database.orm, database.schema)
  const connect = async (slow: boolean): Promise<string> =>
    (await app.rmm.connections.create('bench', { provider: 'slowfeed', config: { slow }, secrets: {} })).connection.id
  const slow = await connect(true)
  const due = await connect(false)
  await sql`insert into ${t.outbox} (tenant_id, connection_id, provider, type, payload, pending)
    select 'bench', ${slow}::uuid, 'slowfeed', 'RMM_DEVICE_REMOVED', '{}', array['slow'] from generate_series(1, ${waitingEvents}::int)`.execute(
    db
  )
  await sql`insert into ${t.delivery} (tenant_id, connection_id, event_id, event_type, hints, body)
    select 'bench', ${slow}::uuid, 'e' || n, 'changed', jsonb_build_array(jsonb_build_object('resource', 'devices', 'externalId', n::text, 'kind', 'changed')), '{}'
    from generate_series(1, ${waitingDeliveries}::int) n`.execute(db)
  await delay(3 * tickMs)
  const lateness: number[] = []
  for (let round = 0; round < rounds; round++) {
    const { rows } = await sql<{
      at: string
    }>`update ${t.connection} set schedule_enabled = true, next_sync_at = now() where id = ${due} returning now()::text as at`.execute(
      db
    )
    for (;;) {
      const { rows: started } = await sql<{
        ms: string | number
      }>`select extract(epoch from started_at - ${rows[0]!.at}::timestamptz) * 1000 as ms from ${t.run}
        where connection_id = ${due} and queued_at >= ${rows[0]!.at}::timestamptz - interval '1 millisecond' and started_at is not null`.execute(
        db
      )
      if (started[0] !== undefined) {
        lateness.push(Number(started[0].ms) / tickMs)
        break
      }
      await delay(20)
    }
    await delay(tickMs)
  }
  await app.close()
  await database.close()
  return [
    row(
      'start of a due sync : tick, beside a slow sink and a slow platform',
      kind,
      lateness,
      { most: 2 },
      `${waitingEvents} events at ${sinkMs} ms, ${waitingDeliveries} deliveries at ${platformMs} ms`
    )
  ]
}
