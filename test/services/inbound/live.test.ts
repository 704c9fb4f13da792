import t, { type Test } from 'tap'
import { defineProvider, type Hint, ProviderError, type RmmProvider } from '../../../src/providers/define.ts'
import { createScript, device, fastEngine, list, scriptedHost } from '../scripted.ts'
import { build, type HostOptions } from '../../helper.ts'
import { until } from '../../until.ts'

t.setTimeout(120_000)

type Listen = (signal: AbortSignal, subscribed: () => void) => AsyncIterable<Hint>

/** A platform that pushes as a test wants it to. */
async function pushing(t: Test, options: HostOptions = {}) {
  const script = createScript()
  script.devices = list([device('d1')])
  const state: { listen: Listen; sockets: number; losses: Array<{ failures: number }> } = {
    listen: open,
    sockets: 0,
    losses: []
  }
  script.provider = defineProvider({
    ...(script.provider as never as Parameters<typeof defineProvider>[0]),
    async *listen(_client: unknown, signal: AbortSignal, subscribed?: () => void) {
      state.sockets++
      yield* state.listen(signal, subscribed!)
    }
  }) as RmmProvider
  const logger = {
    level: 'info',
    stream: {
      write(line: string) {
        const entry = JSON.parse(line) as { msg: string; failures: number }
        if (entry.msg === 'the push socket was lost') state.losses.push({ failures: entry.failures })
      }
    }
  }
  const h = await scriptedHost(t, { ...options, script, fastify: { logger } })
  const live = async (on = h) => (await on.call('t1', 'GET', `/connections/${h.connectionId}`)).body.live
  return { ...h, state, live }
}

/** Subscribes, and stays until the signal. */
async function* open(signal: AbortSignal, subscribed: () => void): AsyncIterable<Hint> {
  subscribed()
  await new Promise(resolve => signal.addEventListener('abort', resolve))
  yield* []
}

/** Never gets as far as to subscribe. */
async function* refused(): AsyncIterable<Hint> {
  yield* []
  throw new ProviderError('forbidden', 'the server refused the upgrade (403)')
}

t.test('whether pushes arrive is shown, to every process, with why they do not', async t => {
  const h = await pushing(t)
  const web = await build(t, { on: h, providers: [h.script.provider], worker: { enabled: false } })
  const shown = async () => (await web.call('t1', 'GET', `/connections/${h.connectionId}`)).body.live
  t.match(await until(async () => ((await shown())?.since === null ? null : shown())), { lastError: null })
  t.match((await web.call('t1', 'GET', '/connections')).body.items, [{ live: { since: /^\d{4}-/, lastError: null } }])
  await h.call('t1', 'DELETE', `/connections/${h.connectionId}`)
  t.equal(await shown(), null, 'none where nothing is to arrive')
})

t.test('one to which nobody listens says so, and a platform that pushes nothing has no such state', async t => {
  const h = await pushing(t, { worker: { enabled: true } })
  await until(async () => (await h.live()).since !== null)
  await h.app.close()
  const web = await build(t, { on: h, providers: [h.script.provider], worker: { enabled: false } })
  t.match((await web.call('t1', 'GET', `/connections/${h.connectionId}`)).body.live, { since: null })
  const { app, connectionId } = await scriptedHost(t)
  t.equal((await app.rmm.connections.get('t1', connectionId)).live, null)
})

for (const [what, end] of [
  [
    'a good Test',
    (h: Awaited<ReturnType<typeof pushing>>) => h.call('t1', 'POST', `/connections/${h.connectionId}/test`)
  ],
  ['a good run', (h: Awaited<ReturnType<typeof pushing>>) => h.sync()]
] as const)
  t.test(
    `a platform that refuses the socket only is tried again like any other, and ${what} ends the wait`,
    async t => {
      const h = await pushing(t)
      await until(async () => (await h.live()).since !== null)
      h.state.listen = refused
      await h.call('t1', 'PATCH', `/connections/${h.connectionId}`, { secrets: { apiKey: 'another' } })
      // Long enough a wait that nothing but its end can be what is seen.
      await until(() => h.state.losses.some(({ failures }) => failures >= 3))
      t.match(await h.live(), { since: null, lastError: /refused the upgrade/ })
      t.equal((await h.call('t1', 'GET', `/connections/${h.connectionId}`)).body.status, 'connected')
      const tried = h.state.sockets
      h.state.listen = open
      await end(h)
      t.match(await until(async () => ((await h.live()).since === null ? null : h.live())), { lastError: null })
      t.equal(h.state.sockets, tried + 1)
    }
  )

t.test('a socket that is cut after it did its work is not held against the next, however often', async t => {
  const h = await pushing(t)
  let cut = (): void => {}
  h.state.listen = async function* (signal, subscribed) {
    subscribed()
    await new Promise<void>(resolve => {
      cut = resolve
      signal.addEventListener('abort', () => resolve())
    })
    if (!signal.aborted) throw new ProviderError('unreachable', 'the load balancer closed the socket')
    yield* []
  }
  await h.sync()
  await h.call('t1', 'PATCH', `/connections/${h.connectionId}`, { secrets: { apiKey: 'another' } })
  for (let n = 1; n <= 4; n++) {
    const sockets = await until(async () => ((await h.live()).since === null ? null : h.state.sockets))
    // The read of what was missed meanwhile.
    await until(async () => {
      const { items } = await h.app.rmm.sync.runs('t1', h.connectionId)
      return items.filter(run => run.trigger === 'webhook' && run.status === 'succeeded').length >= n
    })
    await until(async () =>
      (await h.app.rmm.sync.runs('t1', h.connectionId)).items.every(run => run.finishedAt !== null)
    )
    const before = h.state.losses.length
    cut()
    await until(() => h.state.losses.length > before && h.state.sockets > sockets)
  }
  t.ok(
    h.state.losses.every(({ failures }) => failures === 1),
    JSON.stringify(h.state.losses)
  )
})

t.test('a provider that could not tell everything at first has it read again when it says so', async t => {
  const h = await pushing(t, { engine: fastEngine })
  await h.sync()
  let again = (): void => {}
  h.state.listen = (signal, subscribed) => {
    again = subscribed
    return open(signal, subscribed)
  }
  await h.call('t1', 'PATCH', `/connections/${h.connectionId}`, { secrets: { apiKey: 'another' } })
  const reads = async () =>
    (await h.app.rmm.sync.runs('t1', h.connectionId)).items.filter(
      run => run.trigger === 'webhook' && run.status === 'succeeded'
    ).length
  const first = await until(reads)
  again()
  await until(async () => (await reads()) > first)
})
