import { spawn } from 'node:child_process'
import { createInterface } from 'node:readline'
import { sql } from 'kysely'
import t, { type Test } from 'tap'
import { openDatabase } from '../../src/services/store/database.ts'
import { build, connectLevel, databaseUrl, fakeLevel, syncNow } from '../helper.ts'
import { until } from '../until.ts'

t.setTimeout(300_000)

function child(t: Test, schema: string, log: string) {
  const lines: string[] = []
  const errors: string[] = []
  const running = spawn(process.execPath, [new URL('hand-over-host.ts', import.meta.url).pathname], {
    env: { ...process.env, DATABASE: databaseUrl, SCHEMA: schema, LOG: log, NODE_OPTIONS: '' },
    stdio: ['ignore', 'pipe', 'pipe']
  })
  createInterface({ input: running.stdout }).on('line', line => lines.push(line))
  running.stderr.on('data', data => errors.push(String(data)))
  const exited = new Promise<void>(resolve => running.once('exit', () => resolve()))
  const kill = async () => {
    running.kill('SIGKILL')
    await exited
  }
  t.teardown(kill)
  const said = (test: () => boolean) =>
    until('a line of the host', () => {
      if (!test() && running.exitCode !== null)
        throw new Error(`the host ended by itself: ${errors.join('').slice(-2_000)}`)
      return test()
    })
  return { lines, kill, said }
}

t.test(
  'killed again and again, a hand-over gives every device once',
  databaseUrl ? {} : { skip: "PGlite is one process's own: it needs PostgreSQL (TEST_DATABASE_URL)" },
  async t => {
    const fake = await fakeLevel(t, { devices: 90, groups: 3 })
    const host = await build(t)
    const connectionId = await connectLevel(host, fake)
    await syncNow(host, connectionId, { resources: ['organizations'] })
    const { items } = await host.app.rmm.organizations.list('t1', connectionId, { limit: 200 })
    const mappings = items.map(({ id }) => ({ organizationId: id, mode: 'mapped' as const, clientRef: 'c1' }))
    await host.app.rmm.organizations.map('t1', connectionId, mappings)
    await syncNow(host, connectionId, { resources: ['organizations', 'devices'] })
    const mapped = (await host.app.rmm.connections.get('t1', connectionId)).counts.mappedDevices
    t.ok(mapped > 30, `${mapped} devices`)
    await host.app.close()
    const { db } = await openDatabase(host.orm, host.schema)
    const log = `${host.schema}.told`
    await sql`create table ${sql.table(log)} (change text, device uuid)`.execute(db)
    for (let kills = 0; kills < 5; kills++) {
      const victim = child(t, host.schema, log)
      await victim.said(() => victim.lines.filter(line => line === 'told').length > kills)
      await victim.kill()
    }
    const last = child(t, host.schema, log)
    await last.said(() => last.lines.some(line => line.startsWith('ended')))
    t.equal(last.lines.at(-1), `ended succeeded ${mapped}`)
    await last.kill()
    const { rows } = await sql<{
      change: string
      n: string
      distinct: string
    }>`select change, count(*) as n, count(distinct device) as distinct
      from ${sql.table(log)} group by change`.execute(db)
    t.strictSame(
      rows.map(row => [row.change, Number(row.n), Number(row.distinct)]),
      [['handover', mapped, mapped]]
    )
  }
)
