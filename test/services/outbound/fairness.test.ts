import { once } from 'node:events'
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import fc from 'fast-check'
import { sql } from 'kysely'
import t, { type Test } from 'tap'
import { callbackSink, type EventSink, type RmmEvent, webhookSink } from '../../../src/index.ts'
import { openDatabase } from '../../../src/services/store/database.ts'
import { build, type HostOptions } from '../../helper.ts'
import { pause, until } from '../../until.ts'

t.setTimeout(120_000)

const secret = `whsec_${Buffer.alloc(32, 1).toString('base64')}`

/** A receiver of outgoing webhooks that takes an event, or refuses it. */
async function receiver(t: Test, answer: (event: RmmEvent) => number | Promise<number> | null) {
  const taken: RmmEvent[] = []
  const server = createServer((request: IncomingMessage, response: ServerResponse) => {
    const chunks: Buffer[] = []
    request.on('data', chunk => chunks.push(chunk))
    request.on('end', async () => {
      const { data } = JSON.parse(Buffer.concat(chunks).toString()) as { data: RmmEvent }
      const status = await answer(data)
      if (status === null) return
      if (status < 300) taken.push(data)
      response.writeHead(status).end()
    })
  }).listen(0, '127.0.0.1')
  await once(server, 'listening')
  t.teardown(() => {
    server.closeAllConnections()
    server.close()
  })
  return { taken, url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/in` }
}

const id = (n: number): string => `00000000-0000-4000-8000-${String(n).padStart(12, '0')}`

/** A host with a sink, and a way to have events in its outbox: `n` of connection `c`, which is also tenant `c`. */
async function relaying(t: Test, sinks: EventSink[], options: HostOptions = {}) {
  const host = await build(t, { events: sinks, ...options })
  const database = await openDatabase(host.orm, host.schema)
  const lag = async (name: string) => (await host.app.rmm.events.lag()).find(({ sink }) => sink === name)
  return {
    host,
    database,
    lag,
    async tell(counts: Record<number, number>, names = sinks.map(({ name }) => name)): Promise<void> {
      for (const [c, n] of Object.entries(counts))
        await sql`insert into ${database.t.outbox} (tenant_id, connection_id, provider, type, payload, pending)
          select ${`tenant-${c}`}, ${id(Number(c))}::uuid, 'levelio', 'RMM_DEVICE_UPDATED', jsonb_build_object('deviceId', gen_random_uuid(), 'externalId', n::text, 'displayName', 'd', 'clientRef', null, 'assetRef', null, 'change', 'updated', 'changedFields', '[]'::jsonb), ${names}::text[] from generate_series(1, ${n}::int) n`.execute(
          database.db
        )
      database.announce()
    },
    async drained(name: string): Promise<void> {
      await until(async () => (await lag(name))?.pending === 0)
    }
  }
}

/** Which event of its connection it is. */
const numberOf = ({ payload }: RmmEvent): number => Number((payload as { externalId?: unknown }).externalId)
const numbers = (events: RmmEvent[], c: number): number[] => [
  ...new Set(events.filter(({ connectionId }) => connectionId === id(c)).map(numberOf))
]
const upTo = (n: number): number[] => Array.from({ length: n }, (_, k) => k + 1)

t.test('a receiver that refuses the events of one tenant gets those of the others', async t => {
  const { taken, url } = await receiver(t, ({ tenantId }) => (tenantId === 'tenant-1' ? 500 : 200))
  const { tell, lag } = await relaying(t, [webhookSink({ url, secret, allowPrivateNetwork: true, name: 'out' })])
  await tell({ 1: 300, 2: 200, 3: 100 })
  await until(() => numbers(taken, 2).length === 200 && numbers(taken, 3).length === 100)
  t.strictSame(numbers(taken, 2), upTo(200), 'in order')
  t.strictSame(numbers(taken, 3), upTo(100))
  t.match(await until(async () => ((await lag('out'))?.failures ? await lag('out') : null)), {
    pending: 300,
    lastError: /500/
  })
})

t.test('the same through a sink that is a function, which does not say whose events it refused', async t => {
  const taken: RmmEvent[] = []
  const sink = callbackSink(
    events => {
      if (events.some(({ tenantId }) => tenantId === 'tenant-1')) throw new Error('tenant 1 is not paid for')
      taken.push(...events)
    },
    { name: 'out' }
  )
  const { tell, lag } = await relaying(t, [sink])
  await tell({ 1: 300, 2: 200, 3: 100, 4: 1 })
  await until(() => taken.length === 301)
  for (const [c, n] of [
    [2, 200],
    [3, 100],
    [4, 1]
  ] as const)
    t.strictSame(numbers(taken, c), upTo(n), 'in order')
  t.match(await until(async () => ((await lag('out'))?.failures ? await lag('out') : null)), {
    pending: 300,
    lastError: 'tenant 1 is not paid for'
  })
})

t.test('a receiver that hangs for many tenants keeps none of the others waiting, now or later', async t => {
  const hanging = new Set<string>()
  const { taken, url } = await receiver(t, ({ tenantId }) => {
    if (!/^tenant-[12]$/.test(tenantId)) {
      hanging.add(tenantId)
      return null
    }
    return 200
  })
  const sink = webhookSink({ url, secret, allowPrivateNetwork: true, name: 'out', parallel: 2, timeoutMs: 30_000 })
  const { tell, lag } = await relaying(t, [sink])
  await tell({ 11: 5, 12: 5, 13: 5, 14: 5 })
  await until(() => hanging.size >= 2)
  await tell({ 1: 20 })
  await until(() => numbers(taken, 1).length === 20)
  await tell({ 2: 20 })
  await until(() => numbers(taken, 2).length === 20)
  t.equal((await lag('out'))!.pending, 20, 'while not one of the hanging ones was answered')
})

t.test('refusals in between do not add up: what was taken ends the back-off', async t => {
  let seen = 0
  const { taken, url } = await receiver(t, () => (++seen % 25 === 0 ? 503 : 200))
  const { tell, drained, database } = await relaying(t, [
    webhookSink({ url, secret, allowPrivateNetwork: true, name: 'out' })
  ])
  await tell({ 1: 300 })
  let worst = 0
  const watched = drained('out')
  let over = false
  void watched.then(() => {
    over = true
  })
  while (!over) {
    const { rows } = await sql<{ failures: number }>`select failures from ${database.t.sink_connection}`.execute(
      database.db
    )
    worst = Math.max(worst, ...rows.map(({ failures }) => Number(failures)))
    await pause(5)
  }
  t.strictSame(numbers(taken, 1), upTo(300), 'each once and in order')
  t.ok(seen >= 312, `${seen} requests for 300 events`)
  t.ok(worst <= 1, `${worst} failures in a row at most`)
  t.equal((await sql`select 1 from ${database.t.sink_connection}`.execute(database.db)).rows.length, 0)
})

t.test('a sink that is down costs one try at a time, whoever it is asked for, and then gets everything', async t => {
  let down = true
  let tries = 0
  const taken: RmmEvent[] = []
  const sink = callbackSink(
    events => {
      tries++
      if (down) throw new Error('down')
      taken.push(...events)
    },
    { name: 'out' }
  )
  const { tell, drained, database, lag } = await relaying(t, [sink])
  await tell(Object.fromEntries(Array.from({ length: 40 }, (_, c) => [c + 1, 5])))
  await until(async () => {
    const { rows } = await sql<{
      failures: number
    }>`select failures from ${database.t.sink} where name = 'out'`.execute(database.db)
    return Number(rows[0]?.failures) >= 3
  })
  t.ok(tries < 15, `${tries} tries for 40 connections`)
  t.match(await lag('out'), { lastError: 'down', pending: 200 })
  down = false
  await drained('out')
  for (let c = 1; c <= 40; c++) t.strictSame(numbers(taken, c), upTo(5))
  t.match(await until(async () => ((await lag('out'))!.failures === 0 ? await lag('out') : null)), { lastError: null })
})

t.test('many events of one connection do not keep back the few of another', async t => {
  const order: string[] = []
  let open = (): void => {}
  const gate = new Promise<void>(resolve => {
    open = resolve
  })
  const sink = callbackSink(
    async events => {
      if (order.length === 0) await gate
      order.push(...events.map(({ tenantId }) => tenantId))
    },
    { name: 'out' }
  )
  const { tell, drained } = await relaying(t, [sink])
  await tell({ 1: 1 })
  await pause(0)
  await tell({ 1: 4_000 })
  await tell({ 2: 10 })
  open()
  await drained('out')
  t.ok(order.lastIndexOf('tenant-2') < 1_000, `the last of ten came as number ${order.lastIndexOf('tenant-2')} of 4011`)
})

t.test('whatever a sink takes, refuses or leaves, each connection gets all its events, in order', async t => {
  for (const parallel of [1, 4]) {
    await fc.assert(
      fc.asyncProperty(
        fc.dictionary(fc.integer({ min: 1, max: 6 }).map(String), fc.integer({ min: 1, max: 60 }), {
          minKeys: 1,
          maxKeys: 5
        }),
        fc.infiniteStream(fc.integer({ min: 0, max: 9 })),
        async (counts, whims) => {
          const taken: RmmEvent[] = []
          const under = new Set<string>()
          let most = 0
          let refusals = 0
          const sink: EventSink = {
            name: `out-${Math.random()}`,
            parallel,
            async publish(events) {
              const connections = new Set(events.map(({ connectionId }) => connectionId))
              for (const connection of connections) {
                if (under.has(connection)) throw new Error('two calls about one connection at once')
                under.add(connection)
              }
              most = Math.max(most, under.size)
              await pause(1)
              for (const connection of connections) under.delete(connection)
              const whim = whims.next().value as number
              // Not for ever, or there would be nothing to wait for.
              if (whim > 6 && refusals++ < 4) throw new Error('not now')
              if (whim < 3) {
                // Of each connection its first ones, as the contract says.
                const some = [...Map.groupBy(events, ({ connectionId }) => connectionId).values()].flatMap(lane =>
                  lane.slice(0, Math.max(1, lane.length - whim))
                )
                taken.push(...some)
                return { ids: some.map(event => event.id), ...(whim === 1 ? { error: new Error('enough') } : {}) }
              }
              taken.push(...events)
            }
          }
          const { tell, drained, host } = await relaying(t, [sink])
          await tell(counts as never)
          await drained(sink.name)
          for (const [c, n] of Object.entries(counts)) {
            const got = taken.filter(({ connectionId }) => connectionId === id(Number(c)))
            if (JSON.stringify(got.map(numberOf)) !== JSON.stringify(upTo(n)))
              throw new Error(`connection ${c} got ${JSON.stringify(got.map(numberOf))}`)
          }
          await host.app.close()
        }
      ),
      { numRuns: 6 }
    )
  }
})

t.test('what waits for a sink that was taken away is told, and can be dropped; one that is served cannot', async t => {
  const { host, tell, lag, database } = await relaying(t, [
    callbackSink(
      () => {
        throw new Error('down')
      },
      { name: 'here' }
    )
  ])
  await tell({ 1: 3, 2: 2 }, ['here', 'gone'])
  await until(async () => (await lag('here'))?.served)
  t.match(await lag('gone'), { pending: 5, oldestAgeMs: Number, served: false })
  t.match((await host.call('tenant-2', 'GET', '/health')).body, {
    ok: false,
    sinks: [
      { name: 'emitter', served: true },
      { name: 'gone', pending: 2, served: false },
      { name: 'here', pending: 2, served: true }
    ]
  })
  await t.rejects(host.app.rmm.events.drop('here'), { code: 'RMM_ERR_CONFLICT', statusCode: 409 })
  await t.rejects(host.app.rmm.events.drop('never'), { code: 'RMM_ERR_NOT_FOUND' })
  const other = await build(t, { on: host, worker: { enabled: false } })
  await t.rejects(other.app.rmm.events.drop('here'), { code: 'RMM_ERR_CONFLICT', message: /A process serves/ })
  t.strictSame(await host.app.rmm.events.drop('gone'), { events: 5 })
  t.equal(await lag('gone'), undefined)
  t.equal((await lag('here'))!.pending, 5, 'the other sink keeps what waits for it')
  await host.app.close()
  await sql`update ${database.t.sink} set seen_at = now() - interval '1 hour', lease_until = null`.execute(database.db)
  t.strictSame(await other.app.rmm.events.drop('here'), { events: 5 })
  const { rows } = await sql`select 1 from ${database.t.outbox} where published_at is null`.execute(database.db)
  t.equal(rows.length, 0, 'and then they are done with, and pruned like others')
})
