import { sql } from 'kysely'
import t from 'tap'
import { type Database, openDatabase } from '../../../src/services/store/database.ts'
import { build, databaseKind } from '../../helper.ts'
import { createScript, device, fastEngine, page, type Script } from '../scripted.ts'
import { until } from '../../until.ts'

const tenants = 100
const bigTenant = 't1'
const bigShare = 200
const connections = 500
const concurrency = 4

/**
 * Copies the one connection of `t1` to the other 499: 200 are the big tenant's, the others are spread over the
 * remaining 99 tenants; all are due.
 */
async function multiply({ db, t }: Database, templateId: string): Promise<void> {
  await sql`insert into ${t.connection} (id, tenant_id, provider, name, config, sealed_secrets, account, hook_key, schedule_enabled, connected_at)
    select gen_random_uuid(), case when n < ${bigShare}::int then ${bigTenant} else 't' || 2 + n % ${tenants - 1}::int end, c.provider, 'Copy ' || n, c.config, 'copied', c.account, 'key-' || n, true, now()
    from ${t.connection} c, generate_series(1, ${connections - 1}::int) n where c.id = ${templateId}`.execute(db)
  // The big tenant's come first: without turns they would all be served before anybody else.
  await sql`update ${t.connection} set schedule_enabled = true, next_sync_at = now() - case when tenant_id = ${bigTenant} then interval '2 minutes' else interval '1 minute' end`.execute(
    db
  )
}

interface Watched {
  script: Script
  /** The most reads that were under way at once. */
  peak(): number
  /** How many reads of other connections had ended when the large one reached its last page. */
  endedBesideLarge(): number
}

/** A platform that counts the reads under way, and whose one large account takes its time: `patience` other reads. */
function watchedPlatform(patience: number): Watched {
  const script = createScript()
  let open = 0
  let peak = 0
  let ended = 0
  let besideLarge = 0
  let large = true
  script.devices = async function* (_from, signal) {
    const slow = large
    large = false
    peak = Math.max(peak, ++open)
    try {
      if (slow) {
        for (let n = 0; n < 20; n++) {
          await until('the others', () => ended >= (patience * (n + 1)) / 20 || signal.aborted)
          yield page(
            Array.from({ length: 200 }, (_, i) => device(`l${n * 200 + i}`)),
            { checkpoint: n < 19 ? n : null }
          )
        }
        besideLarge = ended
      } else {
        // The first ones wait for each other: that they may run side by side does not depend on luck.
        await until('reads side by side', () => peak >= concurrency || signal.aborted)
        yield page([device('d1')])
      }
    } finally {
      open--
      ended++
    }
  }
  return { script, peak: () => peak, endedBesideLarge: () => besideLarge }
}

t.test(
  'five hundred connections of a hundred tenants, all due at once',
  {
    skip:
      databaseKind === 'pglite' && 'PGlite has one session, so that runs take turns there anyway: set TEST_DATABASE_URL'
  },
  async t => {
    const { script, peak, endedBesideLarge } = watchedPlatform(250)
    // Copies share one sealed secret, which no box that binds it to its connection would open.
    const secrets = { seal: async (plain: string) => plain, open: async () => JSON.stringify({ apiKey: 'k' }) }
    const { app, orm, schema } = await build(t, {
      providers: [script.provider],
      secrets: secrets as never,
      worker: { concurrency },
      engine: { ...fastEngine, leaseMs: 30_000 }
    })
    const database = await openDatabase(orm, schema)
    const { connection } = await app.rmm.connections.create(bigTenant, {
      provider: 'scripted',
      secrets: { apiKey: 'k' }
    })
    await multiply(database, connection.id)

    const ends = async () =>
      (
        await sql<{ tenant_id: string; connection_id: string; status: string; error: unknown }>`
    select tenant_id, connection_id, status, error from ${database.t.run} where finished_at is not null order by finished_at, id`.execute(
          database.db
        )
      ).rows
    const runs = await until(
      'all runs',
      async () => {
        const done = await ends()
        return done.length >= connections && done
      },
      240_000
    )

    t.equal(new Set(runs.map(run => run.connection_id)).size, connections, 'every connection had its run')
    t.same(
      runs.filter(run => run.status !== 'succeeded').map(run => run.error),
      [],
      'each of them succeeded'
    )
    t.equal(peak(), concurrency, 'as many at once as allowed, and no more')
    t.ok(endedBesideLarge() >= 250, `the others went on while the large one was read (${endedBesideLarge()})`)

    const order = runs.map(run => run.tenant_id)
    const half = order.map((tenant, i) => ({ tenant, i })).filter(({ tenant }) => tenant === bigTenant)[
      bigShare / 2 - 1
    ]!.i
    const served = new Set(order.slice(0, half))
    t.equal(new Set(order).size, tenants, 'all tenants are among them')
    t.same(
      [...new Set(order)].filter(tenant => !served.has(tenant)),
      [],
      'by the time the big tenant is half-way, every other one has had a run'
    )
  }
)

t.test(
  'connections of a provider that this process does not have are left to those that do, and hide nobody',
  async t => {
    const script = createScript()
    const { app, orm, schema } = await build(t, { providers: [script.provider], engine: fastEngine })
    const database = await openDatabase(orm, schema)
    const { db, t: tables } = database
    const { connection } = await app.rmm.connections.create(bigTenant, {
      provider: 'scripted',
      secrets: { apiKey: 'k' }
    })
    const gone = sql`insert into ${tables.connection} (id, tenant_id, provider, name, sealed_secrets, hook_key, schedule_enabled, next_sync_at)
    select gen_random_uuid(), 'gone-' || n, 'gone', 'Gone', 'sealed', 'gone-' || n, true, now() - interval '1 hour' from generate_series(1, 120) n returning id, tenant_id`
    await sql`with added as (${gone}) insert into ${tables.run} (tenant_id, connection_id, provider, trigger, resources, mode, transport, queued_at)
    select tenant_id, id, 'gone', 'manual', '["devices"]', 'full', 'direct', now() - interval '1 hour' from added`.execute(
      db
    )
    // As another process, which executes nothing, would leave it.
    const { rows } = await sql<{
      id: string
    }>`insert into ${tables.run} (tenant_id, connection_id, provider, trigger, resources, mode, transport, queued_at)
    values (${bigTenant}, ${connection.id}, 'scripted', 'manual', '["devices"]', 'full', 'direct', now() - interval '1 minute') returning id`.execute(
      db
    )
    t.equal((await app.rmm.sync.settled(bigTenant, rows[0]!.id)).status, 'succeeded', 'the run behind them is executed')

    await sql`update ${tables.connection} set schedule_enabled = true, next_sync_at = now() where id = ${connection.id}`.execute(
      db
    )
    await until('the scheduled run', async () =>
      (await app.rmm.sync.runs(bigTenant, connection.id)).items.some(run => run.trigger === 'schedule')
    )
    const due = await sql<{
      count: number | string
    }>`select count(*) as count from ${tables.connection} where provider = 'gone' and next_sync_at < now()`.execute(db)
    t.equal(Number(due.rows[0]!.count), 120, 'what others have to start is still due')
  }
)
