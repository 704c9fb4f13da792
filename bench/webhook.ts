import { createHmac, randomUUID } from 'node:crypto'
import type { AddressInfo } from 'node:net'
import Fastify, { type FastifyInstance } from 'fastify'
import { sql } from 'kysely'
import { Pool } from 'undici'
import { aesGcmSecretBox, type RmmProvider, rmmSync } from '../src/index.ts'
import { level } from '../src/providers/level/index.ts'
import { openDatabase } from '../src/services/store/database.ts'
import { startFakeLevel } from '../src/testing/index.ts'
import { type BenchDatabase, type Kind, openBenchDatabase } from './database.ts'
import { type Row, row } from './report.ts'

const connections = 20

interface Shot {
  body: string
  headers: Record<string, string>
}

/** A device event as Level sends it, signed before the clock starts. */
function shot(secret: string): Shot {
  const body = JSON.stringify({
    event_type: 'device_updated',
    event_id: randomUUID(),
    occurred_at: new Date().toISOString(),
    data: {
      id: `device-${Math.floor(Math.random() * 1000)}`,
      hostname: 'HD-RECEPTION-02',
      nickname: null,
      role: 'workstation',
      platform: 'Windows',
      online: true,
      tags: ['front'],
      group_id: 'group-1',
      serial_number: 'PF3XYZ',
      total_memory: 17_179_869_184
    }
  })
  return {
    body,
    headers: {
      'content-type': 'application/json',
      'x-level-signature': `sha256=${createHmac('sha256', secret).update(body).digest('hex')}`
    }
  }
}

/** Requests per second of `shots` over a fixed number of connections. Throws when one is not answered with 202. */
async function fire(app: FastifyInstance, path: string, shots: Shot[]): Promise<number> {
  const pool = new Pool(`http://127.0.0.1:${(app.server.address() as AddressInfo).port}`, {
    connections,
    pipelining: 1
  })
  let next = 0
  const began = performance.now()
  await Promise.all(
    Array.from({ length: connections }, async () => {
      while (next < shots.length) {
        const { body, headers } = shots[next++]!
        const answer = await pool.request({ path, method: 'POST', body, headers })
        await answer.body.dump()
        if (answer.statusCode !== 202) throw new Error(`${path} answered ${answer.statusCode}`)
      }
    })
  )
  const perSecond = shots.length / ((performance.now() - began) / 1000)
  await pool.close()
  return perSecond
}

/** The least a webhook route that keeps what it gets can do: parse, one INSERT through the same driver, 202. */
async function bareHost({ orm, schema }: BenchDatabase): Promise<FastifyInstance> {
  const { db } = await openDatabase(orm, schema)
  const table = sql.table(`${schema}.bare`)
  await sql`create table ${table} (id uuid primary key default gen_random_uuid(), event_id text not null, body jsonb not null, received_at timestamptz not null default now())`.execute(
    db
  )
  const app = Fastify()
  app.post('/hook', async (request, reply) => {
    const body = request.body as { event_id: string }
    await sql`insert into ${table} (event_id, body) values (${body.event_id}, ${JSON.stringify(body)}::jsonb)`.execute(
      db
    )
    return reply.code(202).send({ accepted: true })
  })
  await app.listen({ host: '127.0.0.1', port: 0 })
  return app
}

async function ourHost({
  orm,
  schema
}: BenchDatabase): Promise<{ app: FastifyInstance; path: string; secret: string; close(): Promise<void> }> {
  const fake = await startFakeLevel({ devices: 1, groups: 1 })
  const app = Fastify()
  await app.register(rmmSync, {
    orm,
    schema,
    migrations: 'run',
    providers: [level({ allowPrivateNetwork: true }) as RmmProvider],
    tenant: () => 'bench',
    authorize: () => {},
    secrets: aesGcmSecretBox({ keys: { k: Buffer.alloc(32, 1).toString('base64') }, current: 'k' }),
    publicUrl: 'https://psa.example.com',
    // The route alone: what is stored is worked on by another process.
    worker: { enabled: false }
  } as never)
  await app.listen({ host: '127.0.0.1', port: 0 })
  const { webhook } = await app.rmm.connections.create('bench', {
    provider: 'levelio',
    config: { baseUrl: fake.url },
    secrets: { apiKey: fake.apiKey }
  })
  return {
    app,
    path: new URL(webhook!.url!).pathname,
    secret: webhook!.secret,
    close: async () => {
      await app.close()
      await fake.close()
    }
  }
}

/**
 * The webhook route (proof, de-duplication, delivery and outgoing event stored) against a bare route that does one
 * INSERT.
 */
export async function webhookBench(kind: Kind, { quick }: { quick: boolean }): Promise<Row[]> {
  const count = quick ? 1_000 : 4_000
  const database = await openBenchDatabase(kind)
  const ours = await ourHost(database)
  const bare = await bareHost(database)
  const shots = (n: number) => Array.from({ length: n }, () => shot(ours.secret))
  const ratios: number[] = []
  const figures: string[] = []
  try {
    for (const warm of [{ app: bare, path: '/hook' }, ours]) await fire(warm.app, warm.path, shots(500))
    for (let round = 0; round < (quick ? 3 : 5); round++) {
      const reference = await fire(bare, '/hook', shots(count))
      const subject = await fire(ours.app, ours.path, shots(count))
      ratios.push(subject / reference)
      figures.push(`${subject.toFixed(0)}/${reference.toFixed(0)}`)
    }
  } finally {
    await bare.close()
    await ours.close()
    await database.close()
  }
  return [
    row(
      'webhook route : bare route with one INSERT, requests/s',
      kind,
      ratios,
      { least: 0.9 },
      `${connections} connections, ${figures.join(' ')} requests/s`
    )
  ]
}
