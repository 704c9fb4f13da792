import type { FastifyRequest } from 'fastify'
import fc from 'fast-check'
import t, { type Test } from 'tap'
import { resolveOptions } from '../../src/options.ts'
import { createWatch } from '../../src/services/sync/watch.ts'
import type { RunRow } from '../../src/services/store/index.ts'
import type { Run } from '../../src/types.ts'
import { build as host, connectLevel, fakeLevel } from '../helper.ts'
import { post, rotateHook } from '../services/inbound/hook-helper.ts'
import { build, contract, run } from './stub.ts'
import { until } from '../until.ts'

const unsafe = contract.filter(({ method }) => method !== 'GET')
const sendTo = (app: Awaited<ReturnType<typeof build>>['app'], at: (typeof contract)[number], headers: object) =>
  app.inject({
    method: at.method,
    url: `/rmm${at.url}`,
    headers: headers as Record<string, string>,
    ...(at.body && { body: at.body })
  })

t.test('what another origin has a browser send changes nothing, and nobody is asked', async t => {
  const { app, order, calls } = await build(t)
  for (const at of unsafe) {
    for (const site of ['cross-site', 'same-site', 'anything', '', 'same-origin, cross-site']) {
      const reply = await sendTo(app, at, { 'sec-fetch-site': site, origin: 'https://evil.example' })
      t.match(
        [reply.statusCode, reply.json()],
        [403, { code: 'RMM_ERR_CROSS_SITE', message: /trustedOrigins/ }],
        `${at.method} ${at.url} ${site}`
      )
    }
  }
  t.strictSame([order, calls], [[], []])
})

t.test('the own page, people, programs and readers are let through', async t => {
  const { app } = await build(t)
  for (const at of contract) {
    for (const headers of [
      { 'sec-fetch-site': 'same-origin' },
      { 'sec-fetch-site': 'none' },
      {},
      { origin: 'https://x' }
    ])
      t.equal((await sendTo(app, at, headers)).statusCode, at.status, `${at.method} ${at.url}`)
    if (at.method === 'GET') t.equal((await sendTo(app, at, { 'sec-fetch-site': 'cross-site' })).statusCode, at.status)
  }
  const hook = await app.inject({
    method: 'POST',
    url: '/rmm/hooks/k1',
    headers: { 'sec-fetch-site': 'cross-site' },
    body: {}
  })
  t.equal(hook.statusCode, 202, 'webhooks prove themselves')
})

t.test('an origin is trusted to the letter', async t => {
  const { app } = await build(t, { options: { trustedOrigins: ['https://portal.example.com'] } })
  const status = async (origin: string | undefined) =>
    (await sendTo(app, unsafe[0]!, { 'sec-fetch-site': 'cross-site', ...(origin === undefined ? {} : { origin }) }))
      .statusCode
  t.equal(await status('https://portal.example.com'), unsafe[0]!.status)
  for (const other of [
    undefined,
    'null',
    'http://portal.example.com',
    'https://portal.example.com:8443',
    'https://portal.example.com.evil.example',
    'https://evil-portal.example.com',
    'https://PORTAL.example.com'
  ])
    t.equal(await status(other), 403, other ?? 'none')
  const required = {
    orm: { em: { getConnection() {} } },
    providers: [],
    tenant() {},
    authorize() {},
    secrets: { seal() {}, open() {} }
  }
  const resolve = (trustedOrigins: unknown) => resolveOptions({ ...required, trustedOrigins } as never).trustedOrigins
  t.strictSame(resolve(['https://a.example', 'http://b.example:8080']), ['https://a.example', 'http://b.example:8080'])
  for (const wrong of [
    'https://a.example',
    ['https://a.example/'],
    ['a.example'],
    ['*'],
    ['null'],
    ['ftp://a'],
    [7],
    ['https://A.example']
  ])
    t.throws(() => resolve(wrong), { code: 'RMM_ERR_OPTION', message: /trustedOrigins/ }, JSON.stringify(wrong))
})

/** JSON text of a value nested `depth` levels deep, of objects and lists in the order of `shape`. */
const nested = (depth: number, shape: boolean[]) => {
  const isList = (level: number) => shape[level % shape.length]
  return (
    Array.from({ length: depth }, (_, n) => (isList(n) ? '[' : '{"a":')).join('') +
    '1' +
    Array.from({ length: depth }, (_, n) => (isList(depth - 1 - n) ? ']' : '}')).join('')
  )
}

t.test('a body nested too deep is a wrong body on every route, also on those that take none', async t => {
  const { app, calls } = await build(t)
  const send = (at: (typeof contract)[number], body: string) =>
    app.inject({ method: at.method, url: `/rmm${at.url}`, headers: { 'content-type': 'application/json' }, body })
  for (const at of unsafe) {
    for (const depth of [101, 5_000, 150_000])
      for (const shape of [[true], [false]]) {
        const reply = await send(at, nested(depth, shape))
        t.match(
          [reply.statusCode, reply.json()],
          [400, { code: /^RMM_ERR_/ }],
          `${at.method} ${at.url} ${depth} ${reply.body.slice(0, 90)}`
        )
      }
  }
  await fc.assert(
    fc.asyncProperty(
      fc.constantFrom(...unsafe),
      fc.integer({ min: 1, max: 20_000 }),
      fc.array(fc.boolean(), { minLength: 1, maxLength: 5 }),
      async (at, depth, shape) => (await send(at, nested(depth, shape))).statusCode === 400
    ),
    { numRuns: 60 }
  )
  t.strictSame(calls, [])
  for (const body of ['[]', 'null', '0', '""', '{"a":1}'])
    t.match(
      (await send(unsafe.find(({ body }) => body === undefined)!, body)).json(),
      { message: 'this route takes no body' },
      body
    )
})

t.test('a query that the host’s own parser nests is refused before the host is asked', async t => {
  const { app, order } = await build(t, {
    server: {
      routerOptions: {
        querystringParser: (text: string) => (text === '' ? {} : { filter: JSON.parse(nested(5_000, [false])) })
      }
    }
  })
  const reply = await app.inject('/rmm/devices?filter=deep')
  t.match([reply.statusCode, reply.json()], [400, { code: 'RMM_ERR_VALIDATION', message: /nested/ }])
  t.strictSame(order, ['tenant'])
})

t.test('a webhook nested too deep is 400 with its signature, 401 without, and is not stored', async t => {
  const fake = await fakeLevel(t, { devices: 1, groups: 1 })
  const real = await host(t)
  const id = await connectLevel(real, fake)
  const hook = await rotateHook(real, id)
  for (const depth of [100, 5_000, 20_000]) {
    const body = `{"event_type":"device_updated","event_id":"x","data":${nested(depth, [false, true])}}`
    t.match(await post(real, hook.path, body, 'wrong'), { status: 401 }, `${depth} unsigned`)
    t.match(await post(real, hook.path, body, hook.secret), { status: 400 }, `${depth} signed`)
  }
  t.strictSame((await real.app.rmm.webhooks.deliveries('t1', id)).items, [])
})

/** Event streams of a stub whose runs never change until told. */
async function streaming(t: Test, options: object, authorize: () => void = () => {}) {
  let end = false
  const { app } = await build(t, {
    options: {
      authorize,
      tenant: (request: FastifyRequest) => (request.headers['x-tenant'] as string) ?? 't1',
      ...options
    } as never,
    answers: {
      'sync.watch': async function* (_tenant: string, _run: string, signal: AbortSignal): AsyncGenerator<Run> {
        await until('the end', () => signal.aborted || end)
        if (end) yield { ...run, status: 'succeeded' }
      }
    }
  })
  const open = async (tenant = 't1') => {
    const reply = await app.inject({
      url: '/rmm/runs/r1/events',
      headers: { 'x-tenant': tenant },
      payloadAsStream: true
    })
    const text = async () => {
      let all = ''
      for await (const chunk of reply.stream()) all += String(chunk)
      return all
    }
    return { reply, status: reply.statusCode, text }
  }
  return {
    app,
    open,
    finish: () => {
      end = true
    }
  }
}

t.test('a tenant has so many event streams and no more; another tenant has its own', async t => {
  const { app, open, finish } = await streaming(t, { streams: { perTenant: 3, rightsMs: 20_000 } })
  const first = await Promise.all([open(), open(), open()])
  t.strictSame(
    first.map(({ status }) => status),
    [200, 200, 200]
  )
  const refused = await app.inject({ url: '/rmm/runs/r1/events', headers: { 'x-tenant': 't1' } })
  t.match(
    [refused.statusCode, refused.json(), refused.headers['retry-after']],
    [429, { code: 'RMM_ERR_TOO_MANY_STREAMS', error: 'Too Many Requests', message: /3 event streams/ }, '30']
  )
  const others = await open('t2')
  t.equal(others.status, 200)
  finish()
  for (const stream of [...first, others]) t.match(await stream.text(), /event: done/)
  for (let n = 0; n < 6; n++) {
    const again = await open()
    t.equal(again.status, 200, 'what has ended makes room')
    await again.text()
  }
  const missing = await build(t, {
    options: { streams: { perTenant: 1, rightsMs: 20_000 } },
    answers: { 'sync.get': Object.assign(new Error('x'), { code: 'RMM_ERR_NOT_FOUND', statusCode: 404 }) }
  })
  for (let n = 0; n < 3; n++)
    t.equal((await missing.app.inject('/rmm/runs/r1/events')).statusCode, 404, 'no stream, no place taken')
})

t.test('a right that is withdrawn ends the stream, and so does a host that fails or does not answer', async t => {
  const streams = { perTenant: 50, rightsMs: 40 }
  for (const [name, withdraw] of Object.entries<() => unknown>({
    throws: () => {
      throw new Error('no longer')
    },
    'says no': () => false,
    'never answers': () => new Promise(() => {})
  })) {
    let withdrawn = false
    let asked = 0
    const { open } = await streaming(t, { streams }, () => {
      asked++
      return withdrawn ? (withdraw() as never) : undefined
    })
    const stream = await open()
    await until('two further looks', () => asked >= 3)
    withdrawn = true
    t.notMatch(await stream.text(), /event: done/, name)
  }
  let tenant: string | null = 't1'
  const { open } = await streaming(t, { streams, tenant: () => tenant })
  const stream = await open()
  tenant = 't2'
  t.notMatch(await stream.text(), /event: done/, 'another tenant')
})

t.test('a run is looked at once per interval, however many watch it', async t => {
  const row = {
    id: 'r',
    updated_at: 0,
    status: 'running',
    finished_at: null,
    progress: [],
    totals: {}
  } as unknown as RunRow
  let finds = 0
  const watch = createWatch(async (tenantId, runId) => {
    t.strictSame([tenantId, runId], ['t1', 'r1'])
    finds++
    return {
      ...row,
      updated_at: finds,
      queued_at: 0,
      ...(finds >= 4 ? { status: 'succeeded', finished_at: 0 } : {})
    } as RunRow
  })
  const states = await Promise.all(
    Array.from({ length: 100 }, async () => {
      const seen: string[] = []
      for await (const { status } of watch('t1', 'r1', new AbortController().signal)) seen.push(status)
      return seen.at(-1)
    })
  )
  t.strictSame([...new Set(states)], ['succeeded'], 'and everybody sees its end')
  t.equal(finds, 4)

  let failing = true
  const shaky = createWatch(async () => {
    if (failing) throw new Error('the database is away')
    return { ...row, queued_at: 0, finished_at: 0 } as never
  })
  await t.rejects(shaky('t1', 'r1', new AbortController().signal).next(), /away/)
  failing = false
  t.equal((await shaky('t1', 'r1', new AbortController().signal).next()).done, false, 'a failure is not kept')
})
