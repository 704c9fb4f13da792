import { fork } from 'node:child_process'
import { once } from 'node:events'
import fc from 'fast-check'
import { sql } from 'kysely'
import t from 'tap'
import { build, connectLevel, databaseKind, databaseUrl, fakeLevel } from '../../helper.ts'
import { processClock } from '../../process-clock.ts'
import { alert, device, devices, list, page, type ScriptedHost, scriptedHost } from '../scripted.ts'

t.setTimeout(180_000)

const hour = 3_600_000
const year = 365 * 24 * hour

/** Names of the devices that are there. */
const names = async (h: ScriptedHost) =>
  (await h.rows('device')).filter(row => row.removed_at === null).map(row => `${row.external_id}:${row.display_name}`)

/** Pages as a platform gives them: stamped when they are asked for, by this process' clock. */
const platform = (records: () => ReturnType<typeof devices>, perPage = 100) =>
  async function* () {
    for (let at = 0; at === 0 || at < records().length; at += perPage)
      yield page(records().slice(at, at + perPage), { observedAt: new Date() })
  }

/** Columns that tell when something happened. */
const times = {
  organization: ['observed_at', 'removed_at', 'updated_at'],
  device: ['observed_at', 'removed_at', 'last_reboot_at', 'updated_at'],
  device_status: ['observed_at', 'last_seen_at'],
  alert: ['observed_at', 'started_at', 'resolved_at'],
  pass: ['started_at'],
  page: ['observed_at'],
  run: ['queued_at', 'started_at', 'finished_at', 'continued_from'],
  connection: ['last_sync_at', 'last_full_sync_at']
} as const

/** PGlite has this process' clock: when that is set back, what was written lies ahead. */
const oneClock = databaseKind === 'pglite' && "PGlite has the process' own clock: here, the database's is set"

/** Columns with a time that lies ahead of the database's. */
async function ahead({ database: { db, t, inThread } }: ScriptedHost): Promise<string[]> {
  const found: string[] = []
  if (inThread) return found
  for (const [table, columns] of Object.entries(times))
    for (const column of columns) {
      const { rows } =
        await sql`select 1 from ${t[table as 'run']} where ${sql.ref(column)} > clock_timestamp() limit 1`.execute(db)
      if (rows.length > 0) found.push(`${table}.${column}`)
    }
  return found
}

for (const [what, wrong] of [
  ['an hour ahead', hour],
  ['a year ahead', year],
  ['an hour behind', -hour],
  ['a year behind', -year]
] as const) {
  t.test(`A7: a clock that is ${what} for two syncs and then right: everything is taken at once`, async t => {
    const clock = processClock(t)
    const h = await scriptedHost(t)
    let there = devices(10)
    let alerts = [alert('x')]
    h.script.devices = platform(() => there)
    h.script.alerts = async function* () {
      yield page(alerts, { observedAt: new Date() })
    }
    clock.set(wrong)
    await h.sync()
    there = there.map(record => ({ ...record, tags: ['seen'] }))
    t.match(await h.sync(), { status: 'succeeded', totals: { updated: 10 } }, 'while it is wrong')
    t.strictSame(await ahead(h), [])

    clock.set(0)
    there = there.slice(0, 9).map((record, n) => (n < 2 ? { ...record, displayName: `renamed ${n}` } : record))
    alerts = [alert('x', { status: 'resolved', resolvedAt: new Date() })]
    const run = await h.sync()
    t.match(run, { status: 'succeeded', totals: { updated: 2, removed: 1, unchanged: 7 } })
    t.notMatch(run.summary, /older/)
    t.strictSame((await names(h)).slice(0, 2), ['d000:renamed 0', 'd001:renamed 1'])
    t.strictSame(
      (await h.rows('alert')).map(row => row.status),
      ['resolved']
    )
    t.strictSame(await ahead(h), [])
  })
}

t.test('a clock that jumps between two pages of one run spoils neither', { skip: oneClock }, async t => {
  const clock = processClock(t)
  const h = await scriptedHost(t, { engine: { batchRecords: 1 } as never })
  let name = 'first'
  const there = () => devices(6, { displayName: name })
  h.script.devices = platform(there)
  await h.sync()
  for (const [n, jumps] of [
    [0, [hour, -hour, 0]],
    [1, [-year, 0, year]]
  ] as const) {
    name = `after ${n}`
    h.script.devices = async function* () {
      for (const [at, jump] of jumps.entries()) {
        const observedAt = new Date()
        clock.set(jump)
        yield page(there().slice(at * 2, at * 2 + 2), { observedAt })
      }
    }
    t.match(await h.sync({ resources: ['devices'] }), { status: 'succeeded', totals: { updated: 6, removed: 0 } })
    clock.set(0)
    t.strictSame(await ahead(h), [])
  }
})

const severalProcesses = !databaseUrl && "PGlite is one process's own: two need PostgreSQL (TEST_DATABASE_URL)"

t.test('two processes whose clocks differ by a year do not undo each other', { skip: severalProcesses }, async t => {
  const fake = await fakeLevel(t, { devices: 12, groups: 2 })
  const host = await build(t, { worker: { enabled: false } })
  const id = await connectLevel(host, fake)
  const start = async (ahead: number) => {
    const child = fork(new URL('./clocked-host.ts', import.meta.url), {
      env: {
        ...process.env,
        DATABASE: databaseUrl,
        SCHEMA: host.schema,
        CONNECTION: id,
        AHEAD: String(ahead),
        NODE_OPTIONS: ''
      }
    })
    t.teardown(() => child.kill('SIGKILL'))
    const answer = async () => (await once(child, 'message'))[0]
    t.equal(await answer(), 'ready')
    return async (what: string): Promise<any> => {
      child.send(what)
      return await answer()
    }
  }
  const [ahead, behind] = await Promise.all([start(year), start(-year)])
  const ids = fake.devices.ids()
  for (const [n, run] of [ahead, behind, ahead, behind, behind, ahead].entries()) {
    fake.devices.patch(ids[0]!, { nickname: `sync ${n}` })
    t.match(await run('sync'), { status: 'succeeded', totals: { removed: 0 } })
    fake.devices.patch(ids[1]!, { nickname: `read ${n}` })
    await (n % 2 === 0 ? behind : ahead)(ids[1]!)
    const { items } = (await host.call('t1', 'GET', `/devices?limit=200`)).body
    const name = (externalId: string) => items.find((item: any) => item.externalId === externalId).displayName
    t.strictSame([name(ids[0]!), name(ids[1]!)], [`sync ${n}`, `read ${n}`])
  }
  fake.devices.delete(ids[2]!)
  t.match(await behind('sync'), { totals: { removed: 1 } })
})

t.test('rows from a clock that was ahead are read as now, and heal with the next read', async t => {
  const h = await scriptedHost(t)
  h.script.devices = list(devices(4, { lastSeenAt: new Date(Date.now() - 1_000) }))
  h.script.alerts = list([alert('x'), alert('y')])
  await h.sync()
  const { db, t: tables } = h.database
  for (const table of ['organization', 'device', 'device_status', 'alert', 'page'] as const)
    await sql`update ${tables[table]} set observed_at = now() + interval '1 year'`.execute(db)
  await sql`update ${tables.device_status} set last_seen_at = now() + interval '1 year'`.execute(db)
  const { items } = (await h.call('t1', 'GET', '/devices')).body
  t.ok(
    items.every((item: any) => Date.parse(item.observedAt) <= Date.now() && Date.parse(item.lastSeenAt) <= Date.now())
  )

  h.script.one.set('d000', device('d000', { displayName: 'read alone' }))
  t.match(await h.app.rmm.sync.device('t1', h.connectionId, 'd000'), { outcome: 'updated' })
  h.script.devices = list([
    device('d000', { displayName: 'read alone' }),
    ...devices(3, { displayName: 'renamed' }).slice(1)
  ])
  h.script.organizations = list([{ externalId: 'g1', name: 'Renamed', parentExternalId: null }])
  h.script.alerts = list([alert('x', { status: 'resolved', resolvedAt: new Date() })])
  t.match(await h.sync(), { status: 'succeeded', totals: { updated: 2, removed: 1 } })
  t.strictSame(await names(h), ['d000:read alone', 'd001:renamed', 'd002:renamed'])
  t.strictSame(
    (await h.rows('alert')).map(row => row.status),
    ['resolved', 'resolved']
  )
  t.match(await h.rows('organization'), [{ name: 'Renamed' }])
})

t.test('what a record says of the future did not happen later than now, and is no change at every read', async t => {
  const h = await scriptedHost(t)
  const inTwoHours = new Date(Date.now() + 2 * hour)
  h.script.devices = list([device('a', { lastSeenAt: new Date('2031-01-01'), lastRebootAt: inTwoHours })])
  h.script.alerts = list([
    alert('x', { startedAt: inTwoHours }),
    alert('y', { status: 'resolved', resolvedAt: inTwoHours })
  ])
  t.match(await h.sync(), { totals: { created: 1 } })
  t.strictSame(await ahead(h), [])
  const [item] = (await h.call('t1', 'GET', '/devices')).body.items
  t.ok(Date.parse(item.lastSeenAt) <= Date.now())
  t.ok(item.lastRebootAt === null || Date.parse(item.lastRebootAt) <= Date.now())
  t.ok(item.uptimeSeconds === null || item.uptimeSeconds >= 0)
  t.match(await h.sync(), { totals: { updated: 0, unchanged: 1 }, summary: /^Nothing changed: 1 device was as stored/ })
})

t.test('what was refused as older is counted and said', async t => {
  const h = await scriptedHost(t)
  h.script.devices = list(devices(3))
  h.script.alerts = list([alert('x')])
  await h.sync()
  const late = { observedAt: new Date(Date.now() - hour) }
  h.script.organizations = list(page([{ externalId: 'g1', name: 'Late', parentExternalId: null }], late))
  h.script.devices = list(page(devices(3, { displayName: 'late' }), late))
  h.script.alerts = list(page([alert('x', { name: 'late' })], late))
  t.match(await h.sync(), {
    summary: /5 records were older than what is stored and were not taken/,
    totals: { updated: 0, unchanged: 3 }
  })
  t.match(await h.sync({ resources: ['organizations'] }), {
    summary: /1 record was older than what is stored and was not taken/
  })
})

t.test(
  'whatever clocks do, the inventory is what the platform last said, and no stored time lies ahead',
  { skip: oneClock },
  async t => {
    const clock = processClock(t)
    const h = await scriptedHost(t)
    let there = devices(5)
    h.script.devices = platform(() => there, 2)
    const step = fc.oneof(
      fc.record({ op: fc.constant('clock' as const), ahead: fc.integer({ min: -2 * year, max: 2 * year }) }),
      fc.record({
        op: fc.constant('rename' as const),
        at: fc.nat(4),
        name: fc.string({ minLength: 1, maxLength: 5, unit: 'grapheme-ascii' })
      }),
      fc.constant({ op: 'sync' as const }),
      fc.record({ op: fc.constant('read' as const), at: fc.nat(4) })
    )
    await fc.assert(
      fc.asyncProperty(fc.array(step, { minLength: 4, maxLength: 12 }), async steps => {
        for (const step of [...steps, { op: 'sync' as const }]) {
          if (step.op === 'clock') clock.set(step.ahead)
          if (step.op === 'rename')
            there = there.map((record, n) =>
              n === step.at ? { ...record, displayName: `d${step.name.trim()}x` } : record
            )
          if (step.op === 'read') {
            const record = there[step.at]!
            const id = String(record.externalId)
            h.script.one.set(id, record)
            await h.app.rmm.sync.device('t1', h.connectionId, id)
          }
          if (step.op === 'sync') {
            const run = await h.sync({ resources: ['devices'] })
            if (run.status !== 'succeeded' || run.totals.removed > 0) throw new Error(`${run.summary}`)
            const stored = (await names(h)).join()
            const wanted = there.map(record => `${record.externalId}:${record.displayName}`).join()
            if (stored !== wanted) throw new Error(`${stored} is not ${wanted}`)
          }
          const wrong = await ahead(h)
          if (wrong.length > 0) throw new Error(`${wrong} lie ahead`)
        }
      }),
      { numRuns: 25 }
    )
  }
)
