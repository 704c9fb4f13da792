import t, { type Test } from 'tap'
import type { RmmProvider } from '../../src/index.ts'
import { ninjaone } from '../../src/providers/ninjaone/index.ts'
import { type FakeNinja, type FakeNinjaOptions, startFakeNinjaOne } from '../../src/testing/index.ts'
import { build, type Host, syncNow } from '../helper.ts'
import { freePort } from '../ports.ts'
import { until } from '../until.ts'

t.setTimeout(180_000)

interface Device {
  id: string
  externalId: string
  displayName: string
  organizationExternalId: string
  clientRef: string | null
  pendingOsPatches: number | null
  tags: string[]
}

async function connect(host: Host, fake: FakeNinja) {
  const { status, body } = await host.call('t1', 'POST', '/connections', {
    provider: 'ninjaone',
    config: { region: 'eu', baseUrl: fake.url },
    secrets: { clientId: fake.clientId, clientSecret: fake.clientSecret }
  })
  if (status !== 201) throw new Error(JSON.stringify(body))
  return body as { connection: { id: string; account: string }; webhook: Record<string, unknown>; warnings: string[] }
}

/** Listens, so that the platform reaches its hooks. */
async function setUp(t: Test, options: FakeNinjaOptions = {}, administrator = true) {
  const fake = await startFakeNinjaOne(options)
  fake.administrator(administrator)
  const port = await freePort()
  const host = await build(t, {
    providers: [ninjaone({ allowPrivateNetwork: true }) as RmmProvider],
    publicUrl: `http://127.0.0.1:${port}`,
    schedule: { enabled: false }
  })
  await host.app.listen({ port, host: '127.0.0.1' })
  const made = await connect(host, fake)
  const { id } = made.connection
  t.teardown(() => fake.close())
  const devices = async (query = '') =>
    (await host.call('t1', 'GET', `/devices?connectionId=${id}&limit=200${query}`)).body.items as Device[]
  const device = async (externalId: number) => (await devices(`&externalId=${externalId}`))[0]
  return { fake, host, made, id, devices, device }
}

t.test('a full read brings both levels of the tree, devices of all kinds, patches and alerts', async t => {
  const { fake, host, id, devices } = await setUp(t, { devices: 25, organizations: 3, maxPage: 4 })
  const alert = fake.world.trigger(2, { severity: 'CRITICAL' })
  fake.world.addPatch(1, { status: 'APPROVED' })
  fake.world.addPatch(1, { status: 'INSTALLED' })
  const run = await syncNow(host, id)
  t.equal(run.status, 'succeeded', JSON.stringify(run.error))
  const organizations = (await host.call('t1', 'GET', `/connections/${id}/organizations?limit=200`)).body.items
  t.match(
    organizations.filter(({ externalId }: { externalId: string }) => externalId.endsWith(':1')),
    [
      { externalId: 'org:1', parentExternalId: null, name: 'Organization 1' },
      { externalId: 'loc:1', parentExternalId: 'org:1', name: 'Main office' }
    ]
  )
  const listed = await devices()
  t.equal(listed.length, 25)
  const first = listed.find(({ externalId }) => externalId === '1')!
  t.match(first, { displayName: 'Device 1', organizationExternalId: 'loc:1', pendingOsPatches: 2 })
  t.match((await host.call('t1', 'GET', `/devices/${first.id}`)).body, {
    serialNumber: 'NJ10001',
    manufacturer: 'Dell Inc.',
    lanIp: '10.1.0.1',
    wanIp: '203.0.113.7',
    macAddresses: ['3C:52:82:00:00:01'],
    cpuCores: 8,
    ramBytes: 16 * 2 ** 30,
    osType: 'Windows',
    assetType: 'workstation',
    details: { nodeClass: 'WINDOWS_WORKSTATION', customFields: { site: 'A' } }
  })
  const alerts = (await host.call('t1', 'GET', `/alerts?connectionId=${id}`)).body.items
  t.match(alerts, [
    { externalId: alert.uid, severity: 'critical', providerSeverity: 'CRITICAL', deviceExternalId: '2' }
  ])
  t.equal(fake.logins, 1)
})

t.test('an incremental read asks what happened, and reads and removes only that', async t => {
  const { fake, host, id, devices, device } = await setUp(t, { devices: 5000, organizations: 20 })
  // Not by webhook.
  fake.world.publish = () => {}
  await host.call('t1', 'POST', `/connections/${id}/sync`, {})
  await until('the first sync', async () => (await device(5000))?.displayName === 'Device 5000')
  await until(async () => (await host.call('t1', 'GET', `/connections/${id}`)).body.syncStatus === 'completed')
  for (const changed of [3, 70, 700, 3000, 4999])
    fake.world.changeDevice(changed, { displayName: `Renamed ${changed}` })
  for (const removed of [44, 4000]) fake.world.removeDevice(removed)
  fake.requests.length = 0
  const run = await syncNow(host, id, { resources: ['devices'], mode: 'incremental' })
  t.match(run, { status: 'succeeded', totals: { unmapped: 5, removed: 2 } })
  t.ok(fake.requests.length <= 10, `${fake.requests.length} requests: ${fake.requests.join(', ')}`)
  t.equal((await device(3000))!.displayName, 'Renamed 3000')
  t.equal(await device(4000), undefined)
  fake.requests.length = 0
  t.match(await syncNow(host, id, { resources: ['devices'], mode: 'incremental' }), {
    status: 'succeeded',
    totals: { unmapped: 0, removed: 0 }
  })
  t.equal(fake.requests.length, 1, 'nothing happened')
  fake.wrapActivities(true)
  for (const changed of [...fake.world.devices.keys()].slice(0, 250))
    fake.world.changeDevice(changed, { tags: ['new'] })
  t.match(await syncNow(host, id, { resources: ['devices'], mode: 'incremental' }), {
    status: 'succeeded',
    totals: { removed: 0 }
  })
  t.ok(
    fake.requests.every(request => !/\/device\/\d/.test(request)),
    'above 200 the whole list is read'
  )
  const tagged = (await devices()).filter(({ tags }) => tags.includes('new'))
  t.ok(tagged.length > 0, 'and brings what changed')
})

t.test('the webhook is set up by itself, follows a rotation, and is taken away at the end', async t => {
  const { fake, host, made, id, device } = await setUp(t)
  t.match(made.webhook, { registered: true, message: null })
  t.match(fake.webhook, { url: made.webhook['url'], headers: [{ value: made.webhook['secret'] }] })
  await syncNow(host, id)
  fake.world.changeDevice(4, { displayName: 'Told by webhook' })
  await until('the device', async () => (await device(4))?.displayName === 'Told by webhook')
  t.strictSame([...new Set(fake.delivered.map(({ status }) => status))], [202])
  const { body } = await host.call('t1', 'POST', `/connections/${id}/webhook/rotate`, { graceMinutes: 0 })
  t.match(body, { registered: true })
  t.match(fake.webhook, { headers: [{ value: body.secret }] })
  fake.world.removeDevice(4)
  await until('its removal', async () => (await device(4)) === undefined)
  t.equal((await host.call('t1', 'DELETE', `/connections/${id}`)).status, 204)
  t.equal(fake.webhook, null)
})

t.test('an API client that may not set the webhook leaves a connection with instructions', async t => {
  const { fake, made, host, id } = await setUp(t, {}, false)
  t.match(made, {
    webhook: { registered: false, message: /system administrator/ },
    warnings: [/not encrypted/, /system administrator/]
  })
  t.equal(fake.webhook, null)
  t.equal((await syncNow(host, id)).status, 'succeeded')
  fake.administrator(true)
  t.match((await host.call('t1', 'POST', `/connections/${id}/webhook/rotate`, {})).body, { registered: true })
  fake.administrator(false)
  t.equal((await host.call('t1', 'DELETE', `/connections/${id}`)).status, 204, 'nor does it keep anybody from leaving')
})

t.test('an alert opens and ends by webhook, by a sync, and by a person', async t => {
  const { fake, host, id } = await setUp(t)
  await syncNow(host, id)
  const alert = async (uid: string) =>
    (
      (await host.call('t1', 'GET', `/alerts?connectionId=${id}&limit=200`)).body.items as Array<Record<string, string>>
    ).find(({ externalId }) => externalId === uid)
  const told = fake.world.trigger(1, { subject: 'Service is down', severity: 'MINOR' })
  await until('the alert', async () => (await alert(told.uid))?.['status'] === 'active')
  t.match(await alert(told.uid), { name: 'Service is down', severity: 'minor', deviceExternalId: '1' })
  fake.world.reset(told.uid)
  await until('its end', async () => (await alert(told.uid))?.['status'] === 'resolved')

  fake.world.publish = () => {}
  const missed = fake.world.trigger(2)
  await syncNow(host, id, { resources: ['alerts'] })
  t.match(await alert(missed.uid), { status: 'active', severity: 'major' })
  fake.world.reset(missed.uid)
  await syncNow(host, id, { resources: ['alerts'] })
  t.match(await alert(missed.uid), { status: 'resolved' })

  const open = fake.world.trigger(3)
  await syncNow(host, id, { resources: ['alerts'] })
  const { status, body } = await host.call('t1', 'POST', `/alerts/${(await alert(open.uid))!['id']}/resolve`, {})
  t.match({ status, body }, { status: 200, body: { status: 'resolved' } })
  t.notOk(fake.world.alerts.has(open.uid))
})

t.test('a link into the device tells its expiry; a session only to watch is refused', async t => {
  const { host, id, device } = await setUp(t)
  await syncNow(host, id)
  const { id: deviceId } = (await device(1))!
  const { status, body } = await host.call('t1', 'POST', `/devices/${deviceId}/remote-session`, {})
  t.match({ status, body }, { status: 201, body: { url: /deviceDashboard\/1/ } })
  t.ok(Date.parse(body.expiresAt) > Date.now())
  t.match(await host.call('t1', 'POST', `/devices/${deviceId}/remote-session`, { viewOnly: true }), {
    status: 409,
    body: { code: 'RMM_ERR_NOT_SUPPORTED' }
  })
})

t.test('a token that ends in the middle, an expired cursor, a client that is refused', async t => {
  const { fake, host, id } = await setUp(t, { devices: 30, maxPage: 5 })
  let pages = 0
  fake.fail(({ path }) => {
    if (path === '/v2/devices-detailed' && ++pages === 3) fake.revoke()
    return undefined
  })
  const before = fake.logins
  t.equal((await syncNow(host, id)).status, 'succeeded')
  t.equal(fake.logins, before + 1, 'one more log-in')
  let reports = 0
  fake.fail(({ path }) => {
    if (path === '/v2/queries/os-patches' && ++reports === 2) fake.expireCursors()
    return undefined
  })
  t.equal((await syncNow(host, id, { resources: ['updates'] })).status, 'succeeded', 'it is read from the start')
  fake.fail(({ path }) => (path === '/ws/oauth/token' ? { status: 401, body: { error: 'invalid_client' } } : undefined))
  fake.revoke()
  const run = await syncNow(host, id)
  t.match(run, { status: 'failed', error: { message: /refused the API client/ } })
  t.match((await host.call('t1', 'GET', `/connections/${id}`)).body, { status: 'error' })
})

t.test('an outage that looks like an empty account removes nothing', async t => {
  const { fake, host, id, devices } = await setUp(t, { devices: 40 })
  await syncNow(host, id)
  fake.fail(({ path }) => (path === '/v2/devices-detailed' ? { status: 200, body: [] } : undefined))
  t.not((await syncNow(host, id)).status, 'succeeded')
  t.equal((await devices()).length, 40)
  fake.fail(({ path }) => (path === '/v2/devices-detailed' ? 'html' : undefined))
  t.not((await syncNow(host, id)).status, 'succeeded')
  t.equal((await devices()).length, 40)
  fake.fail(null)
  t.equal((await syncNow(host, id)).status, 'succeeded')
})
