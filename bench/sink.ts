import { once } from 'node:events'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import Fastify from 'fastify'
import { sql } from 'kysely'
import { aesGcmSecretBox, rmmSync, webhookSink } from '../src/index.ts'
import { type Database, openDatabase } from '../src/services/store/database.ts'
import { type Kind, openBenchDatabase } from './database.ts'
import { type Row, row } from './report.ts'

const answersAfterMs = 5
const connections = 20

/** Events of `connections` connections for the sink `out`, and `ballast` ones that another sink does not take. */
async function fill({ db, t }: Database, count: number, names: string[]): Promise<void> {
  await sql`insert into ${t.outbox} (tenant_id, connection_id, provider, type, payload, pending)
    select 't' || n % ${connections}::int, ('00000000-0000-4000-8000-' || lpad((n % ${connections}::int)::text, 12, '0'))::uuid, 'levelio', 'RMM_DEVICE_UPDATED',
      jsonb_build_object('deviceId', gen_random_uuid(), 'externalId', n::text, 'displayName', 'HD-RECEPTION-' || n, 'clientRef', null, 'assetRef', null, 'change', 'updated', 'changedFields', '[]'::jsonb), ${names}::text[]
    from generate_series(1, ${count}::int) n`.execute(db)
}

/** How fast events leave to a receiver that takes its time, beside a sink that takes nothing. */
export async function sinkBench(kind: Kind, { quick }: { quick: boolean }): Promise<Row[]> {
  const count = quick ? 2_000 : 6_000
  const rounds = quick ? 2 : 5
  let left = 0
  let done = (): void => {}
  const server = createServer((request, response) => {
    request.resume().on('end', () =>
      setTimeout(() => {
        response.end()
        if (--left === 0) done()
      }, answersAfterMs)
    )
  }).listen(0, '127.0.0.1')
  await once(server, 'listening')
  const database = await openBenchDatabase(kind)
  const app = Fastify()
  await app.register(rmmSync, {
    orm: database.orm,
    schema: database.schema,
    migrations: 'run',
    providers: [],
    tenant: () => 'bench',
    authorize: () => {},
    secrets: aesGcmSecretBox({ keys: { k: Buffer.alloc(32, 1).toString('base64') }, current: 'k' }),
    events: [
      webhookSink({
        url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/`,
        secret: `whsec_${Buffer.alloc(32, 1).toString('base64')}`,
        allowPrivateNetwork: true,
        name: 'out'
      })
    ]
  } as never)
  await app.ready()
  const store = await openDatabase(database.orm, database.schema)
  await fill(store, quick ? 20_000 : 100_000, ['gone'])
  const perSecond: number[] = []
  for (let round = 0; round < rounds; round++) {
    left = count
    const taken = new Promise<void>(resolve => {
      done = resolve
    })
    await fill(store, count, ['out', 'gone'])
    const began = performance.now()
    await taken
    perSecond.push(count / ((performance.now() - began) / 1000))
  }
  await app.close()
  server.close()
  await database.close()
  return [
    row(
      `events per second to a receiver that answers after ${answersAfterMs} ms`,
      kind,
      perSecond.slice(1),
      { least: 500 },
      `${count} events of ${connections} connections, beside a sink that takes nothing`
    )
  ]
}
