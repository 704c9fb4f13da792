import { randomBytes } from 'node:crypto'
import { mkdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs'
import { defineEntity, MikroORM, p } from '@mikro-orm/core'
import { PgliteDriver } from '@mikro-orm/pglite'
import { PostgreSqlDriver } from '@mikro-orm/postgresql'
import Fastify, { type FastifyInstance, type FastifyRequest, type FastifyServerOptions } from 'fastify'
import { sql } from 'kysely'
import t, { type Test } from 'tap'
import { aesGcmSecretBox, type RmmProvider, type RmmSyncOptions, rmmSync, withRmmSync } from '../src/index.ts'
import { level } from '../src/providers/level/index.ts'
import { openDatabase } from '../src/services/store/database.ts'
import { type FakeLevel, type FakeLevelOptions, startFakeLevel } from '../src/testing/index.ts'
import { requireKnownPayloads } from './event-payloads.ts'
import { requireSealed, watchForSecrets } from './marked-secrets.ts'

/** The host's own table: what `onChanges` writes to in tests. */
export const Asset = defineEntity({
  name: 'Asset',
  tableName: 'host_asset',
  properties: { id: p.string().primary(), clientRef: p.string().nullable(), name: p.text() }
})

export const databaseUrl = process.env['TEST_DATABASE_URL']
/** Which database this run is on; the same suite runs on both. */
export const databaseKind = databaseUrl ? 'postgresql' : 'pglite'

const snapshotFile = new URL('../.cache/pglite.tar', import.meta.url)

/** An empty PGlite takes seconds to make and a moment to load. */
export async function pgliteSnapshot(): Promise<Blob | undefined> {
  try {
    return new Blob([readFileSync(snapshotFile)])
  } catch {
    const { PGlite } = await import('@electric-sql/pglite')
    const fresh = await PGlite.create('memory://')
    const dump = Buffer.from(await (await fresh.dumpDataDir('none')).arrayBuffer())
    await fresh.close()
    mkdirSync(new URL('.', snapshotFile), { recursive: true })
    const partial = new URL(`pglite-${process.pid}.tar`, snapshotFile)
    writeFileSync(partial, dump)
    renameSync(partial, snapshotFile)
    return new Blob([dump])
  }
}

/** A schema of its own per test: never the default one, so that a statement that forgets the option fails. */
export function testSchema(): string {
  return `rmm_test_${randomBytes(5).toString('hex')}`
}

let shared: Promise<MikroORM> | undefined
t.teardown(async () => (await shared)?.close())

async function connect(schema: string): Promise<MikroORM> {
  const config = withRmmSync({ entities: [Asset], discovery: { warnWhenNoEntities: false } }, { schema })
  if (databaseUrl)
    return await MikroORM.init({
      ...config,
      driver: PostgreSqlDriver,
      clientUrl: databaseUrl,
      pool: { min: 0, max: 8 }
    } as never)
  const blob = await pgliteSnapshot()
  return await MikroORM.init({
    ...config,
    driver: PgliteDriver,
    dbName: 'memory://',
    driverOptions: () => ({ loadDataDir: blob })
  } as never)
}

/**
 * The host's ORM over the database of this run. On PGlite one engine serves the whole file, each test in its own
 * schema; on PostgreSQL every call has its own pool, as different processes would.
 */
export async function openOrm(t: Test, schema: string): Promise<MikroORM> {
  const orm = databaseUrl ? await connect(schema) : await (shared ??= connect(schema))
  const generator = orm.config.get('schemaGenerator') as { ignoreSchema: string[] }
  for (const own of [schema, `${schema}_queue`])
    if (!generator.ignoreSchema.includes(own)) generator.ignoreSchema.push(own)
  await orm.em
    .getConnection()
    .execute(
      'create table if not exists host_asset (id varchar(255) primary key, client_ref varchar(255), name text not null)'
    )
    .catch(() => {})
  t.teardown(async () => {
    if (databaseUrl) await orm.close()
  })
  return orm
}

/** Drops a test's schema when it ends. Call before `openOrm`'s teardown runs (teardowns run in reverse). */
export async function dropSchema(orm: MikroORM, schema: string): Promise<void> {
  const { db } = await openDatabase(orm, schema)
  await sql`drop schema if exists ${sql.id(schema)} cascade`.execute(db)
}

export const secrets = aesGcmSecretBox({ keys: { test: Buffer.alloc(32, 7).toString('base64') }, current: 'test' })

export interface Host {
  app: FastifyInstance
  orm: MikroORM
  schema: string
  /** Requests as a tenant, answered with the parsed body. */
  call(
    tenant: string,
    method: 'GET' | 'POST' | 'PATCH' | 'PUT' | 'DELETE',
    url: string,
    payload?: unknown
  ): Promise<{ status: number; body: any }>
}

export interface HostOptions extends Partial<RmmSyncOptions> {
  fastify?: FastifyServerOptions
  /** Use an existing database and schema, as a second process would. */
  on?: { orm: MikroORM; schema: string }
  before?: (app: FastifyInstance) => void | Promise<void>
}

export const clients = [
  { id: 'c1', name: 'Acme Ltd' },
  { id: 'c2', name: 'Globex' },
  { id: 'c3', name: 'Initech' }
]

/** A host with the plugin, closed with the test. The engine ticks fast so that tests need not wait. */
export async function build(t: Test, { fastify, on, before, ...options }: HostOptions = {}): Promise<Host> {
  const schema = on?.schema ?? testSchema()
  const orm = on?.orm ?? (await openOrm(t, schema))
  const watch = watchForSecrets()
  const app = Fastify(fastify ?? { logger: { level: 'debug', stream: watch.stream } })
  await before?.(app)
  await app.register(rmmSync, {
    orm,
    schema,
    migrations: 'run',
    secrets,
    providers: [level({ allowPrivateNetwork: true }) as RmmProvider],
    tenant: (request: FastifyRequest) => (request.headers['x-tenant'] as string | undefined) ?? null,
    authorize: () => {},
    directory: {
      clients: () => clients,
      client: (_tenant: string, id: string) => clients.find(client => client.id === id) ?? null
    },
    publicUrl: 'https://psa.example.com',
    engine: { tickMs: 200, leaseMs: 2_000, retryDelayMs: 20, ...options.engine },
    ...options
  } as never)
  t.teardown(async () => {
    await app.close()
    watch.requireNone()
    if (on !== undefined) return
    try {
      const database = await openDatabase(orm, schema)
      await requireKnownPayloads(database, schema)
      if (options.secrets === undefined) await requireSealed(database, schema)
    } finally {
      await dropSchema(orm, schema)
    }
  })
  await app.ready()
  return {
    app,
    orm,
    schema,
    async call(tenant, method, url, payload) {
      const response = await app.inject({
        method,
        url: `/rmm${url}`,
        headers: { 'x-tenant': tenant },
        ...(payload === undefined ? {} : { payload: payload as object })
      })
      const body = watch.seen(`${method} ${url}`, response.body)
      return { status: response.statusCode, body: body === '' ? null : JSON.parse(body) }
    }
  }
}

export async function fakeLevel(t: Test, options: FakeLevelOptions = {}): Promise<FakeLevel> {
  const fake = await startFakeLevel(options)
  t.teardown(() => fake.close())
  return fake
}

/** A connection to a fake Level, for tenant `t1` unless said otherwise; another one where it has one already. */
export async function connectLevel(host: Host, fake: FakeLevel, tenant = 't1'): Promise<string> {
  const { status, body } = await host.call(tenant, 'POST', '/connections', {
    provider: 'levelio',
    config: { baseUrl: fake.url },
    secrets: { apiKey: fake.apiKey },
    allowDuplicate: true
  })
  if (status !== 201) throw new Error(`connecting failed: ${JSON.stringify(body)}`)
  return body.connection.id as string
}

/** Starts a sync and waits for its end. */
export async function syncNow(host: Host, connectionId: string, request: object = {}, tenant = 't1') {
  const { run } = await host.app.rmm.sync.start(tenant, connectionId, request)
  return await host.app.rmm.sync.settled(tenant, run.id)
}
