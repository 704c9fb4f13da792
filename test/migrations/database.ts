import { randomBytes } from 'node:crypto'
import { PGlite } from '@electric-sql/pglite'
import { MikroORM } from '@mikro-orm/core'
import { PgliteDriver } from '@mikro-orm/pglite'
import { PostgreSqlDriver } from '@mikro-orm/postgresql'
import { sql } from 'kysely'
import type { Test } from 'tap'
import { openDatabase } from '../../src/services/store/database.ts'
import { databaseUrl, pgliteSnapshot } from '../helper.ts'

/** An empty database that several ORMs may look at: schema diffs need to see nothing but what a test put there. */
export interface EmptyDatabase {
  /** Undefined on PGlite. */
  url: string | undefined
  /** An ORM of its own on this database, closed with the test. */
  connect(config: object): Promise<MikroORM>
  /** Runs a whole script as psql would: many statements, no parameters. */
  script(text: string): Promise<unknown>
}

export async function emptyDatabase(t: Test): Promise<EmptyDatabase> {
  return databaseUrl === undefined ? await onPglite(t) : await onPostgres(t, databaseUrl)
}

async function onPglite(t: Test): Promise<EmptyDatabase> {
  const pglite = await PGlite.create({ dataDir: 'memory://', loadDataDir: (await pgliteSnapshot()) as Blob })
  t.teardown(() => pglite.close())
  return {
    url: undefined,
    connect: config =>
      open(t, { ...config, driver: PgliteDriver, dbName: 'memory://', driverOptions: () => ({ pglite }) }),
    script: text => pglite.exec(text)
  }
}

async function onPostgres(t: Test, server: string): Promise<EmptyDatabase> {
  const name = `rmm_empty_${randomBytes(5).toString('hex')}`
  const admin = await open(t, {
    driver: PostgreSqlDriver,
    clientUrl: server,
    entities: [],
    discovery: { warnWhenNoEntities: false }
  })
  await admin.em.getConnection().execute(`create database ${name}`)
  const url = new URL(server)
  url.pathname = `/${name}`
  // Teardowns run in reverse: every ORM on the database is closed before it goes, the admin's after that.
  t.teardown(() => admin.em.getConnection().execute(`drop database ${name} with (force)`))
  const { Client } = await import('pg')
  return {
    url: url.href,
    connect: config => open(t, { ...config, driver: PostgreSqlDriver, clientUrl: url.href, pool: { min: 0, max: 4 } }),
    async script(text) {
      const client = new Client({ connectionString: url.href })
      await client.connect()
      await client.query(text).finally(() => client.end())
    }
  }
}

async function open(t: Test, config: object): Promise<MikroORM> {
  const orm = await MikroORM.init(config as never)
  t.teardown(() => orm.close())
  return orm as MikroORM
}

/** Everything a migration can make in a schema, as text without the schema's name. */
export async function fingerprint(orm: MikroORM, schema: string): Promise<string[]> {
  const { db } = await openDatabase(orm, schema)
  const { rows } = await sql<{ line: string }>`
    select 'column ' || concat_ws(' ', table_name, ordinal_position, column_name, data_type, datetime_precision, is_nullable, column_default, is_identity) as line
      from information_schema.columns where table_schema = ${schema}
    union all select 'index ' || indexdef from pg_indexes where schemaname = ${schema}
    union all select 'constraint ' || conrelid::regclass || ' ' || conname || ' ' || pg_get_constraintdef(oid) from pg_constraint where connamespace = ${schema}::regnamespace
    order by 1`.execute(db)
  return rows.map(({ line }) => line.replaceAll(`${schema}.`, ''))
}
