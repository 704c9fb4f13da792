import t from 'tap'
import type { FastifyInstance, InjectOptions } from 'fastify'
import Fastify from 'fastify'
import { createActors } from '../../src/services/actors.ts'
import { guard } from '../../src/routes/guard.ts'
import { build, connection, contract, plain } from './stub.ts'

const json = { 'content-type': 'application/json' }

/** A host that does everything its own way. */
async function hostile(app: FastifyInstance) {
  app.setErrorHandler((error: Error & { statusCode?: number }, _request, reply) =>
    reply.code(error.statusCode ?? 500).send({ error: { detail: error.message } })
  )
  app.setNotFoundHandler((_request, reply) => reply.code(404).send({ nothing: 'here' }))
  app.setValidatorCompiler(
    ({ schema }) =>
      data =>
        (schema as any).safeParse(data)
  )
  app.setSerializerCompiler(
    ({ schema }) =>
      data =>
        (schema as any).encode(data)
  )
  app.setReplySerializer(payload => `host:${JSON.stringify(payload)}`)
  app.setSchemaErrorFormatter(() => new Error("the host's format"))
  app.removeAllContentTypeParsers()
  app.addContentTypeParser('*', { parseAs: 'string' }, (_request, body, done) =>
    done(null, `parsed by the host: ${String(body)}`)
  )
  app.post('/own', async request => ({ body: request.body }))
}

t.test("a host's compilers, parsers, formats and serializers change nothing of ours", async t => {
  const { app, calls } = await build(t, {
    host: hostile,
    server: {
      ajv: { customOptions: { coerceTypes: false, removeAdditional: 'all', useDefaults: false } },
      bodyLimit: 10
    }
  })
  for (const { method, url, body, call, args, status } of contract) {
    const reply = await app.inject({ method, url: `/rmm${url}`, ...(body && { body }) })
    t.equal(reply.statusCode, status, `${method} ${url} ${reply.body}`)
    t.strictSame(plain(calls.pop()), { name: call, args: ['tenant-1', ...args] })
  }
  t.strictSame((await app.inject('/rmm/connections/c1')).json(), connection)
  t.strictSame((await app.inject('/rmm/devices?limit=x')).json(), {
    statusCode: 400,
    code: 'RMM_ERR_VALIDATION',
    error: 'Bad Request',
    message: 'query.limit must be integer'
  })
  t.match(
    (
      await app.inject({ method: 'POST', url: '/rmm/connections', headers: { 'content-type': 'text/x' }, body: 'x' })
    ).json(),
    { code: 'RMM_ERR_MEDIA_TYPE' }
  )
  t.equal((await app.inject({ method: 'POST', url: '/rmm/hooks/k', body: {} })).json().accepted, true)
})

t.test('a host answers its own URLs with us as without us', async t => {
  for (const host of [
    hostile,
    (app: FastifyInstance) => {
      app.post('/own', async request => ({ body: request.body }))
    }
  ]) {
    const alone = Fastify()
    t.teardown(() => alone.close())
    await host(alone)
    const { app, order } = await build(t, { host })
    for (const request of [
      { method: 'POST', url: '/own', headers: json, body: '{"a":1}' },
      { method: 'POST', url: '/own', headers: json, body: '{' },
      { method: 'POST', url: '/own', headers: { 'content-type': 'text/x' }, body: 'x' },
      { url: '/nothing' },
      { url: '/rmm' },
      { url: '/rmm/nothing' },
      { url: '/rmm/connections/c1/nothing' },
      { method: 'PUT', url: '/rmm/providers' }
    ] as InjectOptions[]) {
      const [expected, reply] = await Promise.all([alone.inject(request), app.inject(request)])
      t.strictSame(
        [reply.statusCode, reply.headers['content-type'], reply.body],
        [expected.statusCode, expected.headers['content-type'], expected.body],
        JSON.stringify(request)
      )
    }
    t.strictSame(order, [], 'and an unknown URL below our prefix asks nobody')
  }
})

const refusal = Object.assign(new Error('log in first'), { statusCode: 401 })
const thrower = async () => {
  throw refusal
}

t.test("what the host's hooks, tenant or authorize throw, the host answers in its own format", async t => {
  const format = (app: FastifyInstance) => {
    app.setErrorHandler((error: Error & { statusCode?: number }, _request, reply) =>
      reply.code(error.statusCode ?? 500).send({ error: { detail: error.message } })
    )
  }
  const hosts = {
    tenant: { options: { tenant: thrower }, host: format },
    authorize: { options: { authorize: thrower }, host: format },
    onRequest: {
      host: (app: FastifyInstance) => {
        format(app)
        app.addHook('onRequest', thrower)
      }
    },
    preValidation: {
      host: (app: FastifyInstance) => {
        format(app)
        app.addHook('preValidation', thrower)
      }
    },
    preHandler: {
      host: (app: FastifyInstance) => {
        format(app)
        app.addHook('preHandler', thrower)
      }
    },
    'a hook added to each route': {
      host: (app: FastifyInstance) => {
        format(app)
        app.addHook('onRoute', route => {
          route.preHandler = thrower
        })
      }
    },
    'a reply from a hook': {
      host: (app: FastifyInstance) => {
        app.addHook('onRequest', (_request, reply) => reply.code(401).send({ error: { detail: 'log in first' } }))
      }
    }
  }
  for (const [name, host] of Object.entries(hosts)) {
    const { app, calls } = await build(t, host)
    const reply = await app.inject('/rmm/connections/c1')
    t.strictSame([reply.statusCode, reply.json(), calls], [401, { error: { detail: 'log in first' } }, []], name)
  }
  const { app } = await build(t, { options: { authorize: thrower } })
  t.strictSame(
    (await app.inject('/rmm/connections/c1')).json(),
    { statusCode: 401, error: 'Unauthorized', message: 'log in first' },
    'or Fastify does'
  )
})

t.test('a refusal that is thrown as something else than an Error still refuses', async t => {
  const format = (app: FastifyInstance) => {
    app.setErrorHandler((error: Error & { statusCode?: number }, _request, reply) =>
      reply.code(error.statusCode ?? 500).send({ detail: error.message })
    )
  }
  for (const [thrown, status, detail] of [
    ['log in first', 500, 'log in first'],
    [{ statusCode: 403, message: 'not yours' }, 403, 'not yours'],
    [{ statusCode: 403 }, 403, 'Refused'],
    [401, 500, '401']
  ] as const) {
    const refuse = () => {
      throw thrown
    }
    for (const options of [{ tenant: refuse }, { authorize: refuse }]) {
      const { app, calls } = await build(t, { options, host: format })
      const reply = await app.inject('/rmm/connections/c1')
      t.strictSame(
        [reply.statusCode, reply.json(), calls],
        [status, { detail }, []],
        `${Object.keys(options)}: ${JSON.stringify(thrown)}`
      )
      const plain = await build(t, { options })
      t.equal(
        (await plain.app.inject('/rmm/connections/c1')).statusCode,
        status,
        'also where the host has no error handler'
      )
    }
  }
})

t.test('a tenant that PostgreSQL cannot store is none', async t => {
  for (const tenant of ['a\0b', '\ud800']) {
    const { app, calls } = await build(t, { options: { tenant: () => tenant } })
    const reply = await app.inject('/rmm/connections')
    t.match([reply.statusCode, reply.json(), calls], [401, { code: 'RMM_ERR_TENANT' }, []])
  }
})

t.test('HEAD is answered like GET, without a body, and is guarded alike', async t => {
  const { app, asked } = await build(t)
  const reply = await app.inject({ method: 'HEAD', url: '/rmm/connections/c1' })
  t.strictSame([reply.statusCode, reply.body], [200, ''])
  t.strictSame(asked, [{ action: 'connection:read', target: { connectionId: 'c1' } }])
  t.equal((await app.inject({ method: 'HEAD', url: '/rmm/runs/r1/events' })).statusCode, 404, 'not on the event stream')

  const without = await build(t, { server: { exposeHeadRoutes: false } })
  t.equal(
    (await without.app.inject({ method: 'HEAD', url: '/rmm/connections/c1' })).statusCode,
    404,
    'a host that wants none gets none'
  )
})

t.test('a route that does not say what it does is refused at boot', async t => {
  const app = Fastify()
  app.register(
    async scope => {
      guard(scope, { tenant: () => 't', authorize: () => {}, actor: () => null, actors: createActors() })
      scope.get('/forgotten', async () => 'x')
    },
    { prefix: '/rmm' }
  )
  await t.rejects(
    async () => {
      await app.ready()
    },
    { message: 'the route GET /rmm/forgotten needs config.rmmAction' }
  )
})

t.test('two hosts in one process do not meet, and nothing of ours lands on either', async t => {
  const one = await build(t, { options: { tenant: () => 'one' } })
  const two = await build(t, { options: { tenant: () => 'two' } })
  await Promise.all([one, two].map(({ app }) => app.inject('/rmm/connections/c1')))
  t.strictSame([one.calls[0]?.args[0], two.calls[0]?.args[0]], ['one', 'two'])
  for (const name of ['rmmTenantId', 'rmmActor', 'rmmHandling']) t.notOk(one.app.hasRequestDecorator(name))
  t.strictSame(one.app.getSchemas(), {})
})
