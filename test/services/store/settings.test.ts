import { sql } from 'kysely'
import { TypeOverrides } from 'pg'
import t, { type Test } from 'tap'
import { withRmmSync } from '../../../src/index.ts'
import { openDatabase } from '../../../src/services/store/database.ts'
import { Asset, databaseKind, type HostOptions, syncNow } from '../../helper.ts'
import { emptyDatabase, type EmptyDatabase } from '../../migrations/database.ts'
import { until } from '../../until.ts'
import { alert, device, devices, group, list, scriptedHost } from '../scripted.ts'

const skip = databaseKind === 'pglite' && 'needs sessions with settings of their own'
const schema = 'rmm_settings'

/** A host on a database of its own, whose role, pool or database is set up as its operator likes it. */
async function hostOn(t: Test, settings: readonly string[], driver: object = {}, options: HostOptions = {}) {
  const database = await emptyDatabase(t)
  const name = new URL(database.url!).pathname.slice(1)
  const connect = () =>
    database.connect({
      ...withRmmSync({ entities: [Asset], discovery: { warnWhenNoEntities: false } }, { schema }),
      driverOptions: driver
    })
  const set = (...settings: string[]) =>
    database.script(settings.map(setting => `alter database ${name} set ${setting};`).join(''))
  await set(...settings)
  const orm = await connect()
  await database.script(
    'create table if not exists public.host_asset (id varchar(255) primary key, client_ref varchar(255), name text not null)'
  )
  const host = await scriptedHost(t, { on: { orm, schema }, mapped: false, ...options })
  return { host, script: host.script, connectionId: host.connectionId, empty: database, set }
}

const bystander = async (database: EmptyDatabase) =>
  await openDatabase(await database.connect({ entities: [], discovery: { warnWhenNoEntities: false } }), schema)

/** One of everything that has a time, JSON or a list in it, written and read through the routes. */
async function everything(t: Test, { host, script, connectionId }: Awaited<ReturnType<typeof hostOn>>) {
  const bootAt = new Date('2026-11-09T08:07:06.000Z')
  script.organizations = list([group('g1'), group('g2', 'g1')])
  script.devices = list([
    device('d000', { lastRebootAt: bootAt, tags: ['a "quoted"', 'b,c', '\\'], details: { deep: { n: 1 } } }),
    ...devices(20).slice(1)
  ])
  script.alerts = list([alert('a1')])
  const run = await syncNow(host, connectionId)
  t.match(run, { status: 'succeeded', totals: { unmapped: 20, failed: 0 } })
  const since = Date.now() - Date.parse(run.finishedAt!)
  t.ok(since > -60_000 && since < 60_000, 'a run ended now, whatever the time zone')
  const { body: organizations } = await host.call('t1', 'GET', `/connections/${connectionId}/organizations`)
  const mapped = await host.call(
    't1',
    'PATCH',
    `/connections/${connectionId}/organizations/${organizations.items[0].id}`,
    { mode: 'mapped', clientRef: 'c1' }
  )
  t.equal(mapped.status, 200)
  const { body: found } = await host.call('t1', 'GET', '/devices?externalId=d000')
  t.match(found.items, [
    { externalId: 'd000', clientRef: 'c1', lastRebootAt: bootAt.toISOString(), tags: ['a "quoted"', 'b,c', '\\'] }
  ])
  t.match((await host.call('t1', 'GET', `/devices/${found.items[0].id}`)).body, { details: { deep: { n: 1 } } })
  t.match((await host.call('t1', 'GET', '/alerts')).body, {
    items: [{ externalId: 'a1', startedAt: '2026-01-01T00:00:00.000Z' }]
  })
  for (const url of [
    '/devices?sort=updatedAt&limit=3',
    '/devices?sort=lastSeenAt&limit=3',
    '/runs',
    '/activity?limit=1',
    `/connections/${connectionId}`,
    '/health'
  ]) {
    const { status, body } = await host.call('t1', 'GET', url)
    t.equal(status, 200, url)
    if (typeof body.nextCursor !== 'string') continue
    t.match(
      await host.call('t1', 'GET', `${url}&cursor=${body.nextCursor}`),
      { status: 200, body: { items: [{}] } },
      `${url}, second page`
    )
  }
  t.match(
    await syncNow(host, connectionId),
    { status: 'succeeded', totals: { updated: 0 } },
    'what was read is what was written'
  )
}

const styles = {
  'dates in another style': ["datestyle to 'SQL, DMY'"],
  'German dates in India': ["datestyle to 'German'", "timezone to 'Asia/Kolkata'"],
  "PostgreSQL's old dates, and intervals by the standard": [
    "datestyle to 'Postgres, MDY'",
    'intervalstyle to sql_standard',
    "timezone to 'America/St_Johns'"
  ],
  'backslashes that escape, and bytes as escapes': [
    'standard_conforming_strings to off',
    'bytea_output to escape',
    'escape_string_warning to off'
  ],
  'no search path': ["search_path to ''"]
}
for (const [name, settings] of Object.entries(styles))
  t.test(`everything is as ever on a database with ${name}`, { skip }, async t => {
    await everything(t, await hostOn(t, settings))
  })

t.test("everything is as ever with parsers of the host's own for JSON, dates, numbers and lists", { skip }, async t => {
  const types = new TypeOverrides()
  for (const oid of [16, 20, 21, 23, 114, 700, 701, 1009, 1082, 1114, 1184, 1700, 3802])
    types.setTypeParser(oid as never, ((text: string) => ({ parsed: 'by the host', text })) as never)
  await everything(t, await hostOn(t, ["datestyle to 'SQL, DMY'"], { types }))
})

t.test('in onChanges the host finds its own dates and its own parsers, before and after us', { skip }, async t => {
  const types = new TypeOverrides()
  types.setTypeParser(1184, text => `the host reads ${text}`)
  const seen: unknown[] = []
  const built = await hostOn(
    t,
    ["datestyle to 'SQL, DMY'", "timezone to 'UTC'"],
    { types },
    {
      onChanges: async (_batch, em) => {
        seen.push(
          ...((await em
            .getConnection()
            .execute(
              "select '2026-11-09T08:07:06Z'::timestamptz as at",
              [],
              'all',
              em.getTransactionContext()
            )) as object[])
        )
      }
    }
  )
  await everything(t, built)
  t.ok(seen.length > 0)
  for (const row of seen) t.strictSame(row, { at: 'the host reads 09/11/2026 08:07:06 UTC' })
})

for (const isolation of ['repeatable read', 'serializable'])
  t.test(`pages and mappings that meet cost nothing where the default is ${isolation}`, { skip }, async t => {
    const { host, script, connectionId } = await hostOn(t, [`default_transaction_isolation to '${isolation}'`])
    script.organizations = list([group('g1'), group('g2')])
    script.devices = list(...Array.from({ length: 12 }, (_, n) => devices(5, {}, `p${n}-`)))
    await syncNow(host, connectionId)
    const { body } = await host.call('t1', 'GET', `/connections/${connectionId}/organizations`)
    const ids: string[] = body.items.map((item: { id: string }) => item.id)
    const { run } = await host.app.rmm.sync.start('t1', connectionId, {})
    const answers = await Promise.all(
      Array.from({ length: 24 }, (_, n) =>
        host.call('t1', 'PATCH', `/connections/${connectionId}/organizations/${ids[n % 2]}`, {
          mode: 'mapped',
          clientRef: n % 3 === 0 ? 'c1' : 'c2'
        })
      )
    )
    t.strictSame(
      answers.map(({ status }) => status),
      answers.map(() => 200)
    )
    t.match(await host.app.rmm.sync.settled('t1', run.id), { status: 'succeeded', totals: { failed: 0 } })
    const { db, t: tables } = await openDatabase(host.orm, schema)
    t.match((await sql`select failures from ${tables.run} where id = ${run.id}`.execute(db)).rows, [{ failures: 0 }])
  })

t.test('a lock that is waited for too briefly is asked for again, and named when it stays', { skip }, async t => {
  const { host, script, connectionId, empty: database } = await hostOn(t, ["lock_timeout to '30ms'"])
  script.organizations = list([group('g1')])
  script.devices = list(devices(10))
  await syncNow(host, connectionId)
  const { body } = await host.call('t1', 'GET', `/connections/${connectionId}/organizations`)
  const url = `/connections/${connectionId}/organizations/${body.items[0].id}`
  const other = await bystander(database)
  const held = Promise.withResolvers<void>()
  const free = Promise.withResolvers<void>()
  const holding = other.transaction(async trx => {
    await sql`select id from ${other.t.connection} for no key update`.execute(trx)
    held.resolve()
    await free.promise
  })
  await held.promise
  const mapping = host.call('t1', 'PATCH', url, { mode: 'mapped', clientRef: 'c1' })
  const { run } = await host.app.rmm.sync.start('t1', connectionId, {})
  // Longer than the limit, several times over.
  const gaveUp = async () =>
    Number(
      (
        await sql<{
          n: string
        }>`select count(*) as n from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'`.execute(
          other.db
        )
      ).rows[0]!.n
    )
  for (let seen = 0; seen < 3; seen++) {
    await until(async () => (await gaveUp()) > 0)
    await until(async () => (await gaveUp()) === 0)
  }
  free.resolve()
  await holding
  t.match(await mapping, { status: 200 })
  t.match(await host.app.rmm.sync.settled('t1', run.id), { status: 'succeeded' })
  await t.test('one that is never free', async t => {
    const stuck = Promise.withResolvers<void>()
    const taken = Promise.withResolvers<void>()
    const holding = other.transaction(async trx => {
      await sql`select id from ${other.t.connection} for no key update`.execute(trx)
      taken.resolve()
      await stuck.promise
    })
    await taken.promise
    t.match(await host.call('t1', 'PATCH', url, { mode: 'inherit' }), {
      status: 503,
      body: { code: 'RMM_ERR_DATABASE_SETTINGS', message: /lock_timeout is 30ms/ }
    })
    stuck.resolve()
    await holding
  })
})

/** A device row takes this long to be written. */
const slowRows = `create function ${schema}.slow() returns trigger language plpgsql as 'begin perform pg_sleep(0.4); return new; end';
  create trigger slow before insert on ${schema}.rmm_device for each statement execute function ${schema}.slow()`

t.test('a statement_timeout that is too short is named in the run and in answers', { skip }, async t => {
  const { host, script, connectionId, empty: database } = await hostOn(t, ["statement_timeout to '150ms'"])
  await database.script(slowRows)
  script.devices = list(devices(3))
  t.match(await syncNow(host, connectionId), {
    status: 'failed',
    error: { code: 'RMM_ERR_DATABASE_SETTINGS', message: /statement_timeout is 150ms/ }
  })
  script.one.set('d001', device('d001'))
  t.match(await host.call('t1', 'POST', `/connections/${connectionId}/devices/d001/sync`), {
    status: 503,
    body: { code: 'RMM_ERR_DATABASE_SETTINGS', message: /statement_timeout is 150ms/ }
  })
})

t.test('a database that takes no writes is named, and runs go on when it does', { skip }, async t => {
  const { host, script, connectionId, empty: database, set } = await hostOn(t, [])
  script.organizations = list([group('g1')])
  script.devices = list(devices(10))
  await syncNow(host, connectionId)
  const { body } = await host.call('t1', 'GET', `/connections/${connectionId}/organizations`)
  const map = () =>
    host.call('t1', 'PATCH', `/connections/${connectionId}/organizations/${body.items[0].id}`, {
      mode: 'mapped',
      clientRef: 'c1'
    })
  const endSessions = async () => {
    const other = await bystander(database)
    await sql`select pg_terminate_backend(pid) from pg_stat_activity where datname = current_database() and pid <> pg_backend_pid()`.execute(
      other.db
    )
  }
  const reading = Promise.withResolvers<void>()
  const goOn = Promise.withResolvers<void>()
  script.devices = async function* (from) {
    reading.resolve()
    await goOn.promise
    yield* list(devices(10))(from, new AbortController().signal)
  }
  const { run } = await host.app.rmm.sync.start('t1', connectionId, {})
  await reading.promise
  await set('default_transaction_read_only to on')
  await endSessions()
  await until(async () => {
    const { status, body } = await map()
    return (
      status === 503 &&
      body.code === 'RMM_ERR_DATABASE_SETTINGS' &&
      /default_transaction_read_only is on/.test(body.message)
    )
  })
  goOn.resolve()
  await until(async () => (await host.call('t1', 'GET', `/runs/${run.id}`)).body.status === 'running')
  await database.script(
    `begin transaction read write; alter database ${new URL(database.url!).pathname.slice(1)} reset default_transaction_read_only; commit`
  )
  await endSessions()
  await until(async () => (await host.call('t1', 'GET', `/runs/${run.id}`)).body.status === 'succeeded')
  t.match(await map(), { status: 200 })
})

for (const [state, sentence] of [
  ['53100', /no disk space left/],
  ['53200', /no memory left/],
  ['40001', /Other work/],
  ['40P01', /Other work/]
] as const)
  t.test(`pages that fail with ${state} for a while cost no attempt`, { skip }, async t => {
    const { host, script, connectionId, empty: database } = await hostOn(t, [])
    await database.script(`create table ${schema}.trouble (state text);
      create function ${schema}.fail() returns trigger language plpgsql as 'begin if exists (select 1 from ${schema}.trouble) then raise exception using errcode = (select state from ${schema}.trouble), message = ''as it says''; end if; return new; end';
      create trigger fail before insert on ${schema}.rmm_device for each row execute function ${schema}.fail();
      insert into ${schema}.trouble values ('${state}')`)
    script.devices = list(devices(5), devices(5, {}, 'e'))
    script.one.set('d001', device('d001'))
    const { run } = await host.app.rmm.sync.start('t1', connectionId, {})
    const other = await bystander(database)
    const asked = Promise.withResolvers<void>()
    if (state.startsWith('53')) {
      // More interruptions than a run has attempts.
      await until(
        async () =>
          Number(
            (await sql<{ attempt: number }>`select attempt from ${other.t.run} where id = ${run.id}`.execute(other.db))
              .rows[0]!.attempt
          ) > 3
      )
      t.match((await host.call('t1', 'GET', `/runs/${run.id}`)).body, {
        error: { code: 'RMM_ERR_INTERRUPTED', message: sentence }
      })
      t.match(await host.call('t1', 'POST', `/connections/${connectionId}/devices/d001/sync`), {
        status: 503,
        body: { code: 'RMM_ERR_DATABASE_UNAVAILABLE', message: sentence }
      })
      asked.resolve()
    } else
      await until(
        async () =>
          Number(
            (
              await sql<{
                n: string
              }>`select xact_rollback as n from pg_stat_database where datname = current_database()`.execute(other.db)
            ).rows[0]!.n
          ) > 4
      )
    await database.script(`truncate ${schema}.trouble`)
    t.match(await host.app.rmm.sync.settled('t1', run.id), { status: 'succeeded', totals: { unmapped: 10, failed: 0 } })
    t.match((await sql`select failures from ${other.t.run} where id = ${run.id}`.execute(other.db)).rows, [
      { failures: 0 }
    ])
  })
