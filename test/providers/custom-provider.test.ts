import { createHmac } from 'node:crypto'
import { once } from 'node:events'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import t from 'tap'
import { northwatch } from '../../examples/custom-provider/northwatch.ts'
import { type ContractFault, type ContractWorld, providerContract } from '../../src/testing/index.ts'
import { build, syncNow } from '../helper.ts'
import { until } from '../until.ts'

const token = 'northwatch-token-5d1f'
const pageSize = 3

interface Platform {
  url: string
  agents: Map<string, object>
  requests: () => number
  hosts: () => string[]
  fail(fault: ContractFault): void
  close(): Promise<void>
}

/** The platform of the example, as small as it can be. */
async function startNorthwatch(count: number): Promise<Platform> {
  const agents = new Map<string, object>(
    Array.from({ length: count }, (_, n) => [
      `agent-${n}`,
      { uid: `agent-${n}`, computer: `PC-${n}`, site: null, os: 'Windows', connected: true }
    ])
  )
  const hosts: string[] = []
  let fault: ContractFault | undefined
  const server = createServer((request, response) => {
    hosts.push(request.headers.host!)
    const url = new URL(request.url!, 'http://northwatch')
    const send = (status: number, body: unknown, headers = {}) =>
      response.writeHead(status, { 'content-type': 'application/json', ...headers }).end(JSON.stringify(body))
    if (request.headers.authorization !== `Bearer ${token}`) return send(401, { error: 'no' })
    const one = url.pathname.match(/^\/agents\/(.+)$/)
    if (one)
      return agents.has(decodeURIComponent(one[1]!))
        ? send(200, agents.get(decodeURIComponent(one[1]!)))
        : send(404, {})
    const page = Number(url.searchParams.get('page'))
    if (fault === 'rate-limited') {
      fault = undefined
      return send(429, {}, { 'retry-after': '1' })
    }
    if (fault === 'redirect') return send(302, {}, { location: 'https://elsewhere.example/' })
    if (fault === 'server-error-mid-list' && page > 1) return send(500, {})
    if (fault === 'empty-page' && page > 1) return send(200, { agents: [], nextPage: page + 1 })
    const all = [...agents.values()]
    const nextPage = page * pageSize < all.length ? page + 1 : null
    send(200, {
      agents: all.slice((page - 1) * pageSize, page * pageSize),
      nextPage: fault === 'repeated-cursor' ? page : nextPage
    })
  }).listen(0, '127.0.0.1')
  await once(server, 'listening')
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    agents,
    requests: () => hosts.length,
    hosts: () => hosts,
    fail(what) {
      fault = what
    },
    async close() {
      server.closeAllConnections()
      server.close()
    }
  }
}

function signed(body: object, secret: string) {
  const rawBody = Buffer.from(JSON.stringify(body))
  return {
    headers: {
      'content-type': 'application/json',
      'x-northwatch-signature': createHmac('sha256', secret).update(rawBody).digest('hex')
    },
    rawBody
  }
}

const world: ContractWorld = {
  plays: () => true,
  webhooks: { native: secret => signed({ id: 'event-1', kind: 'agent.changed', agent: 'agent-1' }, secret) },
  async start() {
    const platform = await startNorthwatch(8)
    return {
      config: { baseUrl: platform.url },
      secrets: { token },
      badSecrets: { token: 'revoked-token-77b1' },
      expected: { devices: [...platform.agents.keys()] },
      unknownId: 'agent-none',
      requests: platform.requests,
      hosts: platform.hosts,
      fail: platform.fail,
      close: platform.close
    }
  }
}

t.test('the provider of the documentation keeps every rule of the contract', async t => {
  for (const { name, skip, run } of providerContract({ provider: northwatch, world }))
    await t.test(name, { skip: skip ?? false }, run)
})

t.test('a provider written outside this package syncs devices and re-reads one after its webhook', async t => {
  const platform = await startNorthwatch(8)
  t.teardown(platform.close)
  const host = await build(t, { providers: [northwatch] })
  const { body } = await host.call('t1', 'POST', '/connections', {
    provider: 'northwatch',
    config: { baseUrl: platform.url },
    secrets: { token }
  })
  t.match(await syncNow(host, body.connection.id), {
    status: 'succeeded',
    progress: [{ resource: 'devices', pages: 3, processed: 8, complete: true }]
  })
  platform.agents.set('agent-3', { uid: 'agent-3', computer: 'RENAMED', connected: false })
  const { headers, rawBody } = signed({ id: 'event-9', kind: 'agent.changed', agent: 'agent-3' }, body.webhook.secret)
  const accepted = await host.app.inject({
    method: 'POST',
    url: new URL(body.webhook.url).pathname,
    headers,
    payload: rawBody
  })
  t.equal(accepted.statusCode, 202)
  const renamed = async () => (await host.call('t1', 'GET', '/devices?q=RENAMED')).body.items
  await until('the new name', async () => (await renamed()).length > 0)
  t.match(await renamed(), [{ externalId: 'agent-3', online: false, osType: 'Windows' }])
})
