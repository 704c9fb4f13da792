import { createHmac, webcrypto } from 'node:crypto'
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { Redis } from 'ioredis'
import { sql } from 'kysely'
import { createClient } from 'redis'
import t, { type Test } from 'tap'
import { callbackSink, type EventSink, redisStreamSink, type RmmEvent, webhookSink } from '../../../src/index.ts'
import { openDatabase } from '../../../src/services/store/database.ts'
import { build, connectLevel, fakeLevel, type Host } from '../../helper.ts'
import { event, outbox, post, rotateHook } from '../inbound/hook-helper.ts'
import { noRedis, startRedis } from './redis-server.ts'
import { pause, until } from '../../until.ts'

const bytes = (fill: number) => Buffer.alloc(32, fill).toString('base64')
const secret = `whsec_${bytes(1)}`
const never = new AbortController().signal
let made = 0
const made1 = (connectionId = 'c1', name = `connection ${made + 1}`): RmmEvent => ({
  id: `e${++made}`,
  type: 'INTEGRATION_CONNECTED',
  tenantId: 't1',
  connectionId,
  provider: 'levelio',
  actor: { id: 'u1', name: null },
  occurredAt: new Date().toISOString(),
  payload: { name, account: null }
})

/** Something that makes events: deliveries of a type nobody knows, stored and told. */
async function source(t: Test, sinks: EventSink[], connections = 1) {
  const fake = await fakeLevel(t, { devices: 1, groups: 1 })
  const host = await build(t, { events: sinks })
  const hooks: Array<() => Promise<void>> = []
  for (let n = 0; n < connections; n++) {
    const hook = await rotateHook(host, await connectLevel(host, fake))
    hooks.push(async () => {
      await post(host, hook.path, event('moon_landed', { id: 'x' }), hook.secret)
    })
  }
  return { host, tell: async (n = 0) => await hooks[n]!() }
}

const pending = async (host: Host, name: string) => (await host.app.rmm.events.lag()).find(({ sink }) => sink === name)
const drained = (host: Host, name: string) => until(async () => (await pending(host, name))?.pending === 0)

/** First appearances only: what a consumer that de-duplicates sees. */
const distinct = (ids: string[]) => [...new Set(ids)]
const byConnection = (events: RmmEvent[]) => Map.groupBy(events, ({ connectionId }) => connectionId)

t.test('sinks in the host', async t => {
  t.test('an event leaves within a moment of its commit, without waiting for a tick', async t => {
    const seen: Array<{ id: string; at: number }> = []
    const fake = await fakeLevel(t, { devices: 1, groups: 1 })
    const host = await build(t, {
      events: [
        callbackSink(events => {
          seen.push(...events.map(({ id }) => ({ id, at: Date.now() })))
        })
      ],
      engine: { tickMs: 60_000, leaseMs: 60_000 }
    })
    const heard = new Promise<RmmEvent>(resolve => host.app.rmm.events.on('INTEGRATION_CONNECTED', resolve))
    await connectLevel(host, fake)
    t.equal((await heard).type, 'INTEGRATION_CONNECTED')
    await until(() => seen.length > 0)
    t.equal(seen[0]!.id, (await heard).id, 'the same id at every sink')
  })

  t.test('a sink that fails gets the same events again, and delays neither the others nor a sync', async t => {
    let broken = true
    const offered: string[][] = []
    const good: string[] = []
    const bad = callbackSink(
      events => {
        offered.push(events.map(({ id }) => id))
        if (broken) throw new Error('the index is closed')
      },
      { name: 'bad' }
    )
    const { host, tell } = await source(t, [
      bad,
      callbackSink(
        events => {
          good.push(...events.map(({ id }) => id))
        },
        { name: 'good' }
      )
    ])
    await tell()
    await drained(host, 'good')
    const lag = await until(async () => {
      const found = await pending(host, 'bad')
      return found?.lastError ? found : null
    })
    t.match(lag, { lastError: 'the index is closed', oldestAgeMs: Number })
    t.ok(lag.pending > 0 && lag.failures > 0, 'the lag is told')
    broken = false
    await drained(host, 'bad')
    t.strictSame(distinct(offered.flat()), good, 'everything, in order')
    // The sink is let go a statement after its last event was marked.
    t.match(
      await until(async () => {
        const found = await pending(host, 'bad')
        return found?.failures === 0 ? found : null
      }),
      { failures: 0, lastError: null }
    )
  })

  t.test('what a sink took of a batch does not come again, the rest does, in order', async t => {
    const taken: string[] = []
    const offered: string[] = []
    const { host, tell } = await source(t, [
      callbackSink(events => {
        offered.push(...events.map(({ id }) => id))
        taken.push(events[0]!.id)
        return {
          ids: [events[0]!.id, 'not one of them'],
          ...(events.length > 1 && taken.length === 2 ? { error: new Error('enough for now') } : {})
        }
      })
    ])
    for (let n = 0; n < 5; n++) await tell()
    await drained(host, 'callback')
    t.strictSame(
      taken,
      (await outbox(host)).map(({ id }) => id)
    )
  })

  t.test("a sink that ignores its signal does not hold its events, nor the host's shutdown", async t => {
    let calls = 0
    const { host, tell } = await source(t, [
      callbackSink(() => {
        calls++
        return new Promise<void>(() => {})
      })
    ])
    await tell()
    await until(() => calls > 0)
    await host.app.close()
    t.match(
      await openDatabase(host.orm, host.schema).then(
        async ({ db, t }) =>
          (await sql<{ failures: number }>`select failures from ${t.sink} where name = 'callback'`.execute(db)).rows
      ),
      [{ failures: 0 }],
      'which is no failure of the sink'
    )
  })

  t.test('two processes do not publish the same batch, and one takes over from the other', async t => {
    const seen: string[] = []
    const sink = () =>
      callbackSink(async events => {
        await pause(5)
        seen.push(...events.map(({ id }) => id))
      })
    const { host, tell } = await source(t, [sink()])
    const other = await build(t, { on: host, events: [sink()] })
    for (let n = 0; n < 30; n++) await tell()
    await drained(host, 'callback')
    t.strictSame(
      seen,
      (await outbox(host)).map(({ id }) => id),
      'each once and in order'
    )
    await host.app.close()
    seen.length = 0
    const hook = await rotateHook(other, (await other.app.rmm.connections.list('t1')).items[0]!.id)
    await post(other, hook.path, event('moon_landed', { id: 'x' }), hook.secret)
    await until(() => seen.length === 2) // the replaced secret, and the delivery
  })

  t.test('events wait for listeners only where some process has one, and are heard there', async t => {
    const { host, tell } = await source(t, [])
    const other = await build(t, { on: host })
    /** Tells of something, and whether its event was done with when it was written. */
    const toldNobody = async (): Promise<boolean> => {
      await tell()
      const { db, t: tables } = await openDatabase(host.orm, host.schema)
      return (
        await sql<{
          done: boolean
        }>`select coalesce(published_at = occurred_at, false) as done from ${tables.outbox} order by seq desc limit 1`.execute(
          db
        )
      ).rows[0]!.done
    }
    await until(toldNobody)
    t.equal(await toldNobody(), true, 'nobody listens: nothing to be read and marked')

    const heard: string[] = []
    const stop = other.app.rmm.events.on('RMM_WEBHOOK_RECEIVED', ({ id }) => {
      heard.push(id)
    })
    // What was written before is heard at once; what counts is that the first process has noticed the listener.
    await until(async () => !(await toldNobody()))
    const before = heard.length
    for (let n = 0; n < 10; n++) await tell()
    await until(() => heard.length >= before + 10)
    t.equal(new Set(heard).size, heard.length, 'each once, in the process that listens')

    stop()
    await until(toldNobody)
    const silent = heard.length
    t.equal(await toldNobody(), true)
    t.equal(heard.length, silent)
  })

  t.test('published events are pruned after a while, pending ones never', async t => {
    const { host, tell } = await source(t, [
      callbackSink(
        () => {
          throw new Error('down')
        },
        { name: 'down' }
      )
    ])
    host.app.rmm.events.on('*', () => {})
    await tell()
    const { db, t: tables } = await openDatabase(host.orm, host.schema)
    await drained(host, 'emitter')
    await sql`update ${tables.outbox} set pending = '{}', published_at = now() - interval '73 hours' where type <> 'RMM_WEBHOOK_RECEIVED'`.execute(
      db
    )
    await sql`update ${tables.outbox} set occurred_at = now() - interval '100 days'`.execute(db)
    const { pruneOutbox } = await import('../../../src/services/store/relay.ts')
    await pruneOutbox(await openDatabase(host.orm, host.schema), 72)
    t.strictSame(
      (await outbox(host)).map(({ type }) => type),
      ['RMM_WEBHOOK_RECEIVED']
    )
  })
})

t.test('Redis streams', { skip: noRedis }, async t => {
  const ids = async (client: Redis, stream: string) =>
    (await client.xrange(stream, '-', '+')).map(([, fields]) => fields[fields.indexOf('id') + 1]!)

  t.test(
    'Redis stopped, started and frozen under load: every event is in the stream, in order, twice only with its id',
    async t => {
      const server = await startRedis(t)
      const io = new Redis({ port: server.port, host: '127.0.0.1', retryStrategy: () => 100 })
      io.on('error', () => {})
      const node = createClient({ socket: { port: server.port, host: '127.0.0.1', reconnectStrategy: () => 100 } })
      node.on('error', () => {})
      await node.connect()
      t.teardown(async () => {
        io.disconnect()
        node.destroy()
      })
      const { host, tell } = await source(
        t,
        [
          redisStreamSink({ client: io, stream: 'io', timeoutMs: 800 }),
          redisStreamSink({ client: node as never, stream: 'node', timeoutMs: 800, name: 'node' })
        ],
        2
      )
      let running = true
      const load = [0, 1].map(async n => {
        for (let k = 0; running || k < 60; k++) {
          await tell(n)
          await pause(5)
        }
      })
      for (let round = 0; round < 2; round++) {
        await pause(300)
        await server.stop()
        await until(
          async () =>
            ((await pending(host, 'redis:io'))?.failures ?? 0) > 0 && ((await pending(host, 'node'))?.failures ?? 0) > 0
        )
        await server.start()
      }
      server.pause()
      await until(async () => /Redis/.test((await pending(host, 'redis:io'))?.lastError ?? ''))
      server.resume()
      running = false
      await Promise.all(load)
      await Promise.all([drained(host, 'redis:io'), drained(host, 'node')])
      const told = await outbox(host)
      t.ok(told.length > 120)
      for (const stream of ['io', 'node']) {
        const entries = await ids(io, stream)
        const seen = new Set(entries)
        t.equal(
          told.filter(({ id }) => !seen.has(id)).length,
          0,
          `every one of ${told.length} events is in ${stream} (${entries.length} entries)`
        )
        t.equal(seen.size, told.length, 'and nothing else')
        for (const events of byConnection(told).values()) {
          const wanted = events.map(({ id }) => id)
          t.strictSame(
            distinct(entries).filter(id => wanted.includes(id)),
            wanted,
            'in order per connection'
          )
        }
      }
    }
  )

  t.test('entries carry the whole event, and old ones are cut', async t => {
    const server = await startRedis(t)
    const io = new Redis({ port: server.port, host: '127.0.0.1' })
    t.teardown(() => io.disconnect())
    const sink = redisStreamSink({ client: io, stream: 's', maxLen: 100 })
    const one = made1()
    await sink.publish([one], never)
    const [[, fields] = ['', []]] = await io.xrange('s', '-', '+')
    t.strictSame(
      Object.fromEntries(Array.from({ length: fields.length / 2 }, (_, n) => [fields[2 * n], fields[2 * n + 1]])),
      { ...one, actor: JSON.stringify(one.actor), payload: JSON.stringify(one.payload) }
    )
    for (let n = 0; n < 5; n++)
      await sink.publish(
        Array.from({ length: 400 }, () => made1()),
        never
      )
    t.ok((await io.xlen('s')) < 400)
    await io.set('text', 'x')
    await t.rejects(Promise.resolve(redisStreamSink({ client: io, stream: 'text' }).publish([made1()], never)), {
      message: /WRONGTYPE/
    })
  })
})

t.test('without a connection the Redis sink gives up in time, whatever the client would do', async t => {
  const io = new Redis({ port: 1, host: '127.0.0.1', retryStrategy: () => 50 })
  io.on('error', () => {})
  t.teardown(() => io.disconnect())
  const node = createClient({ socket: { port: 1, host: '127.0.0.1' } })
  for (const client of [io, node])
    await t.rejects(
      Promise.resolve(
        redisStreamSink({ client: client as never, stream: 's', timeoutMs: 100 }).publish([made1()], never)
      ),
      { message: 'Redis is not connected' }
    )
  t.throws(() => redisStreamSink({ client: {} as never, stream: 's' }), { code: 'RMM_ERR_OPTION' })
  for (const wrong of [{ stream: '' }, { maxLen: 0 }, { timeoutMs: 1.5 }])
    t.throws(() => redisStreamSink({ client: io, stream: 's', ...wrong }), { code: 'RMM_ERR_OPTION' })
})

interface Received {
  headers: IncomingMessage['headers']
  body: string
  at: number
}

/** A receiver; `answer` decides what each request gets. */
async function receiver(
  t: Test,
  answer: (one: Received, response: ServerResponse) => void | Promise<void> = (_one, response) => {
    response.end('ok')
  }
) {
  const received: Received[] = []
  const server = createServer(async (request, response) => {
    const chunks: Buffer[] = []
    for await (const chunk of request) chunks.push(chunk as Buffer)
    const one = { headers: request.headers, body: Buffer.concat(chunks).toString(), at: Date.now() }
    received.push(one)
    await answer(one, response)
  })
  await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve))
  t.teardown(() => {
    server.closeAllConnections()
    server.close()
  })
  return { received, url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/in?x=1` }
}

/** Standard Webhooks as a consumer writes it down from the specification: Web Crypto, no code of ours. */
async function verifies({ headers, body, at }: Received, withSecret: string): Promise<boolean> {
  const id = String(headers['webhook-id'])
  const timestamp = String(headers['webhook-timestamp'])
  if (!/^\d{10}$/.test(timestamp) || Math.abs(Number(timestamp) * 1000 - at) > 5 * 60_000) return false
  const key = await webcrypto.subtle.importKey(
    'raw',
    Buffer.from(withSecret.slice('whsec_'.length), 'base64'),
    { name: 'HMAC', hash: 'SHA-256' },
    false,
    ['verify']
  )
  for (const versioned of String(headers['webhook-signature']).split(' ')) {
    const [version, signature = ''] = versioned.split(/,(.*)/)
    if (
      version === 'v1' &&
      (await webcrypto.subtle.verify(
        'HMAC',
        key,
        Buffer.from(signature, 'base64'),
        new TextEncoder().encode(`${id}.${timestamp}.${body}`)
      ))
    )
      return true
  }
  return false
}

t.test('outgoing webhooks', async t => {
  t.test('each event is one signed request that a consumer of the specification verifies', async t => {
    const { received, url } = await receiver(t)
    const sink = webhookSink({ url, secret, allowPrivateNetwork: true })
    t.teardown(() => sink.close?.())
    const events = [made1(), made1('c2'), made1()]
    t.strictSame(
      new Set(((await sink.publish(events, never)) as { ids: string[] }).ids),
      new Set(events.map(({ id }) => id))
    )
    t.equal(received.length, 3)
    for (const one of received) {
      t.ok(await verifies(one, secret))
      t.notOk(await verifies({ ...one, body: `${one.body} ` }, secret))
      t.notOk(await verifies(one, `whsec_${bytes(2)}`))
      const body = JSON.parse(one.body)
      t.strictSame(body, {
        type: 'INTEGRATION_CONNECTED',
        timestamp: body.data.occurredAt,
        data: events.find(({ id }) => id === one.headers['webhook-id'])
      })
      t.match(one.headers, { 'content-type': 'application/json' })
    }
  })

  t.test('in a rotation both secrets verify', async t => {
    const { received, url } = await receiver(t)
    const sink = webhookSink({ url, secret: [`whsec_${bytes(2)}`, secret], allowPrivateNetwork: true })
    await sink.publish([made1()], never)
    t.ok(await verifies(received[0]!, secret))
    t.ok(await verifies(received[0]!, `whsec_${bytes(2)}`))
    const key = Buffer.from(bytes(2), 'base64')
    const { 'webhook-id': id, 'webhook-timestamp': at, 'webhook-signature': signatures } = received[0]!.headers
    t.equal(
      String(signatures).split(' ')[0],
      `v1,${createHmac('sha256', key)
        .update(`${String(id)}.${String(at)}.${received[0]!.body}`)
        .digest('base64')}`,
      'the new one first'
    )
    await sink.close?.()
  })

  t.test(
    'a receiver that fails gets the event again with the same id; those of its connection wait, others do not',
    async t => {
      let failing = true
      const { received, url } = await receiver(t, (one, response) => {
        const { data } = JSON.parse(one.body) as { data: RmmEvent }
        if (failing && data.connectionId === 'c1' && data.payload['name'] === 'poison') response.writeHead(500)
        response.end()
      })
      const sink = webhookSink({ url, secret, allowPrivateNetwork: true })
      t.teardown(() => sink.close?.())
      const poison = made1('c1', 'poison')
      const events = [made1(), poison, made1(), made1('c2'), made1('c2')]
      const first = (await sink.publish(events, never)) as { ids: string[]; error: Error }
      t.strictSame(first.ids.sort(), [events[0]!.id, events[3]!.id, events[4]!.id].sort())
      t.match(first.error.message, /answered 5\d\d|failed with status 500/)
      t.equal(
        received.filter(({ headers }) => headers['webhook-id'] === poison.id).length,
        1,
        'no repetition in memory'
      )
      failing = false
      t.strictSame(await sink.publish(events.slice(1, 3), never), { ids: [poison.id, events[2]!.id] })
    }
  )

  t.test('redirects, refusals and silence are failures; "slow down" says how long', async t => {
    const answers: Record<string, (response: ServerResponse) => void> = {
      redirect: response => {
        response.writeHead(302, { location: 'http://127.0.0.1:1/' }).end()
      },
      refusal: response => {
        response.writeHead(404).end()
      },
      busy: response => {
        response.writeHead(429, { 'retry-after': '120' }).end()
      },
      silence: () => {}
    }
    for (const [name, answer] of Object.entries(answers)) {
      const { received, url } = await receiver(t, (_one, response) => answer(response))
      const sink = webhookSink({ url, secret, allowPrivateNetwork: true, timeoutMs: 1_000 })
      const { ids, error } = (await sink.publish([made1()], never)) as {
        ids: string[]
        error: Error & { retryAfterMs?: number }
      }
      t.strictSame(ids, [], name)
      t.ok(error instanceof Error)
      t.equal(received.length, 1)
      if (name === 'busy') t.equal(error.retryAfterMs, 120_000)
      t.notMatch(error.message, bytes(1))
      await sink.close?.()
    }
  })

  t.test('private addresses and other hosts are refused before a request goes out', async t => {
    const { received, url } = await receiver(t)
    t.throws(() => webhookSink({ url, secret }), { code: 'RMM_ERR_OPTION' })
    t.throws(() => webhookSink({ url: 'https://evil.example/x', secret, hosts: ['hooks.example.com'] }), {
      code: 'RMM_ERR_OPTION'
    })
    for (const wrong of ['ftp://x.example', 'nonsense', 'https://user:pass@x.example/'])
      t.throws(() => webhookSink({ url: wrong, secret }), { code: 'RMM_ERR_OPTION' })
    for (const wrong of ['', 'whsec_', 'whsec_c2hvcnQ=', bytes(1), []])
      t.throws(() => webhookSink({ url: 'https://x.example', secret: wrong }), { code: 'RMM_ERR_OPTION' })
    const sink = webhookSink({ url: url.replace('http:', 'https:'), secret })
    const { error } = (await sink.publish([made1()], never)) as { error: Error }
    t.match(error.message, /private/)
    t.equal(received.length, 0)
    await sink.close?.()
  })

  t.test('through a host: in order, at least once, and a slow receiver loses nothing', async t => {
    let busy = 3
    const { received, url } = await receiver(t, async (_one, response) => {
      if (busy-- > 0) response.writeHead(503)
      else await pause(10)
      response.end()
    })
    const { host, tell } = await source(t, [webhookSink({ url, secret, allowPrivateNetwork: true, name: 'out' })], 2)
    for (let n = 0; n < 20; n++) await tell(n % 2)
    await drained(host, 'out')
    const order = distinct(received.map(({ headers }) => String(headers['webhook-id'])))
    for (const events of byConnection(await outbox(host)).values()) {
      const wanted = events.map(({ id }) => id)
      t.strictSame(
        order.filter(id => wanted.includes(id)),
        wanted
      )
    }
    for (const one of received) if (!(await verifies(one, secret))) t.fail('a signature does not verify')
  })
})
