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
