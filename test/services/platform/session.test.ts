import { randomUUID } from 'node:crypto'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { once } from 'node:events'
import { text } from 'node:stream/consumers'
import { sql } from 'kysely'
import t, { type Test } from 'tap'
import { aesGcmSecretBox, defineProvider, ProviderError, type RmmProvider } from '../../../src/index.ts'
import { oauth2, type ProviderSession, Type } from '../../../src/provider.ts'
import { openDatabase } from '../../../src/services/store/database.ts'
import { build, type Host, syncNow } from '../../helper.ts'

t.setTimeout(180_000)

interface Platform {
  url: string
  /** Forms that came to the token endpoint. */
  logins: URLSearchParams[]
  requests: number
  /** Seconds that tokens are said to be good for. */
  expiresIn: number
  /** Takes no token made until now. */
  revoke(): void
  rotate: boolean
}

/** A platform whose list takes a bearer token only. */
async function startPlatform(t: Test): Promise<Platform> {
  const good = new Set<string>()
  let refresh = 'first-refresh-token'
  const platform: Platform = {
    url: '',
    logins: [],
    requests: 0,
    expiresIn: 3600,
    rotate: false,
    revoke: () => good.clear()
  }
  const server = createServer(async (request, response) => {
    const answer = (status: number, body: unknown) => {
      response.writeHead(status, { 'content-type': 'application/json' }).end(JSON.stringify(body))
    }
    if (request.url === '/token') {
      const form = new URLSearchParams(await text(request))
      platform.logins.push(form)
      if (form.get('client_secret') !== 'client-secret') return answer(401, { error: 'invalid_client' })
      if (form.get('grant_type') === 'refresh_token' && form.get('refresh_token') !== refresh)
        return answer(400, { error: 'invalid_grant' })
      if (platform.rotate) refresh = `refresh-${randomUUID()}`
      const token = `token-${randomUUID()}`
      good.add(token)
      return answer(200, {
        access_token: token,
        token_type: 'Bearer',
        expires_in: platform.expiresIn,
        ...(platform.rotate ? { refresh_token: refresh } : {})
      })
    }
    platform.requests++
    const token = request.headers.authorization?.replace('Bearer ', '') ?? ''
    if (!good.has(token)) return answer(401, { error: `bad token ${token}` })
    answer(200, [{ id: 1, name: 'One' }])
  }).listen(0, '127.0.0.1')
  await once(server, 'listening')
  t.teardown(() => server.close().closeAllConnections())
  platform.url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
  return platform
}

interface Client {
  read(signal: AbortSignal): Promise<Array<{ id: number; name: string }>>
}

const sessions: ProviderSession[] = []

function tokenProvider(grant: 'client_credentials' | 'refresh_token' = 'client_credentials'): RmmProvider {
  return defineProvider({
    id: 'tokens',
    name: 'Tokens',
    description: 'Takes a bearer token',
    allowPrivateNetwork: true,
    configSchema: Type.Object({ url: Type.String({ format: 'uri' }) }),
    secretSchema: Type.Object({ clientSecret: Type.String(), refreshToken: Type.Optional(Type.String()) }),
    open({ config, secrets, fetch, session }): Client {
      sessions.push(session)
      const platform = oauth2(
        { fetch, session },
        {
          tokenUrl: `${config.url}/token`,
          grant,
          clientId: 'client',
          clientSecret: secrets.clientSecret,
          refused: 'The platform refused the client; enter its secret again',
          ...(secrets.refreshToken === undefined ? {} : { refreshToken: secrets.refreshToken })
        }
      )
      return {
        async read(signal) {
          const response = await platform.fetch(`${config.url}/devices`, { signal })
          if (response.status !== 200) throw new ProviderError('auth', `It said ${response.text()}`)
          return response.json() as Array<{ id: number; name: string }>
        }
      }
    },
    async check(client, signal) {
      await client.read(signal)
      return { account: 'Tokens', warnings: [] }
    },
    resources: {
      devices: {
        deletes: 'snapshot',
        async *pull(client, _from, signal) {
          const observedAt = new Date()
          const rows = await client.read(signal)
          yield { observedAt, records: rows.map(({ id, name }) => ({ externalId: id, displayName: name })) }
        },
        async fetchOne(client, id, signal) {
          const found = (await client.read(signal)).find(row => String(row.id) === id)
          return found === undefined ? null : { externalId: id, displayName: found.name }
        }
      }
    }
  }) as RmmProvider
}

async function connect(host: Host, platform: Platform, secrets: object = { clientSecret: 'client-secret' }) {
  const { status, body } = await host.call('t1', 'POST', '/connections', {
    provider: 'tokens',
    config: { url: platform.url },
    secrets
  })
  if (status !== 201) throw new Error(JSON.stringify(body))
  return body.connection.id as string
}

async function setUp(t: Test, grant?: 'refresh_token') {
  const platform = await startPlatform(t)
  const providers = [tokenProvider(grant)]
  const host = await build(t, { providers, schedule: { enabled: false } })
  const other = await build(t, { on: host, providers, schedule: { enabled: false } })
  return { platform, host, other }
}

const readOne = (host: Host, id: string) => host.call('t1', 'POST', `/connections/${id}/devices/1/sync`)

t.test('one token serves all runs, re-reads and tests of a connection, in all processes', async t => {
  const { platform, host, other } = await setUp(t)
  const id = await connect(host, platform)
  for (let n = 0; n < 5; n++) {
    t.equal((await syncNow(n % 2 ? host : other, id)).status, 'succeeded')
    t.equal((await readOne(n % 2 ? other : host, id)).status, 200)
    t.equal((await host.call('t1', 'POST', `/connections/${id}/test`)).status, 200)
  }
  t.equal(platform.logins.length, 1)
})

t.test('a token that is over, or refused, is renewed once for all who ask at the same time', async t => {
  const { platform, host, other } = await setUp(t)
  const id = await connect(host, platform)
  for (let round = 1; round <= 3; round++) {
    platform.revoke()
    const answers = await Promise.all(Array.from({ length: 10 }, (_, n) => readOne(n % 2 ? host : other, id)))
    t.strictSame(
      answers.map(({ status }) => status),
      answers.map(() => 200)
    )
    t.equal(platform.logins.length, 1 + round)
  }
  const { db, t: tables } = await openDatabase(host.orm, host.schema)
  await sql`update ${tables.session_value} set expires_at = now() - interval '1 second'`.execute(db)
  t.equal((await readOne(other, id)).status, 200)
  t.equal(platform.logins.length, 5)
})

t.test('a client that is refused is told so, without its secret or token', async t => {
  const { platform, host } = await setUp(t)
  const refused = await host.call('t1', 'POST', '/connections', {
    provider: 'tokens',
    config: { url: platform.url },
    secrets: { clientSecret: 'wrong-secret' }
  })
  t.match(refused, { status: 422, body: { code: 'RMM_ERR_CONNECTION_CHECK', message: /enter its secret again/ } })
  const id = await connect(host, platform)
  const token = (await sessions.at(-1)!.get('oauth2.token'))!
  const message = await readOne(host, id).then(() => token)
  t.match(message, /^token-/)
  platform.expiresIn = 0
  const { db, t: tables } = await openDatabase(host.orm, host.schema)
  const { rows } = await sql<{ sealed: string }>`select sealed from ${tables.session_value}`.execute(db)
  t.equal(rows.length, 1)
  t.notOk(rows[0]!.sealed.includes(token), 'it is stored sealed')
})

t.test('a rotated refresh token is kept, and the next log-in uses it', async t => {
  const { platform, host, other } = await setUp(t, 'refresh_token')
  platform.rotate = true
  const id = await connect(host, platform, { clientSecret: 'client-secret', refreshToken: 'first-refresh-token' })
  for (const by of [host, other, host]) {
    platform.revoke()
    t.equal((await readOne(by, id)).status, 200)
  }
  const used = platform.logins.map(form => form.get('refresh_token'))
  t.equal(used.length, 4)
  t.equal(new Set(used).size, 4, 'each is used once')
  t.equal(used[0], 'first-refresh-token')
})

t.test('whoever changes config or secrets starts without the session; disconnecting forgets it', async t => {
  const { platform, host } = await setUp(t)
  const id = await connect(host, platform)
  const former = sessions.at(-1)!
  await readOne(host, id)
  const stored = sessions.at(-1)!
  const changed = await host.call('t1', 'PATCH', `/connections/${id}`, { secrets: { clientSecret: 'client-secret' } })
  t.equal(changed.status, 200)
  t.equal(platform.logins.length, 2, 'new secrets are tried anew')
  t.equal((await readOne(host, id)).status, 200)
  t.equal(platform.logins.length, 2, 'what they brought is kept')
  t.equal(await stored.get('oauth2.token'), null, 'an older client finds nothing of it')
  await stored.set('late', { value: 'written late' })
  t.equal(await stored.get('late'), null, 'and leaves nothing')
  t.type(await former.get('oauth2.token'), 'string', 'the one that was only tried has a memory of its own')
  t.equal((await host.call('t1', 'DELETE', `/connections/${id}`)).status, 204)
  t.equal(await sessions.at(-1)!.get('oauth2.token'), null)
})

t.test('values of a session follow a rotation of keys', async t => {
  const platform = await startPlatform(t)
  const box = (...names: string[]) =>
    aesGcmSecretBox({
      keys: Object.fromEntries(names.map(name => [name, Buffer.alloc(32, name).toString('base64')])),
      current: names.at(-1)!
    })
  const providers = [tokenProvider()]
  const host = await build(t, { providers, secrets: box('a') })
  const id = await connect(host, platform)
  const both = await build(t, { on: host, providers, secrets: box('a', 'b') })
  t.match(await both.app.rmm.secrets.usage(), { keys: [{ keyId: 'a', values: 2, opens: true }] })
  t.match(await both.app.rmm.secrets.reseal(), { resealed: 2, unreadable: 0 })
  const after = await build(t, { on: host, providers, secrets: box('b') })
  t.equal((await readOne(after, id)).status, 200)
  t.equal(platform.logins.length, 1)
})

t.test('a value that cannot be made is tried by the next who asks; a broken one is the provider’s mistake', async t => {
  const { platform, host } = await setUp(t)
  const id = await connect(host, platform)
  await readOne(host, id)
  const session = sessions.at(-1)!
  await t.rejects(
    session.renew('x', () => Promise.reject(new ProviderError('unreachable', 'Away'))),
    /Away/
  )
  t.equal(await session.renew('x', async () => ({ value: 'made' })), 'made')
  t.equal(await session.renew('x', async () => ({ value: 'not asked for' })), 'made')
  await session.delete('x')
  t.equal(await session.get('x'), null)
  for (const broken of [undefined, { value: '' }, { value: 7 }, { value: 'x', expiresInMs: Number.NaN }])
    await t.rejects(session.set('x', broken as never), { code: 'RMM_ERR_PROVIDER_FAULT' })
  await t.rejects(session.get(''), { code: 'RMM_ERR_PROVIDER_FAULT' })
})
