import http from 'node:http'
import type { AddressInfo } from 'node:net'
import { setImmediate } from 'node:timers/promises'
import t from 'tap'
import { NotFoundError } from '../../src/errors.ts'
import { runEvents } from '../../src/routes/sse.ts'
import type { Run } from '../../src/types.ts'
import { build, run } from './stub.ts'
import { pause } from '../until.ts'

const url = '/rmm/runs/r1/events'
const early: Run = { ...run, progress: [] }
const finished: Run = {
  ...run,
  status: 'succeeded',
  finishedAt: '2026-01-02T03:05:00.000Z',
  summary: 'nothing changed'
}

/** The frames of a stream: name and data. */
const frames = (body: string) =>
  body
    .split('\n\n')
    .filter(Boolean)
    .map(frame => {
      const [, event, data] = /^event: (\w+)\ndata: (.*)$/.exec(frame) ?? []
      return event === undefined ? [frame] : [event, JSON.parse(data!) as Run]
    })

async function* states(...list: Run[]) {
  yield* list
}

/** A watch that sees no change until it is aborted, and tells when that was. */
function quietWatch() {
  const ended = Promise.withResolvers<void>()
  async function* watch(_tenantId: string, _runId: string, signal: AbortSignal): AsyncGenerator<Run> {
    await new Promise<void>(resolve =>
      signal.aborted ? resolve() : signal.addEventListener('abort', () => resolve(), { once: true })
    )
    ended.resolve()
  }
  return { watch, ended: ended.promise }
}

t.test('a run is told at once, as it changes, and at its end', async t => {
  const { app, order, calls } = await build(t, {
    answers: { 'sync.get': early, 'sync.watch': () => states(early, run, run, finished) }
  })
  const reply = await app.inject(url)
  t.equal(reply.statusCode, 200)
  t.match(reply.headers, {
    'content-type': 'text/event-stream',
    'cache-control': 'no-store',
    'x-accel-buffering': 'no'
  })
  t.strictSame(
    frames(reply.body),
    [
      ['progress', early],
      ['progress', run],
      ['progress', finished],
      ['done', finished]
    ],
    'and nothing twice'
  )
  t.strictSame(order, ['tenant', 'authorize'])
  t.strictSame(
    calls.map(({ name, args }) => [name, ...args.slice(0, 2)]),
    [
      ['sync.get', 'tenant-1', 'r1'],
      ['sync.watch', 'tenant-1', 'r1']
    ]
  )
})

t.test('a secret in a run does not pass into the stream', async t => {
  const leaky = { ...finished, secrets: 'LEAKED', totals: { ...run.totals, password: 'LEAKED' } }
  const { app } = await build(t, { answers: { 'sync.get': leaky, 'sync.watch': () => states(leaky) } })
  t.strictSame(frames((await app.inject(url)).body), [
    ['progress', finished],
    ['done', finished]
  ])
})

t.test("a run that is not the tenant's is 404 before a stream begins", async t => {
  const { app, calls } = await build(t, { answers: { 'sync.get': new NotFoundError('run') } })
  const reply = await app.inject(url)
  t.match({ status: reply.statusCode, ...reply.json() }, { status: 404, code: 'RMM_ERR_NOT_FOUND' })
  t.strictSame(
    calls.map(({ name }) => name),
    ['sync.get']
  )
})

t.test('shutdown ends the stream without "done", and the watch with it', async t => {
  const shutdown = new AbortController()
  const { watch, ended } = quietWatch()
  const { app } = await build(t, { answers: { 'sync.watch': watch }, options: { signal: shutdown.signal } })
  const reply = await app.inject({ url, payloadAsStream: true })
  const body: string[] = []
  for await (const chunk of reply.stream()) {
    body.push(String(chunk))
    shutdown.abort()
  }
  t.strictSame(frames(body.join('')), [['progress', run]])
  await ended
})

t.test('a client that goes away ends the watch', async t => {
  const { watch, ended } = quietWatch()
  const { app } = await build(t, { answers: { 'sync.watch': watch } })
  await app.listen({ host: '127.0.0.1', port: 0 })
  const request = http.get({ host: '127.0.0.1', port: (app.server.address() as AddressInfo).port, path: url })
  request.on('error', () => {}) // our own destroy
  request.on('response', response => response.once('data', () => request.destroy()))
  await ended
  t.pass('was told')
})

t.test("a host's time limit for answers does not cut the stream", async t => {
  const watch = async function* () {
    await pause(150)
    yield finished
  }
  const { app } = await build(t, { server: { handlerTimeout: 50 }, answers: { 'sync.watch': watch } })
  const address = await app.listen({ host: '127.0.0.1', port: 0 })
  const reply = await fetch(address + url)
  t.strictSame(frames(await reply.text()), [
    ['progress', run],
    ['progress', finished],
    ['done', finished]
  ])
})

t.test('a watch that breaks breaks the stream off without "done", and is logged', async t => {
  const lines: string[] = []
  const watch = async function* () {
    yield finished
    throw new Error('database gone')
  }
  const { app } = await build(t, {
    server: {
      logger: {
        level: 'error',
        stream: {
          write: line => {
            lines.push(line)
          }
        }
      }
    },
    answers: { 'sync.watch': watch }
  })
  const reply = await app.inject({ url, payloadAsStream: true })
  const body: string[] = []
  await t.rejects(async () => {
    for await (const chunk of reply.stream()) body.push(String(chunk))
  })
  t.notMatch(body.join(''), 'event: done')
  t.match(lines.join(''), 'database gone')
})

t.test('a quiet stream carries comments, and a change in between is told', async t => {
  // The stream's own timer does not keep a process alive.
  const awake = setInterval(() => {}, 1_000)
  t.teardown(() => clearInterval(awake))
  const change = Promise.withResolvers<void>()
  const watch = async function* () {
    await change.promise
    yield finished
  }
  const stop = new AbortController()
  const events = runEvents(run, watch(), {
    serialize: state => JSON.stringify(state),
    signal: stop.signal,
    heartbeatMs: 1
  })
  const next = async () => frames((await events.next()).value as string)[0]
  t.strictSame(await next(), ['progress', run])
  t.strictSame(await next(), [': heartbeat'])
  t.strictSame(await next(), [': heartbeat'])
  change.resolve()
  await setImmediate()
  let frame = await next()
  while (frame?.[0] === ': heartbeat') frame = await next()
  t.strictSame(frame, ['progress', finished])
  t.strictSame(await next(), ['done', finished])
  t.equal((await events.next()).done, true)
})

t.test('an iterator that ignores the signal does not hold the stream open', async t => {
  const stop = new AbortController()
  const stuck: AsyncIterable<Run> = {
    [Symbol.asyncIterator]: () => ({ next: () => new Promise(() => {}), return: () => new Promise(() => {}) })
  }
  const events = runEvents(run, stuck, { serialize: state => JSON.stringify(state), signal: stop.signal })
  await events.next()
  const end = events.next()
  stop.abort()
  t.equal((await end).done, true)
})
