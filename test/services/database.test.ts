import { sql } from 'kysely'
import t from 'tap'
import { openDatabase } from '../../src/services/store/database.ts'
import { databaseKind, openOrm, testSchema } from '../helper.ts'

t.setTimeout(60_000)

t.test('a connection that breaks in a transaction leaves its place in the host\'s pool', { skip: databaseKind === 'pglite' && 'PGlite has no connections to lose' }, async t => {
  const schema = testSchema()
  const database = await openDatabase(await openOrm(t, schema), schema)
  // More often than the pool has places.
  for (let n = 0; n < 10; n++) {
    await t.rejects(database.transaction(async trx => {
      const { rows } = await sql<{ pid: number }>`select pg_backend_pid() as pid`.execute(trx)
      await sql`select pg_terminate_backend(${rows[0]!.pid})`.execute(database.db)
      await sql`select 1`.execute(trx)
    }), { message: /terminat|queryable/ }, 'what broke it is what is told')
  }
  t.match(await database.transaction(trx => sql`select 1 as one`.execute(trx)), { rows: [{ one: 1 }] })
})
