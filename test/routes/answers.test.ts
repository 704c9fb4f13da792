import type { FastifyInstance } from 'fastify'
import t from 'tap'
import { InternalError, NotFoundError, WebhookRefusedError } from '../../src/errors.ts'
import { build, contract } from './stub.ts'

const guarded = { 'cache-control': 'no-store', 'x-content-type-options': 'nosniff' }
const json = { 'content-type': 'application/json' }

t.test('no answer of ours may be kept or taken for something else, whoever gives it', async t => {
  const { app } = await build(t)
  const refusing = await build(t, { options: { tenant: () => null } })
  const host = await build(t, {
    options: {
      authorize: () => {
        throw Object.assign(new Error('not with us'), { statusCode: 403 })
      }
    }
  })
  for (const { method, url, body, status } of contract) {
    const request = { method, url: `/rmm${url}`, ...(body && { body }) }
    t.match(await app.inject(request), { statusCode: status, headers: guarded }, `${method} ${url}`)
    t.match(await refusing.app.inject(request), { statusCode: 401, headers: guarded }, `${method} ${url} refused by us`)
    t.match(await host.app.inject(request), { statusCode: 403, headers: guarded }, `${method} ${url} by the host`)
  }
  for (const [name, error] of Object.entries({
    missing: new NotFoundError('Connection'),
    broken: new InternalError()
  })) {
    const failing = await build(t, { answers: { 'connections.get': error } })
    t.match(await failing.app.inject('/rmm/connections/c1'), { statusCode: error.statusCode, headers: guarded }, name)
  }
  const odd = [
    ['a body that is no JSON', { method: 'POST', url: '/rmm/connections', headers: json, body: '{' }, 400],
    [
      'a body of another type',
      { method: 'POST', url: '/rmm/connections', headers: { 'content-type': 'text/plain' }, body: 'x' },
      415
    ],
    ['a wrong field', { method: 'GET', url: '/rmm/connections?colour=red' }, 400],
    ['a hook', { method: 'POST', url: '/rmm/hooks/k', headers: json, body: '{}' }, 202],
    ['a hook without a type', { method: 'POST', url: '/rmm/hooks/k' }, 415],
    ['a hook too large', { method: 'POST', url: '/rmm/hooks/k', headers: json, body: `"${'x'.repeat(2000)}"` }, 413]
  ] as const
  for (const [name, request, statusCode] of odd)
    t.match(await app.inject(request), { statusCode, headers: guarded }, name)
  const unknown = await build(t, { answers: { 'webhooks.accept': new WebhookRefusedError() } })
  t.match(await unknown.app.inject({ method: 'POST', url: '/rmm/hooks/k', headers: json, body: '{}' }), {
    statusCode: 401,
    headers: guarded
  })
})

t.test("what the host's own hook refuses below our prefix is guarded too, and nothing outside of it", async t => {
  const { app } = await build(t, {
    host: app => {
      app.addHook('onRequest', async request => {
        if (request.headers['x-out'] !== undefined) throw Object.assign(new Error('out'), { statusCode: 401 })
      })
      app.get('/own', async () => ({ mine: true }))
    }
  })
  t.match(await app.inject({ url: '/rmm/connections', headers: { 'x-out': '1' } }), {
    statusCode: 401,
    headers: guarded
  })
  const own = await app.inject('/own')
  t.equal(own.headers['cache-control'], undefined)
  t.equal(own.headers['x-content-type-options'], undefined)
})

t.test('the length of an id in a path is told as it is', async t => {
  for (const [server, most] of [
    [{}, 100],
    [{ routerOptions: { maxParamLength: 1000 } }, 1000],
    [{ routerOptions: { maxParamLength: 5000 } }, 1000]
  ] as const) {
    const seen: Array<{ url: string; schema?: any }> = []
    const { app } = await build(t, {
      server,
      host: (app: FastifyInstance) => {
        app.addHook('onRoute', route => {
          seen.push(route)
        })
      }
    })
    const status = async (length: number) => (await app.inject(`/rmm/connections/${'x'.repeat(length)}`)).statusCode
    t.equal(await status(most), 200)
    const beyond = await status(most + 1)
    t.not(beyond, 200)
    // Read when all plugins are loaded: our hook comes after the host's.
    const route = seen.find(({ url }) => url.endsWith('/connections/:connectionId'))!
    t.equal(route.schema.params.properties.connectionId.maxLength, most)
    t.ok(String(beyond) in route.schema.response, `${beyond} is documented`)
  }
})
