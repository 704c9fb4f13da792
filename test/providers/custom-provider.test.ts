import { createHmac } from 'node:crypto'
import { once } from 'node:events'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import t from 'tap'
import { northwatch } from '../../examples/custom-provider/northwatch.ts'
import { type ContractFault, type ContractWorld, type FaultPlace, providerContract } from '../../src/testing/index.ts'
import { build, syncNow } from '../helper.ts'
import { until } from '../until.ts'

const token = 'northwatch-token-5d1f'
const pageSize = 3

interface Platform {
  url: string
  agents: Map<string, object>
  requests: () => number
  hosts: () => string[]
  fail(fault: ContractFault, resource: string, place: FaultPlace): void
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
  let from = 1
  const server = createServer((request, response) => {
    hosts.push(request.headers.host!)
    const url = new URL(request.url!, 'http://northwatch')
    const send = (status: number, body: unknown, headers = {}) =>
      response.writeHead(status, { 'content-type': 'application/json', ...headers }).end(JSON.stringify(body))
    const page = Number(url.searchParams.get('page') ?? 1)
    const one = url.pathname.match(/^\/agents\/(.+)$/)
    const now = page >= from || one !== null ? fault : undefined
    if (request.headers.authorization !== `Bearer ${token}` || (now === 'expired-token' && !one))
      return send(401, { error: 'no' })
    if (now === 'html') return response.writeHead(200, { 'content-type': 'text/html' }).end('<!doctype html>')
    if (one && now === 'fetchOne-500') return send(500, {})
    if (one)
      return agents.has(decodeURIComponent(one[1]!))
        ? send(200, agents.get(decodeURIComponent(one[1]!)))
        : send(404, {})
    if (now === 'rate-limited') {
      fault = undefined
      return send(429, {}, { 'retry-after': '1' })
    }
    if (now === 'redirect') return send(302, {}, { location: 'https://elsewhere.example/' })
    if (now === 'server-error-mid-list') return send(500, {})
    if (now === 'empty-page') return send(200, { agents: [], nextPage: page + 1 })
    const all = [...agents.values()]
    const shown: object[] = all.slice((page - 1) * pageSize, page * pageSize)
    const nextPage = page * pageSize < all.length ? page + 1 : null
    if (now === 'malformed-record') shown[0] = { uid: (shown[0] as { uid: string }).uid, computer: 7 }
    if (now === 'unidentified-record') shown[0] = { ...shown[0], uid: undefined }
    if (now === 'moving-list') shown.unshift(all[(page - 1) * pageSize - 1]!)
    if (now === 'malformed-record' || now === 'unidentified-record' || now === 'moving-list') fault = undefined
    if (now === 'short-list') return send(200, { agents: shown.slice(0, 1), nextPage: null })
    send(200, { agents: shown, nextPage: fault === 'repeated-cursor' ? page : nextPage })
  }).listen(0, '127.0.0.1')
  await once(server, 'listening')
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    agents,
    requests: () => hosts.length,
    hosts: () => hosts,
    fail(what, _resource, place) {
      fault = what
      from = place === 'first' ? 1 : 2
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
  plays: fault => (fault === 'cursor-gone' ? 'Northwatch counts its pages: it has no cursors' : true),
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
