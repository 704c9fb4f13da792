import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { chmodSync, existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { MikroORM } from '@mikro-orm/core'
import { PostgreSqlDriver } from '@mikro-orm/postgresql'
import { sql } from 'kysely'
import t, { type Test } from 'tap'
import { withRmmSync } from '../../../src/index.ts'
import { openDatabase } from '../../../src/services/store/database.ts'
import { postgresTransport } from '../../../src/transports/postgres/index.ts'
import {
  Asset,
  build,
  connectLevel,
  databaseUrl,
  dropSchema,
  fakeLevel,
  openOrm,
  syncNow,
  testSchema
} from '../../helper.ts'
import { freePort } from '../../ports.ts'
import { until } from '../../until.ts'

const binary = ['/usr/sbin/pgbouncer', '/usr/bin/pgbouncer', '/opt/homebrew/bin/pgbouncer'].find(path =>
  existsSync(path)
)
const skip =
  (databaseUrl === undefined && 'TEST_DATABASE_URL not set') || (binary === undefined && 'pgbouncer is not installed')

/** PgBouncer in transaction mode with three server connections, in front of the database of this run. */
async function pooler(t: Test): Promise<string> {
  const to = new URL(databaseUrl!)
  const dir = mkdtempSync(join(tmpdir(), 'pgbouncer-'))
  chmodSync(dir, 0o755)
  const port = await freePort()
  const server = `host=${to.hostname} port=${to.port || 5432} user=${to.username}${to.password === '' ? '' : ` password=${decodeURIComponent(to.password)}`}`
  writeFileSync(
    join(dir, 'pgbouncer.ini'),
    `[databases]\n* = ${server}\n[pgbouncer]\nlisten_addr = 127.0.0.1\nlisten_port = ${port}\nunix_socket_dir =\nauth_type = any\npool_mode = transaction\ndefault_pool_size = 3\nmax_client_conn = 200\n${process.getuid?.() === 0 ? 'user = nobody\n' : ''}`
  )
  const process_: ChildProcess = spawn(binary!, ['-q', join(dir, 'pgbouncer.ini')], { stdio: 'ignore' })
  const ended = once(process_, 'exit')
  t.teardown(async () => {
    process_.kill('SIGINT')
    await ended
    rmSync(dir, { recursive: true })
  })
  to.host = `127.0.0.1:${port}`
  return to.href
}

t.test('behind PgBouncer in transaction mode everything works, on two hosts and two transports', { skip }, async t => {
  const clientUrl = await pooler(t)
  const schema = testSchema()
  const direct = await openOrm(t, schema)
  const pooled = async () => {
    const config = withRmmSync(
      { entities: [Asset], discovery: { warnWhenNoEntities: false } },
      { schema, transportSchemas: [`${schema}_queue`] }
    )
    const orm = await MikroORM.init({
      ...config,
      driver: PostgreSqlDriver,
      clientUrl,
      pool: { min: 0, max: 10 }
    } as never)
    await until('PgBouncer', () =>
      orm.em
        .getConnection()
        .execute('select 1')
        .then(
          () => true,
          () => false
        )
    )
    t.teardown(() => orm.close())
    return orm
  }
  t.teardown(() => dropSchema(direct, schema))
  t.teardown(() => dropSchema(direct, `${schema}_queue`))
  const fake = await fakeLevel(t, { devices: 120, groups: 4, pageSize: 20 } as never)
  const hosts = []
  for (const transport of ['direct', 'postgres']) {
    const orm = await pooled()
    hosts.push(
      await build(t, {
        on: { orm, schema },
        transports: [postgresTransport({ orm, schema: `${schema}_queue`, pollSeconds: 0.5 })],
        transport,
        onChanges: async ({ devices }, em) => {
          for (const { device } of devices)
            await em
              .getConnection()
              .execute(
                'insert into host_asset (id, client_ref, name) values (?, ?, ?) on conflict (id) do update set client_ref = excluded.client_ref',
                [`${schema}:${device.id}`, device.clientRef, device.displayName],
                'run',
                em.getTransactionContext()
              )
        }
      })
    )
  }
  const [one, two] = hosts as [(typeof hosts)[0], (typeof hosts)[0]]
  const id = await connectLevel(one!, fake)
  for (const host of [one!, two!]) {
    const run = await syncNow(host, id)
    t.match(run, { status: 'succeeded', error: null })
  }
  const { items } = await one!.app.rmm.organizations.list('t1', id)
  const runs = [one!, two!].map(host => syncNow(host, id))
  const mapped = await Promise.all(
    items.map((item, n) =>
      (n % 2 === 0 ? one! : two!).call('t1', 'PATCH', `/connections/${id}/organizations/${item.id}`, {
        mode: 'mapped',
        clientRef: 'c1'
      })
    )
  )
  t.strictSame(
    mapped.map(({ status }) => status),
    items.map(() => 200)
  )
  for (const run of await Promise.all(runs)) t.match(run, { status: 'succeeded', error: null })
  const { body: health } = await two!.call('t1', 'GET', '/health')
  t.match(health, { runs: { waiting: 0, stuck: 0 } })
  const { db, t: tables } = await openDatabase(direct, schema)
  const { rows } = await sql<{
    devices: number
    assets: number
    failures: number
    shared: number
  }>`select (select count(*)::int from ${tables.device}) as all, (select count(*)::int from ${tables.device} where client_ref = 'c1') as devices,
    (select count(*)::int from host_asset where id like ${`${schema}:%`} and client_ref = 'c1') as assets, (select sum(failures)::int from ${tables.run}) as failures`.execute(
    db
  )
  const [found] = rows
  // Some of the fake's devices are in no group.
  t.match(found, { failures: 0, all: 120 })
  t.ok(found!.devices > 100)
  t.equal(found!.assets, found!.devices)
})
