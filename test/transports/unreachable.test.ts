import { spawnSync } from 'node:child_process'
import { createServer, connect, type Server, type Socket } from 'node:net'
import { sql } from 'kysely'
import t, { type Test } from 'tap'
import type { SyncTransport } from '../../src/index.ts'
import { postgresTransport } from '../../src/transports/postgres/index.ts'
import { temporalTransport } from '../../src/transports/temporal/index.ts'
import { build, connectLevel, databaseKind, databaseUrl, fakeLevel, type Host, openOrm, testSchema } from '../helper.ts'
import { openDatabase } from '../../src/services/store/database.ts'
import { until } from '../until.ts'

const temporalAddress = process.env['TEMPORAL_ADDRESS']
/** Nothing listens on the discard port of loopback. */
const nowhere = '127.0.0.1:9'

async function runsOf(host: Host): Promise<number> {
  const { db, t } = await openDatabase(host.orm, host.schema)
  const { rows } = await sql<{ n: number }>`select count(*)::int as n from ${t.run}`.execute(db)
  return rows[0]!.n
}

const away: Array<[string, () => SyncTransport, string | false]> = [
  [
    'postgres',
    () => postgresTransport({ connectionString: `postgresql://postgres@${nowhere}/none` }),
    databaseKind === 'pglite' && 'skipped: TEST_DATABASE_URL not set'
  ],
  ['temporal', () => temporalTransport({ address: nowhere, worker: false }), false]
]

for (const [kind, make, skip] of away) {
  t.test(
    `${kind} out of reach: the host starts, starting a run answers 503, and no run is left behind`,
    { skip },
    async t => {
      const fake = await fakeLevel(t, { devices: 5 })
      const host = await build(t, { transports: [make()], transport: kind })
      const id = await connectLevel(host, fake)
      const reply = await host.call('t1', 'POST', `/connections/${id}/sync`)
      t.match(reply, {
        status: 503,
        body: {
          code: 'RMM_ERR_TRANSPORT',
          message: `The sync engine '${kind}' cannot be reached; nothing was started, try again later`
        }
      })
      t.notMatch(JSON.stringify(reply.body), nowhere, 'and tells nothing of the inside')
      t.equal(await runsOf(host), 0)
    }
  )
}

/** A way to a server that can be closed and opened. */
async function gate(t: Test, to: string): Promise<{ address: string; close(): void; open(): void }> {
  const [host, port] = to.split(':') as [string, string]
  const sockets = new Set<Socket>()
  let closed = false
  const server: Server = createServer(socket => {
    if (closed) return socket.destroy()
    const other = connect(Number(port), host)
    for (const [one, two] of [
      [socket, other],
      [other, socket]
    ] as const) {
      sockets.add(one)
      one.pipe(two)
      one
        .on('error', () => two.destroy())
        .on('close', () => {
          sockets.delete(one)
          two.destroy()
        })
    }
  })
  const cut = (): void => {
    for (const socket of sockets) socket.destroy()
  }
  await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve))
  t.teardown(() => {
    cut()
    server.close()
  })
  return {
    address: `127.0.0.1:${(server.address() as { port: number }).port}`,
    close() {
      closed = true
      cut()
    },
    open() {
      closed = false
    }
  }
}

async function outage(
  t: Test,
  kind: string,
  make: (address: string, queue: string) => SyncTransport,
  engineAddress: string,
  teardown: (host: Host) => Promise<void>
): Promise<void> {
  const way = await gate(t, engineAddress)
  const fake = await fakeLevel(t, { devices: 300, maxLimit: 10, latencyMs: 60 })
  const schema = testSchema()
  const host = await build(t, {
    on: { orm: await openOrm(t, schema), schema },
    transports: [make(way.address, `${schema}_queue`)],
    transport: kind
  })
  t.teardown(() => teardown(host))
  const [running, other] = [await connectLevel(host, fake), await connectLevel(host, fake)]
  const { run } = await host.app.rmm.sync.start('t1', running, { resources: ['devices'] })
  await until('the run to be under way', async () => (await host.app.rmm.sync.get('t1', run.id)).progress[0]!.pages > 2)
  way.close()
  // The queue's jobs are written by the host's own connection: with it, starting a run works while pg-boss itself is
  // cut off.
  const answer = await host.call('t1', 'POST', `/connections/${other}/sync`, { resources: ['devices'] })
  if (kind === 'postgres') t.match(answer, { status: 202, body: { deduplicated: false } })
  else t.match(answer, { status: 503, body: { code: 'RMM_ERR_TRANSPORT' } })
  t.equal(await runsOf(host), kind === 'postgres' ? 2 : 1, 'no run is left behind')
  way.open()
  t.match(
    await host.app.rmm.sync.settled('t1', run.id),
    { status: 'succeeded', progress: [{ pages: 30, processed: 300 }] },
    'what was running goes on'
  )
  const again = await until('the engine to be back', async () => {
    const { status, body } = await host.call('t1', 'POST', `/connections/${other}/sync`, { resources: ['devices'] })
    return status === 202 ? (body.run.id as string) : null
  })
  t.match(await host.app.rmm.sync.settled('t1', again), { status: 'succeeded' })
}

t.test(
  'postgres goes away and comes back: runs under way lose nothing, new ones start again',
  { skip: databaseKind === 'pglite' && 'skipped: TEST_DATABASE_URL not set' },
  async t => {
    const { hostname, port } = new URL(databaseUrl!)
    await outage(
      t,
      'postgres',
      (address, queue) => {
        const url = new URL(databaseUrl!)
        url.host = address
        return postgresTransport({
          connectionString: url.href,
          schema: queue,
          heartbeatSeconds: 10,
          monitorSeconds: 1,
          pollSeconds: 0.5
        })
      },
      `${hostname}:${port}`,
      async host => {
        const { db } = await openDatabase(host.orm, host.schema)
        for (const own of [host.schema, `${host.schema}_queue`])
          await sql`drop schema if exists ${sql.id(own)} cascade`.execute(db)
      }
    )
  }
)

t.test(
  'temporal goes away and comes back: runs under way lose nothing, new ones start again',
  {
    skip:
      databaseKind === 'pglite'
        ? 'skipped: TEST_DATABASE_URL not set'
        : temporalAddress === undefined && 'skipped: TEMPORAL_ADDRESS not set'
  },
  async t => {
    await outage(
      t,
      'temporal',
      address => temporalTransport({ address, taskQueue: `outage-${process.pid}`, heartbeatMs: 10_000 }),
      temporalAddress!,
      async () => {}
    )
  }
)

/** Opens a transport in a process where a package cannot be found. */
function openWithout(missing: string, make: string): string {
  const script = `
    import { registerHooks } from 'node:module'
    registerHooks({ resolve (specifier, context, next) {
      if (specifier === '${missing}') throw Object.assign(new Error("Cannot find package '${missing}'"), { code: 'ERR_MODULE_NOT_FOUND' })
      return next(specifier, context)
    } })
    const log = { info () {}, warn () {}, error () {} }
    const { postgresTransport } = await import(${JSON.stringify(new URL('../../src/transports/postgres/index.ts', import.meta.url).href)})
    const { temporalTransport } = await import(${JSON.stringify(new URL('../../src/transports/temporal/index.ts', import.meta.url).href)})
    try {
      const transport = ${make}
      await transport.open({ maxAttempts: 2, log })
      await transport.startWorker({}, { concurrency: 1, workerId: 'w', log })
      console.log('opened')
    } catch (error) { console.log(error.code, error.message) }
    process.exit(0)`
  return spawnSync(process.execPath, ['--no-warnings', '--input-type=module', '-e', script], { encoding: 'utf8' })
    .stdout
}

t.test('a transport whose package is missing says at boot what to install', async t => {
  t.match(
    openWithout('pg-boss', "postgresTransport({ connectionString: 'postgresql://127.0.0.1:9/none' })"),
    /^RMM_ERR_OPTION the transport 'postgres' needs a package that is not installed: npm install pg-boss@12/
  )
  t.match(
    openWithout('@temporalio/client', 'temporalTransport()'),
    /^RMM_ERR_OPTION the transport 'temporal' .*npm install @temporalio\/client@1\.24/
  )
  t.match(
    openWithout('@temporalio/worker', 'temporalTransport()'),
    /^RMM_ERR_OPTION the transport 'temporal' .*npm install @temporalio\/worker@1\.24/
  )
  t.match(
    openWithout('@temporalio/worker', 'temporalTransport({ worker: false })'),
    /^opened/,
    'a process that only starts runs does without the worker'
  )
})

t.test('options that cannot work are refused with the option, the value and the fix', async t => {
  const refused: Array<[() => unknown, RegExp]> = [
    [() => postgresTransport({}), /exactly one of orm, pool, connectionString and boss \(none was passed\)/],
    [
      () => postgresTransport({ connectionString: 'x', pool: { query: async () => ({ rows: [] }) } }),
      /pool and connectionString were/
    ],
    [
      () => postgresTransport({ connectionString: 'x', heartbeatSeconds: 5 }),
      /'heartbeatSeconds' is 5: it must be a number of seconds from 10 to 3600/
    ],
    [() => postgresTransport({ connectionString: 'x', refreshSeconds: 30 }), /'refreshSeconds' is 30/],
    [() => postgresTransport({ connectionString: 'x', schema: 'Robert"; drop' }), /'schema'/],
    [
      () => postgresTransport({ boss: { on() {} } as never, schema: 'mine' }),
      /'schema' is "mine": a pg-boss of the host has its own/
    ],
    [() => postgresTransport({ conectionString: 'x' } as never), /'conectionString' is unknown/],
    [
      () => temporalTransport({ heartbeatMs: 200_000 }),
      /'heartbeatMs' is 200000: it must be a whole number of milliseconds from 5000 to 120000/
    ],
    [() => temporalTransport({ adress: 'x' } as never), /'adress' is unknown/],
    [() => temporalTransport({ apiKey: 5 } as never), /'apiKey' is "…"/],
    [() => temporalTransport({ client: {} as never }), /pass nativeConnection or address too, or worker: false/],
    [
      () => temporalTransport({ client: {} as never, connection: {} as never, worker: false }),
      /client or connection, not both/
    ]
  ]
  for (const [make, message] of refused) t.throws(make, { code: 'RMM_ERR_OPTION', message })
  await t.rejects(build(t, { transport: 'temporal' }), { code: 'RMM_ERR_OPTION', message: /temporal.*not registered/ })
  await t.rejects(
    build(t, { transports: [temporalTransport({ worker: false }), temporalTransport({ worker: false })] }),
    { code: 'RMM_ERR_OPTION', message: /'temporal' is there twice/ }
  )
})
