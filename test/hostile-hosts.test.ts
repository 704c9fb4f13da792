import { defineEntity, EntityCaseNamingStrategy, MikroORM, p } from '@mikro-orm/core'
import { PgliteDriver } from '@mikro-orm/pglite'
import { PostgreSqlDriver } from '@mikro-orm/postgresql'
import Fastify, { type FastifyInstance } from 'fastify'
import t, { type Test } from 'tap'
import { type RmmSyncOptions, rmmSync, withRmmSync } from '../src/index.ts'
import type { RmmProvider } from '../src/providers/define.ts'
import { level } from '../src/providers/level/index.ts'
import {
  build,
  connectLevel,
  databaseKind,
  databaseUrl,
  dropSchema,
  fakeLevel,
  openOrm,
  secrets,
  syncNow,
  testSchema
} from './helper.ts'
import { device, fastEngine, list, scriptedHost } from './services/scripted.ts'
import { pause } from './until.ts'

/** Everything a host may do at its root before it registers us. */
function hostile(app: FastifyInstance): void {
  app.setErrorHandler((error: Error & { statusCode?: number }, _request, reply) =>
    reply.code(error.statusCode ?? 500).send({ failed: error.message })
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
  app.removeAllContentTypeParsers()
  app.addContentTypeParser('*', { parseAs: 'string' }, (_request, body, done) =>
    done(null, `parsed by the host: ${String(body)}`)
  )
  app.addHook('onSend', async (_request, reply) => {
    reply.header('content-security-policy', "default-src 'none'")
  })
  app.post('/own', async request => ({ body: request.body }))
}

t.test('the whole plugin works below a host that does everything its own way', async t => {
  const fake = await fakeLevel(t, { devices: 12, groups: 2 })
  const host = await build(t, {
    before: hostile,
    fastify: {
      ajv: { customOptions: { coerceTypes: false, removeAdditional: 'all', useDefaults: false } },
      bodyLimit: 100
    }
  })
  const id = await connectLevel(host, fake)
  t.match(await syncNow(host, id), { status: 'succeeded' })
  t.match(await host.call('t1', 'GET', '/devices?limit=5&mapped=false'), {
    status: 200,
    body: { items: { length: 5 }, nextCursor: /./ }
  })
  t.match(await host.call('t1', 'GET', '/devices?limit=x'), { status: 400, body: { code: 'RMM_ERR_VALIDATION' } })
  t.match(await host.call('t1', 'POST', `/connections/${id}/sync`, { unknown: 1 }), {
    status: 400,
    body: { message: /unknown field 'unknown'/ }
  })

  const alone = Fastify({ bodyLimit: 100 })
  t.teardown(() => alone.close())
  hostile(alone)
  for (const request of [
    { method: 'POST', url: '/own', headers: { 'content-type': 'application/json' }, payload: '{"a":1}' },
    { method: 'POST', url: '/own', headers: { 'content-type': 'application/json' }, payload: 'x'.repeat(101) },
    { method: 'GET', url: '/nothing' },
    { method: 'GET', url: '/rmm/nothing' },
    { method: 'GET', url: '/rmm' }
  ] as const) {
    const [ours, theirs] = await Promise.all([host.app.inject(request), alone.inject(request)])
    t.strictSame(
      [ours.statusCode, ours.body, ours.headers['content-type']],
      [theirs.statusCode, theirs.body, theirs.headers['content-type']],
      `${request.url} is answered as without us`
    )
  }
  t.strictSame(Object.keys(host.app.getSchemas()), [])
})

t.test("a host's hook that refuses, refuses us too, in the host's words", async t => {
  const host = await build(t, {
    before: app => {
      app.setErrorHandler((error: Error, _request, reply) => reply.code(418).send({ failed: error.message }))
      app.addHook('onRequest', async () => {
        throw new Error('log in first')
      })
    }
  })
  t.match(await host.call('t1', 'GET', '/connections'), { status: 418, body: { failed: 'log in first' } })
})

/** A host's ORM with filters that are on by default and hide everything, and names of its own. */
async function strangeOrm(t: Test, schema: string): Promise<MikroORM> {
  const Thing = defineEntity({
    name: 'Thing',
    tableName: 'host_thing',
    properties: { theId: p.string().primary(), tenantName: p.string().nullable() }
  })
  const config = withRmmSync(
    {
      entities: [Thing],
      namingStrategy: EntityCaseNamingStrategy,
      schema: 'public',
      forceUtcTimezone: true,
      timezone: '+05:30',
      filters: {
        nobody: { name: 'nobody', cond: { theId: 'nobody' }, default: true, strict: false, entity: ['Thing'] }
      }
    },
    { schema }
  )
  const orm = databaseUrl
    ? await MikroORM.init({ ...config, driver: PostgreSqlDriver, clientUrl: databaseUrl } as never)
    : await MikroORM.init({ ...config, driver: PgliteDriver, dbName: 'memory://' } as never)
  t.teardown(() => orm.close())
  return orm
}

t.test(
  "default-on filters, another naming strategy and another time zone of the host's ORM change nothing",
  async t => {
    const schema = testSchema()
    const orm = await strangeOrm(t, schema)
    const fake = await fakeLevel(t, { devices: 12, groups: 2 })
    const host = await build(t, {
      on: { orm, schema },
      onChanges: async (batch, em) => {
        em.getFilterParams('nobody')
        return { assetRefs: Object.fromEntries(batch.devices.map(({ device }) => [device.id, device.externalId])) }
      }
    })
    t.teardown(() => dropSchema(orm, schema))
    const id = await connectLevel(host, fake)
    await syncNow(host, id)
    const {
      items: [root]
    } = await host.app.rmm.organizations.list('t1', id)
    await host.app.rmm.organizations.update('t1', id, root!.id, { mode: 'mapped', clientRef: 'c1' })
    t.match(
      await syncNow(host, id),
      { status: 'succeeded', totals: { failed: 0, created: 0, updated: 0 } },
      'and a second sync changes nothing'
    )
    const { items: devices } = await host.app.rmm.inventory.list('t1', { clientRef: 'c1' })
    t.ok(devices.length > 0 && devices.every(({ assetRef, externalId }) => assetRef === externalId))
    t.ok(
      devices.every(({ observedAt }) => Math.abs(Date.now() - Date.parse(observedAt)) < 60_000),
      'times are true'
    )
  }
)

t.test('two instances in one process, each with its schema, do not meet', async t => {
  const fake = await fakeLevel(t, { devices: 5, groups: 1 })
  const one = await build(t)
  const two = await build(t, { on: { orm: one.orm, schema: await ignored(one.orm) } })
  t.teardown(() => dropSchema(two.orm, two.schema))
  const id = await connectLevel(one, fake)
  await syncNow(one, id)
  t.match(await one.call('t1', 'GET', '/devices'), { body: { items: { length: 5 } } })
  t.match(await two.call('t1', 'GET', '/devices'), { body: { items: [] } })
  t.match(await two.call('t1', 'GET', `/connections/${id}`), { status: 404 })
  await connectLevel(two, fake)
  t.match(await two.call('t1', 'GET', '/devices'), { body: { items: [] } })
})

async function ignored(orm: MikroORM): Promise<string> {
  const schema = testSchema()
  ;(orm.config.get('schemaGenerator') as { ignoreSchema: string[] }).ignoreSchema.push(schema)
  return schema
}

/** Registers with these options; rejects as `app.ready()` does. */
async function register(
  t: Test,
  change: Record<string, unknown>,
  wrap?: (app: FastifyInstance, options: RmmSyncOptions) => unknown
): Promise<FastifyInstance> {
  const schema = testSchema()
  const orm = await openOrm(t, schema)
  const app = Fastify()
  t.teardown(async () => {
    await app.close()
    await dropSchema(orm, schema)
  })
  const options = {
    orm,
    schema,
    migrations: 'run',
    secrets,
    providers: [level({ allowPrivateNetwork: true }) as RmmProvider],
    tenant: () => 't1',
    authorize: () => {},
    ...change
  } as unknown as RmmSyncOptions
  if (wrap === undefined) await app.register(rmmSync, options)
  else await wrap(app, options)
  await app.ready()
  return app
}

t.test('it is mounted where the host says, also in a scope with a prefix, or not at all', async t => {
  for (const [prefix, base] of [
    ['', ''],
    ['/', ''],
    ['/api/', '/api'],
    ['/a/b', '/a/b']
  ] as const) {
    const app = await register(t, { prefix, publicUrl: 'https://psa.example.com/' })
    t.match([(await app.inject(`${base}/connections`)).json()], [{ items: [] }], `'${prefix}'`)
  }
  const fake = await fakeLevel(t, { devices: 1, groups: 1 })
  const nested = await register(t, { prefix: '/rmm', publicUrl: 'https://psa.example.com' }, (app, options) =>
    app.register(
      async scope => {
        await scope.register(rmmSync, options)
      },
      { prefix: '/v1' }
    )
  )
  t.equal((await nested.inject('/v1/rmm/connections')).statusCode, 200)
  t.notOk(nested.hasDecorator('rmm'), 'the decorator stays in that scope')
  const created = await nested.inject({
    method: 'POST',
    url: '/v1/rmm/connections',
    payload: { provider: 'levelio', config: { baseUrl: fake.url }, secrets: { apiKey: fake.apiKey } }
  })
  t.match(
    created.json().webhook.url,
    /^https:\/\/psa\.example\.com\/v1\/rmm\/hooks\/[\w-]{22}$/,
    "and the webhook's address says where it is"
  )
  const none = await register(t, { prefix: false })

  /** Registers below a prefix whose parameters are the host's. */
  const below = (t: Test, options: object) =>
    register(t, { prefix: '/rmm', publicUrl: 'https://psa.example.com', ...options }, (app, all) =>
      app.register(
        async scope => {
          await scope.register(rmmSync, all)
        },
        { prefix: '/t/:customerId' }
      )
    )

  t.test("parameters in a parent's prefix are the host's business, and no part of a webhook's address", async t => {
    await t.rejects(below(t, {}), { code: 'RMM_ERR_OPTION', message: /publicPath.*\/t\/:customerId\/rmm/ })
    const fake = await fakeLevel(t, { devices: 3, groups: 2 })
    const app = await below(t, {
      publicPath: '/hooks-of/rmm/',
      tenant: (request: { params: { customerId: string } }) => request.params.customerId
    })
    const call = async (method: 'GET' | 'POST', path: string, payload?: object) => {
      const answer = await app.inject({ method, url: `/t/acme/rmm${path}`, ...(payload && { payload }) })
      t.ok(answer.statusCode < 300, `${method} ${path} ${answer.body}`)
      return answer.json()
    }
    const { connection, webhook } = await call('POST', '/connections', {
      provider: 'levelio',
      config: { baseUrl: fake.url },
      secrets: { apiKey: fake.apiKey }
    })
    t.match(webhook.url, /^https:\/\/psa\.example\.com\/hooks-of\/rmm\/hooks\/[\w-]{22}$/)
    t.equal((await call('GET', `/connections/${connection.id}`)).id, connection.id)
    t.strictSame((await call('GET', `/connections/${connection.id}/organizations`)).nextCursor, null)
    t.equal((await app.inject(`/t/other/rmm/connections/${connection.id}`)).statusCode, 404, "another tenant's")
    const hook = `/t/acme/rmm/hooks/${webhook.url.split('/').at(-1)}`
    t.equal((await app.inject({ method: 'POST', url: hook, payload: {} })).statusCode, 401, 'the hook is there')
  })

  t.test('a process without routes tells a webhook address only where it was given the path', async t => {
    const fake = await fakeLevel(t, { devices: 1, groups: 1 })
    for (const [publicPath, expected] of [
      [undefined, null],
      ['/psa/rmm', 'https://psa.example.com/psa/rmm/hooks/'],
      ['/psa/rmm/hooks', 'https://psa.example.com/psa/rmm/hooks/']
    ] as const) {
      const options = { prefix: false, publicUrl: 'https://psa.example.com', ...(publicPath && { publicPath }) }
      const { rmm } = await register(t, options)
      const { connection, webhook } = await rmm.connections.create('t1', {
        provider: 'levelio',
        config: { baseUrl: fake.url },
        secrets: { apiKey: fake.apiKey }
      })
      const url = webhook?.url ?? null
      t.equal(url === null ? url : url.slice(0, url.lastIndexOf('/') + 1), expected, String(publicPath))
      if (expected === null)
        await t.rejects(rmm.webhooks.info('t1', connection.id), { code: 'RMM_ERR_PUBLIC_URL', message: /publicPath/ })
    }
  })
  t.equal((await none.inject('/rmm/connections')).statusCode, 404)
  t.strictSame((await none.rmm.connections.list('t1')).items, [])
})

t.test('a second registration, an unknown option and every bad one are refused by name', async t => {
  await t.rejects(
    register(t, {}, async (app, options) => {
      await app.register(rmmSync, options)
      await app.register(rmmSync, options)
    }),
    { code: 'RMM_ERR_ALREADY_REGISTERED' }
  )
  const bad: Array<[string, Record<string, unknown>]> = [
    ['colour', { colour: 'red' }],
    ['orm', { orm: undefined }],
    ['orm', { orm: {} }],
    ['providers', { providers: 'level' }],
    ['tenant', { tenant: 't1' }],
    ['authorize', { authorize: undefined }],
    ['secrets', { secrets: {} }],
    ['secrets', { secrets: undefined }],
    ['directory', { directory: { clients: [] } }],
    ['onChanges', { onChanges: true }],
    ['available', { available: [] }],
    ['prefix', { prefix: 'rmm' }],
    ['prefix', { prefix: true }],
    ['schema', { schema: 'public' }],
    ['schema', { schema: 'Bad-Name' }],
    ['migrations', { migrations: 'yes' }],
    ['publicUrl', { publicUrl: 'psa.example.com' }],
    ['publicUrl', { publicUrl: 'ftp://psa.example.com' }],
    ['events', { events: [{}] }],
    [
      'events',
      {
        events: [
          { name: 'a', publish() {} },
          { name: 'a', publish() {} }
        ]
      }
    ],
    ['ui', { ui: {} }],
    ['engine.colour', { engine: { colour: 1 } }],
    ['engine.tickMs', { engine: { tickMs: 0 } }],
    ['engine.leaseMs', { engine: { leaseMs: 'long' } }],
    ['worker.concurrency', { worker: { concurrency: 0 } }],
    ['webhooks.bodyLimit', { webhooks: { bodyLimit: 1 } }],
    ['shutdown.graceMs', { shutdown: { graceMs: -1 } }],
    ['schedule', { schedule: false }],
    ['schedule.enabled', { schedule: { enabled: 'no' } }],
    ['schedule.everyMinutes', { schedule: { everyMinutes: 60 } }],
    ['worker', { worker: 4 }],
    ['worker.enabled', { worker: { enabled: 'yes' } }],
    ['worker.concurency', { worker: { concurency: 2 } }],
    ['webhooks.bodyLimt', { webhooks: { bodyLimt: 4096 } }],
    ['shutdown', { shutdown: null }],
    ['engine', { engine: [] }],
    ['engine.constructor', { engine: { constructor: 1 } }],
    ['deviceGroups', { deviceGroups: true }],
    ['ui.onRequest', { ui: { onRequest: 'admin' } }],
    ['ui.path', { ui: { onRequest() {}, path: '/x' } }],
    ['transport', { transport: 4 }],
    ['transport.level', { transport: { level: 'direct' } }],
    ['providers', { providers: [null] }],
    ['providers', { providers: ['levelio'] }],
    ['providers', { providers: [{ ...level(), check: undefined }] }],
    ['prefix', { prefix: '/:tenant' }],
    ['prefix', { prefix: '/rmm?v=1' }],
    ['publicUrl', { publicUrl: 'https://psa.example.com/?v=1' }]
  ]
  for (const [option, change] of bad) {
    await t.rejects(
      register(t, change),
      { code: 'RMM_ERR_OPTION', message: new RegExp(`option '${option.replace('.', '\\.')}'`) },
      JSON.stringify(change)
    )
  }
  await t.rejects(register(t, { transport: 'carrier-pigeon' }), { code: 'RMM_ERR_OPTION', message: /carrier-pigeon/ })
  await t.rejects(register(t, { schema: 'not_ignored_by_the_host' }), {
    code: 'RMM_ERR_SCHEMA_NOT_IGNORED',
    message: /withRmmSync/
  })
  await t.rejects(register(t, { migrations: 'check' }), { code: 'RMM_ERR_MIGRATION', message: /rmm-sync migrate/ })
  await t.rejects(register(t, { providers: [level(), level()] }), { code: 'RMM_ERR_PROVIDER', message: /twice/ })
})

t.test(
  'what the host writes beside onChanges is not part of our transaction, and is not rolled back with it',
  async t => {
    const name = (n: number) => `${h.schema}-${n}`
    const insert = (id: string) => `insert into host_asset (id, name) values ('${id}', 'x')`
    let beside: Promise<unknown> | undefined
    const h = await scriptedHost(t, {
      engine: { ...fastEngine, maxAttempts: 1 },
      onChanges: async (_batch, em) => {
        await em.getConnection().execute(insert(name(1)), [], 'run', em.getTransactionContext())
        // Another request of the host, at the very moment our transaction is open. It must not wait for us, nor we for
        // it.
        beside = h.orm.em
          .fork()
          .getConnection()
          .execute(insert(name(2)))
        beside.catch(() => {})
        await pause(50)
        throw new Error('refused')
      }
    })
    h.script.devices = list([device('a')])
    t.match(await h.sync({ resources: ['devices'] }), { status: 'failed', error: { code: 'RMM_ERR_ON_CHANGES' } })
    await beside
    const rows = (await h.orm.em
      .fork()
      .getConnection()
      .execute(`select id from host_asset where id like '${h.schema}-%'`)) as Array<{ id: string }>
    t.strictSame(
      rows.map(row => row.id),
      [name(2)],
      'ours went, theirs stayed'
    )
  }
)

t.test('a transaction of the host that is open does not hold up or take in what we write', async t => {
  const h = await scriptedHost(t)
  h.script.devices = list([device('a')])
  let run: ReturnType<typeof h.sync> | undefined
  await t.rejects(
    h.orm.em.fork().transactional(async em => {
      await em
        .getConnection()
        .execute(`insert into host_asset (id, name) values ('${h.schema}', 'x')`, [], 'run', em.getTransactionContext())
      run = h.sync({ resources: ['devices'] })
      run.catch(() => {})
      if (databaseKind === 'postgresql') await run
      else await pause(50)
      throw new Error('the host changed its mind')
    }),
    { message: 'the host changed its mind' }
  )
  t.match(await run, { status: 'succeeded' })
  t.equal((await h.rows('device')).length, 1, 'ours is there')
  t.strictSame(
    await h.orm.em.fork().getConnection().execute(`select id from host_asset where id = '${h.schema}'`),
    [],
    'theirs is not'
  )
})

t.test('onChanges that waits for another session than its own fails the run instead of hanging for ever', async t => {
  let stuck: Promise<unknown> | undefined
  const h = await scriptedHost(t, {
    engine: { ...fastEngine, maxAttempts: 1, onChangesMs: 300 },
    onChanges: async () => {
      // On PGlite a fork is the same session's next in line: it waits for us while we wait for it. On PostgreSQL a
      // lock does the same.
      stuck = h.orm.em
        .fork()
        .getConnection()
        .execute(databaseKind === 'pglite' ? 'select 1' : `update "${h.schema}".rmm_connection set name = name`)
      stuck.catch(() => {})
      await stuck
    }
  })
  h.script.devices = list([device('a')])
  t.match(await h.sync({ resources: ['devices'] }), {
    status: 'failed',
    error: { code: 'RMM_ERR_ON_CHANGES', message: /longer than 300 ms.*em/ }
  })
  await stuck
  t.equal((await h.rows('device')).length, 0, 'and nothing of the page is there')
})
