import { randomUUID } from 'node:crypto'
import type { InjectOptions } from 'fastify'
import t from 'tap'
import type { RmmProvider } from '../../src/providers/define.ts'
import { level } from '../../src/providers/level/index.ts'
import { meshcentral } from '../../src/providers/meshcentral/index.ts'
import { levelWebhookRequest } from '../../src/testing/index.ts'
import type { ActionTarget } from '../../src/types.ts'
import { build, fakeLevel, syncNow } from '../helper.ts'
import { contract } from './stub.ts'
import { until } from '../until.ts'

/** A tenant with one of everything, and a host that remembers what `authorize` was asked. */
async function inhabited(t: Parameters<typeof build>[0]) {
  const asked: Array<{ action: string; target: ActionTarget | undefined }> = []
  const fake = await fakeLevel(t, { devices: 20, groups: 3, deletedCursor: 'continue' })
  const host = await build(t, {
    providers: [level({ allowPrivateNetwork: true }), meshcentral({ allowPrivateNetwork: true })] as RmmProvider[],
    authorize: (_request, action, target) => {
      asked.push({ action, target })
    }
  })
  const { connection, webhook } = await host.app.rmm.connections.create('a', {
    provider: 'levelio',
    config: { baseUrl: fake.url },
    secrets: { apiKey: fake.apiKey }
  })
  const run = await syncNow(host, connection.id, {}, 'a')
  const sent = levelWebhookRequest(
    { event_type: 'device_updated', data: { id: fake.devices.ids()[0]! } },
    webhook!.secret
  )
  const accepted = await host.app.inject({
    method: 'POST',
    url: new URL(webhook!.url!).pathname,
    headers: sent.headers,
    payload: sent.rawBody
  })
  if (accepted.statusCode !== 202) throw new Error(`the webhook was answered ${accepted.statusCode} ${accepted.body}`)
  const first = async (list: Promise<{ items: Array<{ id: string }> }>) => (await list).items[0]!.id
  const { rmm } = host.app
  // Its re-read happens in the background, and is not what these tests count.
  await until('the delivery', async () =>
    (await rmm.webhooks.deliveries('a', connection.id)).items.every(({ status }) => status !== 'pending')
  )
  const ids = {
    connectionId: connection.id,
    runId: run.id,
    organizationId: await first(rmm.organizations.list('a', connection.id)),
    deviceId: await first(rmm.inventory.list('a')),
    alertId: await first(rmm.alerts.list('a')),
    deliveryId: await first(rmm.webhooks.deliveries('a', connection.id)),
    externalId: fake.devices.ids()[0]!,
    clientRef: 'c1'
  }
  return { host, ids, asked, fake }
}

/** The contract's requests with real ids in the place of its short ones. */
function requests(ids: Record<string, string>): Array<{
  method: InjectOptions['method'] & string
  url: string
  body?: object
  action: string
  target: object | undefined
}> {
  const short: Record<string, string> = {
    c1: ids['connectionId']!,
    r1: ids['runId']!,
    o1: ids['organizationId']!,
    d1: ids['deviceId']!,
    a1: ids['alertId']!,
    v1: ids['deliveryId']!,
    'client-1': ids['clientRef']!,
    'node%2F%2Fx': encodeURIComponent(ids['externalId']!)
  }
  const swap = (text: string) =>
    text.replace(/(?<=[/="])(c1|r1|o1|d1|a1|v1|client-1|node%2F%2Fx)(?=$|[/?&"])/g, key => short[key]!)
  const all = [
    ...contract,
    { method: 'GET' as const, url: '/runs/r1/events', action: 'sync:read', target: { runId: 'r1' } }
  ]
  return all
    .filter(({ url }) => /\/(c1|r1|d1|a1|v1)/.test(url))
    .map(({ method, url, action, target, ...rest }) => ({
      method,
      url: swap(url).replace('cursor=x', 'limit=8').replace('limit=7&', ''),
      action,
      ...('body' in rest && rest.body !== undefined
        ? { body: JSON.parse(swap(JSON.stringify(rest.body))) as object }
        : {}),
      target: target === undefined ? undefined : (JSON.parse(swap(JSON.stringify(target))) as object)
    }))
}

t.test('what belongs to another tenant is not there: the same answer as for an id that never was', async t => {
  const { host, ids, asked, fake } = await inhabited(t)
  const before = fake.count()
  const never = Object.fromEntries(Object.keys(ids).map(name => [name, name === 'clientRef' ? 'c1' : randomUUID()]))
  const words = {
    ...never,
    connectionId: 'c-7',
    runId: '..',
    deviceId: '%F0%9F%92%BE',
    alertId: 'x'.repeat(90),
    deliveryId: "';--",
    organizationId: '0'
  }
  const theirs = requests(ids)
  const nobodys = requests(never)
  const odd = requests(words as Record<string, string>)
  t.ok(theirs.length >= 24)
  for (const [n, { method, url, body, action, target }] of theirs.entries()) {
    const call = (url: string, body: object | undefined) =>
      host.app.inject({
        method: method as 'GET',
        url: `/rmm${url}`,
        headers: { 'x-tenant': 'b' },
        ...(body === undefined ? {} : { payload: body })
      })
    asked.length = 0
    const reply = await call(url, body)
    t.strictSame(asked, [{ action, target }], `${method} ${url} asks for ${action}`)
    const other = await call(nobodys[n]!.url, nobodys[n]!.body)
    t.equal(reply.statusCode, 404, `${method} ${url} ${reply.body}`)
    t.match(reply.json(), { code: 'RMM_ERR_NOT_FOUND' })
    t.strictSame(
      [other.statusCode, other.body, other.headers['content-type']],
      [reply.statusCode, reply.body, reply.headers['content-type']],
      'like an id that never was'
    )
    if (odd[n]!.url.includes('..')) continue
    const strange = await call(odd[n]!.url, odd[n]!.body)
    t.equal(strange.statusCode, 404, `${method} ${odd[n]!.url.slice(0, 60)} ${strange.body}`)
  }
  t.equal(fake.count(), before, 'and the platform was not asked')
  t.match(
    await host.app.rmm.connections.get('a', ids.connectionId),
    { status: 'connected', counts: { devices: 20 } },
    'nothing happened to it'
  )
})

t.test('a mapping cannot reach into another connection', async t => {
  const { host, ids, fake } = await inhabited(t)
  const { connection: mine } = await host.app.rmm.connections.create('b', {
    provider: 'levelio',
    config: { baseUrl: fake.url },
    secrets: { apiKey: fake.apiKey }
  })
  await syncNow(host, mine.id, { resources: ['organizations'] }, 'b')
  const {
    items: [own]
  } = await host.app.rmm.organizations.list('b', mine.id)
  const reply = await host.call('b', 'PUT', `/connections/${mine.id}/mappings`, {
    mappings: [
      { organizationId: own!.id, mode: 'mapped', clientRef: 'c1' },
      { organizationId: ids.organizationId, mode: 'mapped', clientRef: 'c1' }
    ]
  })
  t.match(reply, { status: 404, body: { code: 'RMM_ERR_NOT_FOUND' } })
  t.match(
    await host.call('b', 'PATCH', `/connections/${mine.id}/organizations/${ids.organizationId}`, { mode: 'excluded' }),
    { status: 404 }
  )
  t.match(
    (await host.app.rmm.organizations.list('b', mine.id)).items[0],
    { mapping: { mode: 'inherit' } },
    'all or none'
  )
  t.ok(
    (await host.app.rmm.organizations.list('a', ids.connectionId)).items.every(
      ({ mapping }) => mapping.mode === 'inherit'
    )
  )
})

t.test("lists show the tenant's own rows only, whatever they are filtered by", async t => {
  const { host, ids } = await inhabited(t)
  const { items } = await host.app.rmm.inventory.list('a', { limit: 1 })
  const cursor = (await host.app.rmm.inventory.list('a', { limit: 1 })).nextCursor!
  const ailing = (await host.app.rmm.alerts.list('a')).items.find(({ deviceId }) => deviceId !== null)!.deviceId
  for (const url of [
    '/connections',
    '/devices',
    '/alerts',
    `/devices?connectionId=${ids.connectionId}`,
    `/alerts?connectionId=${ids.connectionId}`,
    `/alerts?deviceId=${ailing}`,
    `/devices?q=${items[0]!.displayName.slice(0, 2)}`,
    '/devices?mapped=false',
    `/devices?cursor=${cursor}`
  ]) {
    t.match(await host.call('b', 'GET', url), { status: 200, body: { items: [], nextCursor: null } }, url)
    if (!url.includes('cursor')) t.ok((await host.call('a', 'GET', url)).body.items.length > 0, `${url} has rows of a`)
  }
})

t.test('what PostgreSQL cannot store is refused before anybody meets it', async t => {
  const { host, ids, asked } = await inhabited(t)
  const nul = '%00'
  const urls = requests({
    ...ids,
    connectionId: `x${nul}`,
    runId: nul,
    deviceId: nul,
    alertId: `a${nul}`,
    deliveryId: nul,
    organizationId: nul,
    externalId: 'x\0',
    clientRef: nul
  })
  asked.length = 0
  for (const { method, url, body } of urls) {
    const reply = await host.app.inject({
      method: method as 'GET',
      url: `/rmm${url}`,
      headers: { 'x-tenant': 'a' },
      ...(body === undefined ? {} : { payload: body })
    })
    t.match([reply.statusCode, reply.json()], [400, { code: 'RMM_ERR_VALIDATION' }], `${method} ${url}`)
  }
  t.strictSame(asked, [], 'authorize neither')
  const get = (url: string) => host.app.inject({ url: `/rmm${url}`, headers: { 'x-tenant': 'a' } })
  for (const url of [
    `/devices?q=${nul}`,
    `/devices?clientRef=${nul}`,
    `/devices?connectionId=${nul}`,
    `/connections?provider=${nul}`,
    `/clients?q=${nul}`,
    `/devices?cursor=${nul}`,
    `/devices?${nul}=1`,
    '/devices/%ED%A0%80',
    '/devices?q=%ED%A0%80',
    '/devices?clientRef=%80%FF',
    '/connections?provider=%C0%80',
    `/connections/${ids.connectionId}/devices/%E0%80/sync`
  ]) {
    const { statusCode } = await get(url)
    t.ok(statusCode < 500, `${url} is ${statusCode}`)
  }
  const cursor = (...values: unknown[]) => Buffer.from(JSON.stringify(values)).toString('base64url')
  for (const [path, ...values] of [
    ['/connections', '2026-02-31T00:00:00Z', ids.deviceId],
    ['/connections', '0000-01-01T00:00:00.000Z', ids.deviceId],
    ['/connections', '2026-01-01T1Z', ids.deviceId],
    ['/connections', 'x', 'y'],
    ['/devices', 'x\0', ids.deviceId],
    ['/devices', '\ud800', ids.deviceId],
    ['/devices', 'x', 'y'],
    ['/alerts', '9999-12-31T24:00:00Z', ids.deviceId],
    [`/connections/${ids.connectionId}/runs`, '-000001-01-01T00:00:00.000Z', ids.runId],
    [`/runs/${ids.runId}/items`, '99999999999999999999'],
    [`/runs/${ids.runId}/items`, '-1'],
    [`/connections/${ids.connectionId}/organizations`, 'x'],
    [`/connections/${ids.connectionId}/deliveries`, '2026-13-01T00:00:00.000Z', ids.deliveryId],
    ['/clients', '1e9']
  ] as string[][]) {
    const reply = await get(`${path}?cursor=${cursor(...values)}`)
    t.match(
      [reply.statusCode, reply.json()],
      [400, { code: 'RMM_ERR_CURSOR' }],
      `${path} ${values.join(' ')} ${reply.body}`
    )
  }
  for (const body of [
    '{"provider":"levelio","name":"a\\u0000b","secrets":{"apiKey":"k"}}',
    '{"provider":"levelio","secrets":{"apiKey":"\\ud800"}}',
    '{"provider":"levelio","config":{"a\\u0000":1},"secrets":{"apiKey":"k"}}',
    `{"provider":"levelio","config":${'{"a":'.repeat(5_000)}1${'}'.repeat(5_000)},"secrets":{"apiKey":"k"}}`
  ]) {
    const reply = await host.app.inject({
      method: 'POST',
      url: '/rmm/connections',
      headers: { 'x-tenant': 'a', 'content-type': 'application/json' },
      payload: body
    })
    t.match([reply.statusCode, reply.json()], [400, { code: 'RMM_ERR_VALIDATION' }], body.slice(0, 60))
  }
  for (const key of [nul, `x${nul}`, '%ED%A0%80', '%F0%9F%92%BE', 'x'.repeat(500)]) {
    const reply = await host.app.inject({
      method: 'POST',
      url: `/rmm/hooks/${key}`,
      headers: { 'content-type': 'application/json' },
      payload: '{}'
    })
    t.ok([400, 401, 404, 414].includes(reply.statusCode), `${key.slice(0, 20)} is ${reply.statusCode}`)
  }
})
