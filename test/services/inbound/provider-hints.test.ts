import { Type } from '@sinclair/typebox'
import fc from 'fast-check'
import t, { type Test } from 'tap'
import { defineProvider, verifySharedSecret } from '../../../src/provider.ts'
import type { ProviderWebhook, RmmProvider, WebhookEvent } from '../../../src/providers/define.ts'
import { build, type Host } from '../../helper.ts'
import { until } from '../../until.ts'
import { createScript, device, fastEngine, list, type Script } from '../scripted.ts'
import { rotateHook } from './hook-helper.ts'

/** What providers make of deliveries and pushes, right and wrong. */

t.setTimeout(120_000)

interface Hooked extends Host {
  script: Script
  connectionId: string
  send(): Promise<{ status: number; body: any }>
  /** The last delivery, once it was worked on. */
  settled(): Promise<{ status: string; lastError: string | null }>
}

/** A host whose provider reads every delivery as `parse` says. */
async function hooked(t: Test, parse: () => unknown, verify?: ProviderWebhook['verify']): Promise<Hooked> {
  const script = createScript()
  const provider: RmmProvider = defineProvider({
    ...script.provider,
    secretSchema: Type.Object({ apiKey: Type.String() }),
    webhook: {
      verify: verify ?? ((request, secrets) => verifySharedSecret(request.headers['x-secret'], secrets)),
      parse: () => parse() as WebhookEvent,
      setup: {
        signatureHeader: null,
        secretHeader: 'X-Secret',
        events: [],
        payloadTemplate: null,
        instructions: []
      }
    }
  })
  const host = await build(t, { providers: [provider], engine: fastEngine })
  const { connection } = await host.app.rmm.connections.create('t1', {
    provider: 'scripted',
    secrets: { apiKey: 'k' }
  })
  const hook = await rotateHook(host, connection.id)
  return {
    ...host,
    script,
    connectionId: connection.id,
    async send() {
      const answer = await host.app.inject({
        method: 'POST',
        url: hook.path,
        payload: {},
        headers: { 'x-secret': hook.secret }
      })
      return { status: answer.statusCode, body: answer.json() }
    },
    settled: () =>
      until('the delivery', async () => {
        const [last] = (await host.app.rmm.webhooks.deliveries('t1', connection.id)).items
        return last !== undefined && last.status !== 'pending' && last
      })
  }
}

let count = 0
const event = (hints: unknown, more: object = {}) => ({
  id: `e${++count}`,
  type: 'changed',
  occurredAt: null,
  hints,
  ...more
})

t.test('ids of hints may be numbers and bigints: the device is re-read', async t => {
  let hints: unknown = []
  const h = await hooked(t, () => event(hints))
  h.script.devices = list([device('4711'), device('9007199254740993')])
  for (const externalId of [4711, 9_007_199_254_740_993n]) {
    h.script.asked.length = 0
    h.script.one.set(String(externalId), device(String(externalId), { organizationExternalId: null }))
    hints = [{ resource: 'devices', externalId }]
    t.match(await h.send(), { status: 202 })
    t.match(await h.settled(), { status: 'done', lastError: null })
    t.strictSame(h.script.asked, [String(externalId)])
  }
})

t.test('a hint that cannot be followed is a visible error that names the provider and the rule', async t => {
  let told: unknown = null
  const h = await hooked(t, () => told)
  h.script.one.set('d1', device('d1', { organizationExternalId: null }))
  const good = { resource: 'devices', externalId: 'd1' }
  for (const [hint, rule] of [
    [{ resource: 'printers', externalId: 'p1' }, /Scripted.*'printers'.*one of its resources \(organizations, devices/],
    [{ resource: 'toString', externalId: 'p1' }, /Scripted.*'toString'.*one of its resources/],
    [{ resource: 5, externalId: 'p1' }, /Scripted.*one of its resources/],
    [{ resource: 'devices', externalId: 1.5 }, /Scripted.*without a usable id \(1\.5\)/],
    [{ resource: 'devices', externalId: '' }, /Scripted.*without a usable id/],
    [{ resource: 'devices' }, /Scripted.*without a usable id/],
    [null, /Scripted.*a hint that is no object/],
    ['d1', /Scripted.*a hint that is no object/]
  ] as const) {
    told = event([hint])
    t.ok((await h.send()).status < 300, 'it is stored')
    t.match(await h.settled(), { lastError: rule }, `only ${JSON.stringify(hint)}`)
    told = event([hint, good])
    h.script.asked.length = 0
    t.match(await h.send(), { status: 202 })
    t.match(await h.settled(), { status: 'done' }, `beside a good one: ${JSON.stringify(hint)}`)
    t.strictSame(h.script.asked, ['d1'], 'the good one is followed')
  }
  told = event([], { alert: { externalId: 'a', name: 'A', severity: 'major', status: 'odd', startedAt: new Date() } })
  t.ok((await h.send()).status < 300)
  t.match(await h.settled(), {
    lastError: /Scripted.*alert that cannot be shown.*'odd' is neither active nor resolved/
  })
})

t.test('whatever parse returns that is no event is the fault of the provider, and nothing is stored', async t => {
  let told: unknown = null
  const h = await hooked(t, () => told)
  const wrong = fc.oneof(
    fc.constantFrom<unknown>(null, undefined, [], 'event', Promise.resolve(event([]))),
    fc.anything().map(hints => event(Array.isArray(hints) ? { hints } : hints)),
    fc.anything().map(id => event([], { id: typeof id === 'string' ? Number(id) : id })),
    fc.anything().map(type => event([], { type: typeof type === 'string' ? null : type })),
    fc.anything().map(at => event([], { occurredAt: at == null || at instanceof Date ? 'yesterday' : at }))
  )
  await fc.assert(
    fc.asyncProperty(wrong, async value => {
      told = value
      const answer = await h.send()
      if (answer.status !== 502 || answer.body.code !== 'RMM_ERR_PROVIDER_FAULT') return false
      return /^The provider Scripted broke a rule in webhook\.parse: /.test(answer.body.message)
    }),
    { numRuns: 60 }
  )
  t.strictSame((await h.app.rmm.webhooks.deliveries('t1', h.connectionId)).items, [])
})

t.test('only true proves a delivery: a promise, a text and a throw are refused like a wrong secret', async t => {
  let verify: () => unknown = () => false
  const h = await hooked(
    t,
    () => event([]),
    () => verify() as boolean
  )
  const refusal = await h.send()
  t.match(refusal, { status: 401 })
  for (const wrong of [
    async () => true,
    () => 'yes',
    () => 1,
    () => {
      throw new Error('lengths differ')
    },
    () => {
      throw 'text'
    }
  ]) {
    verify = wrong
    t.strictSame(await h.send(), refusal)
  }
  verify = () => true
  t.match(await h.send(), { status: 200 })
})
