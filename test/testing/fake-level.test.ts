import t from 'tap'
import {
  type FakeLevel,
  type FakeLevelOptions,
  fixedClock,
  levelId,
  levelWebhookRequest,
  memorySecretBox,
  seedLevel,
  signLevel,
  startFakeLevel
} from '../../src/testing/index.ts'
import { answerErrors, operations, schemaErrors } from './level-schemas.ts'

type Test = Pick<typeof t, 'teardown'>

async function build(t: Test, options: FakeLevelOptions = {}): Promise<FakeLevel> {
  const fake = await startFakeLevel(options)
  t.teardown(() => fake.close())
  return fake
}

async function ask(
  fake: FakeLevel,
  path: string,
  { method = 'GET', body, key = fake.apiKey }: { method?: string; body?: unknown; key?: string | null } = {}
) {
  const response = await fetch(fake.url + path, {
    method,
    redirect: 'manual',
    headers: { ...(key === null ? {} : { authorization: key }) },
    ...(body === undefined ? {} : { body: JSON.stringify(body) })
  })
  const text = await response.text()
  return {
    status: response.status,
    headers: response.headers,
    text,
    get body(): any {
      return text === '' ? undefined : JSON.parse(text)
    }
  }
}

/** Every page of a list, walked as a client does. */
async function walk(fake: FakeLevel, path: string): Promise<any[]> {
  const all: any[] = []
  for (let after = ''; ; ) {
    const { body } = await ask(fake, `${path}${path.includes('?') ? '&' : '?'}limit=100${after}`)
    all.push(...body.data)
    if (!body.has_more) return all
    after = `&starting_after=${encodeURIComponent(body.data.at(-1).id)}`
  }
}

const everything =
  'include_operating_system=true&include_cpus=true&include_memory=true&include_disks=true&include_network_interfaces=true&include_motherboard=true&include_security=true'
const field = levelId('CustomField', 12)
const automation = levelId('Automation', 31)
const id = encodeURIComponent

function fullWorld() {
  return {
    ...seedLevel({ devices: 40, groups: 9, alerts: 8 }),
    customFields: [{ id: field, name: 'Asset tag', reference: 'cf_asset_tag', admin_only: false }],
    customFieldValues: [{ custom_field_id: field, assigned_to_id: null, value: 'none' }],
    automations: [{ id: automation, name: 'Collect logs', description: null, group_id: null }]
  }
}

t.test('every operation of the description is answered in its shape', async t => {
  const fake = await build(t, { world: fullWorld() })
  const group = fake.groups.ids()[0]!
  const device = fake.devices.ids()[0]!
  const alert = fake.alerts.ids()[0]!
  const update = fake.updates.ids()[0]!
  const tag = levelId('Tag', 1)
  const token = (await ask(fake, '/v2/automations/webhooks')).body[0].url.split('/').at(-1)
  const run = (await ask(fake, `/v2/automations/webhooks/${token}`, { method: 'POST', body: { device_ids: [device] } }))
    .body.runs[0].id
  const devices = { device_ids: [device] }
  // Deletes come last: the others need what they delete.
  const calls: Record<string, [path: string, body?: unknown]> = {
    listGroups: ['/v2/groups'],
    createGroup: ['/v2/groups', { name: 'New', parent_id: group }],
    showGroup: [`/v2/groups/${id(group)}`],
    updateGroup: [`/v2/groups/${id(group)}`, { name: 'Renamed', parent_id: null, custom_fields: { [field]: 'G-1' } }],
    assignDevicesToGroup: [`/v2/groups/${id(group)}/devices`, devices],
    listDevices: [`/v2/devices?${everything}`],
    showDevice: [`/v2/devices/${id(device)}?${everything}`],
    updateDevice: [`/v2/devices/${id(device)}`, { name: 'Till', notes: 'x' }],
    listAlerts: ['/v2/alerts'],
    showAlert: [`/v2/alerts/${id(alert)}`],
    resolveAlert: [`/v2/alerts/${id(alert)}/resolve`],
    listUpdates: ['/v2/updates'],
    showUpdate: [`/v2/updates/${id(update)}`],
    listTags: ['/v2/tags'],
    createTag: ['/v2/tags', { name: 'new' }],
    showTag: [`/v2/tags/${id(tag)}`],
    updateTag: [`/v2/tags/${id(tag)}`, { name: 'very important' }],
    tagDevices: [`/v2/tags/${id(tag)}/devices`, devices],
    listCustomFields: ['/v2/custom_fields'],
    createCustomField: ['/v2/custom_fields', { name: 'Room' }],
    showCustomField: [`/v2/custom_fields/${id(field)}`],
    updateCustomField: [`/v2/custom_fields/${id(field)}`, { name: 'Asset number' }],
    listCustomFieldValues: [`/v2/custom_field_values?assigned_to_id=${id(device)}`],
    updateCustomFieldValue: [
      '/v2/custom_field_values',
      { custom_field_id: field, value: 'HD-0042', assigned_to_id: device }
    ],
    listAutomations: ['/v2/automations'],
    listAutomationWebhooks: ['/v2/automations/webhooks'],
    triggerAutomationWebhook: [`/v2/automations/webhooks/${token}`, devices],
    showAutomationRun: [`/v2/automation-runs/${id(run)}?include_steps=true`],
    removeTagFromDevices: [`/v2/tags/${id(tag)}/devices`, devices],
    removeDevicesFromGroup: [`/v2/groups/${id(group)}/devices`, devices],
    deleteCustomFieldValue: ['/v2/custom_field_values', { custom_field_id: field, assigned_to_id: device }],
    deleteCustomField: [`/v2/custom_fields/${id(field)}`],
    deleteTag: [`/v2/tags/${id(tag)}`],
    deleteDevice: [`/v2/devices/${id(device)}`],
    deleteGroup: [`/v2/groups/${id(group)}`]
  }
  t.same(Object.keys(calls).sort(), [...operations.keys()].sort(), 'the table has every operation')
  for (const [name, [path, body]] of Object.entries(calls)) {
    const answer = await ask(fake, path, { method: operations.get(name)!.method, body })
    t.ok(answer.status < 300, `${name}: ${answer.status}`)
    t.same(answerErrors(name, answer.status, answer.body), [], `${name} keeps its schema`)
  }
  t.match(
    schemaErrors('Device', { hostname: 5 }),
    [/required property 'id'/, /hostname must be string/],
    'the schemas do refuse'
  )
})

t.test('a seeded account is the same every time, varied, and true to the schemas', async t => {
  const fake = await build(t, { world: seedLevel({ devices: 300, groups: 21, alerts: 60, updatesPerDevice: 1 }) })
  const other = await build(t, { world: seedLevel({ devices: 300, groups: 21, alerts: 60, updatesPerDevice: 1 }) })
  const devices = await walk(fake, `/v2/devices?${everything}`)
  t.same(devices, await walk(other, `/v2/devices?${everything}`))
  t.not(devices[0].hostname, seedLevel({ devices: 1, seed: 2 }).devices.at(0).hostname, 'another seed, another account')
  t.same(
    devices.flatMap(device => schemaErrors('Device', device)),
    []
  )
  t.same(
    (await walk(fake, '/v2/alerts')).flatMap(alert => schemaErrors('Alert', alert)),
    []
  )
  t.same(
    (await walk(fake, '/v2/updates')).flatMap(update => schemaErrors('Update', update)),
    []
  )
  const kinds = (values: unknown[]) =>
    [...new Set(values.map(value => (Array.isArray(value) ? 'array' : value === null ? 'null' : typeof value)))].sort()
  t.same(kinds(devices.map(device => device.operating_system?.major_version)), ['number', 'string', 'undefined'])
  t.same(kinds(devices.map(device => device.security?.patch_compliance)), ['boolean', 'number', 'undefined'])
  t.same(kinds(devices.map(device => device.network_interfaces?.[1].dns_servers)), ['array', 'string', 'undefined'])
  t.ok(
    devices.some(device => device.group_id === null) && devices.some(device => !('manufacturer' in device)),
    'ungrouped and sparse ones are among them'
  )
  t.ok(
    devices.every(device => device.id.includes('=')),
    'ids need encoding'
  )

  const groups = await walk(fake, '/v2/groups')
  const depth = (group: any): number =>
    group.parent_id === null ? 1 : 1 + depth(groups.find(other => other.id === group.parent_id))
  t.same([...new Set(groups.map(depth))].sort(), [1, 2, 3])
  const roots = groups.filter(group => group.parent_id === null)
  t.equal(
    roots.reduce((sum, group) => sum + group.descendent_device_count, 0),
    devices.filter(device => device.group_id !== null).length
  )
  t.throws(() => seedLevel({ devices: -1 }), RangeError)
})

t.test('broken records are where they are said to be', async t => {
  const account = seedLevel({ devices: 50, broken: 4 })
  const fake = await build(t, { world: account })
  const wrong = (await walk(fake, `/v2/devices?${everything}`))
    .filter(device => schemaErrors('Device', device).length > 0)
    .map(device => device.id)
  t.same(wrong, account.brokenIds)
  t.equal(wrong.length, 4)
})

t.test('100,000 devices are served from an index', async t => {
  const fake = await build(t, { devices: 100_000, groups: 1000 })
  const ungrouped = fake.devices.get(levelId('Device', 200_000))!
  t.equal(fake.devices.size, 100_000)
  const last = await ask(fake, `/v2/devices?limit=100&starting_after=${id(levelId('Device', 199_950))}`)
  t.equal(last.body.data.length, 50)
  t.equal(last.body.data.at(-1).hostname, ungrouped.hostname)
  t.equal(last.body.has_more, false)
})

t.test('the key is sent raw and only a full one writes', async t => {
  const fake = await build(t)
  const device = `/v2/devices/${id(fake.devices.ids()[0]!)}`
  for (const key of [null, 'wrong', `Bearer ${fake.apiKey}`]) {
    const answer = await ask(fake, '/v2/groups', { key })
    t.equal(answer.status, 401)
    t.same(answer.body, { error: 'Access denied' })
  }
  t.equal((await ask(fake, device, { key: fake.readOnlyKey })).status, 200)
  t.equal((await ask(fake, device, { key: fake.readOnlyKey, method: 'PATCH', body: { notes: 'x' } })).status, 403)
  t.equal((await ask(fake, device, { method: 'PATCH', body: { notes: 'x' } })).body.notes, 'x')
  t.equal((await ask(fake, '/v2/organizations')).status, 404)
  t.equal((await ask(fake, '/v2/devices/%zz')).status, 404)
  t.equal((await ask(fake, '/v2/tags', { method: 'POST', body: [] })).status, 400)
})

t.test('pages are bounded, walk both ways and survive deleted cursors', async t => {
  const fake = await build(t, { devices: 130 })
  const ids = fake.devices.ids()
  const page = async (query: string) => (await ask(fake, `/v2/devices?${query}`)).body
  for (const [limit, count] of [
    ['', 20],
    ['limit=0', 1],
    ['limit=7', 7],
    ['limit=500', 100],
    ['limit=many', 20]
  ] as const)
    t.equal((await page(limit)).data.length, count, limit)
  t.same(
    (await walk(fake, '/v2/devices')).map(device => device.id),
    ids
  )
  const back = await page(`limit=3&ending_before=${id(ids[10]!)}`)
  t.same([back.data.map((device: any) => device.id), back.has_more], [ids.slice(7, 10), true])
  t.equal((await page(`limit=3&ending_before=${id(ids[3]!)}`)).has_more, false)
  t.equal((await ask(fake, '/v2/devices?starting_after=nonsense')).status, 400)
  t.equal((await ask(fake, `/v2/devices?starting_after=${id(ids[1]!)}&ending_before=${id(ids[5]!)}`)).status, 400)
  fake.devices.delete(ids[4]!)
  t.equal((await page(`limit=1&starting_after=${id(ids[4]!)}`)).data[0].id, ids[5])
  const strict = await build(t, { devices: 5, deletedCursor: 'refuse' })
  strict.devices.delete(ids[2]!)
  t.equal((await ask(strict, `/v2/devices?starting_after=${id(ids[2]!)}`)).status, 400)
})

t.test('filters select and includes add keys', async t => {
  const fake = await build(t, { devices: 60, groups: 7, world: seedLevel({ devices: 60, groups: 7, alerts: 20 }) })
  const devices = await walk(fake, '/v2/devices')
  const pick = (test: (device: any) => boolean) => devices.filter(test).map(device => device.id)
  const got = async (query: string) => (await walk(fake, `/v2/devices?${query}`)).map(device => device.id)
  const [root, site] = fake.groups.ids() as [string, string]
  t.same(
    await got(`group_id=${id(site)}`),
    pick(device => device.group_id === site)
  )
  t.same(
    await got(`ancestor_group_id=${id(root)}`),
    pick(device => device.group_id !== null)
  )
  t.same(
    await got(`tag_id=${id(levelId('Tag', 1))}`),
    pick(device => device.tags.includes('vip'))
  )
  t.same(await got(`hostname=${devices[3].hostname}`), [devices[3].id])
  t.same(
    await got(`serial_number=${id(devices[0].serial_number)}`),
    pick(device => device.serial_number === devices[0].serial_number)
  )
  t.notOk(
    [
      'operating_system',
      'cpus',
      'memory',
      'disks',
      'disk_partitions',
      'network_interfaces',
      'motherboard',
      'security'
    ].some(key => devices.some(device => key in device))
  )
  const rich = (
    await ask(
      fake,
      `/v2/devices/${id(devices.find(device => 'manufacturer' in device)!.id)}?include_disks=true&include_motherboard=false`
    )
  ).body
  t.same(['disks' in rich, 'disk_partitions' in rich, 'motherboard' in rich], [true, true, false])

  const alerts = await walk(fake, '/v2/alerts')
  t.same(
    await walk(fake, '/v2/alerts?status=resolved'),
    alerts.filter(alert => alert.is_resolved)
  )
  t.same(
    await walk(fake, `/v2/alerts?device_id=${id(alerts[0].device_id)}`),
    alerts.filter(alert => alert.device_id === alerts[0].device_id)
  )
  t.same((await walk(fake, '/v2/updates?status=available')).map(update => update.is_available).includes(false), false)
  t.equal((await walk(fake, `/v2/groups?parent_id=${id(root)}`)).length, 2)
  t.equal((await ask(fake, '/v2/groups?parent_id=null')).status, 404)
})

t.test("changes show at once, and the platform's traps are there", async t => {
  const fake = await build(t, { world: fullWorld() })
  const [root, site, , leaf] = fake.groups.ids() as [string, string, string, string]
  const made = fake.devices.set({ hostname: 'NEW', group_id: leaf })
  t.equal((await walk(fake, '/v2/devices')).at(-1).id, made.id)
  const before = (await ask(fake, `/v2/groups/${id(root)}`)).body.descendent_device_count
  fake.devices.move(made.id, null)
  t.equal((await ask(fake, `/v2/groups/${id(root)}`)).body.descendent_device_count, before - 1)
  t.equal(fake.devices.delete(made.id), true)
  t.equal(fake.devices.delete(made.id), false)
  t.equal((await ask(fake, `/v2/devices/${id(made.id)}`)).status, 404)
  t.throws(() => fake.devices.patch(made.id, {}), RangeError)

  const alert = fake.alerts.trigger(fake.devices.ids()[0]!, { severity: 'emergency' })
  const first = (await ask(fake, `/v2/alerts/${id(alert.id)}/resolve`, { method: 'POST' })).body
  t.equal(first.is_resolved, true)
  t.same(
    (await ask(fake, `/v2/alerts/${id(alert.id)}/resolve`, { method: 'POST' })).body,
    first,
    'resolving twice changes nothing'
  )
  t.equal(fake.updates.install(fake.updates.ids()[0]!).is_available, false)

  await ask(fake, `/v2/groups/${id(site)}`, { method: 'PATCH', body: { name: 'Renamed' } })
  t.equal(fake.groups.get(site)?.parent_id, null, 'a rename without parent_id moves the group to the root')
  await ask(fake, '/v2/custom_field_values', {
    method: 'PATCH',
    body: { custom_field_id: field, value: 'lost', assigned_to_id: site }
  })
  t.notOk(fake.groups.get(site)?.custom_fields, 'a group value is answered 200 and not stored')
  fake.groups.cycle(root)
  t.equal((await ask(fake, `/v2/groups/${id(root)}`)).status, 200, 'a cycle can be read')
  fake.groups.orphan(leaf)
  t.notOk(fake.groups.get(fake.groups.get(leaf)!.parent_id!), 'the parent does not exist')
})

t.test('every failure can be had, for the requests it names and as often as it says', async t => {
  const fake = await build(t, { devices: 30, groups: 5 })
  const list = '/v2/devices?limit=10'
  const once = async (options: Parameters<FakeLevel['fail']>[0], path = list) => {
    const fault = fake.fail({ path: path.split('?')[0]!, ...options })
    const answer = await ask(fake, path)
    t.equal(fault.hits, 1)
    t.equal((await ask(fake, '/v2/tags')).status, 200, 'others are left alone')
    return answer
  }
  t.match((await once({ kind: 'empty-page' })).body, { data: [], has_more: true })
  t.match((await once({ kind: 'missing-last-id' })).body, { has_more: true })
  const first = (await ask(fake, list)).body
  const cursor = `${list}&starting_after=${id(first.data.at(-1).id)}`
  t.same((await once({ kind: 'repeated-cursor' }, cursor)).body, first)
  const cut = (await once({ kind: 'cursor-deleted' })).body
  t.equal((await ask(fake, `/v2/devices/${id(cut.data.at(-1).id)}`)).status, 404)
  const seconds = await once({ kind: 'rate-limited', retryAfter: 7 })
  t.same([seconds.status, seconds.headers.get('retry-after'), seconds.body], [429, '7', { error: 'Too many requests' }])
  t.equal(
    (await once({ kind: 'rate-limited', retryAfter: new Date('2026-11-22T10:00:00Z') })).headers.get('retry-after'),
    'Sun, 22 Nov 2026 10:00:00 GMT'
  )
  t.equal((await once({ status: 500 })).status, 500)
  t.same((await once({ status: 503, retryAfter: '120' })).headers.get('retry-after'), '120')
  t.equal((await once({ status: 403 }, '/v2/updates')).status, 403)
  t.equal((await once({ status: 404 }, '/v2/alerts')).status, 404)
  const html = await once({ kind: 'html' })
  t.match([html.status, html.headers.get('content-type'), html.text], [200, 'text/html', /^<!doctype html>/])
  const truncated = await once({ kind: 'truncated' })
  t.equal(truncated.status, 200)
  t.throws(() => truncated.body, SyntaxError)
  t.equal(
    (await once({ kind: 'redirect', location: 'https://elsewhere.example/x' })).headers.get('location'),
    'https://elsewhere.example/x'
  )
  for (const kind of ['reset', 'cut-body'] as const) {
    fake.fail({ path: '/v2/devices', kind })
    await t.rejects(ask(fake, list), TypeError, kind)
  }
  for (const kind of ['no-answer', 'slow-body'] as const) {
    fake.fail({ path: '/v2/devices', kind })
    const given = AbortSignal.timeout(50)
    await t.rejects(
      fetch(fake.url + list, { headers: { authorization: fake.apiKey }, signal: given }).then(response =>
        response.text()
      ),
      { name: 'TimeoutError' },
      kind
    )
  }
  fake.fail({ path: '/v2/devices', kind: 'slow-body', delayMs: 5 })
  t.equal((await ask(fake, list)).body.data.length, 10, 'a slow body arrives whole')

  fake.fail({ path: /^\/v2\/devices$/, query: { limit: '3' }, method: 'GET', after: 1, times: 2, status: 500 })
  const statuses: number[] = []
  for (let turn = 0; turn < 5; turn++) statuses.push((await ask(fake, '/v2/devices?limit=3')).status)
  t.same(statuses, [200, 500, 500, 200, 200])
  fake.fail({ status: 500, times: Infinity })
  fake.heal()
  t.equal((await ask(fake, list)).status, 200)
  t.throws(() => fake.fail({ path: '/v2' }), TypeError)
})

t.test('requests are logged and counted', async t => {
  const clock = fixedClock()
  const fake = await build(t, { now: clock.now, latencyMs: 200 })
  await Promise.all([ask(fake, '/v2/devices?limit=5'), ask(fake, '/v2/devices?limit=6')])
  await ask(fake, '/v2/groups', { key: 'wrong' })
  t.match(fake.requests[2], { method: 'GET', path: '/v2/groups', query: {}, status: 401, time: clock.now() })
  t.same(
    fake.requests
      .slice(0, 2)
      .map(request => request.query['limit'])
      .sort(),
    ['5', '6']
  )
  t.same([fake.count(), fake.count('/v2/devices'), fake.maxInFlight], [3, 2, 2])
  await fake.close()
  await t.resolves(fake.close(), 'closing twice is fine')
})

/** An endpoint that answers with the next of `statuses`, the last one for ever. */
async function receiver(t: Test, ...statuses: number[]) {
  const { createServer } = await import('node:http')
  const received: Array<{ signature: string | undefined; body: string; event: any }> = []
  const server = createServer(async (request, response) => {
    const body = Buffer.concat(await request.toArray()).toString()
    received.push({
      signature: request.headers['x-level-signature'] as string | undefined,
      body,
      event: JSON.parse(body)
    })
    response.writeHead(statuses.length > 1 ? statuses.shift()! : statuses[0]!).end()
  }).listen(0, '127.0.0.1')
  await new Promise(resolve => server.once('listening', resolve))
  t.teardown(() => {
    server.close().closeAllConnections()
  })
  return { url: `http://127.0.0.1:${(server.address() as { port: number }).port}/hook`, received }
}

const deleted = { event_type: 'device_deleted', data: { id: levelId('Device', 100001) } }

t.test('a webhook is signed over its exact bytes', t => {
  const body =
    '{"event_type":"alert_resolved","event_id":"9b2f0d3a-1111-4222-8333-444455556666","occurred_at":"2026-11-21T14:40:32.000Z","data":{"id":"Z2lkOi8vbGV2ZWwvQWxlcnQvNTU1MDEy"}}'
  const signature = 'sha256=e286d7491201f7d37ce75de75556d90e53636934cd2e2dead4ade0c6efcffe55'
  t.equal(signLevel('example-webhook-secret-for-tests', body), signature)
  const request = levelWebhookRequest(JSON.parse(body), 'example-webhook-secret-for-tests')
  t.same([request.headers['x-level-signature'], request.rawBody.toString()], [signature, body])
  t.notOk(levelWebhookRequest(JSON.parse(body)).headers['x-level-signature'])
  t.end()
})

t.test('a refused webhook is tried three times with the same event id', async t => {
  const fake = await build(t, { webhookRetryDelayMs: 1 })
  const recovering = await receiver(t, 500, 503, 202)
  const dead = await receiver(t, 401)
  fake.webhooks.add({ url: recovering.url, secret: 'one' })
  fake.webhooks.add({ url: dead.url, secret: 'two' })
  fake.webhooks.add({ url: 'http://127.0.0.1:1/', secret: 'three', events: ['group_created'] })
  const deliveries = await fake.webhooks.send(deleted)
  t.same(
    deliveries.map(({ attempts, delivered }) => [attempts.map(attempt => attempt.status), delivered]),
    [
      [[500, 503, 202], true],
      [[401, 401, 401], false]
    ]
  )
  t.equal(new Set(recovering.received.map(({ event }) => event.event_id)).size, 1)
  t.same(schemaErrors('EventEnvelope', recovering.received[0]!.event), [])
  t.same(recovering.received[0]!.event.data, deleted.data, 'of a deleted device only the id is sent')
  const [unreachable] = await fake.webhooks
    .send({ event_type: 'group_created', data: { id: 'x' } })
    .then(all => all.filter(each => each.url.endsWith(':1/')))
  t.match(unreachable, { delivered: false, attempts: [{ status: null }, { status: null }, { status: null }] })
})

t.test('webhooks come twice, in reverse, unknown, and proved by any secret', async t => {
  const fake = await build(t)
  const { url, received } = await receiver(t, 202)
  const remove = fake.webhooks.add({ url, secret: 'current', previousSecret: 'previous' })
  const [delivery] = await fake.webhooks.send({ event_type: 'something_new', data: { id: 'x' } })
  await fake.webhooks.rerun(delivery!.event.event_id)
  t.equal(received[0]!.body, received[1]!.body, 'a re-run is the same event')
  await fake.webhooks.sendReversed([
    { event_type: 'alert_active', data: { id: 'a' } },
    { event_type: 'alert_resolved', data: { id: 'a' } }
  ])
  t.same(
    received.slice(2).map(({ event }) => event.event_type),
    ['alert_resolved', 'alert_active']
  )
  t.ok(received[2]!.event.occurred_at > received[3]!.event.occurred_at)
  for (const signWith of ['current', 'previous', 'wrong', 'none'] as const)
    await fake.webhooks.send(deleted, { signWith })
  const [current, previous, wrong, none] = received.slice(4) as [
    (typeof received)[0],
    (typeof received)[0],
    (typeof received)[0],
    (typeof received)[0]
  ]
  t.equal(current.signature, signLevel('current', current.body))
  t.equal(previous.signature, signLevel('previous', previous.body))
  t.match(wrong.signature, /^sha256=[0-9a-f]{64}$/)
  t.equal(none.signature, undefined)
  await t.rejects(fake.webhooks.rerun('never sent'), RangeError)
  remove()
  t.same(await fake.webhooks.send(deleted), [])
})

t.test('changes announce themselves when asked', async t => {
  const fake = await build(t, { emit: true })
  const { url, received } = await receiver(t, 202)
  fake.webhooks.add({ url, secret: 's' })
  const device = fake.devices.ids()[0]!
  fake.devices.patch(device, { nickname: 'Till' })
  fake.devices.patch(device, { nickname: 'Quiet' }, { emit: false })
  fake.devices.delete(fake.devices.ids()[1]!)
  fake.groups.set({ name: 'New' })
  const alert = fake.alerts.trigger(device)
  await fake.webhooks.idle()
  await ask(fake, `/v2/alerts/${id(alert.id)}/resolve`, { method: 'POST' })
  await fake.webhooks.idle()
  t.same(received.map(({ event }) => event.event_type).sort(), [
    'alert_active',
    'alert_resolved',
    'device_deleted',
    'device_updated',
    'group_created'
  ])
  for (const { event } of received)
    t.same(
      schemaErrors(
        event.event_type.startsWith('alert') ? 'Alert' : event.event_type.startsWith('group_') ? 'Group' : 'Device',
        event.data
      ),
      []
    )
})

t.test('the test clock moves only when told', t => {
  const clock = fixedClock('2026-01-01T00:00:00Z')
  clock.now().setFullYear(1999)
  t.equal(clock.now().toISOString(), '2026-01-01T00:00:00.000Z')
  t.equal(clock.advance(1500).toISOString(), '2026-01-01T00:00:01.500Z')
  t.equal(clock.set('2027-01-01').getTime(), clock.now().getTime())
  t.throws(() => fixedClock('soon'), RangeError)
  t.end()
})

t.test('a sealed test secret opens only for its own connection', async t => {
  const box = memorySecretBox()
  const sealed = await box.seal('s3cret käse', 'tenant:connection')
  t.notMatch(sealed, /s3cret/)
  t.equal(await memorySecretBox().open(sealed, 'tenant:connection'), 's3cret käse', 'another process opens it')
  t.throws(() => box.open(sealed, 'tenant:other'))
  t.throws(() => memorySecretBox('another').open(sealed, 'tenant:connection'))
  t.throws(() => box.open('plain', 'tenant:connection'), /not sealed/)
})
