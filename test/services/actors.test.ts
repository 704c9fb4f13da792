import fc from 'fast-check'
import { sql } from 'kysely'
import t, { type Test } from 'tap'
import { errors, type RmmEvent, type RmmProvider } from '../../src/index.ts'
import { level } from '../../src/providers/level/index.ts'
import { meshcentral } from '../../src/providers/meshcentral/index.ts'
import { defaultRetention, pruneOld } from '../../src/services/store/index.ts'
import { openDatabase } from '../../src/services/store/database.ts'
import type { Activity } from '../../src/types.ts'
import { build, connectLevel, fakeLevel, type Host, type HostOptions } from '../helper.ts'
import { event, post, rotateHook, settled } from './inbound/hook-helper.ts'
import { until } from '../until.ts'
import { fakeMesh } from './mesh-host.ts'

/** A host whose people are named by headers. */
async function peopledHost(t: Test, options: HostOptions = {}) {
  const host = await build(t, {
    providers: [level({ allowPrivateNetwork: true }), meshcentral({ allowPrivateNetwork: true })] as RmmProvider[],
    actor: ({ headers }) =>
      headers['x-user'] === undefined
        ? null
        : { id: String(headers['x-user']), ...(headers['x-name'] ? { name: String(headers['x-name']) } : {}) },
    ...options
  })
  const as =
    (user: string, name?: string) =>
    async (method: 'GET' | 'POST' | 'PATCH' | 'PUT' | 'DELETE', url: string, payload?: object) => {
      const response = await host.app.inject({
        method,
        url: `/rmm${url}`,
        headers: { 'x-tenant': 't1', 'x-user': user, ...(name === undefined ? {} : { 'x-name': name }) },
        ...(payload === undefined ? {} : { payload })
      })
      if (response.statusCode >= 300) throw new Error(`${method} ${url}: ${response.statusCode} ${response.body}`)
      return response.body === '' ? null : response.json()
    }
  return { host, as }
}

async function told(host: Host): Promise<RmmEvent[]> {
  const { db, t: tables } = await openDatabase(host.orm, host.schema)
  return (await sql<RmmEvent>`select type, actor, payload from ${tables.outbox} order by seq`.execute(db)).rows
}

const anna = { id: 'u1', name: 'Anna' }

t.test('who did it is stored with a run and told in its events; what the platform says is nobody’s doing', async t => {
  const { host, as } = await peopledHost(t)
  const fake = await fakeLevel(t, { devices: 5, groups: 1 })
  const id = await connectLevel(host, fake)
  const { run } = await as('u1', 'Anna')('POST', `/connections/${id}/sync`)
  t.strictSame(run.actor, anna)
  const ended = await host.app.rmm.sync.settled('t1', run.id)
  t.strictSame(ended.actor, anna, 'also in what is stored')
  const events = await told(host)
  const by = (type: string) => events.filter(event => event.type === type).map(({ actor }) => actor)
  t.strictSame(by('RMM_SYNC_STARTED'), [anna])
  t.strictSame(by('RMM_SYNC_COMPLETED'), [anna])
  t.equal(by('RMM_DEVICE_CREATED').length, 5)
  t.ok(by('RMM_DEVICE_CREATED').every(actor => actor === null))
  t.strictSame(by('INTEGRATION_CONNECTED'), [null], 'and where the host names nobody there is nobody')
})

t.test('every act leaves an entry with its actor, its target and a sentence without secrets', async t => {
  const { host, as } = await peopledHost(t)
  const fake = await fakeLevel(t, { devices: 5, groups: 2, apiKey: 'k-MARKED-SECRET' })
  const call = as('u1', 'Anna')
  const { connection, webhook } = await call('POST', '/connections', {
    provider: 'levelio',
    name: 'Main',
    config: { baseUrl: fake.url },
    secrets: { apiKey: fake.apiKey }
  })
  const id = connection.id as string
  const { run } = await call('POST', `/connections/${id}/sync`)
  await host.app.rmm.sync.settled('t1', run.id)
  const [organization] = (await call('GET', `/connections/${id}/organizations`)).items
  const [alert] = (await call('GET', '/alerts?status=active')).items
  const hook = new URL(webhook.url).pathname
  await post(host, hook, event('moon_landed', { id: 'x' }), webhook.secret)
  const [delivery] = await settled(host, id)

  type Act = [type: string, target: object, act: () => Promise<unknown>]
  const acts: Act[] = [
    ['RMM_CONNECTION_CHANGED', { connectionId: id }, () => call('PATCH', `/connections/${id}`, { name: 'Other' })],
    [
      'RMM_CONNECTION_CHANGED',
      { connectionId: id },
      () => call('PATCH', `/connections/${id}`, { secrets: { apiKey: fake.apiKey }, config: { baseUrl: fake.url } })
    ],
    ['RMM_CONNECTION_CHANGED', { connectionId: id }, () => call('POST', `/connections/${id}/webhook/rotate`)],
    [
      'RMM_MAPPING_CHANGED',
      { connectionId: id, organizationId: organization.id },
      () => call('PATCH', `/connections/${id}/organizations/${organization.id}`, { clientRef: 'c1' })
    ],
    [
      'RMM_MAPPING_CHANGED',
      { connectionId: id, organizationId: organization.id },
      () =>
        call('PUT', `/connections/${id}/mappings`, {
          mappings: [{ organizationId: organization.id, mode: 'excluded' }]
        })
    ],
    [
      'RMM_ALERT_RESOLVED',
      { connectionId: id, alertId: alert.id, deviceId: alert.deviceId },
      () => call('POST', `/alerts/${alert.id}/resolve`)
    ],
    [
      'RMM_DELIVERY_REPLAYED',
      { connectionId: id, deliveryId: delivery!.id },
      () => call('POST', `/deliveries/${delivery!.id}/replay`)
    ],
    ['INTEGRATION_DISCONNECTED', { connectionId: id }, () => call('DELETE', `/connections/${id}`)],
    [
      'INTEGRATION_CONNECTED',
      { connectionId: id },
      () => call('PATCH', `/connections/${id}`, { secrets: { apiKey: fake.apiKey }, config: { baseUrl: fake.url } })
    ],
    ['INTEGRATION_DISCONNECTED', { connectionId: id }, () => call('DELETE', `/connections/${id}?mode=purge`)]
  ]
  for (const [type, target, act] of acts) {
    const before = (await call('GET', '/activity')).items as Activity[]
    await act()
    const [entry] = ((await call('GET', '/activity')).items as Activity[]).filter(
      item => item.type === type && !before.some(known => known.id === item.id)
    )
    t.match(entry, { actor: anna, type, target }, `${type}: ${entry?.summary}`)
  }
  const all = (await call('GET', '/activity?limit=200')).items as Activity[]
  t.strictSame(
    all.map(({ type }) => type).slice(-2),
    ['RMM_SYNC_STARTED', 'INTEGRATION_CONNECTED'],
    'newest first; the log outlives the connection'
  )
  const text = JSON.stringify([all, await told(host)])
  t.notMatch(text, /MARKED-SECRET/)
  t.notMatch(text, webhook.secret)
})

t.test('changes are told by name: what of a connection, and which mapping from what to what', async t => {
  const { host, as } = await peopledHost(t)
  const fake = await fakeLevel(t, { devices: 1, groups: 2 })
  const id = await connectLevel(host, fake)
  const call = as('u1', 'Anna')
  await call('POST', `/connections/${id}/sync`).then(({ run }) => host.app.rmm.sync.settled('t1', run.id))
  const [one, two] = (await call('GET', `/connections/${id}/organizations`)).items
  await call('PATCH', `/connections/${id}`, {
    name: 'Main',
    schedule: { everyMinutes: 30, enabled: true },
    movePolicy: 'hold'
  })
  await call('PATCH', `/connections/${id}`, { name: 'Main', schedule: { everyMinutes: 30 } })
  await call('PUT', `/connections/${id}/mappings`, {
    mappings: [
      { organizationId: one.id, mode: 'mapped', clientRef: 'c1' },
      { organizationId: two.id, mode: 'inherit' }
    ]
  })
  await call('POST', `/connections/${id}/webhook/rotate`)
  const events = (await told(host)).filter(({ type }) => /CHANGED/.test(type))
  t.strictSame(
    events.map(({ type, actor, payload }) => ({ type, actor, payload })),
    [
      {
        type: 'RMM_CONNECTION_CHANGED',
        actor: anna,
        payload: { name: 'Main', changedFields: ['name', 'schedule.enabled', 'schedule.everyMinutes', 'movePolicy'] }
      },
      {
        type: 'RMM_MAPPING_CHANGED',
        actor: anna,
        payload: {
          organizationId: one.id,
          externalId: one.externalId,
          name: one.name,
          from: { mode: 'inherit', clientRef: null, autoSync: true },
          to: { mode: 'mapped', clientRef: 'c1', autoSync: true }
        }
      },
      { type: 'RMM_CONNECTION_CHANGED', actor: anna, payload: { name: 'Main', changedFields: ['webhookSecret'] } }
    ],
    'what stays the same is not told'
  )
})

t.test('device groups, links and sessions name their actor, also to the platform', async t => {
  const { host, as } = await peopledHost(t)
  const fake = await fakeMesh(t, { groups: 1, devices: 1 })
  const guests: unknown[] = []
  fake.intercept = command => {
    if (command['action'] === 'createDeviceShareLink') guests.push(command['guestname'])
    return false
  }
  const call = as('u1', 'Anna Example')
  const { connection } = await call('POST', '/connections', {
    provider: 'meshcentral',
    config: { url: fake.url },
    secrets: { username: fake.username, password: fake.password }
  })
  await call('POST', `/connections/${connection.id}/device-groups/sync-all`)
  await call('POST', `/connections/${connection.id}/device-groups/c1/install-link`)
  const { run } = await call('POST', `/connections/${connection.id}/sync`)
  await host.app.rmm.sync.settled('t1', run.id)
  const [device] = (await call('GET', '/devices')).items
  await call('POST', `/devices/${device.id}/remote-session`)
  await as('u2')('POST', `/devices/${device.id}/remote-session`)
  await host.app.rmm.inventory.remoteSession('t1', device.id)
  t.strictSame(guests, ['Anna Example', 'u2', 'PSA'])
  const entries = (await call('GET', '/activity')).items as Activity[]
  t.strictSame(entries.map(({ type, actor }) => `${type} ${actor?.id ?? ''}`.trim()).reverse(), [
    'INTEGRATION_CONNECTED u1',
    'RMM_DEVICE_GROUP_CREATED u1',
    'RMM_INSTALL_LINK_CREATED u1',
    'RMM_SYNC_STARTED u1',
    'RMM_REMOTE_SESSION_STARTED u1',
    'RMM_REMOTE_SESSION_STARTED u2',
    'RMM_REMOTE_SESSION_STARTED'
  ])
  t.match(entries.find(({ type }) => type === 'RMM_DEVICE_GROUP_CREATED')?.summary, /^Made the device groups "Acme Ltd/)
  t.ok(
    (await told(host))
      .filter(({ type }) => type === 'RMM_DEVICE_GROUP_CREATED')
      .every(({ actor }) => actor?.id === 'u1')
  )
})

t.test('app.rmm.as binds an actor to the same services, and refuses what is none', async t => {
  const { host } = await peopledHost(t)
  const fake = await fakeLevel(t, { devices: 1, groups: 1 })
  const id = await connectLevel(host, fake)
  const rmm = host.app.rmm.as({ id: 'job', name: 'Night job' })
  await rmm.connections.update('t1', id, { name: 'By job' })
  await rmm.as({ id: 'other' }).connections.update('t1', id, { name: 'By other' })
  await host.app.rmm.connections.update('t1', id, { name: 'By nobody' })
  t.strictSame(
    (await rmm.activity.list('t1', { type: 'RMM_CONNECTION_CHANGED' })).items.map(({ actor }) => actor),
    [null, { id: 'other', name: null }, { id: 'job', name: 'Night job' }]
  )
  for (const wrong of [
    7,
    'anna',
    {},
    { id: '' },
    { id: 7 },
    { id: 'a\0' },
    { id: 'a', name: 7 },
    { id: 'x'.repeat(501) }
  ])
    t.throws(() => host.app.rmm.as(wrong as never), { code: 'RMM_ERR_ACTOR' }, JSON.stringify(wrong))
})

t.test('what the host returns as actor is checked; what it throws is answered by the host', async t => {
  const teapot = Object.assign(new Error('tea first'), { statusCode: 418 })
  for (const [answer, status, body] of [
    [() => ({ id: 7 }), 500, { code: 'RMM_ERR_ACTOR', message: /its id must be text/ }],
    [
      () => {
        throw teapot
      },
      418,
      { message: 'tea first' }
    ],
    [async () => Promise.reject(new errors.NotFoundError('Person')), 404, { code: 'RMM_ERR_NOT_FOUND' }],
    [async () => ({ id: 'u1', name: 'Anna', email: 'ignored' }), 200, {}]
  ] as Array<[() => never, number, object]>) {
    const { host } = await peopledHost(t, { actor: answer, worker: { enabled: false } })
    t.match(await host.call('t1', 'GET', '/connections'), { status, body })
  }
})

t.test('it is asked once per request, after authorize, and not for webhooks', async t => {
  const order: string[] = []
  const { host } = await peopledHost(t, {
    authorize: () => {
      order.push('authorize')
    },
    actor: () => {
      order.push('actor')
      return null
    }
  })
  const fake = await fakeLevel(t, { devices: 1, groups: 1 })
  const id = await connectLevel(host, fake)
  order.length = 0
  await host.call('t1', 'GET', `/connections/${id}`)
  t.strictSame(order, ['authorize', 'actor'])
  const hook = await rotateHook(host, id)
  order.length = 0
  t.equal((await post(host, hook.path, event('moon_landed', { id: 'x' }), hook.secret)).status, 200)
  t.strictSame(order, [])
})

t.test('calls of many people at once never take one for the other, and what listeners do is their own', async t => {
  const { host } = await peopledHost(t)
  const fake = await fakeLevel(t, { devices: 1, groups: 1 })
  const ids = await Promise.all([connectLevel(host, fake), connectLevel(host, fake, 't1')])
  const heard: string[] = []
  host.app.rmm.events.on('RMM_CONNECTION_CHANGED', async ({ connectionId, payload, actor }) => {
    if (!String(payload['name']).startsWith('call')) return
    heard.push(String(payload['name']))
    t.equal(actor?.id ?? 'nobody', /by (.*)$/.exec(String(payload['name']))![1])
    await host.app.rmm.connections.update('t1', connectionId, { name: `after ${payload['name']}` })
  })
  let n = 0
  await fc.assert(
    fc.asyncProperty(
      fc.array(fc.constantFrom('anna', 'ben', 'cleo', null), { minLength: 2, maxLength: 12 }),
      async people => {
        const before = heard.length
        await Promise.all(
          people.map((person, at) => {
            const rmm = person === null ? host.app.rmm : host.app.rmm.as({ id: person })
            return rmm.connections.update('t1', ids[at % 2]!, { name: `call ${++n} by ${person ?? 'nobody'}` })
          })
        )
        await until(() => heard.length === before + people.length)
      }
    ),
    { numRuns: 10 }
  )
  const { db, t: tables } = await openDatabase(host.orm, host.schema)
  const { rows } = await sql<{
    actor: unknown
  }>`select actor from ${tables.outbox} where payload->>'name' like 'after %'`.execute(db)
  t.ok(rows.length > 0 && rows.every(({ actor }) => actor === null), 'a listener is not the person it heard of')
})

t.test('activity is filtered, paged, of the own tenant, and pruned by age', async t => {
  const { host } = await peopledHost(t)
  const fake = await fakeLevel(t, { devices: 1, groups: 1 })
  const id = await connectLevel(host, fake)
  await connectLevel(host, fake, 't2')
  for (let n = 0; n < 6; n++)
    await host.app.rmm.as({ id: n % 2 === 0 ? 'even' : 'odd' }).connections.update('t1', id, { name: `n${n}` })
  const list = async (query: string, tenant = 't1') => (await host.call(tenant, 'GET', `/activity?${query}`)).body
  const every: Activity[] = (await list('limit=200')).items
  t.equal(every.length, 7)
  const paged: Activity[] = []
  for (let cursor = ''; ; ) {
    const page = await list(`limit=2${cursor}`)
    paged.push(...page.items)
    if (page.nextCursor === null) break
    cursor = `&cursor=${page.nextCursor}`
  }
  t.strictSame(paged, every)
  t.strictSame((await list('actor=odd')).items.map(({ summary }: Activity) => summary).length, 3)
  t.equal((await list('type=RMM_CONNECTION_CHANGED&actor=even')).items.length, 3)
  t.equal((await list('type=nothing')).items.length, 0)
  const since = every[2]!.at
  t.strictSame(
    (await list(`since=${encodeURIComponent(since)}`)).items,
    every.filter(({ at }) => at >= since)
  )
  t.equal((await list('since=0000-01-01T00:00:00Z')).items.length, 7)
  t.equal((await list('since=9999-12-31T23:59:59-14:00')).items.length, 0)
  for (const wrong of [
    'since=yesterday',
    'since=2026-01-01',
    'since=2026-06-30T23:59:60Z',
    'actor=',
    `actor=${'x'.repeat(1001)}`
  ])
    t.match(
      await host.call('t1', 'GET', `/activity?${wrong}`),
      { status: 400, body: { code: 'RMM_ERR_VALIDATION' } },
      wrong
    )
  t.equal((await list('limit=200', 't2')).items.length, 1, 'another tenant sees its own')
  t.equal((await list(`cursor=${(await list('limit=1')).nextCursor}`, 't2')).items.length, 1, 'whatever the cursor')
  t.equal((await list('limit=200', 'nobody')).items.length, 0)

  const database = await openDatabase(host.orm, host.schema)
  await sql`update ${database.t.activity} set at = now() - interval '40 days' where actor_id = 'odd'`.execute(
    database.db
  )
  await pruneOld(database, { ...defaultRetention, activity: 41 })
  t.equal((await list('limit=200')).items.length, 7)
  await pruneOld(database, { ...defaultRetention, activity: 30 })
  t.equal((await list('limit=200')).items.length, 4)
})
