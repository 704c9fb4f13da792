import { readFileSync } from 'node:fs'
import nock from 'nock'
import t from 'tap'
import { ProviderError } from '../../src/providers/define.ts'
import { memorySession } from '../../src/services/egress/index.ts'
import type { Checkpoint, Page, ProviderFetch, ProviderLog, Resource } from '../../src/providers/define.ts'
import { createClient } from '../../src/providers/level/client.ts'
import type { LevelClient } from '../../src/providers/level/client.ts'
import { level, type LevelOptions } from '../../src/providers/level/index.ts'
import { createEgress, hostsOf } from '../../src/services/egress/egress.ts'

type Test = import('tap').Test
const fixture = (name: string) =>
  JSON.parse(readFileSync(new URL(`../fixtures/level/${name}.json`, import.meta.url), 'utf8'))
const apiKey = 'lvl_0123456789abcdef'
const origin = 'https://api.level.io'
const { signal } = new AbortController()

nock.disableNetConnect()
t.teardown(() => {
  nock.enableNetConnect()
})

/** The provider over the real egress, with nock below it. */
async function open(t: Test, options: LevelOptions = {}, secrets = { apiKey }, config: { baseUrl?: string } = {}) {
  const provider = level(options)
  const lines: string[] = []
  const line = (fields: object, message: string) => {
    lines.push(JSON.stringify({ ...fields, message }))
  }
  const log: ProviderLog = { debug: line, info: line, warn: line }
  const egress = createEgress({
    hosts: hostsOf(provider, config),
    allowPrivateNetwork: provider.allowPrivateNetwork === true,
    limits: provider.limits,
    log,
    signal,
    redact: [secrets.apiKey],
    retry: { attempts: 3, baseMs: 1 }
  })
  t.teardown(async () => {
    await egress.close()
    const missing = nock.pendingMocks()
    nock.cleanAll()
    if (missing.length > 0) throw new Error(`expected, but not asked for: ${missing}`)
  })
  const client: LevelClient = await provider.open({
    config,
    secrets,
    log,
    signal,
    fetch: egress.fetch,
    webSocket: egress.webSocket,
    session: memorySession()
  })
  return {
    provider,
    client,
    lines,
    devices: provider.resources.devices!,
    alerts: provider.resources.alerts!,
    updates: provider.resources.updates!,
    organizations: provider.resources.organizations!
  }
}

async function collect<R>(
  resource: Resource<LevelClient, R>,
  client: LevelClient,
  from: Checkpoint | null = null
): Promise<Array<Page<R>>> {
  const pages: Array<Page<R>> = []
  for await (const page of resource.pull(client, from, signal)) pages.push(page)
  return pages
}

async function failure(promise: Promise<unknown>): Promise<ProviderError> {
  const error = await promise.then(
    () => {
      throw new Error('should have failed')
    },
    (error: unknown) => error
  )
  if (!(error instanceof ProviderError)) throw error
  if (`${error.stack} ${JSON.stringify(error)} ${error.cause}`.includes(apiKey)) throw new Error('the key leaked')
  return error
}

const ids = (...names: string[]) => names.map(id => ({ id, name: id, device_id: 'd' }))
const page = (rows: unknown[], more: boolean) => ({ data: rows, has_more: more })
const list = (path: string, query: Record<string, string>, after?: string) =>
  nock(origin, { reqheaders: { authorization: apiKey } })
    .get(path)
    .query({ ...query, limit: '100', ...(after === undefined ? {} : { starting_after: after }) })
const includes = Object.fromEntries(
  [
    'operating_system',
    'cpus',
    'memory',
    'disks',
    'disk_partitions',
    'network_interfaces',
    'motherboard',
    'security'
  ].map(name => [`include_${name}`, 'true'])
)

t.test('options and secrets that cannot work are refused early, with what to do', async t => {
  t.throws(() => level({ requestsPerMinute: 0 }), /requestsPerMinute/)
  t.throws(() => level({ resolvedAlertPages: -1 }), /resolvedAlertPages/)
  t.match(level({ requestsPerMinute: 60, allowPrivateNetwork: true }), {
    limits: { concurrency: 1, perMinute: 60 },
    allowPrivateNetwork: true
  })
  t.same(hostsOf(level(), {}), ['api.level.io'])
  for (const key of ['', '   ', 'Bearer abc', 'ключ'])
    t.match(await failure(open(t, {}, { apiKey: key })), { kind: 'auth', message: /Copy it again/ })
  const plain = await open(t, {}, { apiKey }, { baseUrl: 'http://10.0.0.1' })
  t.match(await failure(plain.client.probe(AbortSignal.timeout(5_000))), { kind: 'forbidden', message: /private/ })
  t.match(await failure(open(t, {}, { apiKey }, { baseUrl: 'level' })), { kind: 'protocol' })
  t.equal(
    (await open(t, { allowPrivateNetwork: true }, { apiKey }, { baseUrl: 'http://127.0.0.1:8080' })).client.host,
    '127.0.0.1:8080'
  )
})

t.test('check', async t => {
  t.test('asks for one group with the bare key', async t => {
    const { provider, client } = await open(t, {}, { apiKey: ` ${apiKey}\n` })
    nock(origin, { reqheaders: { authorization: value => value === apiKey } })
      .get('/v2/groups')
      .query({ limit: '1' })
      .reply(200, fixture('groups.page'))
    t.same(await provider.check(client, signal), { account: 'Level (api.level.io)', warnings: [] })
  })

  t.test('an address with a path, a slash or /v2 at its end is the same API', async t => {
    for (const baseUrl of [`${origin}/`, `${origin}/v2`, `${origin}/v2/`]) {
      const { provider, client } = await open(t, {}, { apiKey }, { baseUrl })
      nock(origin).get('/v2/groups').query({ limit: '1' }).reply(200, page([], false))
      t.match(await provider.check(client, signal), { warnings: [/no groups yet/] })
    }
  })

  t.test('a refused key, a missing right, a wrong address, a proxy’s page', async t => {
    const { provider, client } = await open(t)
    const answer = (status: number, body: nock.Body, headers = {}) =>
      nock(origin).get('/v2/groups').query({ limit: '1' }).reply(status, body, headers)
    answer(401, fixture('error.401'))
    t.match(await failure(provider.check(client, signal)), {
      kind: 'auth',
      message: /Level refused the API key.*Create one in Level under Settings/
    })
    answer(403, { error: 'no' })
    t.match(await failure(provider.check(client, signal)), { kind: 'forbidden' })
    answer(404, 'Not found')
    t.match(await failure(provider.check(client, signal)), {
      kind: 'protocol',
      message: /usually https:\/\/api.level.io/
    })
    answer(200, '<html>Sign in</html>', { 'content-type': 'text/html' })
    t.match(await failure(provider.check(client, signal)), { kind: 'protocol', message: /web page/ })
    answer(200, { status: 'ok' })
    t.match(await failure(provider.check(client, signal)), { kind: 'protocol', message: /not a list of groups/ })
    answer(302, '', { location: `https://app.level.io/login?key=${apiKey}` })
    t.match(await failure(provider.check(client, signal)), {
      kind: 'protocol',
      message: /redirects to https:\/\/app.level.io,/
    })
  })
})

t.test('lists', async t => {
  t.test('devices come in pages of 100 with every include; each page but the last has a checkpoint', async t => {
    const { devices, client } = await open(t)
    const { data } = fixture('devices.page')
    list('/v2/devices', includes).reply(200, page(data, true))
    list('/v2/devices', includes, data[1].id).reply(200, page([...ids('x'), 'junk'], false))
    const before = Date.now()
    const pages = await collect(devices, client)
    t.same(
      pages.map(page => page.checkpoint),
      [{ after: data[1].id }, null]
    )
    t.same(
      pages.map(page => page.records.map(record => record.externalId)),
      [data.map((row: any) => row.id), ['x']]
    )
    t.match(pages[1]!.rejected, [{ externalId: null, reason: /not an object/ }])
    t.ok(pages.every(page => page.observedAt.getTime() >= before && page.observedAt.getTime() <= Date.now()))
    t.ok(pages[0]!.observedAt <= pages[1]!.observedAt)
  })

  t.test('a resumed read starts behind the checkpoint', async t => {
    const { organizations, client } = await open(t)
    list('/v2/groups', {}, 'b=').reply(200, page(ids('c'), false))
    const pages = await collect(organizations, client, { after: 'b=' })
    t.same(
      pages.map(page => [page.records.map(record => record.externalId), page.checkpoint]),
      [[['c'], null]]
    )
  })

  t.test('a checkpoint whose record is gone says so; one that is not ours starts the list over', async t => {
    for (const status of [400, 404, 422]) {
      const { organizations, client } = await open(t)
      list('/v2/groups', {}, 'gone').reply(status, { error: 'no such cursor' })
      t.match(await failure(collect(organizations, client, { after: 'gone' })), { kind: 'gone' })
    }
    const { organizations, client } = await open(t)
    list('/v2/groups', {}).reply(200, page([], false))
    t.equal((await collect(organizations, client, [1, 'x'])).length, 1)
  })

  t.test('a list that lies about its end throws instead of passing for a short one', async t => {
    const lies: Array<[string, unknown[][]]> = [
      ['empty', [ids('a'), []]],
      ['no id at the end', [[...ids('a'), { name: 'no id' }]]],
      ['not an object at the end', [[...ids('a'), null]]],
      ['the same page twice', [ids('a', 'b'), ids('a', 'b')]],
      ['a loop over two pages', [ids('a'), ids('b'), ids('a')]]
    ]
    for (const [lie, answers] of lies) {
      const { organizations, client } = await open(t)
      let after: string | undefined
      for (const rows of answers) {
        list('/v2/groups', {}, after).reply(200, page(rows, true))
        after = (rows.at(-1) as any)?.id
      }
      t.match(await failure(collect(organizations, client)), { kind: 'protocol', message: /Nothing is removed/ }, lie)
    }
    const { organizations, client } = await open(t)
    list('/v2/groups', {}, 'a').reply(200, page(ids('a'), true))
    t.match(
      await failure(collect(organizations, client, { after: 'a' })),
      { kind: 'protocol' },
      'the checkpoint itself again'
    )
  })

  t.test('an endless list ends after 10 000 pages', async t => {
    let asked = 0
    const fetch: ProviderFetch = async () => ({
      status: 200,
      headers: {},
      text: () => '',
      json: () => page([{ id: String(++asked) }], true)
    })
    const client = createClient({ fetch, baseUrl: origin, apiKey })
    t.match(
      await failure(
        (async () => {
          for await (const _page of client.list('groups', {}, null, signal));
        })()
      ),
      { kind: 'protocol', message: /10000 pages/ }
    )
    t.equal(asked, 10_000)
  })

  t.test('answers that are no list: HTML with 200, cut JSON, another shape', async t => {
    const bodies: Array<[nock.Body, RegExp]> = [
      ['<!doctype html><h1>hi</h1>', /web page/],
      ['{"data":[{"id":"a"},', /not \(complete\) JSON/],
      [{ data: {}, has_more: false }, /not a list/],
      [{ data: [] }, /not a list/],
      [[], /not a list/]
    ]
    for (const [body, message] of bodies) {
      const { devices, client } = await open(t)
      list('/v2/devices', includes).reply(200, page(ids('a'), true))
      list('/v2/devices', includes, 'a').reply(200, body)
      t.match(await failure(collect(devices, client)), { kind: 'protocol', message })
    }
  })

  t.test('a key revoked, or a server failing, in the middle is not an end', async t => {
    for (const [status, kind, times] of [
      [401, 'auth', 1],
      [500, 'unreachable', 3]
    ] as const) {
      const { devices, client } = await open(t)
      list('/v2/devices', includes).reply(200, page(ids('a'), true))
      list('/v2/devices', includes, 'a').times(times).reply(status, { error: 'Access denied' })
      t.match(await failure(collect(devices, client)), { kind })
    }
  })

  t.test('429: a short Retry-After is waited for, a long one or a far date is handed up', async t => {
    const { devices, client } = await open(t)
    list('/v2/devices', includes).reply(429, '', { 'retry-after': '1' })
    list('/v2/devices', includes).reply(200, page(ids('a'), false))
    t.equal((await collect(devices, client)).length, 1)
    for (const retryAfter of ['90', new Date(Date.now() + 90_000).toUTCString()]) {
      const { devices, client } = await open(t)
      list('/v2/devices', includes).reply(429, '', { 'retry-after': retryAfter })
      const error = await failure(collect(devices, client))
      t.equal(error.kind, 'rate_limited')
      t.ok(error.retryAfterMs! > 85_000 && error.retryAfterMs! <= 90_000)
    }
  })

  t.test('what the plan lacks is told apart: 403 and 404 on updates and alerts', async t => {
    for (const status of [403, 404]) {
      const { updates, alerts, client } = await open(t)
      list('/v2/updates', { status: 'available' }).reply(status, {})
      list('/v2/alerts', { status: 'active' }).reply(status, {})
      t.match(await failure(collect(updates, client)), { kind: 'not_in_plan', message: /does not offer updates/ })
      t.match(await failure(collect(alerts, client)), { kind: 'not_in_plan' })
    }
    const { devices, client } = await open(t)
    list('/v2/devices', includes).reply(403, {})
    t.match(await failure(collect(devices, client)), { kind: 'forbidden' })
  })

  t.test('updates that are not available do not count, whatever the filter did', async t => {
    const { updates, client } = await open(t)
    list('/v2/updates', { status: 'available' }).reply(
      200,
      page([...ids('a'), { id: 'b', device_id: 'd', is_available: false }, { id: 'c' }], false)
    )
    t.match(await collect(updates, client), [
      { records: [{ externalId: 'a', deviceExternalId: 'd' }], rejected: [{ externalId: 'c' }] }
    ])
  })
})

t.test('alerts', async t => {
  const active = (after?: string) => list('/v2/alerts', { status: 'active' }, after)
  const resolved = (after?: string) => list('/v2/alerts', { status: 'resolved' }, after)

  t.test('active ones completely, then as many pages of resolved ones as asked for', async t => {
    const { alerts, client } = await open(t, { resolvedAlertPages: 2 })
    active().reply(200, page(ids('a'), true))
    active('a').reply(200, page(ids('b'), false))
    resolved().reply(200, page([fixture('alert.resolved')], true))
    resolved(fixture('alert.resolved').id).reply(200, page(ids('d'), true))
    const pages = await collect(alerts, client)
    t.same(
      pages.map(page => page.checkpoint),
      [
        { phase: 'active', after: 'a' },
        { phase: 'resolved', after: null, pages: 0 },
        { phase: 'resolved', after: fixture('alert.resolved').id, pages: 1 },
        null
      ]
    )
    t.equal(pages[2]!.records[0]!.status, 'resolved')
  })

  t.test('each checkpoint goes on where it was left', async t => {
    const { alerts, client } = await open(t, { resolvedAlertPages: 2 })
    active('a').reply(200, page([], false))
    resolved()
      .times(2)
      .reply(200, page(ids('c'), false))
    t.equal((await collect(alerts, client, { phase: 'active', after: 'a' })).length, 2)
    t.equal((await collect(alerts, client, { phase: 'resolved', after: null, pages: 0 })).length, 1)
    resolved('c').reply(200, page(ids('d'), true))
    t.same(
      (await collect(alerts, client, { phase: 'resolved', after: 'c', pages: 1 })).map(page => page.checkpoint),
      [null]
    )
  })

  t.test('without resolved pages the active ones are all', async t => {
    const { alerts, client } = await open(t, { resolvedAlertPages: 0 })
    active().reply(200, page(ids('a'), false))
    t.same(
      (await collect(alerts, client)).map(page => page.checkpoint),
      [null]
    )
  })

  t.test('resolving: the answer, an empty answer, an unknown alert, a read-only key', async t => {
    const { provider, client } = await open(t)
    const alert = fixture('alert.resolved')
    const path = `/v2/alerts/${encodeURIComponent(alert.id)}`
    const post = () => nock(origin, { reqheaders: { authorization: apiKey } }).post(`${path}/resolve`)
    post().reply(503)
    post().reply(200, alert)
    t.match(
      await provider.resolveAlert!(client, alert.id, signal),
      { externalId: alert.id, status: 'resolved' },
      'safe to repeat'
    )
    post().reply(204)
    nock(origin).get(path).reply(200, alert)
    t.match(await provider.resolveAlert!(client, alert.id, signal), { status: 'resolved' })
    post().reply(404)
    t.equal(await provider.resolveAlert!(client, alert.id, signal), null)
    post().reply(403, { error: 'Access denied' })
    t.match(await failure(provider.resolveAlert!(client, alert.id, signal)), {
      kind: 'forbidden',
      message: /read-only.*Read & write/
    })
    t.equal(await provider.resolveAlert!(client, 'condition:abc', signal), null, 'Level never told an id for it')
  })
})

t.test('one object: found with all includes, 404 is null, ids are encoded and never lead elsewhere', async t => {
  const { provider, client } = await open(t)
  const { devices, organizations, alerts, updates } = provider.resources
  const [device] = fixture('devices.page').data
  nock(origin)
    .get(`/v2/devices/${encodeURIComponent(device.id)}`)
    .query(includes)
    .reply(200, device)
  t.match(await devices!.fetchOne!(client, device.id, signal), { externalId: device.id })
  nock(origin).get('/v2/devices/a%2Fb%3Fc%23').query(includes).reply(404)
  t.equal(await devices!.fetchOne!(client, 'a/b?c#', signal), null)
  nock(origin).get('/v2/groups/g').reply(200, { id: 'g', name: 'G' })
  t.match(await organizations!.fetchOne!(client, 'g', signal), { name: 'G' })
  for (const id of ['', '.', '..', '\ud800']) t.equal(await devices!.fetchOne!(client, id, signal), null, 'no request')
  t.equal(await alerts!.fetchOne!(client, 'condition:abc', signal), null)
  t.equal(updates!.fetchOne, undefined)
  nock(origin).get('/v2/alerts/a').reply(200, [])
  await t.rejects(alerts!.fetchOne!(client, 'a', signal), { message: 'The record is not an object' })
  nock(origin).get('/v2/alerts/a').reply(401, fixture('error.401'))
  t.match(await failure(alerts!.fetchOne!(client, 'a', signal)), { kind: 'auth' })
})

t.test('abort stops between two pages', async t => {
  const { devices, client } = await open(t)
  list('/v2/devices', includes).reply(200, page(ids('a'), true))
  const controller = new AbortController()
  const reason = new Error('stop')
  await t.rejects(
    (async () => {
      for await (const _page of devices.pull(client, null, controller.signal)) controller.abort(reason)
    })(),
    reason
  )
})

t.test('neither key nor query is logged', async t => {
  const { organizations, client, lines } = await open(t)
  list('/v2/groups', {}).reply(500)
  list('/v2/groups', {}).reply(200, page(ids('secret-cursor'), true))
  list('/v2/groups', {}, 'secret-cursor').reply(200, page([], false))
  await collect(organizations, client)
  t.ok(lines.length >= 4)
  t.notMatch(lines.join('\n'), apiKey)
  t.notMatch(lines.join('\n'), 'secret-cursor')
})
