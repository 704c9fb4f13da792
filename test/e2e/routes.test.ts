import { randomBytes } from 'node:crypto'
import { sql } from 'kysely'
import t from 'tap'
import { level } from '../../src/providers/level/index.ts'
import { openDatabase } from '../../src/services/store/database.ts'
import { linuxHardware } from '../../src/testing/fake-mesh/index.ts'
import { callbackSink, type RmmProvider } from '../../src/index.ts'
import type { RmmEvent } from '../../src/types.ts'
import { connectLevel, fakeLevel, syncNow } from '../helper.ts'
import { base32, groupDocs, nodeId, totp, windowsDocs } from './mesh-docs.ts'
import { connectReal, countedMesh, realHost } from './mesh-host.ts'
import { requireMeshCentral, RealMesh } from './meshcentral-server.ts'
import { until } from '../until.ts'

const found = requireMeshCentral()

const all = 4_294_967_295
const remoteOnly = 8 | 1_048_576
const secret = randomBytes(20)
const bitlocker = '111111-222222-333333-444444-555555-666666-777777-888888'

/** Devices no client of the platform would make, as a restored or foreign database may hold them. */
function hostileDocs(meshid: string): object[] {
  const node = (name: string, doc: object, hardware?: unknown) => {
    const _id = nodeId(name)
    return [
      { type: 'node', _id, meshid, domain: '', ...doc },
      ...(hardware === undefined ? [] : [{ _id: `si${_id}`, type: 'sysinfo', domain: '', time: 1, hardware }])
    ]
  }
  const agent = { mtype: 2, agent: { id: 4, ver: 0 } }
  return [
    ...node('LONG', {
      ...agent,
      name: 'n'.repeat(5_000),
      rname: 'r'.repeat(5_000),
      desc: 'd'.repeat(50_000),
      tags: ['t'.repeat(5_000)],
      users: ['u'.repeat(5_000)]
    }),
    ...node('EMPTY', { ...agent, name: '', rname: '' }),
    ...node('MARKUP', {
      ...agent,
      name: '<script>alert(1)</script>\r\n\u202e\u0000',
      rname: '\ud83c',
      users: ['ACME\\\u0000jane']
    }),
    ...node('NOTYPE', { name: 'no-type', rname: 'no-type' }),
    ...node('WRONG', {
      mtype: '2',
      name: 'wrong-types',
      rname: 7,
      agent: 'x',
      ip: 7,
      host: {},
      osdesc: [],
      users: 'jane',
      tags: { a: 1 },
      av: 'none',
      lastbootuptime: 'yesterday',
      conn: 'yes',
      wsc: []
    }),
    ...node(
      'HUGE',
      { ...agent, name: 'huge', rname: 'huge' },
      {
        windows: {
          volumes: Object.fromEntries(
            Array.from({ length: 2_000 }, (_, n) => [
              `V${n}`,
              { size: 1e15, sizeremaining: -1, recoveryPassword: bitlocker }
            ])
          ),
          osinfo: { Caption: 'C'.repeat(200_000) }
        },
        junk: 'j'.repeat(2_000_000)
      }
    ),
    ...node('BROKEN', { ...agent, name: 'broken', rname: 'broken' }, [null, 7]),
    ...node(
      'SECRETS',
      {
        ...agent,
        name: 'secrets',
        rname: 'secrets',
        intelamt: { user: 'amt-user', pass: 'amt-secret', mpspass: 'mps-secret', warn: 1 },
        ssh: { 'user//admin': { u: 'root', p: 'ssh-secret', k: 'ssh-key-secret' } },
        rdp: { 'user//admin': { p: 'rdp-secret' } },
        pmt: 'push-secret',
        pass: 'plain-secret',
        volumes: { C: { recoveryPassword: bitlocker, identifier: 'x' } },
        links: { 'user//someone': { rights: 8 } }
      },
      {
        windows: {
          volumes: {
            C: { size: 5, sizeremaining: 1, recoveryPassword: bitlocker, identifier: '{key-protector-secret}' }
          }
        },
        ...linuxHardware()
      }
    ),
    ...node('AMT', { mtype: 1, name: 'amt', host: '10.0.0.10', intelamt: { user: 'amt-user', pass: 'amt-secret' } })
  ]
}
const hostileCount = 9

let acme = ''
const mesh = await RealMesh.create(found.module, {
  domains: { closed: { title: 'Closed', newAccounts: false, guestDeviceSharing: false } },
  async prepare(mesh) {
    await mesh.account('twofactor', 'Tw0factor-pass!')
    await mesh.account('helper', 'H3lper-pass!')
    await mesh.account('closer', 'Cl0ser-pass!', { admin: true, domain: 'closed' })
    const docs = await mesh.exportDocs()
    const user = (id: string) => docs.find(doc => doc['_id'] === id)!
    user('user//twofactor')['otpsecret'] = base32(secret)
    const group = groupDocs('Acme Devices', [
      { user: user('user//admin'), rights: all },
      { user: user('user//helper'), rights: remoteOnly }
    ])
    const closed = groupDocs('Acme Devices', [{ user: user('user/closed/closer'), rights: all }], 'closed')
    acme = group.id
    await mesh.importDocs(
      [
        ...docs,
        ...group.docs,
        ...closed.docs,
        ...windowsDocs(group.id, 'WIN-1', 1),
        ...windowsDocs(closed.id, 'WIN-2', 2),
        ...hostileDocs(group.id)
      ].filter(
        (doc, n, every) =>
          every.findLastIndex(other => (other as { _id: string })._id === (doc as { _id: string })._id) === n
      )
    )
  }
})
t.teardown(() => mesh.close())

const logged: string[] = []
const published: RmmEvent[] = []
const told: unknown[] = []
const clients = [
  { id: 'c1', name: 'Acme' },
  { id: 'c2', name: 'Globex' }
]
const host = await realHost(t, {
  clients: () => clients,
  worker: { enabled: true },
  schedule: { enabled: false },
  providers: [countedMesh({ logins: 0, lists: 0, writes: 0 }), level({ allowPrivateNetwork: true }) as RmmProvider],
  fastify: {
    logger: {
      level: 'trace',
      stream: {
        write: (line: string) => {
          logged.push(line)
        }
      }
    }
  },
  events: [
    callbackSink(events => {
      published.push(...events)
    })
  ],
  onChanges: batch => {
    told.push(batch)
  }
})
const {
  body: { connection }
} = await connectReal(host, mesh)
const device = async (tenant: string, name: string) =>
  (await host.call(tenant, 'GET', `/devices?q=${name}`)).body.items.find(
    (item: { displayName: string }) => item.displayName === name
  )
const share = (tenant: string, { id }: { id: string }, body: object = {}) =>
  host.call(tenant, 'POST', `/devices/${id}/remote-session`, body)

t.test(
  'an account with two-factor authentication: no code, a wrong one, the right one, and the log-in after it',
  async t => {
    const connect = (token?: string) =>
      connectReal(host, mesh, {
        tenant: 't2',
        secrets: { username: 'twofactor', password: 'Tw0factor-pass!', ...(token === undefined ? {} : { token }) }
      })
    t.match(await connect(), {
      status: 422,
      body: { code: 'RMM_ERR_CONNECTION_CHECK', message: /needs a 2FA code or login token.*Manage login tokens/ }
    })
    const right = totp(secret)
    const wrong = String((Number(right) + 1) % 1_000_000).padStart(6, '0')
    t.match(await connect(wrong), {
      status: 422,
      body: { code: 'RMM_ERR_CONNECTION_CHECK', message: /did not accept the 2FA code: it is wrong or has expired/ }
    })
    t.strictSame((await host.call('t2', 'GET', '/connections')).body.items, [], 'nothing is stored')
    const connected = await connect(totp(secret))
    t.match(connected, { status: 201, body: { connection: { status: 'connected' } } })
    t.notMatch(JSON.stringify(connected.body), right, 'the code does not come back')
    const path = `/connections/${connected.body.connection.id}`
    t.match(await host.call('t2', 'POST', `${path}/test`), {
      status: 200,
      body: { warnings: [/sees only/, /2FA code.*the next log-in will be refused/] }
    })
    t.match(
      await host.call('t2', 'PATCH', path, {
        secrets: { username: 'twofactor', password: 'Tw0factor-pass!', token: wrong }
      }),
      { status: 422 }
    )
    t.match(
      await host.call('t2', 'GET', `${path}/device-groups/status`),
      { body: { source: 'platform' } },
      'a refused change leaves what works'
    )
    await host.call('t2', 'DELETE', `${path}?mode=purge`)
  }
)

t.test('a login token needs no code; once revoked it says so everywhere', async t => {
  const made = await mesh.meshctrl('logintokens', '--add', 'psa')
  const [username] = made.match(/~t:\S+/) ?? []
  const [, password] = made.match(/Password:?\s+(\S+)/i) ?? []
  const { status, body } = await connectReal(host, mesh, { tenant: 't3', secrets: { username, password } })
  t.equal(status, 201)
  const path = `/connections/${body.connection.id}`
  t.match(await host.call('t3', 'POST', `${path}/test`), { status: 200, body: { account: /^admin on/, warnings: [] } })
  t.match(await host.call('t3', 'GET', `${path}/device-groups/status`), { body: { source: 'platform' } })
  await mesh.meshctrl('logintokens', '--remove', username!)
  t.match(await host.call('t3', 'GET', `${path}/device-groups/status`), {
    status: 200,
    body: { source: 'stored', message: /expired or revoked login token/ }
  })
  t.match((await host.call('t3', 'GET', path)).body, {
    status: 'error',
    statusReason: /expired or revoked login token/
  })
  t.match(await host.call('t3', 'POST', `${path}/device-groups/sync-all`, {}), {
    status: 409,
    body: { code: 'RMM_ERR_PLATFORM_FORBIDDEN', message: /revoked login token/ }
  })
  t.match(await host.call('t3', 'POST', `${path}/test`), { status: 422, body: { message: /revoked login token/ } })
  t.match(await syncNow(host, body.connection.id, {}, 't3'), {
    status: 'failed',
    error: { code: 'RMM_ERR_PLATFORM_AUTH' }
  })
  await host.call('t3', 'DELETE', `${path}?mode=purge`)
})

t.test(
  "a device's screen: for an hour or as long as was asked for, to watch or to work; the server has what was promised",
  async t => {
    t.equal((await syncNow(host, connection.id)).status, 'succeeded')
    const windows = await device('t1', 'WIN-1')
    const began = Date.now()
    const lasts = ({ body }: { body: { expiresAt: string } }) =>
      Math.round((Date.parse(body.expiresAt) - began) / 60_000)
    const usual = await share('t1', windows)
    t.match(usual, { status: 201, body: { url: new RegExp(`^${mesh.url}.*/sharing\\?c=`.replace('.*/', '/')) } })
    t.equal(lasts(usual), 60)
    const { pathname, search } = new URL(usual.body.url)
    t.match((await mesh.download(pathname + search)).toString('utf8'), /<html/i, 'the page is there')
    const watching = await share('t1', windows, { viewOnly: true, minutes: 15 })
    t.equal(lasts(watching), 15)
    t.equal(lasts(await share('t1', windows, { minutes: 1_440 })), 1_440)
    for (const body of [
      { minutes: 0 },
      { minutes: 1_441 },
      { minutes: 1.5 },
      { minutes: '1e9' },
      { viewOnly: 'perhaps' },
      { guestName: 'x' }
    ])
      t.equal((await share('t1', windows, body)).status, 400, JSON.stringify(body))
    const links = await mesh.meshctrl('devicesharing', '--id', windows.externalId)
    t.strictSame(
      [links.match(/View Only Desktop/g)?.length, links.match(/Desktop/g)?.length],
      [1, 3],
      'one to watch and two to work, none for what was refused'
    )
    t.equal((await share('t2', windows)).status, 404, "not another tenant's")
    await until('the events', () => published.filter(({ type }) => type === 'RMM_REMOTE_SESSION_STARTED').length === 3)
    t.notMatch(JSON.stringify(published), /sharing\?c=/, 'who has the link has the way in: it is in no event')
  }
)

t.test('the person at the device is told or asked by the server as was wanted, and reads who is coming', async t => {
  const windows = await device('t1', 'WIN-1')
  const links = async () => {
    const text = await mesh.meshctrl('devicesharing', '--id', windows.externalId)
    return [...text.matchAll(/Guest Name: +(.*)\r?\nUser Consent: (.*)/g)].map(([, guest, consent]) =>
      `${guest}: ${consent}`.trim()
    )
  }
  const before = await links()
  const { inventory } = host.app.rmm.as({ id: 'u7', name: 'Jane Doe' })
  for (const consent of ['none', 'notify', 'prompt'] as const)
    await inventory.remoteSession('t1', windows.id, { consent })
  t.strictSame((await links()).filter(link => !before.includes(link)).sort(), [
    'Jane Doe:',
    'Jane Doe: Desktop Notify, Desktop Connection Toolbar',
    'Jane Doe: Desktop Notify, Desktop Prompt, Desktop Connection Toolbar'
  ])
  await mesh.meshctrl('editdevicegroup', '--id', acme, '--consent', '8')
  t.match(await share('t1', windows, { consent: 'none' }), {
    status: 409,
    body: { code: 'RMM_ERR_PLATFORM_FORBIDDEN', message: /device group demands/ }
  })
  t.equal((await share('t1', windows)).status, 201, 'without a wish, what the group is set to')
  t.equal((await share('t1', windows, { consent: 'perhaps' })).status, 400)
  await mesh.meshctrl('editdevicegroup', '--id', acme, '--consent', '0')
})

t.test('without the right to share, and where sharing is switched off, the answer names what is missing', async t => {
  const helper = await connectReal(host, mesh, {
    tenant: 't4',
    secrets: { username: 'helper', password: 'H3lper-pass!' }
  })
  t.equal((await syncNow(host, helper.body.connection.id, {}, 't4')).status, 'succeeded')
  t.match(await share('t4', await device('t4', 'WIN-1')), {
    status: 409,
    body: { code: 'RMM_ERR_PLATFORM_FORBIDDEN', message: /"Guest Sharing"/ }
  })
  const closed = await connectReal(host, mesh, {
    tenant: 't5',
    config: { domain: 'closed' },
    secrets: { username: 'closer', password: 'Cl0ser-pass!' }
  })
  t.equal((await syncNow(host, closed.body.connection.id, {}, 't5')).status, 'succeeded')
  t.match(await share('t5', await device('t5', 'WIN-2')), {
    status: 409,
    body: { code: 'RMM_ERR_PLATFORM_FORBIDDEN', message: /guestDeviceSharing/ }
  })
  for (const [tenant, { body }] of [
    ['t4', helper],
    ['t5', closed]
  ] as const)
    await host.call(tenant, 'DELETE', `/connections/${body.connection.id}?mode=purge`)
})

t.test("install links: only for a client's own group, while it is there", async t => {
  const groups = (path: string, body: object = {}) =>
    host.call('t1', 'POST', `/connections/${connection.id}/device-groups/${path}`, body)
  t.match(await groups('c1/install-link'), {
    status: 409,
    body: { code: 'RMM_ERR_CONFLICT', message: /ensure it first/ }
  })
  t.match((await groups('ensure/c1')).body, { linked: true, groupId: acme })
  const began = Date.now()
  const link = await groups('c1/install-link', { hours: 2 })
  t.match(link, { status: 201, body: { url: /\/agentinvite\?c=/ } })
  t.equal(Math.round((Date.parse(link.body.expiresAt) - began) / 3_600_000), 2)
  const { pathname, search } = new URL(link.body.url)
  t.match((await mesh.download(pathname + search)).toString('utf8'), /<html/i)
  for (const hours of [0, 8_761, 1.5, -1])
    t.equal((await groups('c1/install-link', { hours })).status, 400, `${hours} hours`)
  t.match(await groups('nobody/install-link'), { status: 404, body: { code: 'RMM_ERR_NOT_FOUND' } })
  const { groupId } = (await groups('ensure/c2')).body
  await mesh.meshctrl('removedevicegroup', '--id', groupId)
  t.match(await groups('c2/install-link'), {
    status: 409,
    body: { code: 'RMM_ERR_PLATFORM_FORBIDDEN', message: /not on the MeshCentral server any more/ }
  })
})

t.test('a provider that has neither says so', async t => {
  const fake = await fakeLevel(t, { devices: 3, groups: 1 })
  const id = await connectLevel(host, fake, 't6')
  t.equal((await syncNow(host, id, {}, 't6')).status, 'succeeded')
  const {
    body: {
      items: [any]
    }
  } = await host.call('t6', 'GET', '/devices')
  t.match(await share('t6', any), {
    status: 409,
    body: { code: 'RMM_ERR_NOT_SUPPORTED', message: /no remote sessions/ }
  })
  t.match(await host.call('t6', 'POST', `/connections/${id}/device-groups/c1/install-link`, {}), {
    status: 409,
    body: { code: 'RMM_ERR_NOT_SUPPORTED' }
  })
})

t.test('hostile devices are read or refused one by one, and no secret of any is stored, told or logged', async t => {
  const run = await syncNow(host, connection.id)
  t.equal(run.status, 'succeeded')
  const {
    body: { items }
  } = await host.call('t1', 'GET', `/devices?connectionId=${connection.id}&limit=200`)
  t.equal(
    items.length,
    hostileCount + 1,
    `every one is there: ${JSON.stringify((await host.call('t1', 'GET', `/runs/${run.id}/items`)).body.items)}`
  )
  t.ok(
    items.every((item: { displayName: string }) => item.displayName.length > 0 && item.displayName.length <= 500),
    'with a name that can be shown'
  )
  t.equal(items.find((item: { displayName: string }) => item.displayName === 'huge').volumes.length <= 2_000, true)
  t.match(
    items.find((item: { displayName: string }) => item.displayName === 'no-type'),
    { externalId: nodeId('NOTYPE') }
  )
  const session = await share('t1', await device('t1', 'secrets'))
  t.equal(session.status, 201)

  const { db, t: tables } = await openDatabase(host.orm, host.schema)
  const stored: string[] = []
  for (const table of Object.values(tables))
    stored.push(
      ...(await sql<{ row: string }>`select to_jsonb(x)::text as row from ${table} x`.execute(db)).rows.map(
        ({ row }) => row
      )
    )
  t.ok(
    stored.length > 30 && told.length > 0 && published.length > 10 && logged.length > 50,
    'there is something to look through'
  )
  const forbidden =
    /recoveryPassword|111111-222222|amt-secret|amt-user|mps-secret|ssh-secret|ssh-key-secret|rdp-secret|push-secret|plain-secret|key-protector-secret|Adm1n-pass|Tw0factor-pass|H3lper-pass|\/sharing\?c=|agentinvite\?c=/
  for (const [where, texts] of Object.entries({
    tables: stored,
    onChanges: told.map(batch => JSON.stringify(batch)),
    events: published.map(event => JSON.stringify(event)),
    logs: logged
  })) {
    t.strictSame(
      texts.filter(text => forbidden.test(text)).map(text => text.match(forbidden)![0]),
      [],
      where
    )
  }
  t.ok(mesh.running, 'and the server lives')
})
