import { type ChildProcess, spawn } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { MikroORM } from '@mikro-orm/core'
import { PgliteDriver } from '@mikro-orm/pglite'
import { sql } from 'kysely'
import t, { type Test } from 'tap'
import { withRmmSync } from '../../src/index.ts'
import { type Database, openDatabase } from '../../src/services/store/database.ts'
import { type FakeLevel, seedLevel } from '../../src/testing/index.ts'
import { build, connectLevel, databaseUrl, dropSchema, fakeLevel, openOrm, syncNow, testSchema } from '../helper.ts'
import { pause, until } from '../until.ts'

t.setTimeout(600_000)

const pages = 20
const perPage = 10
const world = () => seedLevel({ devices: pages * perPage, groups: 12, alerts: 25, updatesPerDevice: 1 })

interface Child {
  process: ChildProcess
  lines: string[]
  /** Waits for a line, or for more lines than there are now. */
  said(start: string, more?: number): Promise<string>
  kill(): Promise<void>
}

function host(t: Test, database: string, schema: string, fake: FakeLevel): Child {
  const child = spawn(process.execPath, [new URL('host.ts', import.meta.url).pathname], {
    env: { ...process.env, DATABASE: database, SCHEMA: schema, LEVEL_URL: fake.url, NODE_OPTIONS: '' },
    stdio: ['ignore', 'pipe', 'pipe']
  })
  const lines: string[] = []
  const errors: string[] = []
  createInterface({ input: child.stdout }).on('line', line => {
    lines.push(line)
  })
  child.stderr.on('data', data => {
    errors.push(String(data))
  })
  const exited = new Promise<void>(resolve => child.once('exit', () => resolve()))
  const kill = async () => {
    child.kill('SIGKILL')
    await exited
  }
  t.teardown(kill)
  return {
    process: child,
    lines,
    kill,
    async said(start, more = 1) {
      const from = more > 1 ? lines.length : 0
      return await until(`'${start}'`, () => {
        const found = lines.slice(from).filter(line => line.startsWith(start))
        if (found.length < more && child.exitCode !== null)
          throw new Error(`the host ended by itself: ${errors.join('').slice(-2_000)}`)
        return found.length >= more && found[0]
      })
    }
  }
}

/** What is stored, without ids and times. */
async function dump({ db, t }: Database) {
  const rows = async (table: keyof Database['t'], columns: string) =>
    (
      await sql<object>`select ${sql.raw(columns)} from ${t[table]} where removed_at is null order by external_id`.execute(
        db
      )
    ).rows
  return {
    devices: await rows(
      'device',
      'external_id, display_name, organization_external_id, client_ref, assignment, pending_os_patches, hash'
    ),
    organizations: await rows('organization', 'external_id, name, path, depth, mode, assignment, hash'),
    alerts: (
      await sql<object>`select external_id, device_external_id, name, severity, status, hash from ${t.alert} order by external_id`.execute(
        db
      )
    ).rows
  }
}

/** What one clean sync of the same account stores. */
async function clean(t: Test) {
  const fake = await fakeLevel(t, { world: world() })
  const whole = await build(t)
  await syncNow(whole, await connectLevel(whole, fake))
  return await dump(await openDatabase(whole.orm, whole.schema))
}

async function facts({ db, t }: Database) {
  const one = async (query: ReturnType<typeof sql<{ n: string | number }>>) =>
    Number((await query.execute(db)).rows[0]!.n)
  return {
    lost: await one(
      sql`select ${pages * perPage} - count(distinct seen.id) as n from ${t.page} p, unnest(p.seen) as seen(id) where p.resource = 'devices'`
    ),
    repeated: await one(
      sql`select count(*) as n from (select 1 from ${t.page} group by pass_id, resource, seen having count(*) > 1) twice`
    ),
    completed: await one(sql`select count(*) as n from ${t.outbox} where type = 'RMM_SYNC_COMPLETED'`),
    started: await one(sql`select count(*) as n from ${t.outbox} where type = 'RMM_SYNC_STARTED'`),
    failed: await one(sql`select count(*) as n from ${t.outbox} where type = 'RMM_SYNC_FAILED'`),
    created: await one(sql`select count(*) as n from ${t.outbox} where type = 'RMM_DEVICE_CREATED'`),
    createdDistinct: await one(
      sql`select count(distinct payload->>'externalId') as n from ${t.outbox} where type = 'RMM_DEVICE_CREATED'`
    ),
    attempts: await one(sql`select max(attempt) as n from ${t.run}`),
    runs: await one(sql`select count(*) as n from ${t.run}`)
  }
}

const whole = {
  lost: 0,
  repeated: 0,
  completed: 1,
  started: 1,
  failed: 0,
  created: pages * perPage,
  createdDistinct: pages * perPage,
  runs: 1
}

/**
 * Kills a host at a random moment after it has begun to read, `kills` times, then lets one live until the run has
 * ended.
 */
async function torture(t: Test, database: string, schema: string, fake: FakeLevel, kills: number): Promise<number> {
  let killed = 0
  for (; killed < kills; killed++) {
    const child = host(t, database, schema, fake)
    await child.said('run')
    const before = fake.requests.length
    const over = () => child.lines.some(line => line.startsWith('ended'))
    await until('a request', () => fake.requests.length > before || over())
    if (over()) break
    await pause(Math.random() * 90)
    await child.kill()
  }
  const last = host(t, database, schema, fake)
  t.equal(await last.said('ended'), 'ended succeeded')
  await last.kill()
  return killed
}

t.test('killed at random points, again and again, a sync ends in the tables of a clean one', async t => {
  const expected = await clean(t)
  const fake = await fakeLevel(t, { world: world(), maxLimit: perPage, latencyMs: 40 })
  const schema = testSchema()
  const directory = databaseUrl ? null : mkdtempSync(join(tmpdir(), 'rmm-crash-'))
  let orm: MikroORM | undefined
  t.teardown(async () => {
    if (orm !== undefined && directory === null) await dropSchema(orm, schema)
    if (directory === null) return
    await orm?.close()
    rmSync(directory, { recursive: true, force: true })
  })
  const killed = await torture(t, databaseUrl ?? directory!, schema, fake, directory === null ? 30 : 5)
  orm =
    directory === null
      ? await openOrm(t, schema)
      : await MikroORM.init({
          ...withRmmSync({ entities: [], discovery: { warnWhenNoEntities: false } }, { schema }),
          driver: PgliteDriver,
          dbName: directory
        } as never)
  const database = await openDatabase(orm, schema)
  const found = await facts(database)
  t.comment(
    `killed ${killed} times, ${found.attempts} attempts, ${fake.count('/v2/devices')} pages of devices asked for; pages lost ${found.lost}, repeated ${found.repeated}`
  )
  t.match(found, whole)
  t.ok(killed >= 5, 'it was killed often enough to mean something')
  t.strictSame(await dump(database), expected)
})

const several = databaseUrl
  ? {}
  : { skip: "PGlite is one process's own: two hosts need PostgreSQL (TEST_DATABASE_URL)" }

/** A schema, an account and the database as the test sees it; two hosts on it. */
async function shared(t: Test, latencyMs: number) {
  const schema = testSchema()
  const fake = await fakeLevel(t, { world: world(), maxLimit: perPage, latencyMs })
  const orm = await openOrm(t, schema)
  t.teardown(() => dropSchema(orm, schema))
  const start = () => host(t, databaseUrl!, schema, fake)
  const database = await openDatabase(orm, schema)
  const run = async () =>
    (await sql<any>`select * from ${database.t.run} order by queued_at`.execute(database.db)).rows[0]
  const versions = async () => {
    const { db, t: tables } = database
    const rows = async (name: keyof Database['t']) =>
      (
        await sql<{
          version: string
        }>`select t.xmin::text || '/' || t.ctid::text as version from ${tables[name]} t order by 1`.execute(db)
      ).rows.map(row => row.version)
    return {
      device: await rows('device'),
      page: await rows('page'),
      run: await rows('run'),
      run_item: await rows('run_item'),
      pass: await rows('pass')
    }
  }
  const devices = async () =>
    Number((await sql<{ n: string }>`select count(*) as n from ${database.t.device}`.execute(database.db)).rows[0]!.n)
  /** Of the hosts. */
  const busySessions = async () =>
    (
      await sql`select pid from pg_stat_activity where application_name = ${schema} and state <> 'idle'`.execute(
        database.db
      )
    ).rows.length
  return { schema, fake, start, database, run, versions, devices, busySessions }
}

t.test(
  'two hosts on one database: a run is executed once, a schedule starts once, and the survivor adopts',
  { ...several },
  async t => {
    const { fake, start, database, run, devices } = await shared(t, 40)
    const { db, t: tables } = database
    const scheduled = async () =>
      (await sql<any>`select * from ${tables.run} where trigger = 'schedule'`.execute(db)).rows
    const first = start()
    await first.said('run')
    const second = start()
    t.equal(await second.said('ended'), 'ended succeeded')
    t.match(await facts(database), { ...whole, attempts: 1 })

    // The third page is never answered: the run is held in its middle.
    fake.fail({ path: '/v2/devices', kind: 'no-answer', after: 2 })
    await sql`update ${tables.connection} set schedule_enabled = true, next_sync_at = now() - interval '1 minute'`.execute(
      db
    )
    // Ten ticks of each.
    await Promise.all([first.said('alive', 30), second.said('alive', 30)])
    t.equal((await scheduled()).length, 1)

    // The holder dies in the middle of its run.
    const active = await until('two pages', async () => {
      const [held] = await scheduled()
      return held.progress.some((item: any) => item.resource === 'devices' && item.pages > 1) && held
    })
    t.equal(active.status, 'running')
    const pid = Number(active.worker.split(':').at(-2))
    const holder = [first, second].find(child => child.process.pid === pid)!
    t.ok(holder, 'one of the two holds it')
    await holder.kill()
    const [ended] = await until('the survivor', async () => {
      const runs = await scheduled()
      return runs[0].finished_at !== null && runs
    })
    t.match(ended, { status: 'succeeded', attempt: 2 })
    t.equal((await facts(database)).repeated, 0)
    t.equal(await devices(), pages * perPage)
    t.equal((await run()).attempt, 1)
  }
)

t.test(
  'a host that was stopped and wakes after its run was taken over writes nothing any more',
  { ...several },
  async t => {
    const { start, database, run, versions, devices, busySessions } = await shared(t, 300)
    const zombie = start()
    await zombie.said('run')
    await until('two pages', async () => (await devices()) >= perPage * 2)
    // Between two commits: stopped in the middle of a transaction, it would keep its locks from its heir.
    await until('a quiet moment', async () => {
      zombie.process.kill('SIGSTOP')
      if ((await busySessions()) + (await busySessions()) === 0) return true
      zombie.process.kill('SIGCONT')
      return false
    })
    const stopped = await run()
    t.equal(stopped.status, 'running')
    const heir = start()
    t.equal(await heir.said('ended'), 'ended succeeded')
    const after = await run()
    t.ok(Number(after.fence) > Number(stopped.fence), 'with a higher fence')
    const before = await versions()
    zombie.process.kill('SIGCONT')
    await zombie.said('alive', 40)
    t.equal(await zombie.said('ended'), 'ended succeeded', 'it sees that the run is over')
    t.strictSame(await versions(), before, 'and has not written one row of it')
    t.match(await facts(database), whole)
    t.equal(zombie.process.exitCode, null)
  }
)

t.test(
  'a database that goes away in the middle interrupts the run, which goes on from its last page',
  { ...several },
  async t => {
    const { schema, start, database, devices } = await shared(t, 40)
    const child = start()
    await child.said('run')
    const cut = async () =>
      (
        await sql`select pg_terminate_backend(pid) from pg_stat_activity where application_name = ${schema}`.execute(
          database.db
        )
      ).rows.length
    let cuts = 0
    for (const at of [1, 6, 12]) {
      await until(`page ${at}`, async () => (await devices()) >= perPage * at)
      cuts += await cut()
    }
    // A session between two transactions is only opened again: one has to be cut in the middle of a page.
    await until('a second attempt', async () => {
      if (child.lines.some(line => line.startsWith('ended')) || (await facts(database)).attempts > 1) return true
      cuts += await cut()
      return false
    })
    t.ok(cuts >= 3, `${cuts} sessions were cut`)
    t.equal(await child.said('ended'), 'ended succeeded')
    const found = await facts(database)
    t.comment(`${cuts} sessions cut, ${found.attempts} attempts; pages lost ${found.lost}, repeated ${found.repeated}`)
    t.match(found, whole)
    t.ok(found.attempts > 1)
    t.equal(child.process.exitCode, null, 'the host lives')
  }
)
