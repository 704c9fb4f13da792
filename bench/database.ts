import { randomBytes } from 'node:crypto'
import { MikroORM } from '@mikro-orm/core'
import { PgliteDriver } from '@mikro-orm/pglite'
import { PostgreSqlDriver } from '@mikro-orm/postgresql'
import { sql } from 'kysely'
import { withRmmSync } from '../src/index.ts'
import { openDatabase } from '../src/services/store/database.ts'

export type Kind = 'postgresql' | 'pglite'

export interface BenchDatabase {
  kind: Kind
  orm: MikroORM
  schema: string
  close(): Promise<void>
}

/** A database for one measurement, in a schema of its own that is dropped at the end. */
export async function openBenchDatabase(kind: Kind): Promise<BenchDatabase> {
  const schema = `rmm_bench_${randomBytes(4).toString('hex')}`
  const config = withRmmSync({ entities: [], discovery: { warnWhenNoEntities: false } }, { schema })
  const orm =
    kind === 'postgresql'
      ? await MikroORM.init({
          ...config,
          driver: PostgreSqlDriver,
          clientUrl: process.env['TEST_DATABASE_URL'],
          pool: { min: 0, max: 10 }
        } as never)
      : await MikroORM.init({ ...config, driver: PgliteDriver, dbName: 'memory://' } as never)
  return {
    kind,
    orm,
    schema,
    async close() {
      const { db } = await openDatabase(orm, schema)
      await sql`drop schema if exists ${sql.id(schema)} cascade`.execute(db)
      await orm.close()
    }
  }
}

/** PGlite is always there, PostgreSQL where TEST_DATABASE_URL names one. */
export function kinds(): Kind[] {
  return process.env['TEST_DATABASE_URL'] ? ['postgresql', 'pglite'] : ['pglite']
}
