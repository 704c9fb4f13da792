import { createServer } from 'node:http'
import { once } from 'node:events'
import type { AddressInfo } from 'node:net'
import { Type } from '@sinclair/typebox'
import { sql } from 'kysely'
import t, { type Test } from 'tap'
import { callbackSink, defineProvider, ProviderError, type RmmProvider, webhookSink } from '../src/index.ts'
import { meshcentral } from '../src/providers/meshcentral/index.ts'
import { openDatabase } from '../src/services/store/database.ts'
import type { SecretBox } from '../src/types.ts'
import { build, secrets as box } from './helper.ts'
import { fakeMesh } from './services/mesh-host.ts'
import { until } from './until.ts'

const mark = 'wAtErMaRk-5f1c-of-the-tenant'
const pass = 'pAsSmArK-77aa-of-the-tenant'

/** A host whose every word is kept: what it logs, answers, stores and tells. */
async function heard(t: Test, options: Parameters<typeof build>[1] = {}) {
  const seen: string[] = []
  const take = (text: string) => void seen.push(text)
  const host = await build(t, {
    fastify: { logger: { level: 'trace', stream: { write: take } } },
    engine: { tickMs: 50, maxAttempts: 1 },
    ...options,
    events: [callbackSink(events => take(JSON.stringify(events))), ...(options.events ?? [])]
  })
  const { db, t: tables } = await openDatabase(host.orm, host.schema)
  const call: typeof host.call = async (...args) => {
    const answer = await host.call(...args)
    take(JSON.stringify(answer))
    return answer
  }
  const sync = async (id: string) => {
    const { body } = await call('t1', 'POST', `/connections/${id}/sync`)
    const run = await host.app.rmm.sync.settled('t1', body.run.id)
    for (const url of [`/runs/${run.id}`, `/runs/${run.id}/items`, `/connections/${id}`, '/activity', '/health'])
      await call('t1', 'GET', url)
    return run
  }
  /** All of it, at the end. */
  async function everything(): Promise<string> {
    for (const name of Object.keys(tables) as Array<keyof typeof tables>)
      take(JSON.stringify((await sql`select * from ${tables[name]}`.execute(db)).rows))
    take(JSON.stringify([await host.app.rmm.events.lag(), await host.app.rmm.health()]))
    return seen.join('\n')
  }
  return { host, call, sync, everything, db, tables, take }
}

function hides(t: Test, all: string, secrets: string[]) {
  for (const secret of secrets)
    for (const form of [
      secret,
      encodeURIComponent(secret),
      JSON.stringify(secret).slice(1, -1),
      Buffer.from(secret).toString('base64').replace(/=+$/, ''),
      Buffer.from(secret).toString('hex'),
      secret.slice(0, -4)
    ]) {
      const at = all.indexOf(form)
      t.equal(at, -1, at < 0 ? '' : all.slice(Math.max(0, at - 300), at + 60))
    }
}

/** What a careless provider throws: its credential in the message, the cause, the stack, and in fields. */
const careless = (where: string): Error =>
  Object.assign(
    new Error(`${where}: GET https://u:${mark}@h/p?key=${encodeURIComponent(mark)} failed`, {
      cause: Object.assign(new Error(`authorization: Basic ${Buffer.from(`u:${mark}`).toString('base64')}`), {
        request: { headers: { authorization: mark } }
      })
    }),
    { config: { apiKey: mark }, response: { body: mark } }
  )

function carelessProvider(): { provider: RmmProvider; throwing: { at: string } } {
  const throwing = { at: '' }
  const maybe = (where: string, log?: { warn(fields: object, text: string): void }) => {
    log?.warn({ apiKey: mark, url: `https://h/?key=${mark}` }, `at ${where} with ${mark}`)
    if (throwing.at === where) throw careless(where)
    if (throwing.at === `${where}!`)
      throw new ProviderError('protocol', `${where}: answered "${mark}"`, { cause: careless(where) })
  }
  const provider = defineProvider({
    id: 'careless',
    name: 'Careless',
    description: 'Repeats what it was given',
    configSchema: Type.Object({}),
    secretSchema: Type.Object({ apiKey: Type.String() }),
    open({ log }) {
      maybe('open', log)
      return { log }
    },
    async check({ log }) {
      maybe('check', log)
      return { account: 'one', warnings: [`the key ${mark} is old`] }
    },
    close: async () => maybe('close'),
    resources: {
      devices: {
        deletes: 'none',
        async *pull({ log }) {
          maybe('pull', log)
          yield {
            observedAt: new Date(),
            records: [{ externalId: 'd1', displayName: 'one', online: true }],
            rejected: [{ externalId: 'd2', reason: `no name in {"key":"${mark}"}` }]
          } as never
        },
        async fetchOne() {
          maybe('fetchOne')
          return null
        }
      }
    },
    remoteSession: async () => {
      maybe('remoteSession')
      return { url: 'https://h/', expiresAt: new Date() } as never
    }
  }) as RmmProvider
  return { provider, throwing }
}

t.test('whatever a provider throws, rejects, warns of or logs, from any of its functions', async t => {
  const { provider, throwing } = carelessProvider()
  const { call, sync, everything } = await heard(t, { providers: [provider] })
  const input = { provider: 'careless', secrets: { apiKey: mark } }
  for (const at of ['open', 'check', 'open!', 'check!']) {
    throwing.at = at
    t.ok((await call('t1', 'POST', '/connections', input)).status >= 400, at)
  }
  throwing.at = ''
  const { connection } = (await call('t1', 'POST', '/connections', input)).body
  t.match(await sync(connection.id), { status: 'succeeded' })
  const { id } = (await call('t1', 'GET', '/devices')).body.items[0]
  for (const where of ['open', 'pull', 'close', 'check', 'fetchOne', 'remoteSession'])
    for (const at of [where, `${where}!`]) {
      throwing.at = at
      await sync(connection.id)
      await call('t1', 'POST', `/connections/${connection.id}/test`)
      await call('t1', 'POST', `/connections/${connection.id}/devices/d1/sync`)
      await call('t1', 'POST', `/devices/${id}/remote-session`, {})
      await call('t1', 'PATCH', `/connections/${connection.id}`, { secrets: { apiKey: mark } })
    }
  throwing.at = ''
  const all = await everything()
  t.ok(all.includes('pull: GET') && all.includes('answered') && all.includes('with [redacted]'), 'they were heard')
  hides(t, all, [mark])
})

t.test('a close frame of MeshCentral that repeats the credentials', async t => {
  const fake = await fakeMesh(t)
  const { call, sync, everything } = await heard(t, {
    providers: [meshcentral({ allowPrivateNetwork: true }) as RmmProvider]
  })
  const create = (password: string) =>
    call('t1', 'POST', '/connections', {
      provider: 'meshcentral',
      config: { url: fake.url },
      secrets: { username: fake.username, password }
    })
  const frames = (password: string) => [
    { action: 'close', cause: 'noauth', msg: `bad password ${password}` },
    { action: 'close', cause: `for ${password}`, msg: password },
    { action: 'close', cause: 'emailvalidation', msg: Buffer.from(password).toString('base64') }
  ]
  for (const frame of frames(pass)) {
    fake.refuseLogins(frame)
    t.match(await create(pass), { status: 422 })
  }
  // Whose listener would read frames that quote somebody else's.
  fake.refuseLogins(null)
  const { id } = (await create(fake.password)).body.connection
  for (const frame of frames(fake.password)) {
    fake.refuseLogins(frame)
    t.match(await sync(id), { status: 'failed' })
    await call('t1', 'POST', `/connections/${id}/test`)
  }
  const all = await everything()
  t.match(all, /"RMM_ERR_CONNECTION_CHECK"/)
  hides(t, all, [pass, fake.password])
})

t.test('a statement that the database refuses', async t => {
  const { call, everything, db, tables } = await heard(t, { providers: [carelessProvider().provider] })
  await sql`alter table ${tables.connection} add constraint short check (length(sealed_secrets) < 10)`.execute(db)
  t.match(await call('t1', 'POST', '/connections', { provider: 'careless', secrets: { apiKey: mark } }), {
    status: 500,
    body: { code: 'RMM_ERR_INTERNAL' }
  })
  const all = await everything()
  t.match(all, /23514/, 'it is told which rule was broken')
  hides(t, all, [mark])
  t.notMatch(all, /v1\.test\.[\w-]{16}\./, 'nor is what was to be stored')
})

t.test('a secret box that repeats what it was given', async t => {
  const broken = { seal: false, open: false }
  const leaky: SecretBox = {
    keyId: sealed => box.keyId!(sealed),
    seal(plain, aad) {
      if (broken.seal) throw Object.assign(new Error(`the service refused to seal ${plain}`), { plain })
      return box.seal(plain, aad)
    },
    async open(sealed, aad) {
      const plain = await box.open(sealed, aad)
      if (broken.open) throw Object.assign(new TypeError(`opened to ${plain}, and then failed`), { plain })
      return plain
    }
  }
  const { call, sync, everything, host } = await heard(t, { providers: [carelessProvider().provider], secrets: leaky })
  const input = { provider: 'careless', secrets: { apiKey: mark } }
  const { connection } = (await call('t1', 'POST', '/connections', input)).body
  broken.seal = true
  t.ok((await call('t1', 'POST', '/connections', { ...input, allowDuplicate: true })).status >= 400)
  t.ok((await call('t1', 'PATCH', `/connections/${connection.id}`, { secrets: { apiKey: mark } })).status >= 400)
  await host.app.rmm.secrets.reseal().catch(() => {})
  broken.open = true
  t.match(await sync(connection.id), { status: 'failed' })
  t.ok((await call('t1', 'POST', `/connections/${connection.id}/test`)).status >= 400)
  hides(t, await everything(), [mark])
})

t.test('a receiver of events that answers with what it was sent', async t => {
  const server = createServer((request, response) => {
    response.writeHead(500).end(JSON.stringify(request.headers))
  }).listen(0, '127.0.0.1')
  await once(server, 'listening')
  t.teardown(() => server.close())
  const key = Buffer.from(`${mark}-${pass}`).toString('base64')
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/hook/${pass}`
  const { call, everything, host } = await heard(t, {
    providers: [carelessProvider().provider],
    events: [webhookSink({ url, secret: `whsec_${key}`, allowPrivateNetwork: true })]
  })
  await call('t1', 'POST', '/connections', { provider: 'careless', secrets: { apiKey: mark } })
  await until('the sink to have failed', async () =>
    (await host.app.rmm.health()).sinks.some(({ failures }) => failures > 0)
  )
  hides(t, await everything(), [mark, key, `${mark}-${pass}`])
})
