import { createHash } from 'node:crypto'
import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import { createServer } from 'node:http'
import type { IncomingMessage, RequestListener, ServerResponse } from 'node:http'
import { createServer as createTlsServer } from 'node:https'
import type { AddressInfo, Socket } from 'node:net'
import { mock } from 'node:test'
import t from 'tap'
import { Type } from '@sinclair/typebox'
import fc from 'fast-check'
import { type WebSocket as WebSocketPeer, WebSocketServer } from 'ws'
import { ProviderError } from '../../../src/providers/define.ts'
import { retryAfterMs } from '../../../src/services/egress/fetch.ts'
import { isPrivateAddress } from '../../../src/services/egress/addresses.ts'
import { createRedact } from '../../../src/services/egress/redact.ts'
import { createEgress, createRateLimiter, type EgressOptions, hostsOf } from '../../../src/services/egress/egress.ts'

const secret = 'sk-very/secret+value'
const pem = (name: string) => readFileSync(new URL(`../../fixtures/tls/${name}`, import.meta.url), 'utf8')

type Test = import('tap').Test

/** A loopback server that counts connections and requests. */
async function serve(t: Test, listener: RequestListener, tls?: { cert: string; key: string }) {
  const server = tls ? createTlsServer(tls, listener) : createServer(listener)
  const seen = { connections: 0, requests: 0, sockets: new Set<Socket>() }
  server.on('connection', socket => {
    seen.connections++
    seen.sockets.add(socket)
    socket.on('error', () => {})
  })
  server.on('request', () => {
    seen.requests++
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  t.teardown(async () => {
    server.closeAllConnections()
    for (const socket of seen.sockets) socket.destroy()
    await new Promise(resolve => server.close(resolve))
  })
  const { port } = server.address() as AddressInfo
  return { server, seen, port, host: `127.0.0.1:${port}`, url: `${tls ? 'https' : 'http'}://127.0.0.1:${port}` }
}

/** An egress for tests, with everything it logged. */
function egressFor(t: Test, hosts: string[], options: Partial<EgressOptions> = {}) {
  const lines: string[] = []
  const line = (fields: object, message: string) => {
    lines.push(JSON.stringify({ ...fields, message }))
  }
  const controller = new AbortController()
  const egress = createEgress({
    hosts,
    allowPrivateNetwork: true,
    log: { debug: line, info: line, warn: line },
    signal: controller.signal,
    redact: [secret],
    retry: { baseMs: 1 },
    ...options
  })
  t.teardown(() => egress.close())
  return { ...egress, lines, controller }
}

async function failure(promise: Promise<unknown>): Promise<ProviderError> {
  const error = await promise.then(
    () => {
      throw new Error('should have failed')
    },
    (error: unknown) => error
  )
  if (!(error instanceof ProviderError)) throw error
  return error
}

const everything = (error: ProviderError) =>
  `${error.message} ${error.stack} ${JSON.stringify(error)} ${String(error.cause)} ${JSON.stringify(error.cause)}`
const json = (response: ServerResponse, body: unknown, status = 200, headers = {}) => {
  response.writeHead(status, { 'content-type': 'application/json', ...headers })
  response.end(JSON.stringify(body))
}
const answerWith = (statuses: Array<[number, Record<string, string>?]>) => {
  let at = 0
  return (_request: IncomingMessage, response: ServerResponse) => {
    const [status, headers] = statuses[Math.min(at++, statuses.length - 1)]!
    json(response, { at }, status, headers)
  }
}

t.test('answers', async t => {
  t.test('every status below 500 but 429 and redirects is the provider’s to judge', async t => {
    for (const status of [200, 201, 304, 400, 401, 403, 404, 422]) {
      const { url, host, seen } = await serve(t, (_request, response) => {
        response.writeHead(status, { 'x-a': ['1', '2'] }).end()
      })
      const response = await egressFor(t, [host]).fetch(`${url}/v2`)
      t.match(response, { status, headers: { 'x-a': '1, 2' } })
      t.equal(seen.requests, 1)
    }
  })

  t.test('method, headers and body arrive as given', async t => {
    let got: unknown
    const { url, host } = await serve(t, async (request, response) => {
      let body = ''
      for await (const chunk of request) body += chunk
      got = { method: request.method, key: request.headers['authorization'], body }
      json(response, { ok: true })
    })
    const response = await egressFor(t, [host]).fetch(`${url}/x`, {
      method: 'PATCH',
      headers: { authorization: secret },
      body: '{"a":1}'
    })
    t.same(response.json(), { ok: true })
    t.same(got, { method: 'PATCH', key: secret, body: '{"a":1}' })
  })

  t.test('what is not JSON is named, and not quoted', async t => {
    const bodies: Array<[string, string, RegExp]> = [
      ['text/html', '<html>hello-from-proxy</html>', /web page/],
      ['application/json', '<!doctype html>hello-from-proxy', /web page/],
      ['application/json', '{"data":["hello-from-proxy"', /not \(complete\) JSON/],
      ['application/json', '', /empty answer/]
    ]
    for (const [type, body, pattern] of bodies) {
      const { url, host } = await serve(t, (_request, response) => {
        response.writeHead(200, { 'content-type': type }).end(body)
      })
      const response = await egressFor(t, [host]).fetch(url)
      t.equal(response.text(), body)
      const error = await failure((async () => response.json())())
      t.equal(error.kind, 'protocol')
      t.match(error.message, pattern)
      t.notMatch(everything(error), /hello-from-proxy/)
    }
  })

  t.test('an answer that is too large is not read to its end', async t => {
    let sent = 0
    const { url, host } = await serve(t, (_request, response) => {
      const more = () => {
        if (response.destroyed || sent > 64e6) return
        sent += 65536
        if (response.write('x'.repeat(65536))) setImmediate(more)
        else response.once('drain', more)
      }
      more()
    })
    const error = await failure(egressFor(t, [host]).fetch(url, { maxBytes: 1e6 }))
    t.match(error, { kind: 'protocol', message: /more than 1000000 bytes/ })
    t.ok(sent < 32e6, 'the connection was dropped')
  })
})

t.test('retries', async t => {
  t.test('a failing read is repeated until it works', async t => {
    const { url, host, seen } = await serve(t, answerWith([[503], [500], [200]]))
    const { fetch, lines } = egressFor(t, [host])
    t.equal((await fetch(`${url}/v2?token=${secret}`)).status, 200)
    t.equal(seen.requests, 3)
    t.notMatch(lines.join('\n'), secret)
    t.notMatch(lines.join('\n'), 'token=')
  })

  t.test('attempts are bounded: 5xx ends as unreachable, 429 as rate_limited', async t => {
    for (const [status, kind] of [
      [502, 'unreachable'],
      [429, 'rate_limited']
    ] as const) {
      const { url, host, seen } = await serve(t, answerWith([[status]]))
      const error = await failure(egressFor(t, [host], { retry: { attempts: 3, baseMs: 1 } }).fetch(url))
      t.match(error, { kind, message: new RegExp(`status ${status}`) })
      t.equal(seen.requests, 3)
    }
  })

  t.test('a write is not repeated unless it says that it may be', async t => {
    for (const [idempotent, requests] of [
      [undefined, 1],
      [true, 2]
    ] as const) {
      const { url, host, seen } = await serve(t, answerWith([[503], [200]]))
      const sent = egressFor(t, [host]).fetch(url, {
        method: 'POST',
        body: '{}',
        ...(idempotent ? { idempotent } : {})
      })
      if (idempotent) t.equal((await sent).status, 200)
      else t.match(await failure(sent), { kind: 'unreachable' })
      t.equal(seen.requests, requests)
    }
  })

  t.test('a lost connection is repeated', async t => {
    let first = true
    const { url, host, seen } = await serve(t, (request, response) => {
      if (first) {
        first = false
        request.socket.destroy()
      } else json(response, {})
    })
    t.equal((await egressFor(t, [host]).fetch(url)).status, 200)
    t.equal(seen.requests, 2)
  })

  t.test('Retry-After in seconds is a lower bound', async t => {
    const at: number[] = []
    const { url, host } = await serve(t, (_request, response) => {
      at.push(performance.now())
      json(response, {}, at.length === 1 ? 429 : 200, at.length === 1 ? { 'retry-after': '1' } : {})
    })
    t.equal((await egressFor(t, [host]).fetch(url)).status, 200)
    t.ok(at[1]! - at[0]! >= 990, 'not earlier than told')
  })

  t.test('a longer Retry-After is handed up instead of slept through, and holds for the whole connection', async t => {
    const { url, host, seen } = await serve(t, answerWith([[429, { 'retry-after': '120' }], [200]]))
    const limiter = createRateLimiter({ concurrency: 2 }, () => Date.now())
    t.match(await failure(egressFor(t, [host], { limiter }).fetch(url)), {
      kind: 'rate_limited',
      retryAfterMs: 120_000
    })
    const other = await failure(egressFor(t, [host], { limiter }).fetch(url))
    t.equal(other.kind, 'rate_limited')
    t.ok(other.retryAfterMs! > 100_000 && other.retryAfterMs! <= 120_000)
    t.equal(seen.requests, 1, 'the second run of the connection asked nothing')
  })

  t.test('a long Retry-After on 503 is not slept through either', async t => {
    const { url, host, seen } = await serve(
      t,
      answerWith([[503, { 'retry-after': new Date(Date.now() + 3_600_000).toUTCString() }]])
    )
    const error = await failure(egressFor(t, [host]).fetch(url))
    t.equal(error.kind, 'rate_limited')
    t.ok(error.retryAfterMs! > 3_500_000)
    t.equal(seen.requests, 1)
  })

  t.test('Retry-After: seconds, dates, our clock, theirs, junk', async t => {
    const now = Date.parse('2026-11-21T12:00:00Z')
    t.equal(retryAfterMs({}, now), null)
    t.equal(retryAfterMs({ 'retry-after': '7' }, now), 7000)
    t.equal(retryAfterMs({ 'retry-after': '0' }, now), 0)
    t.equal(retryAfterMs({ 'retry-after': 'Sat, 21 Nov 2026 12:00:30 GMT' }, now), 30_000)
    t.equal(retryAfterMs({ 'retry-after': 'Sat, 21 Nov 2026 11:00:00 GMT' }, now), 0)
    t.equal(
      retryAfterMs({ 'retry-after': 'Sat, 21 Nov 2026 12:00:30 GMT', date: 'Sat, 21 Nov 2026 11:59:00 GMT' }, now),
      90_000,
      'their clock is behind ours'
    )
    t.equal(retryAfterMs({ 'retry-after': 'soon' }, now), null)
    t.equal(retryAfterMs({ 'retry-after': '9'.repeat(400) }, now), 86_400_000)
  })
})

t.test('redirects are never followed, and the sentence says where to', async t => {
  const target = await serve(t, (_request, response) => json(response, {}))
  const { url, host } = await serve(t, (request, response) => {
    const to = request.url === '/self' ? '/login?next=1' : `${target.url}/v2?key=${secret}`
    response.writeHead(302, { location: to }).end()
  })
  const { fetch } = egressFor(t, [host, target.host])
  const away = await failure(fetch(`${url}/x?token=${secret}`, { headers: { authorization: secret } }))
  t.match(away, { kind: 'protocol', message: `redirects to ${target.url}` })
  t.notMatch(everything(away), secret)
  t.notMatch(everything(away), 'key=')
  t.match(await failure(fetch(`${url}/self`)), { kind: 'protocol', message: /another path of the same server/ })
  t.equal(target.seen.requests, 0)
})

t.test('hosts and addresses', async t => {
  t.test('only the connection’s hosts, and no socket to any other', async t => {
    const { port, seen } = await serve(t, (_request, response) => json(response, {}))
    const { fetch, webSocket } = egressFor(t, [`127.0.0.1:${port + 1}`, 'api.level.io'])
    const onMessage = () => {}
    const onClose = () => {}
    for (const url of [
      `http://127.0.0.1:${port}/?t=${secret}`,
      `http://localhost:${port}`,
      'https://api.level.io.evil.example/',
      'https://api.level.io:8443/',
      'file:///etc/passwd',
      'not a url',
      'ftp://api.level.io/'
    ]) {
      const error = await failure(fetch(url))
      t.equal(error.kind, 'forbidden', url)
      t.notMatch(everything(error), secret)
    }
    t.match(await failure(webSocket(`ws://127.0.0.1:${port}`, { onMessage, onClose })), { kind: 'forbidden' })
    t.match(await failure(webSocket(`http://127.0.0.1:${port + 1}`, { onMessage, onClose })), { kind: 'forbidden' })
    t.match(await failure(fetch(`http://user:${encodeURIComponent(secret)}@api.level.io/`)), {
      kind: 'forbidden',
      message: /must not contain a user name/
    })
    t.equal(seen.connections, 0)
  })

  t.test('hosts are compared without regard to case, with or without the default port', async t => {
    const { port, url } = await serve(t, (_request, response) => json(response, {}))
    t.equal((await egressFor(t, [`LOCALHOST:${port}`]).fetch(url.replace('127.0.0.1', 'LocalHost'))).status, 200)
    t.match(
      await failure(egressFor(t, ['closed.invalid:443'], { retry: { attempts: 1 } }).fetch('https://closed.invalid/')),
      { kind: 'unreachable' },
      'passed the check, failed in DNS'
    )
  })

  t.test('private addresses are refused in every spelling, by name too, before a socket opens', async t => {
    const { port, seen } = await serve(t, (_request, response) => json(response, {}))
    for (const spelling of [
      '127.0.0.1',
      '2130706433',
      '0x7f000001',
      '0177.0.0.1',
      '127.1',
      '[::1]',
      '[::ffff:127.0.0.1]',
      '[::ffff:7f00:1]',
      '[64:ff9b::7f00:1]',
      '169.254.169.254',
      '0.0.0.0',
      '[fd00:ec2::254]',
      '100.100.100.200'
    ]) {
      const egress = egressFor(t, [`${spelling}:${port}`], { allowPrivateNetwork: false })
      for (const scheme of ['http', 'https'])
        t.match(
          await failure(egress.fetch(`${scheme}://${spelling}:${port}/`)),
          { kind: 'forbidden', message: /private or reserved/ },
          `${scheme} ${spelling}`
        )
      for (const scheme of ['ws', 'wss'])
        t.match(
          await failure(egress.webSocket(`${scheme}://${spelling}:${port}/`, { onMessage() {}, onClose() {} })),
          { kind: 'forbidden', message: /private or reserved/ },
          `${scheme} ${spelling}`
        )
    }
    t.equal(seen.connections, 0)
  })

  t.test('a name that is known inside only is answered like one that nobody knows', async t => {
    const { port, seen } = await serve(t, (_request, response) => json(response, {}))
    for (const scheme of ['https', 'http', 'wss', 'ws']) {
      const answers = await Promise.all(
        ['localhost', 'nobody-knows-this.invalid'].map(async name => {
          const { fetch, webSocket, lines } = egressFor(t, [`${name}:${port}`], { allowPrivateNetwork: false })
          const url = `${scheme}://${name}:${port}/`
          const error = await failure(
            scheme.startsWith('ws') ? webSocket(url, { onMessage() {}, onClose() {} }) : fetch(url)
          )
          const told = [error.kind, error.message.replaceAll(name, 'it'), error.retryAfterMs]
          return { told, repeated: lines.filter(line => line.includes('will be repeated')).length, error }
        })
      )
      t.same(answers[0]!.told, answers[1]!.told, scheme)
      t.equal(answers[0]!.repeated, answers[1]!.repeated, `${scheme}: tried as often`)
      t.match(answers[0]!.error, { kind: 'unreachable', message: /no public address/ })
      t.match(answers[0]!.error.cause, { message: /RMM_PRIVATE_ADDRESS/ }, 'the log tells them apart')
      t.match(answers[1]!.error.cause, { message: /ENOTFOUND|EAI_AGAIN/ })
    }
    t.equal(seen.connections, 0)
  })

  t.test('nothing goes unencrypted to a public address, whatever the host allows', async t => {
    for (const allowPrivateNetwork of [true, false]) {
      for (const host of ['8.8.8.8', '[2606:4700::1111]', '100.128.0.1']) {
        const egress = egressFor(t, [host], { allowPrivateNetwork })
        t.match(await failure(egress.fetch(`http://${host}/?t=${secret}`)), {
          kind: 'forbidden',
          message: /unencrypted. Use an address that starts with https/
        })
        t.match(await failure(egress.webSocket(`ws://${host}/`, { onMessage() {}, onClose() {} })), {
          kind: 'forbidden',
          message: /unencrypted/
        })
      }
    }
  })

  t.test('an origin that was allowed is not left for another scheme or port of the same host', async t => {
    const { url, host, port, seen } = await serve(t, (_request, response) => json(response, {}))
    const { fetch, webSocket } = egressFor(t, [url])
    t.equal((await fetch(url)).status, 200)
    for (const other of [`https://${host}`, `http://127.0.0.1:${port + 1}`, 'http://127.0.0.1'])
      t.match(await failure(fetch(other)), { kind: 'forbidden', message: /may not talk to/ }, other)
    t.match(await failure(webSocket(`wss://${host}`, { onMessage() {}, onClose() {} })), { kind: 'forbidden' })
    t.equal(seen.requests, 1)
  })

  t.test('what is private and what is not', async t => {
    for (const address of [
      '10.1.2.3',
      '172.16.0.1',
      '172.31.255.255',
      '192.168.1.1',
      '100.64.0.1',
      '127.9.9.9',
      '169.254.169.254',
      '224.0.0.1',
      '255.255.255.255',
      '0.0.0.0',
      '168.63.129.16',
      '::',
      '::1',
      'fe80::1',
      'fe80::1%eth0',
      'fc00::1',
      'fd12::1',
      'ff02::1',
      '::ffff:10.0.0.1',
      '64:ff9b::a00:1',
      '2002:7f00:1::',
      '192.88.99.1',
      '198.18.0.1',
      '203.0.113.9',
      '2001:db8::1',
      '3fff::1',
      '5f00::1',
      '100:0:0:1::1',
      '2001:2::1',
      '2001:0:4136:e378::1',
      '4000::1',
      '::ffff:169.254.169.254',
      '64:ff9b::a9fe:a9fe',
      '64:ff9b:1::808:808',
      'not an address'
    ])
      t.ok(isPrivateAddress(address), address)
    for (const address of [
      '8.8.8.8',
      '172.32.0.1',
      '172.15.255.255',
      '100.128.0.1',
      '192.169.0.1',
      '2606:4700::1111',
      '::ffff:8.8.8.8',
      '64:ff9b::808:808'
    ])
      t.notOk(isPrivateAddress(address), address)
    fc.assert(
      fc.property(fc.integer({ min: 0, max: 255 }), fc.integer({ min: 0, max: 255 }), (c, d) => {
        const hex = ((c << 8) | d).toString(16)
        return (
          isPrivateAddress(`192.168.${c}.${d}`) &&
          isPrivateAddress(`::ffff:192.168.${c}.${d}`) &&
          isPrivateAddress(`64:ff9b::c0a8:${hex}`) &&
          isPrivateAddress(`::ffff:c0a8:${hex}`)
        )
      })
    )
  })

  t.test('hosts of a provider: its own list, or its URL fields with their defaults', async t => {
    const configSchema = Type.Object({
      baseUrl: Type.Optional(Type.String({ format: 'uri', default: 'https://api.level.io' })),
      proxy: Type.Optional(Type.String({ format: 'uri' })),
      note: Type.Optional(Type.String())
    })
    t.same(hostsOf({ configSchema }, {}), ['api.level.io'])
    t.same(
      hostsOf(
        { configSchema },
        { baseUrl: 'http://127.0.0.1:8080/x', proxy: 'https://p.example', note: 'https://no.example' }
      ),
      ['127.0.0.1:8080', 'p.example']
    )
    t.same(hostsOf({ configSchema }, { baseUrl: 'nonsense' }), [])
    t.same(hostsOf({ configSchema, hosts: () => ['a:1'] }, {}), ['a:1'])
  })
})

t.test('failures name their cause and what to do', async t => {
  t.test('refused, unknown name, not HTTP', async t => {
    const gone = await serve(t, () => {})
    await new Promise(resolve => gone.server.close(resolve))
    const retry = { attempts: 1 }
    t.match(await failure(egressFor(t, [gone.host], { retry }).fetch(gone.url)), {
      kind: 'unreachable',
      message: /refused the connection.*Check the address/
    })
    t.match(await failure(egressFor(t, ['nowhere.invalid'], { retry }).fetch('https://nowhere.invalid')), {
      kind: 'unreachable',
      message: /DNS/
    })
    const plain = await serve(t, (_request, response) => json(response, {}))
    t.match(await failure(egressFor(t, [plain.host], { retry }).fetch(plain.url.replace('http', 'https'))), {
      kind: 'unreachable',
      message: /does not speak TLS/
    })
    const garbage = await serve(t, request => {
      request.socket.end(`SSH-2.0-${secret}\r\n`)
    })
    const error = await failure(egressFor(t, [garbage.host], { retry }).fetch(garbage.url))
    t.match(error, { kind: 'protocol', message: /did not answer with HTTP/ })
    t.notMatch(everything(error), secret)
  })

  t.test('certificates: unknown authority, expired, wrong name; and a CA of one’s own', async t => {
    const key = pem('server.key.pem')
    const ca = pem('ca.pem')
    const good = await serve(t, (_request, response) => json(response, {}), { cert: pem('server.pem'), key })
    const expired = await serve(t, (_request, response) => json(response, {}), { cert: pem('expired.pem'), key })
    const other = await serve(t, (_request, response) => json(response, {}), { cert: pem('other-name.pem'), key })
    t.match(await failure(egressFor(t, [good.host]).fetch(good.url)), {
      kind: 'unreachable',
      message: /not trusted here/
    })
    t.equal(good.seen.connections, 1, 'a certificate does not get better by trying again')
    t.equal((await egressFor(t, [good.host], { ca }).fetch(good.url)).status, 200)
    t.match(await failure(egressFor(t, [expired.host], { ca }).fetch(expired.url)), {
      kind: 'unreachable',
      message: /expired certificate/
    })
    t.match(await failure(egressFor(t, [other.host], { ca }).fetch(other.url)), {
      kind: 'unreachable',
      message: /another host name/
    })
    t.throws(() => egressFor(t, [good.host], { ca: 'no certificate' }), {
      kind: 'protocol',
      message: /CA certificate.*cannot be read/
    })
  })

  t.test(
    'a CA that was given and does not fit is told as that, by its name, and so is one that was cut off',
    async t => {
      const [ca, server, key] = [pem('ca.pem'), pem('server.pem'), pem('server.key.pem')]
      const good = await serve(t, (_request, response) => json(response, {}), { cert: server, key })
      const foreign = pem('other-name.pem')
      const misfit = {
        kind: 'unreachable',
        message: /does not come from the CA certificate given.*"\w.*Give it the one/
      }
      const wrong = egressFor(t, [good.host], { ca: foreign })
      t.match(await failure(wrong.fetch(good.url)), misfit)
      t.match(
        await failure(wrong.webSocket(good.url.replace('http', 'ws'), { onMessage() {}, onClose() {} })),
        misfit,
        'on a WebSocket too'
      )
      t.match(
        await failure(
          egressFor(t, [good.host]).webSocket(good.url.replace('http', 'ws'), {
            ca: foreign,
            onMessage() {},
            onClose() {}
          })
        ),
        misfit,
        'and for one that is given with it'
      )
      t.equal((await egressFor(t, [good.host], { ca: `${foreign}\n${ca}` }).fetch(good.url)).status, 200, 'several')
      const lines = ca.trim().split('\n')
      for (const cut of [
        lines.slice(0, -1).join('\n'),
        lines.slice(0, 5).join('\n'),
        [...lines.slice(0, 5), lines.at(-1)].join('\n'),
        `${ca}\n${lines.slice(0, 4).join('\n')}`
      ])
        t.throws(() => egressFor(t, [good.host], { ca: cut }), {
          kind: 'protocol',
          message: /may have been cut off: paste it whole/
        })
    }
  )

  t.test('time-outs: no headers, a body that stops, a body that drips', async t => {
    const { url, host } = await serve(t, (request, response) => {
      if (request.url === '/silent') return
      response.writeHead(200).write('{')
      if (request.url === '/drip') {
        const timer = setInterval(() => response.write(' '), 50)
        response.on('close', () => clearInterval(timer))
      }
    })
    const { fetch } = egressFor(t, [host], {
      retry: { attempts: 1 },
      limits: { concurrency: 3 },
      timeouts: { headersMs: 100, bodyMs: 100 }
    })
    const errors = await Promise.all([failure(fetch(`${url}/silent`)), failure(fetch(`${url}/stop`))])
    t.match(errors[0], { kind: 'unreachable', message: /did not answer in time/ })
    t.match(errors[1], { kind: 'unreachable', message: /did not finish its answer in time/ })
    const drip = egressFor(t, [host], { retry: { attempts: 1 }, timeouts: { totalMs: 300 } })
    t.match(await failure(drip.fetch(`${url}/drip`)), {
      kind: 'unreachable',
      message: /did not finish its answer in time/
    })
  })

  t.test('a credential that cannot be a header is refused without showing it', async t => {
    const { url, host, seen } = await serve(t, (_request, response) => json(response, {}))
    const { fetch, webSocket } = egressFor(t, [host])
    const headers = { authorization: `${secret}\nx: y` }
    for (const sent of [
      fetch(url, { headers }),
      webSocket(url.replace('http', 'ws'), { headers, onMessage() {}, onClose() {} })
    ]) {
      const error = await failure(sent)
      t.match(error, { kind: 'protocol', message: /cannot be sent/ })
      t.notMatch(everything(error), secret)
    }
    t.equal(seen.requests, 0)
  })

  t.test('redaction covers encoded forms and queries', async t => {
    const redact = createRedact([secret, 'ab', ''])
    const text = redact(
      `GET https://h/p?x=1#y '${secret}' ${encodeURIComponent(secret)} ${Buffer.from(secret).toString('base64')} ab`
    )
    t.equal(text, "GET https://h/p '[redacted]' [redacted] [redacted] ab")
  })
})

t.test('abort', async t => {
  t.test('at once while waiting for an answer, for a turn, for the back-off, and when closed', async t => {
    const { url, host } = await serve(t, (request, response) => {
      if (request.url === '/busy') json(response, {}, 429, { 'retry-after': '9' })
    })
    const reason = new Error('stop')
    const one = egressFor(t, [host])
    const first = new AbortController()
    const second = new AbortController()
    const hanging = one.fetch(`${url}/hang`, { signal: first.signal })
    const queued = one.fetch(`${url}/hang`, { signal: second.signal })
    second.abort(reason)
    await t.rejects(queued, reason)
    first.abort(reason)
    await t.rejects(hanging, reason)

    const two = egressFor(t, [host])
    const sleeping = two.fetch(`${url}/busy`)
    sleeping.catch(() => {})
    while (!two.lines.some(line => line.includes('will be repeated')))
      await new Promise(resolve => setImmediate(resolve))
    two.controller.abort(reason)
    await t.rejects(sleeping, reason)
    await t.rejects(two.fetch(`${url}/hang`), reason, 'nothing starts after it')

    const three = egressFor(t, [host])
    const open = t.rejects(three.fetch(`${url}/hang`), { name: 'AbortError' })
    await three.close()
    await three.close()
    await open
  })
})

t.test('rate limit', async t => {
  t.test('one request at a time per connection, even over several egresses, unless allowed more', async t => {
    for (const concurrency of [1, 3]) {
      let now = 0
      let most = 0
      const { url, host } = await serve(t, (_request, response) => {
        most = Math.max(most, ++now)
        setTimeout(() => {
          now--
          json(response, {})
        }, 5)
      })
      const limiter = createRateLimiter({ concurrency })
      const egresses = [egressFor(t, [host], { limiter }), egressFor(t, [host], { limiter })]
      await Promise.all(Array.from({ length: 12 }, (_, at) => egresses[at % 2]!.fetch(url)))
      t.equal(most, concurrency)
    }
  })

  /**
   * Asks for a turn again and again, 10 ms of work each, while `ms` of simulated time pass. Returns when each request
   * started.
   */
  async function simulate(limits: Parameters<typeof createRateLimiter>[0], ms: number, throttleAt: number[] = []) {
    mock.timers.enable({ apis: ['setTimeout', 'Date'], now: 0 })
    const stop = new AbortController()
    const starts: number[] = []
    try {
      const limiter = createRateLimiter(limits, () => Date.now())
      const loop = async () => {
        while (true) {
          const permit = await limiter.acquire(stop.signal, 60_000)
          starts.push(Date.now())
          if (throttleAt.includes(starts.length)) permit.throttled(5000)
          await new Promise(resolve => setTimeout(resolve, 10))
          permit.release()
        }
      }
      const done = loop().catch(() => {})
      const settled = async () => {
        for (let i = 0; i < 6; i++) await Promise.resolve()
      }
      await settled()
      while (Date.now() < ms) {
        mock.timers.tick(10)
        await settled()
      }
      stop.abort()
      mock.timers.tick(10)
      await done
    } finally {
      mock.timers.reset()
    }
    return starts
  }

  const inWindow = (starts: number[], from: number, to: number) => starts.filter(at => at >= from && at < to).length

  t.test('no pacing until the platform complains; then a pause, 90 a minute, and faster step by step', async t => {
    const starts = await simulate({}, 180_000, [100])
    const complained = starts[99]!
    t.ok(complained < 3000, 'unpaced before')
    t.equal(inWindow(starts, complained + 1, complained + 5000), 0, 'nobody asks during the pause')
    t.ok(starts[100]! >= complained + 5000)
    const gaps = starts.slice(100).map((at, index, all) => at - (all[index - 1] ?? at - 667))
    t.ok(gaps[1]! >= 660 && gaps[1]! <= 690, '90 a minute')
    t.ok(gaps[30]! < gaps[1]! && gaps[60]! < gaps[30]!, 'speeds up')
  })

  t.test('a further 429 halves the pace; answers in flight together count once', async t => {
    const starts = await simulate({}, 60_000, [1, 5])
    t.ok(starts[6]! - starts[5]! >= 1330, '45 a minute')
    mock.timers.enable({ apis: ['setTimeout', 'Date'], now: 0 })
    t.teardown(() => mock.timers.reset())
    const limiter = createRateLimiter({ concurrency: 2 }, () => Date.now())
    const { signal } = new AbortController()
    const both = [await limiter.acquire(signal, 60_000), await limiter.acquire(signal, 60_000)]
    for (const permit of both) {
      permit.throttled(0)
      permit.release()
      permit.release()
    }
    await limiter.acquire(signal, 60_000)
    let second = false
    void limiter.acquire(signal, 60_000).then(() => {
      second = true
    })
    mock.timers.tick(680)
    await new Promise(resolve => setImmediate(resolve))
    t.ok(second, 'still 90 a minute')
  })

  /**
   * Milliseconds between the next two requests of a limiter that was told 429 so often, `idleMs` after the last time.
   */
  async function paceAfter(t: Test, complaints: number, told: boolean, idleMs = 0): Promise<number> {
    mock.timers.enable({ apis: ['setTimeout', 'Date'], now: 0 })
    t.teardown(() => mock.timers.reset())
    const limiter = createRateLimiter({}, () => Date.now())
    const { signal } = new AbortController()
    const next = async () => {
      let permit: Awaited<ReturnType<typeof limiter.acquire>> | undefined
      void limiter.acquire(signal, 60_000).then(given => {
        permit = given
      })
      for (const from = Date.now(); ; mock.timers.tick(10)) {
        await new Promise(resolve => setImmediate(resolve))
        if (permit !== undefined) return { permit, waited: Date.now() - from }
      }
    }
    for (let n = 0; n < complaints; n++) {
      const { permit } = await next()
      permit.throttled(1000, told)
      permit.release()
    }
    // Past the pause, which is another matter.
    mock.timers.tick(1000)
    if (idleMs > 0) mock.timers.tick(idleMs)
    ;(await next()).permit.release()
    const { waited } = await next()
    mock.timers.reset()
    return waited
  }

  t.test('a platform that says when to come back is obeyed, and not asked ever slower on top of it', async t => {
    t.ok((await paceAfter(t, 8, true)) <= 1010)
    t.ok((await paceAfter(t, 8, false)) >= 9_000, 'one that says nothing is')
  })

  t.test('the pace recovers with time, also where few requests are made', async t => {
    const minute = 60_000
    const [soon, later, muchLater] = [
      await paceAfter(t, 4, false),
      await paceAfter(t, 4, false, minute),
      await paceAfter(t, 4, false, 10 * minute)
    ]
    t.ok(later < soon * 0.6, `${later} after a minute, ${soon} before`)
    t.ok(muchLater <= 10, 'a platform that was busy ten minutes ago is asked as one that never was')
  })

  t.test('a clock that is set back keeps nobody waiting', async t => {
    mock.timers.enable({ apis: ['Date'], now: 7_200_000 })
    t.teardown(() => mock.timers.reset())
    const { signal } = new AbortController()
    const limiter = createRateLimiter({ concurrency: 2 })
    const first = await limiter.acquire(signal, 60_000)
    first.throttled(10, true, 'busy')
    first.release()
    mock.timers.setTime(3_600_000)
    const second = await limiter.acquire(signal, 60_000)
    second.release()
    t.pass('the pause was ten milliseconds')
  })

  t.test('perMinute is never exceeded in any minute', async t => {
    for (const perMinute of [1, 7, 90, 600]) {
      const starts = await simulate({ perMinute }, 150_000)
      const most = Math.max(...starts.map(from => inWindow(starts, from, from + 60_000)))
      t.ok(most <= perMinute, `${most} of ${perMinute}`)
      t.ok(inWindow(starts, 60_000, 120_000) >= Math.floor(perMinute * 0.85), 'and is used')
    }
  })
})

t.test('WebSocket', async t => {
  async function socketServer(t: Test, tls?: { cert: string; key: string }) {
    const served = await serve(t, (_request, response) => response.writeHead(400).end(), tls)
    const wss = new WebSocketServer({ server: served.server as any })
    t.teardown(() => wss.close())
    return { ...served, wss, url: served.url.replace('http', 'ws') }
  }
  const listener = () => {
    const messages: string[] = []
    const closes: Array<{ code: number; reason: string }> = []
    let heard = () => {}
    return {
      messages,
      closes,
      options: {
        onMessage(text: string) {
          messages.push(text)
          heard()
        },
        onClose(info: { code: number; reason: string }) {
          closes.push(info)
          heard()
        }
      },
      async until(condition: () => boolean) {
        while (!condition())
          await new Promise<void>(resolve => {
            heard = resolve
          })
      }
    }
  }

  t.test('headers go out, text goes both ways, the close code arrives once', async t => {
    const { wss, url, host } = await socketServer(t)
    let header: unknown
    wss.on('connection', (ws, request) => {
      header = request.headers['x-auth']
      ws.on('message', data => {
        ws.send(`echo ${data}`)
        ws.send(Buffer.from('binary'))
        ws.close(4001, 'bye')
      })
    })
    const heard = listener()
    const socket = await egressFor(t, [host]).webSocket(url, { headers: { 'x-auth': secret }, ...heard.options })
    t.equal(socket.closed, false)
    socket.send('hello')
    await heard.until(() => heard.closes.length > 0)
    t.equal(header, secret)
    t.same(heard.messages, ['echo hello', 'binary'])
    t.same(heard.closes, [{ code: 4001, reason: 'bye' }])
    t.equal(socket.closed, true)
    t.throws(() => socket.send('late'), /is closed/)
    socket.close()
    socket.abort()
    t.equal(heard.closes.length, 1)
  })

  t.test('a peer that never answers the close is cut off by abort', async t => {
    const { server, url, host } = await serve(t, () => {})
    const gone = new Promise<void>(resolve =>
      server.on('upgrade', (request, socket) => {
        const accept = createHash('sha1')
          .update(`${request.headers['sec-websocket-key']}258EAFA5-E914-47DA-95CA-C5AB0DC85B11`)
          .digest('base64')
        socket.write(
          `HTTP/1.1 101 Switching Protocols\r\nupgrade: websocket\r\nconnection: upgrade\r\nsec-websocket-accept: ${accept}\r\n\r\n`
        )
        socket.on('end', resolve).resume()
      })
    )
    const heard = listener()
    const socket = await egressFor(t, [host]).webSocket(url.replace('http', 'ws'), heard.options)
    socket.close()
    t.equal(socket.closed, false)
    socket.abort()
    t.same(heard.closes, [{ code: 1006, reason: '' }])
    await gone
  })

  t.test('the signal and closing the egress cut sockets, and no message comes after', async t => {
    const { wss, url, host } = await socketServer(t)
    wss.on('connection', ws => {
      const timer = setInterval(() => ws.send('tick'), 1)
      ws.on('close', () => clearInterval(timer))
    })
    const one = listener()
    const two = listener()
    const controller = new AbortController()
    const egress = egressFor(t, [host])
    await egress.webSocket(url, { ...one.options, signal: controller.signal })
    await egress.webSocket(url, two.options)
    await one.until(() => one.messages.length > 0)
    controller.abort()
    const count = one.messages.length
    t.same(one.closes, [{ code: 1006, reason: '' }])
    t.equal(two.closes.length, 0)
    await two.until(() => two.messages.length > 5)
    t.equal(one.messages.length, count)
    await egress.close()
    t.equal(two.closes.length, 1)
    await t.rejects(egress.webSocket(url, one.options), { name: 'AbortError' })
  })

  t.test('a refused hand-shake names its cause', async t => {
    const statuses: Array<[number, string, Record<string, string>?]> = [
      [401, 'auth'],
      [403, 'forbidden'],
      [404, 'protocol'],
      [502, 'unreachable'],
      [302, 'protocol', { location: 'https://elsewhere.example/?x=1' }]
    ]
    for (const [status, kind, headers] of statuses) {
      const { server, url, host } = await serve(t, (_request, response) => response.writeHead(status, headers).end())
      server.on('upgrade', (_request, socket) =>
        socket.end(
          `HTTP/1.1 ${status} No\r\n${headers ? `location: ${headers['location']}\r\n` : ''}content-length: 0\r\n\r\n`
        )
      )
      const error = await failure(
        egressFor(t, [host]).webSocket(`${url.replace('http', 'ws')}/control.ashx?token=${secret}`, listener().options)
      )
      t.equal(error.kind, kind, String(status))
      t.match(error.message, status === 302 ? 'https://elsewhere.example' : `status ${status}`)
      t.notMatch(everything(error), secret)
    }
  })

  t.test('certificates and refused connections name their cause; a CA of one’s own is trusted', async t => {
    const { url, host } = await socketServer(t, { cert: pem('server.pem'), key: pem('server.key.pem') })
    const gone = await serve(t, () => {})
    await new Promise(resolve => gone.server.close(resolve))
    const { webSocket } = egressFor(t, [host, gone.host])
    t.match(await failure(webSocket(url, listener().options)), { kind: 'unreachable', message: /not trusted here/ })
    t.match(await failure(webSocket(`ws://${gone.host}`, listener().options)), {
      kind: 'unreachable',
      message: /refused the connection/
    })
    const socket = await webSocket(url, { ...listener().options, ca: pem('ca.pem') })
    t.equal(socket.closed, false)
    const own = egressFor(t, [host], { ca: pem('ca.pem') })
    t.equal((await own.webSocket(url, listener().options)).closed, false)
  })

  t.test('abort and time-out during the hand-shake', async t => {
    const { server, url, host } = await serve(t, () => {})
    let upgrades = 0
    server.on('upgrade', () => {
      upgrades++
    })
    const controller = new AbortController()
    const reason = new Error('stop')
    const opening = egressFor(t, [host]).webSocket(url.replace('http', 'ws'), {
      ...listener().options,
      signal: controller.signal
    })
    while (upgrades === 0) await new Promise(resolve => setImmediate(resolve))
    controller.abort(reason)
    await t.rejects(opening, reason)
    const slow = egressFor(t, [host], { timeouts: { connectMs: 50, headersMs: 50 } })
    t.match(await failure(slow.webSocket(url.replace('http', 'ws'), listener().options)), {
      kind: 'unreachable',
      message: /did not answer in time/
    })
  })

  t.test('a message above the limit, or none, is told from a lost connection', async t => {
    const ends: Array<[string, boolean, (ws: WebSocketPeer, raw: Socket) => void]> = [
      ['a message above the limit', true, ws => ws.send('x'.repeat(5000))],
      ['bytes that are no frame', true, (_ws, raw) => raw.write(Buffer.alloc(100, 0xff))],
      ['an end without a close frame', false, (_ws, raw) => raw.end()],
      ['a reset', false, (_ws, raw) => ('encrypted' in raw ? raw.destroy() : raw.resetAndDestroy())],
      ['a server that is gone', false, ws => ws.terminate()],
      ['a close frame', false, ws => ws.close(1001, 'restart')]
    ]
    for (const tls of [undefined, { cert: pem('server.pem'), key: pem('server.key.pem') }]) {
      for (const [name, refused, end] of ends) {
        const { wss, url, host } = await socketServer(t, tls)
        wss.on('connection', (ws, request) => {
          ws.on('error', () => {})
          end(ws, request.socket)
        })
        const heard = listener()
        await egressFor(t, [host], { ca: pem('ca.pem') }).webSocket(url, { ...heard.options, maxMessageBytes: 1000 })
        await heard.until(() => heard.closes.length > 0)
        t.same(heard.messages, [])
        t.equal(heard.closes.length, 1)
        t.equal('refused' in heard.closes[0]!, refused, `${name}, ${tls ? 'wss' : 'ws'}`)
      }
    }
  })
})
