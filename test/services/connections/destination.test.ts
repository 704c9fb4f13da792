import { once } from 'node:events'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import t, { type Test } from 'tap'
import type { RmmProvider } from '../../../src/index.ts'
import { level } from '../../../src/providers/level/index.ts'
import { meshcentral } from '../../../src/providers/meshcentral/index.ts'
import { build, connectLevel, fakeLevel } from '../../helper.ts'
import { connectMesh, fakeMesh, meshHost } from '../mesh-host.ts'

/** A server of somebody else: remembers everything that came, and takes every key. */
async function stranger(t: Test) {
  const came: string[] = []
  let connections = 0
  const server = createServer((request, response) => {
    came.push(JSON.stringify([request.url, request.headers]))
    response.writeHead(200, { 'content-type': 'application/json' }).end('{"data":[],"has_more":false}')
  })
  server.on('connection', () => {
    connections++
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  t.teardown(() => server.close())
  const { port } = server.address() as AddressInfo
  return { url: `http://127.0.0.1:${port}`, came, connections: () => connections }
}

t.test('stored secrets are not sent to another address', async t => {
  const fake = await fakeLevel(t, { devices: 1, groups: 1 })
  const other = await stranger(t)
  const host = await build(t)
  const id = await connectLevel(host, fake)
  const before = await host.call('t1', 'GET', `/connections/${id}`)
  for (const baseUrl of [other.url, `${other.url}/v2`, fake.url.replace('127.0.0.1', 'localhost')]) {
    t.match(
      await host.call('t1', 'PATCH', `/connections/${id}`, { config: { baseUrl } }),
      { status: 422, body: { code: 'RMM_ERR_SECRETS_REQUIRED', message: /instead of .*Nothing was sent/ } },
      baseUrl
    )
  }
  t.match(
    await host.call('t1', 'PATCH', `/connections/${id}`, { config: {} }),
    { status: 422, body: { code: 'RMM_ERR_SECRETS_REQUIRED', message: /https:\/\/api\.level\.io instead/ } },
    'nor to the default address'
  )
  t.equal(other.connections(), 0)
  t.strictSame(await host.call('t1', 'GET', `/connections/${id}`), before, 'nothing was changed')

  t.match(await host.call('t1', 'PATCH', `/connections/${id}`, { config: { baseUrl: `${fake.url}/v2/` } }), {
    status: 200,
    body: { config: { baseUrl: `${fake.url}/v2/` } }
  })
  const moved = { config: { baseUrl: other.url }, secrets: { apiKey: 'a-key-of-the-other' } }
  t.match(await host.call('t1', 'PATCH', `/connections/${id}`, moved), { status: 200 })
  t.ok(other.came.length > 0 && other.came.every(line => line.includes('a-key-of-the-other')))
  t.notMatch(other.came.join(), fake.apiKey)
})

t.test('nor to whoever another certificate vouches for', async t => {
  const fake = await fakeMesh(t)
  const host = await meshHost(t)
  const id = await connectMesh(host, fake)
  const ca = '-----BEGIN CERTIFICATE-----\nQUJD\n-----END CERTIFICATE-----'
  t.match(await host.call('t1', 'PATCH', `/connections/${id}`, { config: { url: fake.url, ca } }), {
    status: 422,
    body: { code: 'RMM_ERR_SECRETS_REQUIRED', message: /certificate authority/ }
  })
})

t.test('a disconnected connection asks for secrets, wherever it points', async t => {
  const fake = await fakeLevel(t, { devices: 1, groups: 1 })
  const other = await stranger(t)
  const host = await build(t)
  const id = await connectLevel(host, fake)
  await host.call('t1', 'DELETE', `/connections/${id}`)
  t.match(await host.call('t1', 'PATCH', `/connections/${id}`, { config: { baseUrl: other.url } }), {
    status: 422,
    body: { code: 'RMM_ERR_SECRETS_REQUIRED' }
  })
  t.match(await host.call('t1', 'PATCH', `/connections/${id}`, { config: { baseUrl: fake.url } }), {
    status: 409,
    body: { code: 'RMM_ERR_CONNECTION_DISCONNECTED' }
  })
  t.equal(other.connections(), 0)
})

t.test('addresses carry no secrets and lead nowhere in the clear but inside', async t => {
  const host = await build(t, {
    providers: [level() as RmmProvider, meshcentral({ allowPrivateNetwork: true }) as RmmProvider]
  })
  const create = (provider: string, config: object) =>
    host.call('t1', 'POST', '/connections', {
      provider,
      config,
      secrets: provider === 'levelio' ? { apiKey: 'sEcReT-key' } : { username: 'u', password: 'sEcReT-pw' }
    })
  const refused: Array<[string, object, RegExp]> = [
    ['meshcentral', { url: 'https://mesh.example.com/?key=sEcReTkey' }, /config\.url must not contain a query/],
    ['meshcentral', { url: 'https://bob:sEcReT@mesh.example.com' }, /config\.url must not contain a user name/],
    ['meshcentral', { url: 'https://mesh.example.com/#sEcReT' }, /config\.url must not contain a fragment/],
    ['meshcentral', { url: 'http://203.0.114.7' }, /config\.url must start with https:\/\/.*public network/],
    ['levelio', { baseUrl: 'https://api.level.io/?token=sEcReT' }, /config\.baseUrl must not contain a query/],
    ['levelio', { baseUrl: 'http://bob:sEcReT@api.level.io' }, /config\.baseUrl must not contain a user name/],
    ['levelio', { baseUrl: 'http://api.level.io' }, /config\.baseUrl must start with https/],
    ['levelio', { baseUrl: 'http://10.0.0.1' }, /config\.baseUrl must start with https/]
  ]
  for (const [provider, config, message] of refused) {
    const reply = await create(provider, config)
    t.match(reply, { status: 422, body: { code: 'RMM_ERR_ADDRESS', message } }, JSON.stringify(config))
    t.notMatch(JSON.stringify(reply.body), /sEcReT/)
  }
  t.strictSame((await host.call('t1', 'GET', '/connections')).body.items, [])
})
