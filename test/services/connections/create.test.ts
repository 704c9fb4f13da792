import swagger from '@fastify/swagger'
import t from 'tap'
import { build, fakeLevel } from '../../helper.ts'
import { connectMesh, fakeMesh, meshHost } from '../mesh-host.ts'

t.test('without publicUrl no address is told that nobody can reach', async t => {
  const fake = await fakeLevel(t, { devices: 1, groups: 1 })
  const host = await build(t, { publicUrl: undefined as never, worker: { enabled: false } })
  const { status, body } = await host.call('t1', 'POST', '/connections', {
    provider: 'levelio',
    config: { baseUrl: fake.url },
    secrets: { apiKey: fake.apiKey }
  })
  t.equal(status, 201)
  t.match(body.webhook, { url: null, secret: /^[\w-]{43}$/ })
})

t.test('what works but should be looked at is told when the connection is made', async t => {
  const fake = await fakeMesh(t, { siteadmin: 0, manageAllDeviceGroups: false })
  const host = await meshHost(t)
  const { status, body } = await host.call('t1', 'POST', '/connections', {
    provider: 'meshcentral',
    config: { url: fake.url },
    secrets: { username: fake.username, password: fake.password }
  })
  t.equal(status, 201)
  t.equal(body.webhook, null)
  t.ok(body.warnings.some((warning: string) => /sees only the device groups it is a member of/.test(warning)))
  const tested = await host.call('t1', 'POST', `/connections/${body.connection.id}/test`)
  t.strictSame(tested.body.warnings, body.warnings, 'the same as a test tells')
})

t.test('deliveries of a provider without webhooks are answered as documented', async t => {
  const fake = await fakeMesh(t)
  const host = await meshHost(t, {
    before: async app => {
      await app.register(swagger, { openapi: { openapi: '3.1.0', info: { title: 'host', version: '1' } } })
    }
  })
  const id = await connectMesh(host, fake)
  t.match(await host.call('t1', 'GET', `/connections/${id}/deliveries`), {
    status: 409,
    body: { code: 'RMM_ERR_NOT_SUPPORTED', message: /no webhooks/ }
  })
  const { paths } = (host.app as unknown as { swagger(): { paths: Record<string, any> } }).swagger()
  const { responses } = paths['/rmm/connections/{connectionId}/deliveries'].get
  t.ok('409' in responses && '414' in responses)
})

t.test('an account is connected once, unless that is what is wanted', async t => {
  const fake = await fakeLevel(t, { devices: 1, groups: 1, readOnlyKey: 'another-key-of-the-account' })
  const other = await fakeLevel(t, { devices: 1, groups: 1 })
  const host = await build(t, { worker: { enabled: false } })
  const connect = (more: object = {}, tenant = 't1', at = fake) =>
    host.call(tenant, 'POST', '/connections', {
      provider: 'levelio',
      config: { baseUrl: at.url },
      secrets: { apiKey: at.apiKey },
      ...more
    })
  const { id } = (await connect()).body.connection
  const refused = {
    status: 409,
    body: { code: 'RMM_ERR_ALREADY_CONNECTED', connectionId: id, message: new RegExp(id) }
  }
  t.match(await connect(), refused)
  t.match(await connect({ config: { baseUrl: `${fake.url}/v2/` } }), refused, 'in another spelling')
  t.match(await connect({ secrets: { apiKey: 'another-key-of-the-account' } }), refused, 'with another key')
  t.match(await connect({}, 't2'), { status: 201 }, "another tenant's is nobody else's business")
  t.match(await connect({}, 't1', other), { status: 201 }, 'nor is another platform the same')

  await host.call('t1', 'DELETE', `/connections/${id}`)
  t.match(await connect(), {
    status: 409,
    body: { connectionId: id, message: new RegExp(`PATCH …/connections/${id}`) }
  })
  t.equal((await host.call('t1', 'GET', '/connections')).body.items.length, 2)
  const second = (await connect({ allowDuplicate: true })).body.connection.id
  t.match(await host.call('t1', 'PATCH', `/connections/${id}`, { secrets: { apiKey: fake.apiKey } }), {
    status: 409,
    body: { code: 'RMM_ERR_ALREADY_CONNECTED', connectionId: second }
  })
  t.match(await host.call('t1', 'PATCH', `/connections/${second}`, { secrets: { apiKey: fake.apiKey } }), {
    status: 200
  })
  await host.call('t1', 'DELETE', `/connections/${second}?mode=purge`)
  t.match(await host.call('t1', 'PATCH', `/connections/${id}`, { secrets: { apiKey: fake.apiKey } }), {
    status: 200,
    body: { status: 'connected' }
  })
})

t.test('two who connect an account at the same moment do not both get it', async t => {
  const fake = await fakeLevel(t, { devices: 1, groups: 1 })
  const host = await build(t, { worker: { enabled: false } })
  const body = { provider: 'levelio', config: { baseUrl: fake.url }, secrets: { apiKey: fake.apiKey } }
  const answers = await Promise.all(Array.from({ length: 6 }, () => host.call('t1', 'POST', '/connections', body)))
  t.strictSame(answers.map(({ status }) => status).sort(), [201, 409, 409, 409, 409, 409])
  t.equal((await host.call('t1', 'GET', '/connections')).body.items.length, 1)
})

t.test('domains of one MeshCentral server are different accounts, whatever their names', async t => {
  const fake = await fakeMesh(t, { domain: 'alt' })
  const host = await meshHost(t)
  const connect = (config: object) =>
    host.call('t1', 'POST', '/connections', {
      provider: 'meshcentral',
      config: { url: fake.url, ...config },
      secrets: { username: fake.username, password: fake.password }
    })
  t.match(await connect({ domain: 'alt' }), { status: 201 })
  t.match(await connect({ domain: 'alt', url: `${fake.url}/` }), { status: 409 })
})
