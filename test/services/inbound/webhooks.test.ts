import { sql } from 'kysely'
import t from 'tap'
import { level } from '../../../src/providers/level/index.ts'
import type { RmmProvider } from '../../../src/providers/define.ts'
import { openDatabase } from '../../../src/services/store/database.ts'
import { build, connectLevel, fakeLevel, type Host, syncNow } from '../../helper.ts'
import { event, outbox, post, rotateHook, sealed, settled } from './hook-helper.ts'
import { until } from '../../until.ts'

const vector = {
  secret: 'example-webhook-secret-for-tests',
  body: '{"event_type":"alert_resolved","event_id":"9b2f0d3a-1111-4222-8333-444455556666","occurred_at":"2026-11-21T14:40:32.000Z","data":{"id":"Z2lkOi8vbGV2ZWwvQWxlcnQvNTU1MDEy"}}',
  signature: 'sha256=e286d7491201f7d37ce75de75556d90e53636934cd2e2dead4ade0c6efcffe55'
}

async function setSecret(host: Host, connectionId: string, secret: string | null): Promise<void> {
  const { db, t: tables } = await openDatabase(host.orm, host.schema)
  const stored = secret === null ? null : await sealed(secret, 't1', connectionId)
  await sql`update ${tables.connection} set hook_secret = ${stored}, hook_secret_previous = null where id = ${connectionId}`.execute(
    db
  )
}

const alerts = async (host: Host, query: object = {}) => (await host.app.rmm.alerts.list('t1', query)).items
const rows = async (host: Host, connectionId: string) =>
  (await host.app.rmm.webhooks.deliveries('t1', connectionId, { limit: 200 })).items

t.test('what a hook answers', async t => {
  const fake = await fakeLevel(t, { devices: 3, groups: 1 })
  const host = await build(t)
  const id = await connectLevel(host, fake)
  const hook = await rotateHook(host, id)
  const none = async (why: string) => t.equal((await rows(host, id)).length, 0, `${why} leaves nothing behind`)
  const good = event('device_updated', { id: fake.devices.ids()[0]! })

  t.test('everything that is not proven is refused alike', async t => {
    const unknown = hook.path.replace(/[^/]+$/, 'AAAAAAAAAAAAAAAAAAAAAA')
    const refused = [
      await post(host, unknown, good, hook.secret),
      await post(host, hook.path, good, 'wrong'),
      await post(host, hook.path, good, null),
      await post(host, hook.path, good, ''),
      await post(host, `${hook.path}%00`, good, hook.secret),
      await post(host, '/rmm/hooks/x', good, hook.secret),
      await post(host, hook.path, good, null, { 'x-rmm-webhook-secret': 'wrong' }),
      await post(host, hook.path, '{', 'wrong'),
      await post(host, hook.path, good, null, { 'x-level-signature': 'sha256=' })
    ]
    for (const answer of refused) {
      t.strictSame([answer.status, answer.body], [401, refused[0]!.body])
      t.strictSame(Object.keys(answer.headers).sort(), Object.keys(refused[0]!.headers).sort())
    }
    await none('a refusal')
  })

  t.test('what is not JSON is 415, what is too large 413, what cannot be read 400', async t => {
    t.equal((await post(host, hook.path, good, hook.secret, { 'content-type': 'text/plain' })).status, 415)
    t.equal((await host.app.inject({ method: 'POST', url: hook.path })).statusCode, 415)
    t.equal((await post(host, hook.path, { ...good, filler: 'x'.repeat(256 * 1024) }, hook.secret)).status, 413)
    for (const bad of [
      '',
      '{',
      'null',
      '[]',
      '"x"',
      '{}',
      '{"event_type":"device_updated"}',
      `{"event_type":"device_updated","event_id":"${'x'.repeat(400)}"}`
    ]) {
      t.match(
        await post(host, hook.path, bad, hook.secret),
        { status: 400, body: { code: 'RMM_ERR_BODY' } },
        bad.slice(0, 40)
      )
    }
    await none('a bad body')
  })

  t.test('a new event is 202, the same again 200, an unknown type 200 and stored', async t => {
    t.match(await post(host, hook.path, good, hook.secret), { status: 202, body: { accepted: true } })
    t.match(await post(host, hook.path, good, hook.secret), { status: 200, body: { duplicate: true } })
    t.match(await post(host, hook.path, event('moon_landed', { id: 'x' }), hook.secret), {
      status: 200,
      body: { accepted: true }
    })
    const deliveries = await settled(host, id)
    t.strictSame(deliveries.map(item => [item.eventType, item.status]).sort(), [
      ['device_updated', 'done'],
      ['moon_landed', 'ignored']
    ])
    t.equal((await outbox(host)).filter(({ type }) => type === 'RMM_WEBHOOK_RECEIVED').length, 2, 'one event for each')
    const { status, body } = await host.call('t2', 'GET', `/connections/${id}/deliveries`)
    t.match({ status, body }, { status: 404, body: { code: 'RMM_ERR_NOT_FOUND' } }, 'another tenant sees none of it')
    t.match(await host.call('t2', 'POST', `/deliveries/${deliveries[0]!.id}/replay`), { status: 404 })
  })

  t.test('odd numbers and text are stored without harm', async t => {
    const deep = `${'['.repeat(90)}${']'.repeat(90)}`
    const odd = `{"event_type":"device_updated","event_id":"odd-1","occurred_at":"+275760-01-01T00:00:00Z","data":{"id":"x\\u0000y\\ud800","__proto__":{"a":1},"n":1e999,"deep":${deep}}}`
    t.equal((await post(host, hook.path, odd, hook.secret)).status, 200, 'stored, but nothing can follow')
    const [stored] = (await host.app.rmm.webhooks.deliveries('t1', id, { limit: 1 })).items
    t.match(stored, { eventId: 'odd-1', status: 'unusable', lastError: /Level \(the provider\).*without a usable id/ })
    t.equal(
      (await post(host, hook.path, event('device_updated', { id: 'x'.repeat(5_000) }), hook.secret)).status,
      200,
      'an id that nobody could look up'
    )
  })

  t.test('without a secret everything is refused, and so is a disconnected connection', async t => {
    await setSecret(host, id, null)
    const again = event('device_updated', { id: 'y' })
    t.equal(
      (await post(host, hook.path, again, hook.secret)).status,
      401,
      'although this process had remembered the secret'
    )
    t.equal((await post(host, hook.path, again, '')).status, 401)
    t.equal((await post(host, hook.path, again, null, { 'x-rmm-webhook-secret': '' })).status, 401)
    await setSecret(host, id, hook.secret)
    t.equal((await post(host, hook.path, again, hook.secret)).status, 202)
    await host.call('t1', 'DELETE', `/connections/${id}`)
    t.equal((await post(host, hook.path, event('device_updated', { id: 'y' }), hook.secret)).status, 401)
  })
})

t.test('the known vector passes on a real host, byte for byte', async t => {
  const fake = await fakeLevel(t, { devices: 1, groups: 1 })
  const host = await build(t)
  const id = await connectLevel(host, fake)
  const { path } = await rotateHook(host, id)
  await setSecret(host, id, vector.secret)
  t.equal(
    (await post(host, path, `${vector.body} `, null, { 'x-level-signature': vector.signature })).status,
    401,
    'one byte more'
  )
  t.equal((await post(host, path, vector.body, null, { 'x-level-signature': vector.signature })).status, 202)
  t.match(await rows(host, id), [{ eventId: '9b2f0d3a-1111-4222-8333-444455556666', eventType: 'alert_resolved' }])
})

t.test('during a rotation both secrets pass, after it only the new one, in every process', async t => {
  const fake = await fakeLevel(t, { devices: 1, groups: 1 })
  const host = await build(t)
  const id = await connectLevel(host, fake)
  const other = await build(t, { on: host, worker: { enabled: false } })
  const first = await rotateHook(host, id)
  const send = async (on: Host, secret: string) =>
    (await post(on, first.path, event('device_updated', { id: 'x' }), secret)).status
  t.strictSame([await send(host, first.secret), await send(other, first.secret)], [202, 202])
  const second = await rotateHook(host, id, 60)
  t.not(second.secret, first.secret)
  t.equal(second.url, first.url, 'the address stays')
  t.strictSame(
    [
      await send(other, first.secret),
      await send(other, second.secret),
      await send(host, first.secret),
      await send(host, second.secret)
    ],
    [202, 202, 202, 202]
  )
  const third = await rotateHook(host, id, 0)
  t.strictSame(
    [
      await send(other, second.secret),
      await send(other, third.secret),
      await send(host, second.secret),
      await send(host, first.secret)
    ],
    [401, 202, 401, 401]
  )
})

t.test('set-up is told for both ways, and needs publicUrl', async t => {
  const fake = await fakeLevel(t, { devices: 1, groups: 1 })
  const host = await build(t)
  const id = await connectLevel(host, fake)
  const { body } = await host.call('t1', 'GET', `/connections/${id}/webhook`)
  t.match(body, {
    signatureHeader: 'X-Level-Signature',
    secretHeader: 'X-RMM-Webhook-Secret',
    hasSecret: true,
    lastDeliveryAt: null,
    payloadTemplate: { device_id: '{{level_device_id}}' },
    templateInputs: [{ field: 'name' }, { field: 'severity' }]
  })
  t.match(body.url, /^https:\/\/psa\.example\.com\/rmm\/hooks\/[\w-]{22}$/)
  t.notMatch(JSON.stringify(body), /"secret"/)
  const rotated = await host.call('t1', 'POST', `/connections/${id}/webhook/rotate`, {})
  t.equal(rotated.status, 200)
  t.match(rotated.body.secret, /^[\w-]{43}$/)
  const closed = await build(t, { on: host, publicUrl: undefined as never, worker: { enabled: false } })
  for (const [method, path] of [
    ['GET', 'webhook'],
    ['POST', 'webhook/rotate']
  ] as const) {
    t.match(await closed.call('t1', method, `/connections/${id}/${path}`, method === 'POST' ? {} : undefined), {
      status: 409,
      body: { code: 'RMM_ERR_PUBLIC_URL', message: /publicUrl/ }
    })
  }
})

t.test('a storm of 1,000 deliveries for 10 devices causes few re-reads', async t => {
  const fake = await fakeLevel(t, { devices: 10, groups: 1 })
  const host = await build(t)
  const id = await connectLevel(host, fake)
  await syncNow(host, id)
  const hook = await rotateHook(host, id)
  const devices = fake.devices.ids()
  for (const device of devices) fake.devices.patch(device, { nickname: `Renamed ${device}` })
  fake.requests.length = 0
  const storm = Array.from({ length: 1_000 }, (_, n) => event('device_updated', { id: devices[n % 10]! }))
  for (let n = 0; n < storm.length; n += 50) {
    const statuses = await Promise.all(
      storm.slice(n, n + 50).map(async one => (await post(host, hook.path, one, hook.secret)).status)
    )
    if (statuses.some(status => status !== 202)) t.fail(`a delivery was answered ${statuses.join()}`)
  }
  await until(async () => (await host.app.rmm.webhooks.backlog()).pending === 0)
  const reads = fake.count('/v2/devices/')
  t.ok(reads >= 10 && reads <= 40, `${reads} re-reads for 1,000 deliveries`)
  const { items } = await host.app.rmm.inventory.list('t1', { limit: 50 })
  t.ok(
    items.every(item => item.displayName.startsWith('Renamed ')),
    'and all of them arrived'
  )
})

t.test('alerts', async t => {
  const fake = await fakeLevel(t, { devices: 3, groups: 1 })
  const host = await build(t)
  const id = await connectLevel(host, fake)
  await syncNow(host, id)
  const hook = await rotateHook(host, id)
  const [device = ''] = fake.devices.ids()
  const send = async (body: object) => (await post(host, hook.path, body, hook.secret)).status
  const find = async (externalId: string) =>
    (await alerts(host, { connectionId: id })).find(alert => alert.externalId === externalId)
  const types = async (externalId: string) =>
    (await outbox(host))
      .filter(({ type, payload }) => type.startsWith('RMM_ALERT') && payload['externalId'] === externalId)
      .map(({ type }) => type)

  t.test('alert_resolved before alert_active ends resolved', async t => {
    const raised = fake.alerts.trigger(device, { name: 'Disk' })
    const began = Date.now()
    const active = event('alert_active', raised, { occurred_at: new Date(began - 2_000).toISOString() })
    const over = fake.alerts.resolve(raised.id)
    t.equal(await send(event('alert_resolved', over, { occurred_at: new Date(began - 1_000).toISOString() })), 202)
    await until(async () => (await find(raised.id))?.status === 'resolved')
    t.equal(await send(active), 202)
    await settled(host, id)
    t.equal((await find(raised.id))!.status, 'resolved')
    t.notOk((await types(raised.id)).includes('RMM_ALERT_TRIGGERED'), 'and nobody was woken by the late one')
  })

  t.test('older events change nothing, whatever order they come in', async t => {
    const raised = fake.alerts.trigger(device, { name: 'CPU', severity: 'warning' })
    await send(event('alert_active', raised))
    await until(async () => (await find(raised.id))?.status === 'active')
    fake.alerts.patch(raised.id, { severity: 'emergency' })
    await send(event('alert_active', fake.alerts.get(raised.id)!))
    await until(async () => (await find(raised.id))?.severity === 'critical')
    const requests = fake.count('/v2/alerts/')
    await send(event('alert_active', raised, { occurred_at: new Date(Date.now() - 60_000).toISOString() }))
    await settled(host, id)
    t.ok(fake.count('/v2/alerts/') > requests, 'it was looked into')
    t.match(await find(raised.id), { severity: 'critical', status: 'active' })
    t.strictSame(await types(raised.id), ['RMM_ALERT_TRIGGERED'], 'told once')
  })

  t.test('missed triggers and missed resolves are found by the sweep', async t => {
    const missed = fake.alerts.trigger(device, { name: 'Missed trigger' })
    const [known] = await alerts(host, { connectionId: id, status: 'active' })
    fake.alerts.resolve(known!.externalId)
    await syncNow(host, id, { resources: ['alerts'] })
    t.match(await find(missed.id), { status: 'active' })
    t.match(await find(known!.externalId), { status: 'resolved' })
  })

  t.test('an open alert that a complete list does not show is asked for before it closes', async t => {
    const [open] = await alerts(host, { connectionId: id, status: 'active' })
    fake.alerts.delete(open!.externalId)
    fake.requests.length = 0
    await syncNow(host, id, { resources: ['alerts'] })
    t.equal(fake.count(`/v2/alerts/${encodeURIComponent(open!.externalId)}`), 1)
    t.match(await find(open!.externalId), { status: 'resolved' })
  })
})

t.test("alerts of an automation without the platform's id", async t => {
  const fake = await fakeLevel(t, { devices: 3, groups: 1 })
  const host = await build(t)
  const id = await connectLevel(host, fake)
  await syncNow(host, id)
  const hook = await rotateHook(host, id)
  const [device = '', second = ''] = fake.devices.ids()
  const send = async (body: object) => await post(host, hook.path, body, null, { 'x-rmm-webhook-secret': hook.secret })
  const fire = (state: 'triggered' | 'resolved', name: string, on = device) =>
    send({ event: `alert.${state}`, alert_id: '{{alert_id}}', device_id: on, name, severity: 'critical' })
  const named = async (name: string) => (await alerts(host, { connectionId: id })).filter(alert => alert.name === name)
  const becomes = (name: string, status: string) => until(async () => (await named(name))[0]?.status === status)
  const told = async (alertId: string) =>
    (await outbox(host)).filter(({ payload }) => payload['alertId'] === alertId).map(({ type }) => type)

  t.test('one is shown at once, before anything was asked on the platform', async t => {
    fake.fail({ path: '/v2/devices/', status: 500, times: Infinity })
    t.equal((await fire('triggered', 'Fan')).status, 202)
    await becomes('Fan', 'active')
    t.match(await named('Fan'), [{ severity: 'major', deviceExternalId: device, externalId: /^condition:/ }])
    fake.heal()
    await settled(host, id)
    t.equal(
      fake.requests.filter(({ path }) => path.includes('condition')).length,
      0,
      'its made-up id is never asked for'
    )
  })

  t.test('the same condition firing again after it was resolved is a new event', async t => {
    t.equal((await fire('triggered', 'Fan')).status, 200, 'a repetition is none')
    t.equal((await fire('resolved', 'Fan')).status, 202)
    await becomes('Fan', 'resolved')
    t.equal((await fire('resolved', 'Fan')).status, 200)
    const before = (await named('Fan'))[0]!
    t.equal((await fire('triggered', 'Fan')).status, 202)
    await becomes('Fan', 'active')
    t.equal((await fire('triggered', 'Fan')).status, 200)
    const [again, ...more] = await named('Fan')
    t.equal(more.length, 0)
    t.ok(again!.startedAt > before.startedAt, 'it began when it came back')
    await settled(host, id)
    t.strictSame(await told(again!.id), ['RMM_ALERT_TRIGGERED', 'RMM_ALERT_RESOLVED', 'RMM_ALERT_TRIGGERED'])
  })

  t.test('a host name that is one known device is a subject; any other body leaves nothing behind', async t => {
    const byName = (hostname: string, name: string) =>
      send({ event: 'alert.triggered', hostname, device_id: '{{level_device_id}}', name, severity: 'Warning' })
    const [known] = (await host.app.rmm.inventory.list('t1', { externalId: device })).items
    const deliveries = async () => (await host.app.rmm.webhooks.deliveries('t1', id, { total: true, limit: 1 })).total
    const before = await deliveries()
    t.match(await byName('no such host', 'Nobody'), { status: 400, body: { message: /no device of this connection/ } })
    t.match(await send({ event: 'alert.triggered', name: 'Nobody' }), { status: 400, body: { code: 'RMM_ERR_BODY' } })
    t.strictSame([await deliveries(), await named('Nobody')], [before, []])

    t.equal((await byName(known!.hostname!.toUpperCase(), 'By name')).status, 202)
    await becomes('By name', 'active')
    t.match(await named('By name'), [{ deviceExternalId: device, severity: 'moderate' }])
    t.equal((await fire('triggered', 'By name')).status, 200, 'the same alert named by its id is a repetition')

    const { db, t: tables } = await openDatabase(host.orm, host.schema)
    await sql`update ${tables.device} set hostname = ${known!.hostname} where external_id = ${second}`.execute(db)
    t.match(await byName(known!.hostname!, 'Two'), { status: 400, body: { message: /more than one device/ } })
  })

  t.test('two at the same moment are one event', async t => {
    const statuses = (await Promise.all(Array.from({ length: 8 }, () => fire('triggered', 'Twice'))))
      .map(({ status }) => status)
      .sort()
    t.strictSame(statuses, [200, 200, 200, 200, 200, 200, 200, 202])
  })

  t.test('the sweep does not close what no list of the platform can show', async t => {
    await settled(host, id)
    fake.requests.length = 0
    await syncNow(host, id, { resources: ['alerts'] })
    t.match(await named('Fan'), [{ status: 'active' }])
    t.equal(fake.requests.filter(({ path }) => path.includes('condition')).length, 0)
  })

  t.test("it becomes the platform's own alert when the sweep brings that, and ends with it", async t => {
    const [ours] = await named('Fan')
    const own = fake.alerts.trigger(device, { name: 'fan ', severity: 'emergency' })
    await syncNow(host, id, { resources: ['alerts'] })
    const adopted = (await alerts(host, { connectionId: id })).filter(
      alert => alert.name.trim().toLowerCase() === 'fan'
    )
    t.match(
      adopted,
      [{ id: ours!.id, externalId: own.id, severity: 'critical', status: 'active' }],
      'the same row: the host keeps its ticket'
    )
    t.equal(adopted.length, 1)
    t.equal((await told(ours!.id)).length, 3, 'and is not told again')
    const [stranger] = await named('Twice')
    t.match(stranger, { status: 'active', externalId: /^condition:/ }, 'another name stays what it was')

    await send({ event: 'alert.triggered', device_id: device, name: 'Fan', severity: 'critical', description: 'again' })
    await settled(host, id)
    t.equal(
      (await alerts(host, { connectionId: id, status: 'active' })).filter(
        alert => alert.name.trim().toLowerCase() === 'fan'
      ).length,
      1,
      'no second one while it is open'
    )
    fake.alerts.resolve(own.id)
    await send({ event: 'alert.resolved', device_id: device, name: 'Fan' })
    await until(async () =>
      (await alerts(host, { connectionId: id, status: 'active' })).every(alert => alert.externalId !== own.id)
    )
    t.equal((await told(ours!.id)).at(-1), 'RMM_ALERT_RESOLVED', 'its end was asked for on the platform')
  })

  t.test('one that the platform resolved since ends with it; one on another device stays', async t => {
    await fire('triggered', 'Heat')
    await fire('triggered', 'Heat', second)
    await until(async () => (await named('Heat')).length === 2)
    const own = fake.alerts.trigger(device, { name: 'Heat' })
    fake.alerts.resolve(own.id)
    await syncNow(host, id, { resources: ['alerts'] })
    const expected = [
      [device, 'resolved'],
      [second, 'active']
    ].sort()
    const states = async () => (await named('Heat')).map(alert => [alert.deviceExternalId, alert.status]).sort()
    t.strictSame(await states(), expected)
    await settled(host, id)
    t.strictSame(await states(), expected, 'working on what told of it does not open it again')
    await fire('resolved', 'Heat')
    await fire('triggered', 'Heat')
    await settled(host, id)
    t.ok(
      (await states()).some(([on, status]) => on === device && status === 'active'),
      'that it comes again is told'
    )
  })

  t.test('an operator can end one without a call to the platform', async t => {
    const [twice] = await named('Twice')
    fake.requests.length = 0
    t.match(await host.call('t1', 'POST', `/alerts/${twice!.id}/resolve`), {
      status: 200,
      body: { status: 'resolved' }
    })
    t.equal(fake.requests.length, 0)
  })

  t.test('with an id that the platform knows the alert is shown and then corrected', async t => {
    const own = fake.alerts.trigger(second, { name: 'Backup', severity: 'emergency' })
    await send({
      event: 'alert.triggered',
      alert_id: own.id,
      device_id: second,
      name: 'Backup',
      severity: 'information'
    })
    await until(async () => (await named('Backup'))[0]?.severity === 'critical')
    t.match(await named('Backup'), [{ externalId: own.id, deviceExternalId: second }])
  })
})

t.test('devices and groups', async t => {
  const fake = await fakeLevel(t, { devices: 4, groups: 2 })
  const host = await build(t)
  const id = await connectLevel(host, fake)
  await syncNow(host, id)
  const hook = await rotateHook(host, id)
  const [first = '', second = ''] = fake.devices.ids()
  const send = async (body: object) => (await post(host, hook.path, body, hook.secret)).status
  const device = async (externalId: string) =>
    (await host.app.rmm.inventory.list('t1', { limit: 50 })).items.find(item => item.externalId === externalId)

  t.test('device_deleted is confirmed by a re-read before anything is removed', async t => {
    fake.requests.length = 0
    await send(event('device_deleted', { id: first }))
    await settled(host, id)
    t.equal(fake.count('/v2/devices/'), 1)
    t.equal((await device(first))?.removedAt, null, 'it is still there')
    fake.devices.delete(second)
    await send(event('device_deleted', { id: second }))
    await settled(host, id)
    const gone = await device(second)
    t.ok(gone === undefined || gone.removedAt !== null)
    t.equal((await outbox(host)).filter(({ type }) => type === 'RMM_DEVICE_REMOVED').length, 1)
  })

  t.test('a group event refreshes the tree, once for many', async t => {
    const [group = ''] = fake.groups.ids()
    fake.groups.patch(group, { name: 'Renamed group' })
    fake.requests.length = 0
    for (let n = 0; n < 5; n++) await send(event('group_updated', { id: group }))
    await settled(host, id)
    await until(async () =>
      (await host.app.rmm.organizations.list('t1', id)).items.some(item => item.name === 'Renamed group')
    )
    t.equal(fake.requests.filter(({ path }) => path === '/v2/groups').length, 1)
  })

  t.test('what comes in while a run is active is not lost to it', async t => {
    const [group = ''] = fake.groups.ids()
    fake.fail({ kind: 'slow-body', path: /^\/v2\/devices$/, delayMs: 1_500 })
    const { run } = await host.app.rmm.sync.start('t1', id)
    await until(async () =>
      (await host.app.rmm.sync.get('t1', run.id)).progress.some(
        item => item.resource === 'organizations' && item.complete
      )
    )
    fake.groups.patch(group, { name: 'Named while a run was past it' })
    fake.devices.patch(first, { nickname: 'Named while a run was active' })
    t.equal(await send(event('group_updated', { id: group })), 202)
    t.equal(await send(event('device_updated', { id: first })), 202)
    await host.app.rmm.sync.settled('t1', run.id)
    await until(async () =>
      (await host.app.rmm.organizations.list('t1', id)).items.some(
        item => item.name === 'Named while a run was past it'
      )
    )
    await until(async () => (await device(first))?.displayName === 'Named while a run was active')
    for (const delivery of await settled(host, id)) t.equal(delivery.status, 'done')
  })
})

t.test('a delivery that cannot be worked on is repeated, dies visibly, and can be replayed', async t => {
  const fake = await fakeLevel(t, { devices: 2, groups: 1 })
  let broken = true
  const real = level({ allowPrivateNetwork: true }) as RmmProvider
  const provider = {
    ...real,
    resources: {
      ...real.resources,
      devices: {
        ...real.resources.devices!,
        fetchOne: async (client: unknown, externalId: string, signal: AbortSignal) => {
          if (broken) throw new Error('the mapper stumbled')
          return await real.resources.devices!.fetchOne!(client, externalId, signal)
        }
      }
    }
  }
  const lines: string[] = []
  const host = await build(t, {
    providers: [provider],
    fastify: {
      logger: {
        level: 'info',
        stream: {
          write: (line: string) => {
            lines.push(line)
          }
        }
      }
    }
  })
  const id = await connectLevel(host, fake)
  await syncNow(host, id)
  const hook = await rotateHook(host, id)
  const [device = ''] = fake.devices.ids()
  fake.devices.patch(device, { nickname: 'After the replay', notes: 'PAYLOAD-MARK' } as never)
  await post(host, hook.path, event('device_updated', { id: device, mark: 'PAYLOAD-MARK' }), hook.secret)
  const { db, t: tables } = await openDatabase(host.orm, host.schema)
  const [delivery] = await until(async () => {
    // The waits between attempts are minutes; what is waited for here is only their number.
    await sql`update ${tables.inbox_subject} set next_at = now() where next_at > now()`.execute(db)
    const found = await rows(host, id)
    return found[0]?.status === 'dead' && found
  })
  t.match(delivery, { status: 'dead', attempts: 8, lastError: /^devices .*the mapper stumbled/, processedAt: null })
  t.match(await host.app.rmm.webhooks.backlog(), { pending: 0, dead: 1 })
  t.ok(
    lines.some(line => line.includes('given up') && line.includes(id)),
    'said in the log, with the connection'
  )
  t.notMatch(lines.join(''), 'PAYLOAD-MARK', 'without the payload')
  broken = false
  t.match(await host.call('t1', 'POST', `/deliveries/${delivery!.id}/replay`), {
    status: 200,
    body: { status: 'pending', attempts: 0 }
  })
  await until(async () => (await rows(host, id))[0]?.status === 'done')
  t.equal((await host.app.rmm.inventory.list('t1', { q: 'After the replay' })).items.length, 1)
  t.equal(
    (await outbox(host)).filter(({ type }) => type === 'RMM_WEBHOOK_RECEIVED').length,
    1,
    'a replay is no new event'
  )
})

t.test('an outage of the platform costs one request per batch, and loses nothing', async t => {
  const fake = await fakeLevel(t, { devices: 5, groups: 1 })
  const host = await build(t)
  const id = await connectLevel(host, fake)
  await syncNow(host, id)
  const hook = await rotateHook(host, id)
  for (const device of fake.devices.ids()) fake.devices.patch(device, { nickname: 'Changed in the outage' })
  fake.fail({ status: 401, path: '/v2/', times: Infinity })
  fake.requests.length = 0
  for (const device of fake.devices.ids())
    await post(host, hook.path, event('device_updated', { id: device }), hook.secret)
  await until(async () => (await rows(host, id)).every(item => item.attempts > 0 && item.lastError !== null))
  // Those that come while the first is worked on are a batch of their own.
  t.ok(fake.requests.length < 5, `${fake.requests.length} requests for 5 deliveries`)
  t.match((await host.call('t1', 'GET', `/connections/${id}`)).body, { status: 'error' })
  fake.heal()
  const { db, t: tables } = await openDatabase(host.orm, host.schema)
  await sql`update ${tables.inbox_subject} set next_at = now()`.execute(db)
  for (const delivery of await settled(host, id)) t.equal(delivery.status, 'done')
  t.equal((await host.app.rmm.inventory.list('t1', { q: 'Changed in the outage' })).items.length, 5)
})

t.test('a process without workers stores; one with workers processes', async t => {
  const fake = await fakeLevel(t, { devices: 2, groups: 1 })
  const web = await build(t, { worker: { enabled: false } })
  const id = await connectLevel(web, fake)
  const hook = await rotateHook(web, id)
  t.equal(
    (await post(web, hook.path, event('device_created', { id: fake.devices.ids()[0]! }), hook.secret)).status,
    202
  )
  const worker = await build(t, { on: web, prefix: false })
  await settled(web, id)
  t.equal((await worker.app.rmm.inventory.list('t1')).items.length, 1)
})
