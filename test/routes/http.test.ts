import swagger from '@fastify/swagger'
import type { FastifyInstance, RouteOptions as FastifyRoute } from 'fastify'
import t from 'tap'
import {
  ConflictError,
  ConnectionCheckError,
  InternalError,
  NotFoundError,
  PlatformBusyError,
  PlatformError,
  WebhookRefusedError
} from '../../src/errors.ts'
import { ProviderError } from '../../src/providers/define.ts'
import { actions } from '../../src/types.ts'
import { serializerCompiler, validatorCompiler } from '../../src/routes/compilers.ts'
import { answers, build, contract, plain } from './stub.ts'

const json = { 'content-type': 'application/json' }
const collect = (seen: FastifyRoute[]) => (app: FastifyInstance) => {
  app.addHook('onRoute', route => {
    seen.push(route)
  })
}
const general = (url: string) => url.replace(/:\w+/g, ':id')

for (const prefix of ['/rmm', '/rmm/', '/', '']) {
  t.test(`every route of the contract is there, mounted at '${prefix}'`, async t => {
    const seen: FastifyRoute[] = []
    const { app, calls, asked } = await build(t, { prefix, host: collect(seen) })
    const base = prefix.replace(/\/$/, '')
    for (const { method, url, path, action, target, call, args, status, body } of contract) {
      await t.test(`${method} ${path}`, async t => {
        const route = seen.find(route => route.method === method && general(route.url) === base + path)
        t.ok(route, 'is registered')
        t.equal(route?.config?.rmmAction, action)
        const reply = await app.inject({ method, url: base + url, ...(body && { body }) })
        t.equal(reply.statusCode, status, reply.body)
        t.strictSame(plain(calls.pop()), { name: call, args: ['tenant-1', ...args] })
        t.strictSame(asked.shift(), { action, target }, 'asked before the body is read')
        asked.length = 0
        const expected = answers[call]
        if (status === 204) t.equal(reply.body, '')
        else
          t.strictSame(
            reply.json(),
            call === 'providers.list' ? { items: expected } : expected,
            'the answer passes the schema unharmed'
          )
      })
    }
    const ours = seen
      .filter(route => route.method !== 'HEAD')
      .map(route => `${String(route.method)} ${general(route.url).slice(base.length)}`)
    const known = [
      ...contract.map(({ method, path }) => `${method} ${path}`),
      'GET /runs/:id/events',
      'POST /hooks/:id'
    ]
    t.strictSame(ours.sort(), known.sort(), 'and no other')
  })
}

t.test('every action of the closed union is asked for by some route', async t => {
  // What a sync is asked as depends on its body.
  t.strictSame([...new Set([...contract.map(({ action }) => action), 'sync:plan'])].sort(), [...actions].sort())
})

t.test('tenant, then authorize, then the body, then the check, then the service', async t => {
  const { app, order, calls } = await build(t)
  const reply = await app.inject({ method: 'POST', url: '/rmm/connections', headers: json, body: '{ not json' })
  t.equal(reply.statusCode, 400)
  t.match(reply.json(), { code: 'RMM_ERR_BODY', statusCode: 400, error: 'Bad Request' })
  t.strictSame(order, ['tenant', 'authorize'])
  t.strictSame(calls, [])

  for (const [name, tenant] of Object.entries({ null: null, empty: '', undefined, number: 7 })) {
    const refused = await build(t, { options: { tenant: () => tenant as never } })
    for (const { method, url } of contract) {
      const reply = await refused.app.inject({
        method,
        url: `/rmm${url}`,
        headers: json,
        ...(method !== 'GET' && { body: '{ not json' })
      })
      t.match(
        { status: reply.statusCode, ...reply.json() },
        { status: 401, code: 'RMM_ERR_TENANT', error: 'Unauthorized' },
        `${name}: ${method} ${url}`
      )
    }
    t.strictSame([refused.order, refused.calls], [[], []], 'neither authorize nor a service was asked')
  }

  const forbidden = await build(t, { options: { authorize: (() => false) as never } })
  for (const { method, url } of contract) {
    const reply = await forbidden.app.inject({
      method,
      url: `/rmm${url}`,
      headers: json,
      ...(method !== 'GET' && { body: '{ not json' })
    })
    t.match(
      { status: reply.statusCode, ...reply.json() },
      { status: 403, code: 'RMM_ERR_FORBIDDEN' },
      `${method} ${url}`
    )
  }
  t.strictSame(forbidden.calls, [])
})

t.test('unknown fields and wrong values are refused, and the field is named', async t => {
  const { app, calls } = await build(t)
  const refused = async (
    method: 'GET' | 'POST' | 'PATCH' | 'PUT' | 'DELETE',
    url: string,
    body: object | undefined,
    message: string
  ) => {
    const reply = await app.inject({ method, url: `/rmm${url}`, ...(body && { body }) })
    t.match(
      { status: reply.statusCode, ...reply.json() },
      { status: 400, code: 'RMM_ERR_VALIDATION', error: 'Bad Request', message },
      `${method} ${url}`
    )
  }
  for (const { method, url, body } of contract) {
    await refused(method, `${url}${url.includes('?') ? '&' : '?'}colour=red`, body, "query: unknown field 'colour'")
    if (body !== undefined) await refused(method, url, { ...body, colour: 'red' }, "body: unknown field 'colour'")
    else if (method !== 'GET') await refused(method, url, { colour: 'red' }, 'this route takes no body')
  }
  const create = { provider: 'levelio', secrets: {} }
  await refused('POST', '/connections', { secrets: {} }, "body: the field 'provider' is missing")
  await refused('POST', '/connections', { ...create, name: 7 }, 'body.name must be string')
  await refused(
    'POST',
    '/connections',
    { ...create, schedule: { everyMinutes: '60' } },
    'body.schedule.everyMinutes must be integer'
  )
  await refused(
    'POST',
    '/connections',
    { ...create, schedule: { everyMinutes: 5 } },
    'body.schedule.everyMinutes must be >= 15'
  )
  await refused('POST', '/connections', { ...create, schedule: { when: 1 } }, "body.schedule: unknown field 'when'")
  await refused(
    'POST',
    '/connections/c1/sync',
    { resources: ['devices', 'tickets'] },
    'body.resources.1 must be one of: organizations, devices, updates, alerts'
  )
  await refused(
    'PUT',
    '/connections/c1/mappings',
    { mappings: [{ organizationId: 'o', mode: 'mapped', x: 1 }] },
    "body.mappings.0: unknown field 'x'"
  )
  for (const limit of ['0', '201', 'many', '1.5', 'Infinity', '1e999'])
    await refused('GET', `/devices?limit=${limit}`, undefined, 'query.limit must be')
  await refused(
    'GET',
    `/devices?cursor=${'x'.repeat(2001)}`,
    undefined,
    'query.cursor must NOT have more than 2000 characters'
  )
  await refused('GET', '/devices?online=perhaps', undefined, 'query.online must be boolean')
  await refused('GET', '/alerts?status=old', undefined, 'query.status must be one of: active, resolved')
  await refused('DELETE', '/connections/c1?mode=all', undefined, 'query.mode must be one of: keep, purge')
  t.strictSame(calls, [])
})

t.test('bodies are JSON, of bounded size, and may be left out where every field is optional', async t => {
  const { app, calls } = await build(t)
  const post = (headers: Record<string, string>, body: string | undefined, url = '/rmm/connections/c1/sync') =>
    app.inject({ method: 'POST', url, headers, ...(body !== undefined && { body }) })
  for (const body of [undefined, '']) {
    const reply = await post(json, body)
    t.equal(reply.statusCode, 202, reply.body)
    t.strictSame(calls.pop()?.args, ['tenant-1', 'c1', { mode: 'full', force: false }])
  }
  t.equal((await post({}, undefined)).statusCode, 202)
  t.match((await post(json, '', '/rmm/connections')).json(), {
    code: 'RMM_ERR_VALIDATION',
    message: "body: the field 'provider' is missing"
  })
  t.match((await post(json, 'null')).json(), { code: 'RMM_ERR_VALIDATION', message: 'body must be object' })
  for (const type of ['text/plain', 'application/xml', 'application/x-www-form-urlencoded', 'nonsense', '']) {
    t.match(
      (await post({ 'content-type': type }, '{}')).json(),
      { statusCode: 415, code: 'RMM_ERR_MEDIA_TYPE' },
      `'${type}'`
    )
  }
  t.match((await post(json, JSON.stringify({ mode: 'x'.repeat(1024 * 1024) }))).json(), {
    statusCode: 413,
    code: 'RMM_ERR_BODY_TOO_LARGE'
  })
  for (const poison of ['{"__proto__":{"force":true}}', '{"constructor":{"prototype":{"force":true}}}']) {
    t.match((await post(json, poison)).json(), { statusCode: 400, code: 'RMM_ERR_BODY' })
  }
  t.equal((await app.inject({ method: 'DELETE', url: '/rmm/connections/c1', headers: json })).statusCode, 204)
  t.strictSame(calls.at(-1)?.args, ['tenant-1', 'c1', 'keep'])
})

t.test('errors of the services keep their code, status and hint; unknown ones show nothing', async t => {
  const lines: string[] = []
  const cause = new ProviderError('rate_limited', 'slow down', { retryAfterMs: 1500 })
  const failing = async (error: Error) => {
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
      answers: { 'connections.get': error }
    })
    return app.inject('/rmm/connections/c1')
  }
  const check = await failing(new ConnectionCheckError('Level refused the API key: make a new one'))
  t.strictSame(check.json(), {
    statusCode: 422,
    code: 'RMM_ERR_CONNECTION_CHECK',
    error: 'Unprocessable Entity',
    message: 'Level refused the API key: make a new one'
  })
  t.match((await failing(new NotFoundError('connection'))).json(), {
    statusCode: 404,
    code: 'RMM_ERR_NOT_FOUND',
    message: 'connection not found'
  })
  t.match(
    (await failing(Object.assign(new ConflictError('two groups fit'), { secrets: 's3cret' }))).body,
    /^((?!s3cret).)*$/
  )
  t.equal(lines.length, 0, 'what the caller did is not logged as an error')

  t.equal(
    (await failing(Object.assign(new PlatformBusyError('Level is busy'), { retryAfterMs: 2001 }))).headers[
      'retry-after'
    ],
    '3'
  )
  t.equal(
    (await failing(Object.assign(new PlatformBusyError('Level is busy'), { cause }))).headers['retry-after'],
    '2',
    'or from its cause'
  )
  const platform = await failing(
    Object.assign(new PlatformError('Level failed'), { cause: new Error('socket hang up') })
  )
  t.match(platform.json(), { statusCode: 502, code: 'RMM_ERR_PLATFORM', message: 'Level failed' })
  t.match(lines.at(-1), /socket hang up/, 'the cause is in the log')

  const broken = await failing(new TypeError('password hunter2 at /srv/app/x.ts'))
  t.strictSame(broken.json(), {
    statusCode: 500,
    code: 'RMM_ERR_INTERNAL',
    error: 'Internal Server Error',
    message: new InternalError().message
  })
  t.match(lines.at(-1), /"err":.*x\.ts/)
  t.match((await failing(Object.assign(new Error('teapot'), { statusCode: 418, code: 'E_X' }))).json(), {
    statusCode: 500,
    code: 'RMM_ERR_INTERNAL'
  })
})

/** Adds fields that must not come out to every object, but for those whose fields are the platform's by nature. */
function smuggle(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(smuggle)
  if (typeof value !== 'object' || value === null) return value
  const open = ['config', 'details', 'configSchema', 'secretSchema', 'payloadTemplate']
  const fields = Object.entries(value).map(([name, field]) => [name, open.includes(name) ? field : smuggle(field)])
  return { ...Object.fromEntries(fields), secrets: { apiKey: 'LEAKED' }, password: 'LEAKED', sealed: ['LEAKED'] }
}

t.test("a secret in a service's answer does not pass any response schema", async t => {
  const { app } = await build(t, {
    answers: Object.fromEntries(Object.entries(answers).map(([name, answer]) => [name, smuggle(answer)]))
  })
  for (const { method, url, body, call, status } of contract) {
    const reply = await app.inject({ method, url: `/rmm${url}`, ...(body && { body }) })
    t.equal(reply.statusCode, status, `${method} ${url}`)
    if (status === 204) continue
    t.notMatch(reply.body, 'LEAKED', `${method} ${url}`)
    t.strictSame(reply.json(), call === 'providers.list' ? { items: answers[call] } : answers[call])
  }
})

t.test('a webhook is handed on as raw bytes, without tenant and authorisation', async t => {
  const { app, calls, order } = await build(t)
  const post = (headers: Record<string, string>, body: string | Buffer | undefined) =>
    app.inject({ method: 'POST', url: '/rmm/hooks/k1', headers, ...(body !== undefined && { body }) })
  const bytes = Buffer.from('{ "a":1,  "a": 2, "ü": "\ud83d\ude00" }\n')
  for (const type of [
    'application/json',
    'application/json; charset=utf-8',
    'application/cloudevents+json',
    'Application/JSON'
  ]) {
    const reply = await post({ 'content-type': type, 'X-Level-Signature': 'sha256=ab' }, bytes)
    t.strictSame([reply.statusCode, reply.json()], [202, { accepted: true }], type)
    const [hookKey, { headers, rawBody }] = calls.pop()!.args as [
      string,
      { headers: Record<string, string>; rawBody: Buffer }
    ]
    t.equal(hookKey, 'k1')
    t.ok(bytes.equals(rawBody), 'byte for byte')
    t.equal(headers['x-level-signature'], 'sha256=ab')
    t.ok(Object.values(headers).every(value => typeof value === 'string'))
  }
  t.equal((await post(json, '')).statusCode, 202, 'an empty body is for the service to judge')
  t.strictSame((calls.pop()!.args[1] as { rawBody: Buffer }).rawBody, Buffer.alloc(0))
  for (const headers of [
    { 'content-type': 'text/plain' },
    { 'content-type': 'application/x-ndjson' },
    { 'content-type': 'application/jsonx' },
    {}
  ] as Array<Record<string, string>>) {
    for (const body of ['{}', undefined])
      t.match(
        (await post(headers, body)).json(),
        { statusCode: 415, code: 'RMM_ERR_MEDIA_TYPE' },
        JSON.stringify({ headers, body })
      )
  }
  t.match((await post(json, Buffer.alloc(1025, ' '))).json(), { statusCode: 413, code: 'RMM_ERR_BODY_TOO_LARGE' })
  t.equal((await post(json, Buffer.alloc(1024, ' '))).statusCode, 202)
  t.strictSame(order, [], 'nobody was asked')

  const known = await build(t, { answers: { 'webhooks.accept': { duplicate: true } } })
  const again = await known.app.inject({ method: 'POST', url: '/rmm/hooks/k1', body: {} })
  t.strictSame([again.statusCode, again.json()], [200, { duplicate: true }])
  const wrong = await build(t, { answers: { 'webhooks.accept': new WebhookRefusedError() } })
  const refused = await Promise.all(
    ['k1', 'x'.repeat(99), '%20', '..%2f'].map(key =>
      wrong.app.inject({ method: 'POST', url: `/rmm/hooks/${key}`, body: {} })
    )
  )
  t.ok(refused.every(reply => reply.statusCode === 401))
  t.equal(new Set(refused.map(reply => reply.body)).size, 1, 'all alike')
})

t.test('every schema compiles, also of what nobody has called yet', async t => {
  const seen: Array<{ route: FastifyRoute; app: FastifyInstance }> = []
  await build(t, {
    host: app => {
      app.addHook('onRoute', function (route) {
        seen.push({ route, app: this })
      })
    }
  })
  let compiled = 0
  for (const { route, app } of seen) {
    const { response = {}, ...parts } = (route.schema ?? {}) as Record<string, Record<string, unknown>>
    const at = { method: String(route.method), url: route.url }
    for (const httpPart of ['body', 'params', 'querystring', 'headers'].filter(part => parts[part] !== undefined)) {
      t.type(validatorCompiler()({ ...at, httpPart, schema: parts[httpPart] } as never), 'function')
      compiled++
    }
    for (const [httpStatus, schema] of Object.entries(response)) {
      t.type(serializerCompiler(app)({ ...at, httpStatus, schema }), 'function')
      compiled++
    }
  }
  t.ok(compiled > 300, `${compiled} schemas`)
})

t.test('with the reference names of docs/routes.md every component has its own', async t => {
  const { app } = await build(t, {
    host: async app => {
      await app.register(swagger, {
        openapi: { info: { title: 'host', version: '1' } },
        refResolver: {
          buildLocalReference: (schema, _uri, _fragment, n) => (schema['$id'] as string | undefined) ?? `def-${n}`
        }
      })
    }
  })
  await app.ready()
  const document = app.swagger() as unknown as { components: { schemas: Record<string, { title: string }> } }
  const components = Object.entries(document.components.schemas)
  t.ok(components.length > 10)
  t.same(
    components.filter(([name, { title }]) => !/^Rmm[A-Z]/.test(name) || name !== title).map(([name]) => name),
    [],
    'named alike by id and by title'
  )
  const refs = [...JSON.stringify(document).matchAll(/"\$ref":"#\/components\/schemas\/([^"]+)"/g)].map(([, to]) => to!)
  t.ok(refs.length > 100)
  t.same(
    refs.filter(name => document.components.schemas[name] === undefined),
    [],
    'every reference leads to one of them'
  )
})

t.test('@fastify/swagger shows the whole API', async t => {
  for (const openapi of ['3.0.3', '3.1.0']) {
    const { app } = await build(t, {
      host: async app => {
        await app.register(swagger, { openapi: { openapi, info: { title: 'host', version: '1' } } })
      }
    })
    await app.ready()
    const document = app.swagger() as {
      paths: Record<string, Record<string, any>>
      components: { schemas: Record<string, any> }
    }
    const operations = Object.entries(document.paths).flatMap(([path, methods]) =>
      Object.entries(methods).map(([method, operation]) => ({ path, method, operation }))
    )
    t.equal(operations.length, contract.length + 1, 'all routes and the event stream; the webhook is hidden')
    t.equal(new Set(operations.map(({ operation }) => operation.operationId)).size, operations.length)
    for (const { path, method, operation } of operations) {
      const name = `${method} ${path}`
      t.match(operation, { summary: /\w/, operationId: /^rmm[A-Z]/, tags: ['RMM'] }, name)
      const statuses = Object.keys(operation.responses)
      t.equal(statuses.filter(status => status.startsWith('2')).length, 1, `${name} has its success`)
      for (const status of ['400', '401', '403', '500']) t.ok(statuses.includes(status), `${name} has ${status}`)
      t.equal(
        statuses.includes('404'),
        path.includes('{') || name === 'post /rmm/connections',
        `${name} is 404 where it names something`
      )
      for (const [status, response] of Object.entries<any>(operation.responses)) {
        t.ok(status === '204' || response.content, `${name} ${status} has a schema`)
        t.not(response.description, 'Default Response', `${name} ${status} is described`)
      }
      const placeholders = [...path.matchAll(/\{(\w+)\}/g)].map(([, placeholder]) => placeholder)
      const parameters = (operation.parameters ?? [])
        .filter((parameter: any) => parameter.in === 'path')
        .map((parameter: any) => parameter.name)
      t.strictSame(parameters.sort(), placeholders.sort(), `${name} declares its parameters`)
      for (const parameter of operation.parameters ?? [])
        t.ok(parameter.description, `${name} ${parameter.name} is described`)
      t.notMatch(JSON.stringify(operation.responses), /"secrets"|"password"|"apiKey"/)
    }
    const refs = [...JSON.stringify(document).matchAll(/"\$ref":"#\/components\/schemas\/([^"]+)"/g)].map(
      ([, name]) => name!
    )
    t.ok(refs.length > 100 && refs.every(name => document.components.schemas[name]), 'every reference leads somewhere')
    const titles = Object.values(document.components.schemas).map(schema => schema.title)
    t.strictSame(
      ['RmmActivity', 'RmmAlert', 'RmmClient', 'RmmConnection'].filter(title => !titles.includes(title)),
      []
    )
    t.notMatch(JSON.stringify(document.components), /"secrets"|"password"|"apiKey"/)
  }
})
