import fc from 'fast-check'
import t from 'tap'
import type { EventSink, OnChanges } from '../../src/index.ts'
import { publish } from '../../src/services/outbound/publish.ts'
import { build, secrets } from '../helper.ts'
import { createScript, device, fastEngine, group, list, scriptedHost } from './scripted.ts'

/** Whatever a host's function does wrong is told as the host's, with the rule, in the run and in the answer. */

t.setTimeout(120_000)

const once = { ...fastEngine, maxAttempts: 1 }
const notText = fc.anything().filter(value => typeof value !== 'string' && value !== undefined)
const notObject = fc.oneof(fc.constantFrom<unknown>(1, true, 'text', [], [1]), fc.string({ minLength: 1 }))

t.test('onChanges: every kind of wrong answer fails the page, with the rule it broke', async t => {
  let answer: (id: string) => unknown = () => undefined
  const h = await scriptedHost(t, {
    engine: once,
    onChanges: (({ devices }) => answer(devices[0]!.device.id)) as OnChanges
  })
  h.script.devices = list([device('a')])
  const wrong = fc.oneof(
    notObject.map(value => () => value),
    notObject.map(assetRefs => () => ({ assetRefs })),
    notText.map(ref => (id: string) => ({ assetRefs: { [id]: ref } })),
    fc.constantFrom('', 'x'.repeat(501), 'a\0b', '\ud800').map(ref => (id: string) => ({ assetRefs: { [id]: ref } })),
    fc.string({ minLength: 1 }).map(id => () => ({ assetRefs: { [`of ${id}`]: 'a1' } })),
    fc.constant(() => ({ assetRefs: { '00000000-0000-4000-8000-000000000000': 'a1' } }))
  )
  await fc.assert(
    fc.asyncProperty(wrong, async made => {
      answer = made
      const { status, error } = await h.sync({ resources: ['devices'] })
      if (status !== 'failed' || error?.code !== 'RMM_ERR_ON_CHANGES') return false
      return /^onChanges of the host broke a rule: /.test(error.message) && (await h.rows('device')).length === 0
    }),
    { numRuns: 25 }
  )
  answer = id => ({ assetRefs: { [id]: 'a1', other: undefined } })
  t.match(await h.sync({ resources: ['devices'] }), { status: 'succeeded' })
  t.match(await h.rows('device'), [{ asset_ref: 'a1' }])
})

t.test('onChanges: whatever is thrown is told, and never as our failure', async t => {
  let thrown: unknown
  const h = await scriptedHost(t, {
    engine: once,
    onChanges: () => {
      throw thrown
    }
  })
  h.script.devices = list([device('a')])
  for (const [value, told] of [
    ['text', 'onChanges of the host failed: text'],
    [undefined, 'onChanges of the host failed: it threw undefined, which is no Error'],
    [null, 'onChanges of the host failed: it threw null, which is no Error'],
    [Object.create(null), 'onChanges of the host failed: it threw a value of type object, which is no Error'],
    [Symbol('s'), 'onChanges of the host failed: it threw a value of type symbol, which is no Error'],
    [new TypeError(''), 'onChanges of the host failed: TypeError'],
    [new Error('the register is full'), 'onChanges of the host failed: the register is full']
  ] as const) {
    thrown = value
    t.match(await h.sync({ resources: ['devices'] }), {
      status: 'failed',
      error: { code: 'RMM_ERR_ON_CHANGES', message: told }
    })
  }
})

t.test('onChanges: an error of the database that was caught is told, and nothing is lost without a word', async t => {
  let swallow: OnChanges = () => {}
  const h = await scriptedHost(t, { engine: once, onChanges: (batch, em) => swallow(batch, em) })
  h.script.devices = list([device('a')])
  const broken = 'select 1 from a_table_that_is_not_there'
  swallow = async (_batch, em) => {
    await em
      .getConnection()
      .execute(broken, [], 'run', em.getTransactionContext())
      .catch(() => {})
  }
  const run = await h.sync({ resources: ['devices'] })
  t.match(run, { status: 'failed', error: { code: 'RMM_ERR_ON_CHANGES', message: /caught an error of the database/ } })
  t.strictSame(await h.rows('device'), [])
  const id = (await h.rows('organization'))[0].id
  t.match(await h.call('t1', 'PATCH', `/connections/${h.connectionId}/organizations/${id}`, { mode: 'excluded' }), {
    status: 200
  })
  swallow = async (_batch, em) => {
    await em
      .transactional(inner => inner.getConnection().execute(broken, [], 'run', inner.getTransactionContext()))
      .catch(() => {})
  }
  await h.map({ g1: 'c1' })
  t.match(await h.sync({ resources: ['devices'] }), { status: 'succeeded' }, 'in a savepoint it may fail')
  t.equal((await h.rows('device')).length, 1)
})

t.test('a directory that throws or returns something else is named, in routes and for every use', async t => {
  let directory: { clients(): unknown; client(): unknown } = { clients: () => [], client: () => null }
  const h = await scriptedHost(t, {
    mapped: false,
    directory: { clients: () => directory.clients() as never, client: () => directory.client() as never }
  })
  h.script.organizations = list([group('g1')])
  await h.sync({ resources: ['organizations'] })
  const id = (await h.rows('organization'))[0].id
  const wrong = fc.oneof(
    fc.anything().filter(value => !Array.isArray(value) && value != null),
    fc.constantFrom<unknown>([null], [{ id: 1, name: 'a' }], [{ id: 'a' }], [{ id: '', name: 'a' }], [[]])
  )
  await fc.assert(
    fc.asyncProperty(wrong, async value => {
      directory = { clients: () => value, client: () => (Array.isArray(value) ? (value[0] ?? 1) : value) }
      const rule = /^The host's directory\.clients? broke a rule: /
      for (const answer of [
        await h.call('t1', 'GET', '/clients'),
        await h.call('t1', 'GET', `/connections/${h.connectionId}/organizations/suggestions`)
      ])
        if (answer.status !== 500 || answer.body.code !== 'RMM_ERR_HOST' || !rule.test(answer.body.message))
          return false
      const mapped = await h.call('t1', 'PATCH', `/connections/${h.connectionId}/organizations/${id}`, {
        mode: 'mapped',
        clientRef: 'c1'
      })
      // Some of these are clients by accident; those may be mapped to.
      return mapped.status === 200 || (mapped.body.code === 'RMM_ERR_HOST' && rule.test(mapped.body.message))
    }),
    { numRuns: 40 }
  )
  for (const thrown of ['text', new Error('the CRM is away'), undefined]) {
    directory = {
      clients() {
        throw thrown
      },
      client: () => Promise.reject(thrown)
    }
    t.match(await h.call('t1', 'GET', '/clients'), {
      status: 500,
      body: { code: 'RMM_ERR_HOST', message: /^The host's directory\.clients failed: (text|the CRM is away|it threw)/ }
    })
  }
})

t.test('available has to say true or false', async t => {
  let may: unknown = true
  const h = await build(t, { providers: [createScript().provider], available: () => may as boolean })
  for (may of [undefined, 'yes', 1, null])
    t.match(await h.call('t1', 'GET', '/providers'), {
      status: 500,
      body: { code: 'RMM_ERR_HOST', message: /available broke a rule: it returns true or false/ }
    })
  may = Promise.resolve(false)
  t.match(await h.call('t1', 'GET', '/providers'), { status: 200, body: { items: [] } })
})

t.test('a secret box that fails or returns no text is named, without what it should seal', async t => {
  let box: Partial<Record<'seal' | 'open' | 'keyId', (...args: string[]) => unknown>> = {}
  const h = await build(t, {
    providers: [createScript().provider],
    engine: once,
    secrets: {
      seal: (plain, aad) => (box.seal ?? secrets.seal)(plain, aad) as string,
      open: (sealed, aad) => (box.open ?? secrets.open)(sealed, aad) as string,
      keyId: sealed => (box.keyId ?? secrets.keyId!)(sealed) as string
    }
  })
  const create = () =>
    h.call('t1', 'POST', '/connections', { provider: 'scripted', secrets: { apiKey: 'hunter2-key' } })
  for (const seal of [() => undefined, () => 5, () => '', () => ({}), async () => null]) {
    box = { seal }
    t.match(await create(), { status: 500, body: { code: 'RMM_ERR_HOST', message: /secrets\.seal broke a rule/ } })
  }
  box = {
    seal(plain) {
      throw new Error(`KMS refused ${plain}`)
    }
  }
  const refused = await create()
  t.match(refused, { status: 500, body: { code: 'RMM_ERR_HOST', message: /secrets\.seal failed: KMS refused/ } })
  t.notMatch(JSON.stringify(refused), /hunter2/)
  box = {}
  const { body } = await create()
  const { id } = body.connection
  for (const open of [() => undefined, () => 5, async () => ({})]) {
    box = { open }
    t.match(await h.call('t1', 'POST', `/connections/${id}/test`), {
      status: 500,
      body: { code: 'RMM_ERR_HOST', message: /secrets\.open broke a rule/ }
    })
    const { run } = await h.app.rmm.sync.start('t1', id)
    t.match(await h.app.rmm.sync.settled('t1', run.id), {
      status: 'failed',
      error: { code: 'RMM_ERR_HOST', message: /secrets\.open broke a rule/ }
    })
  }
  box = {
    open() {
      throw new Error('no such key')
    },
    keyId: () => 5
  }
  t.match(await h.call('t1', 'POST', `/connections/${id}/test`), {
    status: 500,
    body: { code: 'RMM_ERR_HOST', message: /secrets\.keyId broke a rule/ }
  })
  box = {}
  t.match(await h.call('t1', 'POST', `/connections/${id}/test`), { status: 200 })
})

t.test('a sink that resolves with something else took nothing, and is named', async t => {
  for (const taken of [5, 'ids', {}, { ids: 'all' }, []]) {
    const sink = { name: 'odd', publish: async () => taken } as unknown as EventSink
    const { ids, error } = await publish(sink, [{ id: 'e1' } as never], 1_000, new AbortController().signal)
    t.strictSame(ids, [])
    t.match(error, { code: 'RMM_ERR_HOST', message: /The sink odd broke a rule: publish resolves with nothing/ })
  }
})
