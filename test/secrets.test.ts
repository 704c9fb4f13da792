import { createHmac } from 'node:crypto'
import swagger from '@fastify/swagger'
import { sql } from 'kysely'
import t from 'tap'
import { aesGcmSecretBox, callbackSink } from '../src/index.ts'
import { openDatabase } from '../src/services/store/database.ts'
import { levelWebhookRequest } from '../src/testing/index.ts'
import { build, fakeLevel, syncNow } from './helper.ts'

const key = (byte: number, length = 32) => Buffer.alloc(length, byte).toString('base64')

t.test('a whole life of a connection shows its secrets nowhere but where they are shown once', async t => {
  const apiKey = 'wAtErMaRk-5f1c-key-of-the-tenant'
  const wrongKey = 'wRoNgMaRk-77aa-key-of-the-tenant'
  const newKey = 'nEwMaRk-31be-key-of-the-tenant'
  const seen: string[] = []
  const take = (text: string) => {
    seen.push(text)
  }
  const fake = await fakeLevel(t, { devices: 20, groups: 2, apiKey, readOnlyKey: newKey })
  const host = await build(t, {
    fastify: { logger: { level: 'trace', stream: { write: take } } },
    before: async app => {
      await app.register(swagger, { openapi: { openapi: '3.1.0', info: { title: 'host', version: '1' } } })
    },
    events: [
      callbackSink(events => {
        take(JSON.stringify(events))
      })
    ],
    onChanges: async batch => {
      take(JSON.stringify(batch))
    }
  })
  const call = async (
    method: 'GET' | 'POST' | 'PATCH' | 'DELETE',
    url: string,
    payload?: object,
    secretOnce?: string
  ) => {
    const reply = await host.app.inject({
      method,
      url: `/rmm${url}`,
      headers: { 'x-tenant': 't1' },
      ...(payload === undefined ? {} : { payload })
    })
    take(secretOnce === undefined ? reply.body : JSON.stringify({ ...reply.json(), [secretOnce]: null }))
    take(JSON.stringify(reply.headers))
    return { status: reply.statusCode, body: reply.body === '' ? null : reply.json() }
  }
  const config = { baseUrl: fake.url }
  t.match(await call('POST', '/connections', { provider: 'levelio', config, secrets: { apiKey: wrongKey } }), {
    status: 422,
    body: { code: 'RMM_ERR_CONNECTION_CHECK' }
  })
  t.match(
    await call('POST', '/connections', {
      provider: 'levelio',
      config: { baseUrl: 'http://127.0.0.1:9' },
      secrets: { apiKey }
    }),
    { status: 422 }
  )
  t.match(await call('POST', '/connections', { provider: 'levelio', config, secrets: { apiKey, extra: apiKey } }), {
    status: 400
  })
  t.match(await call('POST', '/connections', { provider: 'levelio', config, secrets: apiKey }), { status: 400 })
  const {
    status,
    body: { connection, webhook }
  } = await call('POST', '/connections', { provider: 'levelio', config, secrets: { apiKey } }, 'webhook')
  t.equal(status, 201)
  const id = connection.id as string
  const hookUrl = new URL(webhook.url).pathname
  t.match(await syncNow(host, id), { status: 'succeeded' })

  for (const fault of [
    { status: 401 },
    { kind: 'html' as const },
    { kind: 'cut-body' as const },
    { kind: 'redirect' as const, location: `https://elsewhere.example/?key=${apiKey}` },
    { kind: 'reset' as const }
  ]) {
    fake.fail({ path: '/v2/devices', times: Number.POSITIVE_INFINITY, ...fault })
    const run = await syncNow(host, id, { resources: ['devices'] })
    t.equal(run.status, 'failed', JSON.stringify(fault.kind))
    for (const url of [`/runs/${run.id}`, `/runs/${run.id}/items`, `/connections/${id}`]) await call('GET', url)
    fake.heal()
  }
  const [device] = (await call('GET', '/devices')).body.items
  const [alert] = (await call('GET', '/alerts')).body.items
  for (const url of [
    '/providers',
    '/connections',
    `/connections/${id}/organizations`,
    `/connections/${id}/runs`,
    `/devices/${device.id}`,
    `/connections/${id}/webhook`,
    `/connections/${id}/deliveries`
  ]) {
    t.equal((await call('GET', url)).status, 200, url)
  }
  t.equal((await call('POST', `/connections/${id}/devices/${encodeURIComponent(device.externalId)}/sync`)).status, 200)
  t.equal((await call('POST', `/alerts/${alert.id}/resolve`)).status, 200)
  t.equal((await call('POST', `/connections/${id}/test`)).status, 200)
  t.match(await call('PATCH', `/connections/${id}`, { secrets: { apiKey: wrongKey } }), { status: 422 })
  t.match(await call('PATCH', `/connections/${id}`, { secrets: { apiKey: newKey } }), { status: 200 })
  const rotated = await call('POST', `/connections/${id}/webhook/rotate`, {}, 'secret')
  t.equal(rotated.status, 200)

  const event = levelWebhookRequest(
    { event_type: 'device_updated', data: { id: device.externalId } },
    rotated.body.secret
  )
  const post = async (headers: Record<string, string>, payload: Buffer) => {
    const reply = await host.app.inject({ method: 'POST', url: hookUrl, headers, payload })
    take(reply.body)
    return reply.statusCode
  }
  t.equal(
    await post(
      { 'content-type': 'application/json', 'x-rmm-webhook-secret': `${rotated.body.secret}x` },
      event.rawBody
    ),
    401
  )
  t.equal(
    await post(
      {
        'content-type': 'application/json',
        'x-level-signature': `sha256=${createHmac('sha256', 'no').update(event.rawBody).digest('hex')}`
      },
      event.rawBody
    ),
    401
  )
  t.equal(await post(event.headers, Buffer.from('{')), 401)
  t.equal(await post(event.headers, event.rawBody), 202)
  await call('GET', `/connections/${id}/deliveries`)

  const { db, t: tables } = await openDatabase(host.orm, host.schema)
  const [row] = (
    await sql<{ sealed_secrets: string; hook_secret: string }>`select * from ${tables.connection}`.execute(db)
  ).rows
  t.match(row, { sealed_secrets: /^v1\.test\./, hook_secret: /^v1\.test\./ })
  const sealed = [row!.sealed_secrets, row!.hook_secret]
  t.equal((await call('DELETE', `/connections/${id}`)).status, 204)
  for (const name of Object.keys(tables) as Array<keyof typeof tables>) {
    take(JSON.stringify((await sql`select * from ${tables[name]}`.execute(db)).rows))
  }
  await host.app.rmm.events.lag()
  take(JSON.stringify((host.app as unknown as { swagger(): object }).swagger()))
  take(JSON.stringify(host.app.rmm))
  await host.app.close()

  const all = seen.join('\n')
  t.ok(
    all.includes('platform request') &&
      all.includes('RMM_SYNC_COMPLETED') &&
      all.includes('openapi') &&
      all.length > 100_000,
    'there was much to look through'
  )
  for (const [name, secret] of Object.entries({
    apiKey,
    wrongKey,
    newKey,
    'first webhook secret': webhook.secret as string,
    'second webhook secret': rotated.body.secret as string,
    'sealed secrets': sealed[0]!,
    'sealed webhook secret': sealed[1]!
  })) {
    for (const form of [
      secret,
      encodeURIComponent(secret),
      Buffer.from(secret).toString('base64'),
      Buffer.from(secret).toString('hex')
    ]) {
      const at = all.indexOf(form)
      t.equal(at, -1, `${name}: ${at < 0 ? '' : all.slice(Math.max(0, at - 200), at + 20)}`)
    }
  }
})

t.test('aesGcmSecretBox seals to one tenant and connection, and old keys go on opening', async t => {
  const old = aesGcmSecretBox({ keys: { k1: key(1) }, current: 'k1' })
  const both = aesGcmSecretBox({ keys: { k1: key(1), k2: key(2) }, current: 'k2' })
  const sealed = await old.seal('señor 💾', 't1:c1')
  t.notMatch(sealed, 'señor')
  t.not(await old.seal('señor 💾', 't1:c1'), sealed, 'never the same twice')
  t.equal(await both.open(sealed, 't1:c1'), 'señor 💾')
  const again = await both.seal('x', 't1:c1')
  t.match(again, /^v1\.k2\./)
  t.equal(await both.open(again, 't1:c1'), 'x')
  t.equal(await both.open(await both.seal('', 'a'), 'a'), '')
  const open = async (box: typeof old, text: string, aad: string) => await box.open(text, aad)
  await t.rejects(open(old, again, 't1:c1'), { message: /'k2'.*not among the keys/ })
  for (const aad of ['t1:c2', 't2:c1', '', 't1:c1 ']) await t.rejects(open(old, sealed, aad), aad)
  const parts = sealed.split('.')
  for (let n = 0; n < parts.length; n++) {
    const broken = parts
      .map((part, at) => (at === n ? `${part[0] === 'A' ? 'B' : 'A'}${part.slice(1)}` : part))
      .join('.')
    await t.rejects(open(old, broken, 't1:c1'), `part ${n}`)
  }
  for (const text of [
    '',
    'v1',
    'v1.k1',
    parts.slice(0, 4).join('.'),
    [...parts.slice(0, 4), parts[4]!.slice(0, 6)].join('.'),
    sealed.replace('v1', 'v2')
  ])
    await t.rejects(open(old, text, 't1:c1'), text)
  const wrong = aesGcmSecretBox({ keys: { k1: key(9) }, current: 'k1' })
  await t.rejects(open(wrong, sealed, 't1:c1'))
})

t.test('aesGcmSecretBox refuses keys that are none, and does not repeat them', async t => {
  for (const length of [0, 16, 31, 33, 64]) {
    t.throws(() => aesGcmSecretBox({ keys: { k1: key(7, length) }, current: 'k1' }), {
      code: 'RMM_ERR_OPTION',
      message: new RegExp(`'k1' has ${length} bytes, AES-256 needs 32`)
    })
  }
  t.throws(() => aesGcmSecretBox({ keys: { 'k.1': key(1) }, current: 'k.1' }), {
    code: 'RMM_ERR_OPTION',
    message: /key id/
  })
  t.throws(() => aesGcmSecretBox({ keys: { k1: key(1) }, current: 'k2' }), { code: 'RMM_ERR_OPTION', message: /'k2'/ })
  t.throws(() => aesGcmSecretBox({ keys: {}, current: 'k1' }), { code: 'RMM_ERR_OPTION' })
  // What an environment variable that is not set makes of it.
  t.throws(() => aesGcmSecretBox({ keys: { k1: undefined as never }, current: 'k1' }), {
    code: 'RMM_ERR_OPTION',
    message: /'k1' is missing.*openssl rand/
  })
  for (const wrong of [undefined, {}, { keys: null }])
    t.throws(() => aesGcmSecretBox(wrong as never), { code: 'RMM_ERR_OPTION', message: /keys.*current/ })
  try {
    aesGcmSecretBox({ keys: { k1: 'c2VjcmV0' }, current: 'k1' })
  } catch (error) {
    t.notMatch((error as Error).message, 'c2VjcmV0')
  }
})
