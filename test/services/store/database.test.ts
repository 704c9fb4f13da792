import { sql } from 'kysely'
import t from 'tap'
import { openDatabase } from '../../../src/services/store/database.ts'
import { databaseKind, openOrm, testSchema } from '../../helper.ts'
import { emptyDatabase } from '../../migrations/database.ts'

t.test(
  "a connection that breaks in a transaction leaves its place in the host's pool",
  { skip: databaseKind === 'pglite' && 'PGlite has no connections to lose' },
  async t => {
    const schema = testSchema()
    const database = await openDatabase(await openOrm(t, schema), schema)
    // More often than the pool has places.
    for (let n = 0; n < 10; n++) {
      await t.rejects(
        database.transaction(async trx => {
          const { rows } = await sql<{ pid: number }>`select pg_backend_pid() as pid`.execute(trx)
          await sql`select pg_terminate_backend(${rows[0]!.pid})`.execute(database.db)
          await sql`select 1`.execute(trx)
        }),
        { code: 'RMM_ERR_DATABASE_UNAVAILABLE', cause: { message: /terminat|queryable/ } },
        'what broke it is what is told'
      )
    }
    t.match(await database.transaction(trx => sql`select 1 as one`.execute(trx)), { rows: [{ one: 1 }] })
  }
)

t.test(
  "a statement that only took too long does not leave its transaction open in the host's pool",
  { skip: databaseKind === 'pglite' && 'PGlite has no time-outs of its own' },
  async t => {
    const empty = await emptyDatabase(t)
    const none = { entities: [], discovery: { warnWhenNoEntities: false } }
    const other = await openDatabase(await empty.connect(none), 'unused')
    const hasty = await openDatabase(await empty.connect({ ...none, driverOptions: { query_timeout: 300 } }), 'unused')
    await sql`create table busy (id int)`.execute(other.db)
    await sql`insert into busy values (1)`.execute(other.db)
    const givenUp = Promise.withResolvers<never>()
    let failing: Promise<unknown> | undefined
    await other.transaction(async lock => {
      await sql`select id from busy for update`.execute(lock)
      failing = hasty.transaction(async trx => {
        const update = sql`update busy set id = 2`.execute(trx)
        update.catch(givenUp.reject)
        await update
      })
      failing.catch(() => {})
      // Locked out until its time is over.
      await t.rejects(givenUp.promise, { message: /Query read timeout/ })
    })
    await t.rejects(failing!, { code: 'RMM_ERR_DATABASE_SETTINGS', message: /query_timeout/ })
    t.strictSame(
      (
        await sql`select state from pg_stat_activity where datname = current_database() and state like 'idle in %'`.execute(
          other.db
        )
      ).rows,
      []
    )
    t.strictSame((await sql`select id from busy`.execute(other.db)).rows, [{ id: 1 }])
  }
)
