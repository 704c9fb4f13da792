import { Client, Connection } from '@temporalio/client'
import { NativeConnection } from '@temporalio/worker'
import { MikroORM } from '@mikro-orm/core'
import { PostgreSqlDriver } from '@mikro-orm/postgresql'
import { sql } from 'kysely'
import pg from 'pg'
import { PgBoss } from 'pg-boss'
import t, { type Test } from 'tap'
import { defaultQueueSchema } from '../../src/migrations/run.ts'
import { type SyncTransport, withRmmSync } from '../../src/index.ts'
import { openDatabase } from '../../src/services/store/database.ts'
import { postgresTransport } from '../../src/transports/postgres/index.ts'
import { temporalTransport } from '../../src/transports/temporal/index.ts'
import {
  Asset,
  build,
  connectLevel,
  databaseKind,
  databaseUrl,
  fakeLevel,
  openOrm,
  syncNow,
  testSchema
} from '../helper.ts'

const noServer = databaseKind === 'pglite' && 'skipped: TEST_DATABASE_URL not set'
const temporalAddress = process.env['TEMPORAL_ADDRESS']

/** A host on one way to its engine: it syncs an account, and closes. */
async function worksOn(t: Test, transport: SyncTransport, schema = testSchema()): Promise<void> {
  const fake = await fakeLevel(t, { devices: 12 })
  const host = await build(t, { on: { orm: await openOrm(t, schema), schema }, transports: [transport] })
  t.match(await syncNow(host, await connectLevel(host, fake)), {
    status: 'succeeded',
    transport: transport.kind,
    totals: { failed: 0 }
  })
  await host.app.close()
  const { db } = await openDatabase(host.orm, schema)
  await sql`drop schema ${sql.id(schema)} cascade`.execute(db)
}

t.test("a queue over the host's pool leaves the pool open", { skip: noServer }, async t => {
  const schema = testSchema()
  const pool = new pg.Pool({ connectionString: databaseUrl!, max: 3 })
  t.teardown(() => pool.end())
  await worksOn(t, postgresTransport({ pool, schema: `${schema}_queue` }), schema)
  t.match((await pool.query(`select count(*)::int as n from ${schema}_queue.queue`)).rows, [{ n: 2 }])
  await pool.query(`drop schema ${schema}_queue cascade`)
})

t.test('a queue on connections of its own closes them', { skip: noServer }, async t => {
  const schema = testSchema()
  const url = new URL(databaseUrl!)
  await worksOn(t, postgresTransport({ connectionString: url.href, schema: `${schema}_queue` }), schema)
  const client = new pg.Client({ connectionString: url.href })
  await client.connect()
  t.teardown(() => client.end())
  await client.query(`drop schema ${schema}_queue cascade`)
  t.match(
    (
      await client.query(
        "select count(*)::int as n from pg_stat_activity where application_name = 'fastify-rmm-sync' and query like $1",
        [`%${schema}%`]
      )
    ).rows,
    [{ n: 0 }]
  )
})

t.test(
  'a pg-boss of the host is started where it was not, and goes on when the plugin closes',
  { skip: noServer },
  async t => {
    const schema = testSchema()
    const boss = new PgBoss({
      connectionString: databaseUrl!,
      schema,
      max: 3,
      superviseIntervalSeconds: 5,
      monitorIntervalSeconds: 5
    })
    boss.on('error', () => {})
    await worksOn(t, postgresTransport({ boss }))
    await boss.createQueue('of-the-host')
    t.type(await boss.send('of-the-host', {}), 'string')
    t.equal(boss.listenerCount('error'), 1, 'and keeps only its own listener')
    await boss.getDb().executeSql(`drop schema ${schema} cascade`)
    await boss.stop({ graceful: false })
  }
)

t.test(
  "the host's schema diff leaves the queue's tables alone, and one that would not is refused at boot",
  { skip: noServer },
  async t => {
    const schema = testSchema()
    const queue = `${schema}_queue`
    const config = { driver: PostgreSqlDriver, clientUrl: databaseUrl, entities: [Asset] }
    const orm = await MikroORM.init(withRmmSync(config as never, { schema, transportSchemas: [queue] }))
    t.teardown(() => orm.close(true))
    const { db } = await openDatabase(orm, schema)
    t.teardown(() => sql`drop schema if exists ${sql.id(queue)} cascade`.execute(db))
    const host = await build(t, { on: { orm, schema }, transports: [postgresTransport({ orm, schema: queue })] })
    t.notMatch(await orm.schema.getUpdateSchemaSQL(), queue, 'made, and not to be dropped')
    t.ok((await sql`select 1 from ${sql.table(`${queue}.queue`)}`.execute(db)).rows.length > 0)

    await sql`drop schema ${sql.id(queue)} cascade`.execute(db)
    const id = await connectLevel(host, await fakeLevel(t, { devices: 1 }))
    t.match(await host.call('t1', 'POST', `/connections/${id}/sync`), {
      status: 503,
      body: { code: 'RMM_ERR_TRANSPORT', message: /tables of the queue are missing/ }
    })
    await t.rejects(build(t, { on: { orm, schema }, transports: [postgresTransport({ orm, schema: `${queue}_2` })] }), {
      code: 'RMM_ERR_SCHEMA_NOT_IGNORED',
      message: /transportSchemas: \['.*_queue_2'\]/
    })
    t.strictSame(postgresTransport({ orm }).schemas, [defaultQueueSchema], 'withRmmSync knows the default')
  }
)

t.test(
  'a queue on PGlite is refused with the way out',
  { skip: databaseKind === 'postgresql' && 'skipped: this run is on PostgreSQL' },
  async t => {
    await t.rejects(
      async () => {
        const orm = await openOrm(t, testSchema())
        const transport = postgresTransport({ orm })
        await transport.open!({ maxAttempts: 2, log: { info() {}, warn() {}, error() {} } })
      },
      { code: 'RMM_ERR_OPTION', message: /PGlite lives in one process, use the transport 'direct'/ }
    )
  }
)

t.test(
  "temporal over the host's client and connection leaves both open",
  { skip: noServer || (temporalAddress === undefined && 'skipped: TEMPORAL_ADDRESS not set') },
  async t => {
    const connection = await Connection.connect({ address: temporalAddress! })
    const nativeConnection = await NativeConnection.connect({ address: temporalAddress! })
    const client = new Client({ connection })
    await worksOn(t, temporalTransport({ client, nativeConnection, taskQueue: testSchema() }))
    await worksOn(t, temporalTransport({ connection, nativeConnection, taskQueue: testSchema(), namespace: 'default' }))
    t.ok(await client.workflow.count())
    await nativeConnection.close()
    await connection.close()
  }
)
