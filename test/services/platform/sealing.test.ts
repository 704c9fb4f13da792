import { randomBytes } from 'node:crypto'
import { sql } from 'kysely'
import t, { type Test } from 'tap'
import { Type } from '@sinclair/typebox'
import { aesGcmSecretBox, defineProvider, ProviderError, type RmmProvider } from '../../../src/index.ts'
import { openDatabase } from '../../../src/services/store/database.ts'
import { memorySecretBox } from '../../../src/testing/index.ts'
import type { SecretBox } from '../../../src/types.ts'
import { build, connectLevel, fakeLevel, type Host, secrets, syncNow } from '../../helper.ts'
import { until } from '../../until.ts'

t.setTimeout(180_000)

const key = (byte: number) => Buffer.alloc(32, byte).toString('base64')
const box = (...bytes: number[]) =>
  aesGcmSecretBox({ keys: Object.fromEntries(bytes.map(n => [`k${n}`, key(n)])), current: `k${bytes.at(-1)}` })
const idle = { worker: { enabled: false } }
const json = { 'content-type': 'application/json' }

interface Row {
  id: string
  tenant_id: string
  config: object
  sealed_secrets: string
  hook_key: string
  hook_secret: string
  hook_secret_previous: string | null
  status: string
  status_reason: string | null
}

async function rows(host: Host): Promise<Row[]> {
  const { db, t: tables } = await openDatabase(host.orm, host.schema)
  return (await sql<Row>`select * from ${tables.connection} order by created_at, id`.execute(db)).rows
}

async function set(host: Host, id: string, column: string, value: unknown): Promise<void> {
  const { db, t: tables } = await openDatabase(host.orm, host.schema)
  await sql`update ${tables.connection} set ${sql.ref(column)} = ${value} where id = ${id}`.execute(db)
}

/** Another process of the same host, with another box. */
const again = (t: Test, host: Host, secrets: SecretBox, more = {}) => build(t, { on: host, ...idle, ...more, secrets })

const hook = (host: Host, row: Row, secret: string) =>
  host.app.inject({
    method: 'POST',
    url: `/rmm/hooks/${row.hook_key}`,
    headers: { ...json, 'x-rmm-webhook-secret': secret },
    body: {
      event: 'alert.triggered',
      alert_id: `a${randomBytes(4).toString('hex')}`,
      device_id: 'd',
      name: 'n',
      severity: 'warning'
    }
  })

t.test('a value opens for what it was sealed for only, and nowhere else', async t => {
  const fake = await fakeLevel(t, { devices: 1, groups: 1 })
  const host = await build(t, { ...idle, secrets: box(1) })
  const [one, two] = [await connectLevel(host, fake), await connectLevel(host, fake, 't2')]
  const [first, second] = await rows(host)
  await set(host, one, 'hook_secret', first!.sealed_secrets)
  await set(host, two, 'sealed_secrets', first!.sealed_secrets)
  t.equal((await hook(host, first!, 'x')).statusCode, 503, 'secrets are no webhook secret')
  t.match(await host.call('t2', 'POST', `/connections/${two}/test`), {
    status: 409,
    body: { code: 'RMM_ERR_SECRETS_UNREADABLE' }
  })
  await set(host, two, 'sealed_secrets', second!.hook_secret)
  t.match(await host.call('t2', 'POST', `/connections/${two}/test`), { status: 409 }, 'and the other way round')
})

t.test('what version 0.1 sealed opens, and is sealed anew when it is used', async t => {
  const fake = await fakeLevel(t, { devices: 3, groups: 1 })
  const secrets = box(1)
  const host = await build(t, { secrets })
  const id = await connectLevel(host, fake)
  const [row] = await rows(host)
  const old = async (plain: string) => await secrets.seal(plain, `t1:${id}`)
  const secret = 'a-webhook-secret-of-old'
  await set(host, id, 'sealed_secrets', await old(JSON.stringify({ apiKey: fake.apiKey })))
  await set(host, id, 'hook_secret', await old(secret))
  const before = (await rows(host))[0]!
  t.equal((await hook(host, row!, secret)).statusCode, 202)
  t.match(await syncNow(host, id), { status: 'succeeded' })
  const after = (await rows(host))[0]!
  t.not(after.sealed_secrets, before.sealed_secrets)
  t.not(after.hook_secret, before.hook_secret)
  const contents = JSON.parse(await secrets.open(after.sealed_secrets, `connection:t1:${id}`)) as object
  t.match(contents, { secrets: { apiKey: fake.apiKey }, config: { baseUrl: fake.url } })
  t.equal(await secrets.open(after.hook_secret, `hook:t1:${id}`), secret)
  t.equal((await hook(host, row!, secret)).statusCode, 202, 'and goes on working')
  t.match(await syncNow(host, id), { status: 'succeeded' })
  t.equal((await rows(host))[0]!.sealed_secrets, after.sealed_secrets, 'once')
})

t.test('stored secrets do not open for an address they were not given for, whoever wrote it into the row', async t => {
  const fake = await fakeLevel(t, { devices: 1, groups: 1 })
  const other = await fakeLevel(t, { devices: 1, groups: 1, apiKey: fake.apiKey })
  const host = await build(t)
  const id = await connectLevel(host, fake)
  const { db, t: tables } = await openDatabase(host.orm, host.schema)
  await sql`update ${tables.connection} set config = ${JSON.stringify({ baseUrl: other.url })}::jsonb`.execute(db)
  t.match(await host.call('t1', 'POST', `/connections/${id}/test`), {
    status: 422,
    body: { code: 'RMM_ERR_SECRETS_REQUIRED', message: /another address.*nothing was sent/ }
  })
  t.match(await syncNow(host, id), { status: 'failed', error: { code: 'RMM_ERR_SECRETS_REQUIRED' } })
  t.match(await host.call('t1', 'GET', `/connections/${id}`), {
    body: { status: 'error', statusReason: /Enter them again/ }
  })
  t.strictSame(other.requests.length, 0)
})

t.test('a replaced webhook secret that is over is neither opened nor kept', async t => {
  const fake = await fakeLevel(t, { devices: 1, groups: 1 })
  const host = await build(t, { ...idle, secrets: box(1) })
  const id = await connectLevel(host, fake)
  const [before] = await rows(host)

  const rotating = await again(t, host, box(1, 2))
  t.match(await rotating.call('t1', 'PATCH', `/connections/${id}`, { secrets: { apiKey: fake.apiKey } }), {
    status: 200
  })
  const rotated = await rotating.call('t1', 'POST', `/connections/${id}/webhook/rotate`, { graceMinutes: 0 })
  t.equal((await rows(host))[0]!.hook_secret_previous, null, 'without grace there is none')
  // As version 0.1 left it behind.
  await set(host, id, 'hook_secret_previous', before!.hook_secret)
  await set(host, id, 'hook_previous_until', new Date(Date.now() - 1_000))

  const without = await again(t, host, box(2))
  t.equal((await hook(without, before!, rotated.body.secret)).statusCode, 202)
  t.equal((await hook(without, before!, rotated.body.secret)).statusCode, 202)
  t.equal((await hook(without, before!, 'wrong')).statusCode, 401)
  t.equal((await rows(host))[0]!.hook_secret_previous, null)
})

t.test('a replaced webhook secret in its grace whose key is gone does not hold up the new one', async t => {
  const fake = await fakeLevel(t, { devices: 1, groups: 1 })
  const host = await build(t, { ...idle, secrets: box(1) })
  const id = await connectLevel(host, fake)
  const [row] = await rows(host)
  const rotating = await again(t, host, box(1, 2))
  const { body } = await rotating.call('t1', 'POST', `/connections/${id}/webhook/rotate`, { graceMinutes: 60 })
  const without = await again(t, host, box(2))
  t.equal((await hook(without, row!, body.secret)).statusCode, 202)
  t.match(
    await hook(without, row!, 'perhaps the one before'),
    { statusCode: 503 },
    'it cannot be told that it is wrong'
  )

  const lost = await again(t, host, box(3))
  t.match((await hook(lost, row!, body.secret)).json(), { statusCode: 503, code: 'RMM_ERR_SECRETS_UNREADABLE' })
  const fresh = await lost.call('t1', 'POST', `/connections/${id}/webhook/rotate`, {})
  t.equal((await hook(lost, row!, fresh.body.secret)).statusCode, 202, 'a new secret ends it')
  t.equal((await hook(lost, row!, 'wrong')).statusCode, 401)
})

t.test('a box that lacks the key: said at boot, in answers, in runs and in the status, never a 500', async t => {
  const fake = await fakeLevel(t, { devices: 3, groups: 1 })
  const host = await build(t, { ...idle, secrets: box(1) })
  const id = await connectLevel(host, fake)
  const known = await syncNow(await again(t, host, box(1), { worker: { enabled: true } }), id)
  t.equal(known.status, 'succeeded')
  const [row] = await rows(host)
  const { items: devices } = await host.app.rmm.inventory.list('t1')
  const { items: alerts } = await host.app.rmm.alerts.list('t1', { status: 'active' })

  const lines: string[] = []
  const lost = await build(t, {
    on: host,
    secrets: box(2),
    fastify: { logger: { level: 'warn', stream: { write: line => void lines.push(line) } } }
  })
  t.match(
    lines.map(line => JSON.parse(line) as object).find(line => 'keys' in line),
    { level: 40, keys: [{ keyId: 'k1', values: 2 }], msg: /secret box/ },
    'at boot'
  )
  t.match(await lost.app.rmm.secrets.usage(), { current: 'k2', keys: [{ keyId: 'k1', values: 2, opens: false }] })

  const unreadable = { status: 409, body: { code: 'RMM_ERR_SECRETS_UNREADABLE', message: /'k1'/ } }
  t.match(await lost.call('t1', 'POST', `/connections/${id}/test`), unreadable)
  t.match(await lost.call('t1', 'GET', `/connections/${id}`), { body: { status: 'error', statusReason: /'k1'/ } })
  t.match(await lost.call('t1', 'PATCH', `/connections/${id}`, { config: { baseUrl: `${fake.url}/v2` } }), unreadable)
  t.match(await lost.call('t1', 'POST', `/connections/${id}/devices/${devices[0]!.externalId}/sync`), unreadable)
  if (alerts.length > 0) t.match(await lost.call('t1', 'POST', `/alerts/${alerts[0]!.id}/resolve`), unreadable)
  t.match(await syncNow(lost, id), { status: 'failed', error: { code: 'RMM_ERR_SECRETS_UNREADABLE', message: /'k1'/ } })
  t.equal((await hook(lost, row!, 'x')).statusCode, 503)
  t.notMatch(JSON.stringify(lines), fake.apiKey)

  t.match(await lost.call('t1', 'PATCH', `/connections/${id}`, { secrets: { apiKey: fake.apiKey } }), {
    status: 200,
    body: { status: 'connected', statusReason: null }
  })
  t.match(await syncNow(lost, id), { status: 'succeeded' })
  const back = await again(t, host, box(1, 2))
  t.match(await back.call('t1', 'POST', `/connections/${id}/test`), { status: 200 })
})

t.test('a text that is no sealed value, or opens to no secrets, is told alike and quoted nowhere', async t => {
  const fake = await fakeLevel(t, { devices: 1, groups: 1 })
  const lines: string[] = []
  const secrets = box(1)
  const host = await build(t, {
    ...idle,
    secrets,
    fastify: { logger: { level: 'trace', stream: { write: line => void lines.push(line) } } }
  })
  const id = await connectLevel(host, fake)
  for (const value of ['', 'v1.k1', 'x', 'v1.k1.a.b.c', await secrets.seal('wAtErMaRk{', `connection:t1:${id}`)]) {
    await set(host, id, 'sealed_secrets', value)
    t.match(await host.call('t1', 'POST', `/connections/${id}/test`), {
      status: 409,
      body: { code: 'RMM_ERR_SECRETS_UNREADABLE' }
    })
  }
  t.notMatch(lines.join(), 'wAtErMaRk')
})

t.test('reseal finishes a rotation, beside a host that works, and can be repeated', async t => {
  const fake = await fakeLevel(t, { devices: 1, groups: 1 })
  const host = await build(t, { ...idle, secrets: box(1) })
  const ids = await Promise.all(Array.from({ length: 12 }, (_, n) => connectLevel(host, fake, `t${n}`)))
  const old = await box(1).seal(JSON.stringify({ apiKey: fake.apiKey }), `t3:${ids[3]}`)
  await set(host, ids[3]!, 'sealed_secrets', old)
  await set(host, ids[4]!, 'sealed_secrets', 'v1.k9.a.b.c')

  const rotating = await again(t, host, box(1, 2))
  const planned = await rotating.app.rmm.secrets.reseal({ plan: true })
  const counts = [
    { keyId: 'k1', values: 23, resealed: 23, unreadable: 0 },
    { keyId: 'k9', values: 1, resealed: 0, unreadable: 1 }
  ]
  const byKey = <T extends { keyId: string | null }>(keys: T[]) =>
    keys.toSorted((a, b) => `${a.keyId}`.localeCompare(`${b.keyId}`))
  t.match(
    { ...planned, keys: byKey(planned.keys) },
    { plan: true, current: 'k2', keys: counts, resealed: 23, unreadable: 1 }
  )
  t.ok(
    (await rows(host)).every(row => !row.sealed_secrets.startsWith('v1.k2')),
    'a plan writes nothing'
  )

  // Somebody replaces secrets and rotates webhooks meanwhile, with the same new key; another pass runs beside.
  const busy = ids.slice(5, 8).map(async (id, n) => {
    const tenant = `t${n + 5}`
    const patched = await rotating.call(tenant, 'PATCH', `/connections/${id}`, { secrets: { apiKey: fake.apiKey } })
    const rotated = await rotating.call(tenant, 'POST', `/connections/${id}/webhook/rotate`, {})
    return [patched.status, rotated.status]
  })
  const [done, beside, ...answers] = await Promise.all([
    rotating.app.rmm.secrets.reseal(),
    rotating.app.rmm.secrets.reseal(),
    ...busy
  ])
  t.strictSame(
    answers,
    busy.map(() => [200, 200])
  )
  t.ok(done.resealed + beside.resealed >= 17 && done.unreadable === 1)
  t.match(await rotating.app.rmm.secrets.reseal(), { resealed: 0, unreadable: 1 }, 'nothing is left to do')

  const after = await again(t, host, box(2))
  for (const [n, id] of ids.entries())
    t.equal((await after.call(`t${n}`, 'POST', `/connections/${id}/test`)).status, n === 4 ? 409 : 200, `t${n}`)
  t.match(await after.app.rmm.secrets.usage(), {
    current: 'k2',
    keys: [
      { keyId: 'k2', opens: true },
      { keyId: 'k9', values: 1, opens: false }
    ]
  })
})

t.test('a box that tells no key ids can be left for another', async t => {
  const fake = await fakeLevel(t, { devices: 1, groups: 1 })
  const host = await build(t, { ...idle, secrets: memorySecretBox('one') })
  const id = await connectLevel(host, fake)
  t.match(await host.app.rmm.secrets.usage(), { current: null, keys: [{ keyId: null, values: 2, opens: true }] })
  const [from, to] = [memorySecretBox('one'), memorySecretBox('two')]
  const both: SecretBox = {
    seal: to.seal,
    open: async (sealed, aad) => {
      try {
        return await to.open(sealed, aad)
      } catch {
        return await from.open(sealed, aad)
      }
    }
  }
  const moving = await again(t, host, both)
  t.match(await moving.app.rmm.secrets.reseal(), { current: null, resealed: 2, unreadable: 0 })
  const moved = await again(t, host, to)
  t.match(await moved.call('t1', 'POST', `/connections/${id}/test`), { status: 200 })
})

t.test('a refusal of secrets that were replaced meanwhile says nothing about the new ones', async t => {
  const gate = Promise.withResolvers<void>()
  let waiting = 0
  const gated = defineProvider({
    id: 'gated',
    name: 'Gated',
    description: 'Answers when it is told to',
    configSchema: Type.Object({}),
    secretSchema: Type.Object({ apiKey: Type.String() }),
    open: ({ secrets }) => secrets.apiKey,
    async check(apiKey) {
      if (apiKey === 'revoked' && waiting++ > 0) {
        await gate.promise
        throw new ProviderError('auth', 'the key was revoked')
      }
      return { account: 'gated', warnings: [] }
    },
    resources: {}
  }) as RmmProvider
  const host = await build(t, { ...idle, providers: [gated] })
  const { connection } = await host.app.rmm.connections.create('t1', {
    provider: 'gated',
    secrets: { apiKey: 'revoked' }
  })
  const testing = host.call('t1', 'POST', `/connections/${connection.id}/test`)
  await until('the test to be under way', () => waiting > 1)
  const replaced = { secrets: { apiKey: 'new' } }
  t.match(await host.call('t1', 'PATCH', `/connections/${connection.id}`, replaced), { status: 200 })
  gate.resolve()
  t.match(await testing, { status: 422 })
  t.match(await host.call('t1', 'GET', `/connections/${connection.id}`), {
    body: { status: 'connected', statusReason: null }
  })
})

t.test(
  'addresses that were stored before they were refused are named at boot, and shown without what is secret',
  async t => {
    const fake = await fakeLevel(t, { devices: 1, groups: 1 })
    const host = await build(t, idle)
    const id = await connectLevel(host, fake)
    const { db, t: tables } = await openDatabase(host.orm, host.schema)
    const lines: string[] = []
    for (const [baseUrl, shown, what] of [
      ['https://bob:wAtErMaRk@api.level.io/v2', 'https://api.level.io/v2', 'contains a user name or password'],
      ['https://api.level.io/?token=wAtErMaRk', 'https://api.level.io/', 'contains a query'],
      ['http://8.8.8.8', 'http://8.8.8.8', 'is not encrypted']
    ] as const) {
      lines.length = 0
      await sql`update ${tables.connection} set config = ${JSON.stringify({ baseUrl })}::jsonb`.execute(db)
      const restarted = await again(t, host, secrets, {
        fastify: { logger: { level: 'trace', stream: { write: (line: string) => void lines.push(line) } } }
      })
      t.match(
        lines.map(line => JSON.parse(line) as object).find(line => 'connections' in line),
        { level: 40, count: 1, connections: [{ connectionId: id, tenantId: 't1', field: 'baseUrl', what }] },
        what
      )
      const answers = [
        await restarted.call('t1', 'GET', `/connections/${id}`),
        (await restarted.call('t1', 'GET', '/connections')).body.items[0]
      ]
      t.match(answers[0].body.config, { baseUrl: shown })
      t.notMatch(JSON.stringify(answers) + lines.join(), 'wAtErMaRk')
    }
  }
)
