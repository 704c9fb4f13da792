import fc from 'fast-check'
import t, { type Test } from 'tap'
import {
  mapRecords,
  ProviderError,
  type DeviceRecord,
  type Hint,
  type RejectedRecord
} from '../../src/providers/define.ts'
import { sanitizeName } from '../../src/providers/meshcentral/groups.ts'
import { meshcentral } from '../../src/providers/meshcentral/index.ts'
import { toDevice } from '../../src/providers/meshcentral/map.ts'
import { essentialsOf } from '../../src/providers/meshcentral/node-list.ts'
import { Presence } from '../../src/providers/meshcentral/presence.ts'
import { revisionOf, stateOf } from '../../src/providers/meshcentral/revision.ts'
import { normalizeDevice } from '../../src/services/model/normalize/device.ts'
import {
  linuxHardware,
  meshInterfaces,
  meshRights,
  startFakeMeshCentral,
  windowsHardware,
  type FakeMeshCentral,
  type FakeMeshOptions
} from '../../src/testing/fake-mesh/index.ts'
import { openMesh, stored } from './mesh-client.ts'
import { until } from '../until.ts'
import { freePort } from '../ports.ts'

const { signal } = new AbortController()

async function setUp(t: Test, options: FakeMeshOptions = {}, timings: Parameters<typeof meshcentral>[0] = {}) {
  const fake = await startFakeMeshCentral({ port: await freePort(), ...options })
  t.teardown(() => fake.close())
  const provider = meshcentral({
    allowPrivateNetwork: true,
    debounceMs: 20,
    offlineGraceMs: 60,
    requestTimeoutMs: 3000,
    ...timings
  })
  const open = (secrets: Record<string, string> = {}, config: Record<string, unknown> = {}) =>
    openMesh(
      t,
      provider,
      { url: fake.url, ...(options.domain ? { domain: options.domain } : {}), ...config },
      { username: fake.username, password: fake.password, ...secrets }
    )
  return { fake, provider, groups: provider.deviceGroups!, devices: provider.resources.devices!, open }
}

async function failure(promise: Promise<unknown>): Promise<ProviderError> {
  const error = await promise.then(
    () => null,
    (reason: unknown) => reason
  )
  if (!(error instanceof ProviderError)) throw new Error(`expected a ProviderError, got ${String(error)}`)
  return error
}

async function all<R>(pages: AsyncIterable<{ records: R[] }>): Promise<R[]> {
  const records: R[] = []
  for await (const page of pages) records.push(...page.records)
  return records
}

t.test('a refused log-in is a sentence with what to do, and the socket is dropped at once', async t => {
  const cases: Array<[string, Record<string, unknown>, { kind: string; message: RegExp; retryAfterMs?: number }]> = [
    [
      'a malformed header',
      { action: 'close', cause: 'noauth', msg: 'noauth-2c' },
      { kind: 'auth', message: /bare user name/ }
    ],
    [
      '2FA',
      { action: 'close', cause: 'noauth', msg: 'tokenrequired' },
      { kind: 'auth', message: /2FA code or login token/ }
    ],
    ['a login key', { action: 'close', cause: 'noauth', msg: 'nokey' }, { kind: 'forbidden', message: /login key/ }],
    ['no tools', { action: 'close', cause: 'notools', msg: 'notools' }, { kind: 'forbidden', message: /No Tools/ }],
    [
      'a lock-out',
      { action: 'close', cause: 'banned', msg: 'banned-1' },
      { kind: 'rate_limited', message: /locked out/, retryAfterMs: 600_000 }
    ],
    [
      'too many sessions',
      { action: 'stopped', msg: 'Session count exceed' },
      { kind: 'rate_limited', message: /no further session/, retryAfterMs: 60_000 }
    ],
    [
      'something new',
      { action: 'close', cause: 'expired', msg: '<b>x</b>\u001b[31m' },
      { kind: 'auth', message: /expired/ }
    ]
  ]
  for (const [name, frame, expected] of cases) {
    await t.test(name, async t => {
      const { fake, provider, open } = await setUp(t)
      fake.refuseLogins(frame)
      const client = await open()
      t.match(await failure(provider.check(client, signal)), expected)
      await until('the socket to be gone, long before the server would close it', () => fake.sockets() === 0)
      if (expected.retryAfterMs === undefined) return
      fake.refuseLogins(null)
      const waiting = await failure(provider.check(client, signal))
      t.equal(waiting.kind, 'rate_limited', 'it is left alone for as long as it asked')
      t.equal(fake.counts.logins, 0)
    })
  }
})

t.test('a 2FA code is sent as it is meant, however it was pasted; one of blanks is none', async t => {
  const { provider, open } = await setUp(t, { twoFactor: '123456' })
  for (const token of ['123 456', ' 123456\n', '123\u00a0456', '12 34 56', '\u200b123456', '123-456', '123\u2013456'])
    t.match(await provider.check(await open({ token }), signal), { account: /^sync on/ }, JSON.stringify(token))
  t.match(await failure(provider.check(await open({ token: ' \n ' }), signal)), { message: /needs a 2FA code/ })
  const letters = await setUp(t, { twoFactor: 'ccccccbc-gujx' })
  t.match(await letters.provider.check(await letters.open({ token: 'ccccccbc-gujx ' }), signal), { account: /^sync/ })
})

t.test('log-in: password, token, 2FA, login key, domain', async t => {
  const { fake, provider, open } = await setUp(t, { twoFactor: '123456', domain: 'alt', loginKey: 'abc' })
  t.match(await failure(provider.check(await open(), signal)), { kind: 'forbidden', message: /wants its login key/ })
  t.match(await failure(provider.check(await open({ loginKey: 'abd' }), signal)), { kind: 'forbidden' })
  const loginKey = 'abc'
  t.match(await failure(provider.check(await open({ loginKey }), signal)), {
    kind: 'auth',
    message: /needs a 2FA code or login token/
  })
  t.match(await failure(provider.check(await open({ loginKey, token: '654321' }), signal)), {
    kind: 'auth',
    message: /did not accept the 2FA code: it is wrong or has expired.*login token/
  })
  t.match(await provider.check(await open({ loginKey, token: '123456' }), signal), {
    account: `sync on 127.0.0.1:${fake.port}`,
    warnings: [/2FA code.*the next log-in will be refused.*login token/, /not encrypted/]
  })
  t.strictSame(
    (await provider.check(await open({ ...fake.loginToken, loginKey }), signal)).warnings,
    ['The connection is not encrypted: use https://'],
    'a login token needs no code and no warning'
  )
  t.equal(
    (await failure(provider.check(await open({ loginKey, password: 'wrong', token: '123456' }), signal))).kind,
    'auth'
  )
  t.match(
    await provider.check(await open(fake.loginToken, { url: `${fake.url}/?key=${loginKey}` }), signal),
    { account: /^sync on/ },
    'a connection made before the key was a secret goes on'
  )
  const client = await open({ ...fake.loginToken, loginKey })
  const { groups } = await provider.deviceGroups!.list(client, signal)
  t.match(await failure(provider.installLink!(client, groups[0]!.id, { hours: 1 }, signal)), {
    kind: 'forbidden',
    message: /whoever got the link would have the key/
  })
  t.ok(groups.every(({ id }) => id.startsWith('mesh/alt/')))
})

t.test('an open socket proves nothing: without serverinfo and userinfo it is not MeshCentral', async t => {
  const { fake, provider, open } = await setUp(t, {}, { requestTimeoutMs: 150 })
  fake.refuseLogins({ action: 'serverinfo', serverinfo: { domain: '' } })
  t.match(await failure(provider.check(await open(), signal)), { kind: 'protocol', message: /never said who we are/ })
  await until('the socket to be gone', () => fake.sockets() === 0)
})

t.test('check warns of what will not work', async t => {
  const { provider, open } = await setUp(t, {
    manageAllDeviceGroups: false,
    siteadmin: 64,
    maxDeviceView: 5,
    skewMs: 10 * 60_000
  })
  const { warnings } = await provider.check(await open(), signal)
  for (const expected of [
    /sees only the device groups it is a member of/,
    /No New Device Groups/,
    /at most 5 devices/,
    /clock differs from ours by 10 minutes/,
    /login token/,
    /not encrypted/
  ])
    t.match(warnings.join('\n'), expected)
  t.equal(warnings.length, 6)
})

t.test('requests in flight find their answers in any order, and one log-in serves all', async t => {
  const { fake, provider, groups, open } = await setUp(t)
  const client = await open()
  const names = Array.from({ length: 60 }, (_, index) => `Tenant ${index}`)
  const made = await Promise.all(names.map(name => groups.create(client, { name, description: `for ${name}` }, signal)))
  for (const [index, group] of made.entries())
    t.match(fake.world.groups.get(group.id), { name: names[index], desc: `for ${names[index]}` })
  const [first] = fake.world.nodes.keys()
  const session = await client.session(signal)
  const replies = await Promise.all(
    [...fake.world.nodes.keys(), first].map(nodeid => session.request({ action: 'getnetworkinfo', nodeid }, { signal }))
  )
  t.strictSame(
    replies.map(reply => reply['nodeid']),
    [...fake.world.nodes.keys(), first],
    'also those that carry no id of the request'
  )
  fake.broadcast('not json')
  fake.broadcast('[1,2]')
  fake.broadcast({ action: 'msg', type: 'notify', value: 'hello' })
  fake.broadcast({ action: 'createmesh', responseid: 'nobody-asked', result: 'ok', meshid: 'mesh//x' })
  t.ok((await provider.check(client, signal)).account, 'frames that answer nothing do no harm')
  t.equal(fake.counts.logins, 1)
  t.equal(fake.crashed, null)
})

t.test('silence ends with a sentence, an abort ends at once, a late answer is ignored', async t => {
  const { fake, groups, open } = await setUp(t, {}, { requestTimeoutMs: 100 })
  const client = await open()
  const session = await client.session(signal)
  fake.silence('meshes')
  t.match(await failure(groups.list(client, signal)), {
    kind: 'protocol',
    message: /did not answer "meshes" within 0.1 s; probably it is not permitted/
  })
  const stop = new AbortController()
  const asked = groups.list(client, stop.signal)
  stop.abort(new Error('no longer wanted'))
  await t.rejects(asked, { message: 'no longer wanted' })
  fake.silence(null)
  t.ok((await groups.list(client, signal)).groups.length)
  t.equal(session, await client.session(signal), 'on the same session')
})

t.test('a lost socket rejects what is in flight and is opened again on next use', async t => {
  const { fake, groups, open } = await setUp(t)
  const client = await open()
  await client.session(signal)
  fake.silence('meshes')
  const asked = failure(groups.list(client, signal))
  await until('the question to arrive', () => (fake.counts.actions['meshes'] ?? 0) > 0)
  fake.dropConnections()
  t.equal((await asked).kind, 'unreachable')
  fake.silence(null)
  t.ok((await groups.list(client, signal)).groups.length)
  t.equal(fake.counts.logins, 2)
  await fake.stop()
  t.equal((await failure(groups.list(client, signal))).kind, 'unreachable')
})

t.test('a server that stops answering pings is given up', async t => {
  const { fake, open } = await setUp(t, {}, { pingMs: 10, requestTimeoutMs: 100 })
  const session = await (await open()).session(signal)
  await until('a ping', () => (fake.counts.actions['ping'] ?? 0) > 2)
  t.equal(session.ended, null)
  fake.silence('ping')
  await session.over
  t.match(session.ended, { kind: 'unreachable', message: /stopped answering/ })
})

t.test('device groups: names and lies', async t => {
  const { fake, groups, provider, open } = await setUp(t)
  const client = await open()
  const group = await groups.create(
    client,
    { name: ' Ac\u0301me\r\nMeshServer=wss://evil ', description: `marker\u0000 ${'d'.repeat(2000)}` },
    signal
  )
  t.equal(group.name, 'Aćme MeshServer=wss://evil')
  t.equal(fake.world.groups.get(group.id)!.desc!.length, 1024)
  t.equal((await failure(groups.create(client, { name: '\u0007 \r\n', description: '' }, signal))).kind, 'protocol')
  t.match(await groups.rename(client, group.id, { name: 'New', description: 'marker' }, signal), {
    id: group.id,
    name: 'New',
    description: 'marker'
  })
  t.match(
    await groups.rename(client, group.id, { description: 'marker' }, signal),
    { name: 'New' },
    'nothing to change is fine'
  )

  fake.intercept = (command, session) => {
    if (command['action'] !== 'editmesh') return false
    session.send({ action: 'editmesh', responseid: command['responseid'], result: 'ok' })
    return true
  }
  t.match(await failure(groups.rename(client, group.id, { name: 'Lie' }, signal)), {
    kind: 'protocol',
    message: /did not store it/
  })
  fake.intercept = null

  fake.world.removeGroup(group.id)
  t.equal((await failure(groups.rename(client, group.id, { name: 'Gone' }, signal))).kind, 'gone')
  t.equal(
    (await failure(groups.rename(client, 'user//sync', { name: 'Gone' }, signal))).kind,
    'gone',
    'what is no group id is not sent'
  )
  fake.world.addGroup('Local devices', { account: fake.account, mtype: 3 })
  t.notOk(
    (await groups.list(client, signal)).groups.some(({ name }) => name === 'Local devices'),
    'a group without agents is none for a client'
  )
  t.ok(
    (await all(provider.resources.organizations!.pull(client, null, signal))).some(
      ({ name }) => name === 'Local devices'
    ),
    'but an organization'
  )
})

t.test('device groups: what the account may not', async t => {
  const { fake, groups, open, provider } = await setUp(t, { manageAllDeviceGroups: false, siteadmin: 0 })
  const client = await open()
  const theirs = fake.world.addGroup('Theirs', { account: fake.other })
  const before = await groups.list(client, signal)
  t.equal(before.complete, false, 'groups may be hidden from the account')
  t.notOk(before.groups.some(({ id }) => id === theirs._id))
  fake.world.setRights(fake.account, theirs._id, meshRights.remote)
  t.ok((await groups.list(client, signal)).groups.some(({ id }) => id === theirs._id))
  t.match(await failure(groups.rename(client, theirs._id, { name: 'Mine' }, signal)), {
    kind: 'forbidden',
    message: /Edit Device Group/
  })
  const node = fake.world.addNode({ meshid: theirs._id, name: 'theirs' })
  t.match(
    await failure(provider.remoteSession!(client, node._id, { minutes: 5, viewOnly: false, guestName: '' }, signal)),
    { kind: 'forbidden', message: /Guest Sharing/ }
  )
  fake.account.siteadmin = 64
  t.match(await failure(groups.create(client, { name: 'New', description: '' }, signal)), {
    kind: 'forbidden',
    message: /No New Device Groups/
  })
})

t.test('a migrated server is told by its identity, a lost database is not another server', async t => {
  const { fake, groups, open } = await setUp(t)
  const client = await open()
  const { server } = await groups.list(client, signal)
  t.equal(server, fake.world.agentCertHash)
  fake.world.loseDatabase()
  t.strictSame(await groups.list(client, signal), { groups: [], server, complete: true })
  fake.migrate()
  await until(
    'the loss to be seen',
    async () => (await client.session(signal).catch(() => null))?.info.agentCertHash === fake.world.agentCertHash
  )
  t.not((await groups.list(client, signal)).server, server)
})

t.test('1,000 provisioned groups are one log-in, one list and no write', async t => {
  const { fake, groups, open } = await setUp(t, { groups: 1000, devices: 0 })
  fake.resetCounts()
  t.equal((await groups.list(await open(), signal)).groups.length, 1000)
  t.match(fake.counts, { logins: 1, lists: 1, writes: 0 })
})

t.test('devices come in pages with a checkpoint that survives changes of the list', async t => {
  const { fake, devices, open } = await setUp(t, { devices: 650 })
  const ids = [...fake.world.nodes.keys()].sort()
  const client = await open()
  let checkpoint = null
  const first: DeviceRecord[] = []
  for await (const page of devices.pull(client, null, signal)) {
    first.push(...page.records)
    checkpoint = page.checkpoint ?? null
    break
  }
  t.equal(first.length, 200)
  fake.world.removeNode(ids[0]!)
  fake.world.removeNode(ids.at(-1)!)
  const rest = await all(devices.pull(await open(), checkpoint, signal))
  t.strictSame(
    [...first, ...rest].map(({ externalId }) => externalId),
    ids.slice(0, -1),
    'each once, in order'
  )
  t.equal(fake.counts.actions['getDeviceDetails'] ?? 0, 0, 'nothing that could crash the server')
  t.equal(fake.crashed, null)
})

t.test('a device that vanishes in mid-read, or cannot be read, does not end the read', async t => {
  const { fake, devices, open } = await setUp(t, {}, { requestTimeoutMs: 1000 })
  const [silent, gone] = [...fake.world.nodes.keys()].sort()
  fake.world.addNode({ meshid: [...fake.world.groups.keys()][0]!, _id: 'node-without-slash' })
  fake.intercept = ({ action, nodeid }) => {
    if (action === 'getsysinfo' && nodeid === gone) fake.world.nodes.delete(gone!)
    return action === 'getsysinfo' && nodeid === silent
  }
  const rejected: RejectedRecord[] = []
  const records: DeviceRecord[] = []
  for await (const page of devices.pull(await open(), null, signal)) {
    records.push(...page.records)
    rejected.push(...(page.rejected ?? []))
  }
  t.equal(records.length, 11)
  const reasons = new Map(rejected.map(({ externalId, reason }) => [externalId, reason]))
  t.equal(reasons.size, 2)
  t.match(reasons.get(silent!), /did not answer/)
  t.match(reasons.get('node-without-slash'), /no id/)
})

t.test('maxDeviceView: all pages are read, single reads and pushes are not cut off', async t => {
  const { fake, provider, devices, open } = await setUp(t, { devices: 25, maxDeviceView: 4 })
  const client = await open()
  const ids = [...fake.world.nodes.keys()].sort()
  const hints: Hint[] = []
  const stop = new AbortController()
  const listening = (async () => {
    for await (const hint of provider.listen!(client, stop.signal)) hints.push(hint)
  })()
  const [records, ...ones] = await Promise.all([
    all(devices.pull(client, null, signal)),
    ...ids.map(id => devices.fetchOne!(client, id, signal))
  ])
  t.strictSame(
    records.map(({ externalId }) => externalId),
    ids
  )
  t.strictSame(
    ones.map(one => one?.externalId),
    ids
  )
  fake.world.changeNode(ids.at(-1)!, { desc: 'changed' })
  await until('the push', () => hints.some(({ externalId }) => externalId === ids.at(-1)))
  stop.abort()
  await listening

  let turn = 0
  fake.intercept = ({ action }) => {
    if (action === 'nodes' && turn++ % 3 === 1)
      fake.world.addNode({ meshid: [...fake.world.groups.keys()][0]!, name: 'late' })
    return false
  }
  const changing = await all(devices.pull(client, null, signal)).catch(error => error as ProviderError)
  if (changing instanceof ProviderError) t.match(changing, { kind: 'protocol', message: /kept changing/ })
  else
    t.strictSame(
      changing.map(({ externalId }) => externalId),
      [...new Set(changing.map(({ externalId }) => externalId))],
      'complete or refused, never short'
    )
})

t.test('a read that loses the server throws', async t => {
  const { fake, devices, open } = await setUp(t, { devices: 300 })
  let details = 0
  fake.intercept = ({ action }) => {
    if (action === 'getsysinfo' && ++details === 220) fake.dropConnections()
    return false
  }
  t.equal((await failure(all(devices.pull(await open(), null, signal)))).kind, 'unreachable')
})

t.test('a list above the limit of one message is an error that says what to do, and one in parts is not', async t => {
  for (const maxDeviceView of [undefined, 20]) {
    const fake = await startFakeMeshCentral({ devices: 100, ...(maxDeviceView === undefined ? {} : { maxDeviceView }) })
    t.teardown(() => fake.close())
    const provider = meshcentral({ allowPrivateNetwork: true })
    const client = await openMesh(
      t,
      provider,
      { url: fake.url },
      { username: fake.username, password: fake.password },
      32_768
    )
    const read = all(provider.resources.devices!.pull(client, null, signal))
    if (maxDeviceView === undefined)
      t.match(await failure(read), {
        kind: 'protocol',
        message: /larger than 256 MiB.*"maxDeviceView".*several accounts/
      })
    else t.equal((await read).length, 100)
    t.ok((await provider.check(client, signal)).account, 'a new session serves the rest')
  }
})

t.test('fields: Windows, Linux, no rights, no secrets', async t => {
  const { fake, devices, open } = await setUp(t, { devices: 5 })
  const client = await open()
  const byName = new Map(
    (await all(devices.pull(client, null, signal))).map(record => [record.displayName, stored(record)])
  )
  t.match(byName.get('PC-0'), {
    hostname: 'pc-0',
    osType: 'Windows',
    osVersion: /Windows 11 Pro/,
    assetType: 'workstation',
    serialNumber: 'SN-1000',
    manufacturer: 'Dell Inc.',
    model: 'OptiPlex 7090',
    cpuCores: 8,
    ramBytes: 16 * 1024 ** 3,
    online: false,
    wanIp: '81.2.0.0',
    lanIp: '10.1.0.0',
    macAddresses: ['D4:BE:D9:00:00:00'],
    currentUser: 'ACME\\user0',
    tags: ['seeded'],
    antivirus: { provider: 'Microsoft Defender', status: 'enabled' },
    uptimeSeconds: null,
    volumes: [{ name: 'C:', totalBytes: 511_000_000_000, freeBytes: 200_000_000_000 }],
    details: { kind: 'agent', agentElevated: true, security: { firewall: 'OK' }, bios: { version: '1.5.2' } }
  })
  t.match(byName.get('PC-1'), { online: true, uptimeSeconds: Number })
  t.match(byName.get('PC-4'), {
    osType: 'Linux',
    assetType: 'server',
    ramBytes: 24 * 1024 ** 3,
    serialNumber: null,
    volumes: [{ name: '/', totalBytes: 264_212_084 * 1024, freeBytes: 76_888_036 * 1024 }]
  })
  t.notMatch(JSON.stringify([...byName.values()]), /recoveryPassword|111111-222222|intelamt|"ssh"|"rdp"|"pmt"|"links"/)

  fake.world.managers.clear()
  fake.account.siteadmin = 0
  for (const id of fake.world.groups.keys()) fake.world.setRights(fake.account, id, meshRights.remote)
  const limited = await all(devices.pull(await open(), null, signal))
  t.equal(limited.length, 5)
  for (const record of limited) {
    t.match(
      record.inventory?.facts,
      { serialNumber: undefined, volumes: undefined, interfaces: undefined, details: undefined, osVersion: String },
      'not told, not empty'
    )
    t.match(record.details, { kind: 'agent' })
  }
})

t.test('pushes are hints: one per thing, online at once, offline after the grace', async t => {
  const { fake, provider, devices, open } = await setUp(t, { devices: 6 }, { offlineGraceMs: 400 })
  const client = await open()
  const hints: Hint[] = []
  const stop = new AbortController()
  const listening = (async () => {
    for await (const hint of provider.listen!(client, stop.signal)) hints.push(hint)
  })()
  await client.session(signal)
  const heard = (part: Partial<Hint>) =>
    hints.some(hint => Object.entries(part).every(([key, value]) => hint[key as keyof Hint] === value))
  const [away, back] = [...fake.world.connected.keys()] as [string, string]
  const offline = [...fake.world.nodes.keys()].find(id => !fake.world.connected.has(id))!
  const group = fake.world.addGroup('Made by someone else', { account: fake.other })
  for (let index = 0; index < 50; index++) fake.world.changeNode(offline, { desc: `change ${index}` })
  await until('the group', () => heard({ resource: 'organizations', externalId: group._id, kind: 'changed' }))
  t.equal(hints.filter(({ externalId }) => externalId === offline).length, 1, 'a burst is one hint')

  hints.length = 0
  fake.world.disconnectNode(away)
  fake.world.disconnectNode(back)
  t.equal((await devices.fetchOne!(client, away, signal))?.online, null, 'just gone: not told yet')
  fake.world.connectNode(back)
  fake.world.connectNode(offline)
  // A late change of the burst above says as much: the device is read again.
  await until('online', () => heard({ externalId: offline }) && heard({ externalId: back, kind: 'heartbeat' }))
  t.notOk(heard({ externalId: away }), 'offline waits')
  await until('offline', () => heard({ externalId: away, kind: 'heartbeat' }))
  t.equal((await devices.fetchOne!(client, away, signal))?.online, false)
  t.equal((await devices.fetchOne!(client, offline, signal))?.online, true)

  hints.length = 0
  fake.world.moveNode(back, group._id)
  fake.world.removeNode(offline)
  fake.world.setHardware(away, windowsHardware(7))
  fake.world.removeGroup(group._id)
  await until(
    'the rest',
    () =>
      heard({ externalId: back, kind: 'changed' }) &&
      heard({ externalId: offline, kind: 'deleted' }) &&
      heard({ externalId: away, kind: 'changed' }) &&
      heard({ externalId: group._id, kind: 'deleted' })
  )
  fake.world.connectNode(back)
  await until('the group that an agent brings back', () => heard({ externalId: group._id, kind: 'changed' }))
  fake.broadcast({ action: 'event', event: { action: 'changenode', nodeid: 7 } })
  fake.broadcast({ action: 'event', event: { action: 'changenode', nodeid: 'node/other-domain/x' } })
  fake.broadcast({ action: 'event', event: null })
  stop.abort()
  await listening
  t.notOk(heard({ externalId: 'node/other-domain/x' }))
})

t.test(
  "however often pushes were lost, they are subscribed to at once: when to try again is the engine's to say",
  async t => {
    const { fake, provider, open } = await setUp(t)
    // Twenty waits that double would be longer than a test may take.
    for (let losses = 0; losses < 20; losses++) {
      const client = await open()
      const lost = failure(
        all(
          (async function* () {
            for await (const hint of provider.listen!(client, signal, () => fake.dropConnections()))
              yield { records: [hint] }
          })()
        )
      )
      t.equal((await lost).kind, 'unreachable', `${losses} losses before`)
    }
  }
)

t.test('membership of groups, gained and lost, is a hint', async t => {
  const { fake, provider, open } = await setUp(t, { manageAllDeviceGroups: false, siteadmin: 0, groups: 1, devices: 0 })
  const client = await open()
  const theirs = fake.world.addGroup('Theirs', { account: fake.other })
  const hints: Hint[] = []
  const stop = new AbortController()
  const listening = (async () => {
    for await (const hint of provider.listen!(client, stop.signal)) hints.push(hint)
  })()
  await client.session(signal)
  for (const bits of [meshRights.remote, 0]) {
    hints.length = 0
    fake.world.setRights(fake.account, theirs._id, bits)
    await until('the hint', () =>
      hints.some(hint => hint.resource === 'organizations' && hint.externalId === theirs._id && hint.kind === 'changed')
    )
  }
  stop.abort()
  await listening
  t.equal(hints.length, 1)
})

t.test('after a restart nobody is called offline until agents had time to come back', async t => {
  const { fake, provider, devices, open } = await setUp(t, { devices: 9 }, { offlineGraceMs: 500 })
  const client = await open()
  const before = await all(devices.pull(client, null, signal))
  const online = before.filter(record => record.online).map(({ externalId }) => String(externalId))
  t.equal(online.length, 6)
  const lost = failure(
    all(
      (async function* () {
        for await (const hint of provider.listen!(client, signal)) yield { records: [hint] }
      })()
    )
  )
  await client.session(signal)
  await fake.stop()
  t.equal((await lost).kind, 'unreachable', 'the listener says that it is over')
  t.equal((await failure(provider.check(client, signal))).kind, 'unreachable')
  await fake.start()
  const another = await open()
  t.ok(
    (await all(devices.pull(another, null, signal))).every(record => record.online === null),
    'also a new client of the same connection knows'
  )
  for (const id of online.slice(0, 4)) fake.world.connectNode(id)
  const hints: Hint[] = []
  const stop = new AbortController()
  const listening = (async () => {
    for await (const hint of provider.listen!(another, stop.signal)) hints.push(hint)
  })()
  const stayedAway = online.slice(4)
  await until('the two that did not come back', async () =>
    (await Promise.all(stayedAway.map(id => devices.fetchOne!(another, id, signal)))).every(
      record => record?.online === false
    )
  )
  t.strictSame(
    (await Promise.all(online.slice(0, 4).map(id => devices.fetchOne!(another, id, signal)))).map(
      record => record?.online
    ),
    [true, true, true, true]
  )
  stop.abort()
  await listening
  await provider.close!(another)
  await provider.close!(another)
  t.match(await failure(provider.check(another, signal)), { message: /closed/ })
})

t.test('devices that did not come back get their hint when the grace is over', async t => {
  const { fake, provider, devices, open } = await setUp(t, { devices: 9 }, { offlineGraceMs: 2000 })
  const client = await open()
  await all(devices.pull(client, null, signal))
  const online = [...fake.world.connected.keys()]
  await fake.stop()
  await until(
    'the loss',
    async () => (await failure(provider.check(client, signal)).catch(() => null))?.kind === 'unreachable'
  )
  await fake.start()
  const hints: Hint[] = []
  const stop = new AbortController()
  const listening = (async () => {
    for await (const hint of provider.listen!(client, stop.signal)) hints.push(hint)
  })()
  await until('their hints', () =>
    online.every(id => hints.some(hint => hint.externalId === id && hint.kind === 'heartbeat'))
  )
  t.equal(hints.length, online.length, 'and nobody else: the others were offline before')
  stop.abort()
  await listening
})

t.test('presence', async t => {
  const presence = new Presence(1000)
  t.equal(presence.judge('a', true, null, 0, 0), true)
  t.equal(presence.judge('a', false, 5000, 5200, 0), null, 'just left')
  t.equal(presence.judge('a', false, 5000, 6200, 0), false)
  t.equal(presence.judge('b', false, 65_000, 6200, 60_000), false, "the server's clock is another one")
  presence.disconnected()
  t.equal(presence.connected(10_000), 11_000)
  t.equal(presence.judge('a', false, 0, 10_500, 0), null, 'after a loss')
  t.equal(presence.judge('a', true, 0, 10_500, 0), true, 'but online is believed')
  t.equal(presence.judge('a', false, 0, 11_000, 0), false)
})

t.test('links: short-lived, never for ever, refused with the reason', async t => {
  const { fake, provider, open } = await setUp(t)
  const client = await open()
  const [node] = fake.world.nodes.keys()
  const [group] = fake.world.groups.keys()
  const seen: Array<Record<string, unknown>> = []
  fake.intercept = command => {
    seen.push(command)
    return false
  }
  const session = await provider.remoteSession!(
    client,
    node!,
    { minutes: 10, viewOnly: true, guestName: 'Jane\r\n"Tech"' },
    signal
  )
  t.match(session.url, /\/sharing\?c=/)
  t.ok(Math.abs(session.expiresAt.getTime() - Date.now() - 600_000) < 10_000)
  t.match(
    seen.find(({ action }) => action === 'createDeviceShareLink'),
    { p: 2, viewOnly: true, expire: 10, guestname: 'Jane "Tech"' }
  )
  t.match((await provider.installLink!(client, group!, { hours: 24 }, signal)).url, /agentinvite/)
  for (const minutes of [0, -1, Number.NaN])
    t.equal(
      (await failure(provider.remoteSession!(client, node!, { minutes, viewOnly: false, guestName: '' }, signal))).kind,
      'protocol'
    )
  t.equal((await failure(provider.installLink!(client, group!, { hours: 0 }, signal))).kind, 'protocol')
  t.equal(
    (
      await failure(
        provider.remoteSession!(
          client,
          `node//${'x'.repeat(64)}`,
          { minutes: 1, viewOnly: false, guestName: '' },
          signal
        )
      )
    ).kind,
    'gone'
  )
  for (const id of ['', 'node', 'node/other/x', '../../x', 7 as never])
    t.equal(
      (await failure(provider.remoteSession!(client, id, { minutes: 1, viewOnly: false, guestName: '' }, signal))).kind,
      'gone',
      'what is no id is not sent'
    )
  fake.world.removeGroup(group!)
  t.equal(
    (await failure(provider.installLink!(client, group!, { hours: 1 }, signal))).kind,
    'gone',
    'although the server would make one'
  )

  const { provider: closed, open: openClosed, fake: off } = await setUp(t, { guestSharing: false })
  t.match(
    await failure(
      closed.remoteSession!(
        await openClosed(),
        [...off.world.nodes.keys()][0]!,
        { minutes: 1, viewOnly: false, guestName: '' },
        signal
      )
    ),
    { kind: 'forbidden', message: /guestDeviceSharing/ }
  )
})

t.test(
  'who is at the device is told or asked as was wanted, and a promise that cannot be kept is not made',
  async t => {
    const { fake, provider, open } = await setUp(t)
    t.strictSame(provider.remoteSessionOptions, { viewOnly: true, consent: ['none', 'notify', 'prompt'] })
    const client = await open()
    const [node] = fake.world.nodes.values()
    const flags: unknown[] = []
    fake.intercept = command => {
      if (command['action'] === 'createDeviceShareLink') flags.push(command['consent'])
      return false
    }
    const share = (consent?: 'none' | 'notify' | 'prompt', by = client) =>
      provider.remoteSession!(by, node!._id, { minutes: 1, viewOnly: false, consent, guestName: 'Jane' }, signal)
    for (const consent of [undefined, 'none', 'notify', 'prompt'] as const) await share(consent)
    t.strictSame(flags, [0, 0, 0x41, 0x49])

    const group = fake.world.groups.get(node!.meshid)!
    for (const flag of [0x01, 0x08, 0x40]) {
      group['consent'] = flag
      t.match(await failure(share('none')), {
        kind: 'forbidden',
        message: /device group demands.*"notify" or "prompt"/
      })
    }
    t.match((await share()).url, /sharing/, 'without a wish the settings of the group hold')
    group['consent'] = 0x36
    t.match((await share('none')).url, /sharing/, 'terminal and files are not the screen')

    const strict = await setUp(t, { consent: 8 })
    const [other] = strict.fake.world.nodes.values()
    t.match(
      await failure(
        strict.provider.remoteSession!(
          await strict.open(),
          other!._id,
          { minutes: 1, viewOnly: false, consent: 'none', guestName: 'Jane' },
          signal
        )
      ),
      { kind: 'forbidden', message: /server demands/ }
    )
  }
)

t.test('the names MeshCentral gets are one line, NFC, at most 128 units and whole', async t => {
  t.equal(sanitizeName('e\u0301'), 'é')
  t.equal(sanitizeName(' a \t\r\n b\u0000c '), 'a bc')
  t.equal(sanitizeName(`${'x'.repeat(127)}🏢`), 'x'.repeat(127))
  t.equal(sanitizeName('👨‍👩‍👧 Family'), '👨‍👩‍👧 Family', 'joined emoji stay joined')
  fc.assert(
    fc.property(fc.string({ unit: 'binary', maxLength: 300 }), text => {
      const name = sanitizeName(text)
      return (
        name.length <= 128 &&
        name.isWellFormed() &&
        !/[\p{Cc}\u2028\u2029]/u.test(name) &&
        name === name.trim() &&
        !/ {2}/.test(name) &&
        sanitizeName(name) === name
      )
    })
  )
})

t.test('any JSON as a node is a device or rejected, and any JSON as its details does no harm', async () => {
  const online = { online: null, lastSeenAt: null, now: 1_795_327_000_000 }
  const shaped = fc.record(
    {
      _id: fc.oneof(fc.constant('node//abc'), fc.jsonValue()),
      meshid: fc.jsonValue(),
      name: fc.jsonValue(),
      rname: fc.jsonValue(),
      mtype: fc.jsonValue(),
      agent: fc.jsonValue(),
      osdesc: fc.jsonValue(),
      ip: fc.jsonValue(),
      lastbootuptime: fc.jsonValue(),
      users: fc.jsonValue(),
      av: fc.jsonValue(),
      wsc: fc.jsonValue(),
      defender: fc.jsonValue(),
      tags: fc.jsonValue()
    },
    { requiredKeys: [] }
  )
  const hardware = fc.record(
    {
      identifiers: fc.dictionary(
        fc.constantFrom('bios_serial', 'product_name', 'cpu_name', 'storage_devices'),
        fc.jsonValue()
      ),
      windows: fc.oneof(
        fc.jsonValue(),
        fc.record({
          volumes: fc.oneof(
            fc.jsonValue(),
            fc.dictionary(
              fc.string(),
              fc.oneof(fc.jsonValue(), fc.record({ size: fc.jsonValue(), sizeremaining: fc.jsonValue() }))
            )
          ),
          memory: fc.array(fc.record({ Capacity: fc.jsonValue() })),
          cpu: fc.jsonValue(),
          osinfo: fc.jsonValue()
        })
      ),
      linux: fc.oneof(
        fc.jsonValue(),
        fc.record({
          volumes: fc.array(fc.dictionary(fc.constantFrom('size', 'available', 'mount_point', 'type'), fc.jsonValue())),
          memory: fc.jsonValue()
        })
      ),
      darwin: fc.jsonValue()
    },
    { requiredKeys: [] }
  )
  const details = fc.record({
    sysinfo: fc.oneof(
      fc.constant(null),
      fc.record({ hardware: fc.oneof(fc.jsonValue(), hardware), pendingReboot: fc.jsonValue() })
    ),
    network: fc.oneof(
      fc.constant(null),
      fc.record({
        netif2: fc.oneof(
          fc.jsonValue(),
          fc.dictionary(fc.string(), fc.array(fc.record({ mac: fc.jsonValue(), address: fc.jsonValue() })))
        )
      })
    )
  })
  fc.assert(
    fc.property(fc.oneof(shaped, fc.dictionary(fc.string(), fc.jsonValue())), fc.option(details), (node, facts) => {
      const { records, rejected } = mapRecords(
        [node as Record<string, unknown>],
        raw => raw['_id'],
        raw =>
          toDevice(
            essentialsOf(raw, 'mesh//x'),
            online,
            facts && { revision: revisionOf(stateOf(raw, null, true), raw, online.now, 0), details: facts }
          )
      )
      if (records.length + rejected.length !== 1) return false
      for (const record of records) {
        normalizeDevice(record, new Date(0))
        if (typeof record.displayName !== 'string' || record.displayName === '') return false
      }
      return true
    }),
    { numRuns: 1000 }
  )
})

t.test('real-shaped documents of every system', async t => {
  const status = { online: true, lastSeenAt: null, now: 1_795_327_000_000 }
  const map = (node: object, hardware: unknown = null, netif2: unknown = null) =>
    stored(
      toDevice({ _id: 'node//abcdefghijkl', meshid: 'mesh//x', ...node }, status, {
        revision: 'r',
        details: { sysinfo: hardware ? { hardware } : null, network: netif2 ? { netif2 } : null }
      })
    )
  t.match(map({ name: '', rname: '' }), { displayName: 'efghijkl', hostname: null })
  t.match(
    map(
      { agent: { id: 16 }, osdesc: 'macOS 15.1' },
      {
        darwin: {
          memory: [{ Size: '16 GB' }],
          LastBootUpTime: 1_795_320_000,
          volumes: { a: { mount_point: '/', size: '460Gi', available: '200Gi' } }
        }
      }
    ),
    {
      osType: 'macOS',
      assetType: 'workstation',
      ramBytes: 16 * 1024 ** 3,
      lastRebootAt: new Date(1_795_320_000_000),
      uptimeSeconds: 7000,
      volumes: [{ name: '/', totalBytes: 460 * 1024 ** 3, freeBytes: 200 * 1024 ** 3 }]
    }
  )
  t.match(
    map({ agent: { id: 4 } }, windowsHardware(1)),
    { lastRebootAt: new Date('2026-11-21T07:15:00.000Z'), osVersion: 'Microsoft Windows 11 Pro 10.0.26100' },
    'CIM time with its offset'
  )
  t.match(map({ agent: { id: 4 }, osdesc: 'Microsoft Windows Server 2022', defender: { RealTimeProtection: false } }), {
    assetType: 'server',
    antivirus: { provider: 'Microsoft Defender', status: 'disabled' }
  })
  t.match(
    map({
      av: [
        { product: 'A', enabled: false },
        { product: 'B', enabled: true, updated: false }
      ]
    }),
    { antivirus: { provider: 'B', status: 'outdated' } }
  )
  t.match(
    map({ agent: { id: 6 }, ip: '192.168.1.7' }, linuxHardware(), meshInterfaces(3)),
    { lanIp: '10.1.0.3', wanIp: null, serialNumber: null, lastRebootAt: null },
    "a firmware's placeholder is no serial number, a time without zone no moment"
  )
  t.match(map({ ip: '192.168.1.7' }), { lanIp: '192.168.1.7', wanIp: null })
  t.match(map({ ip: '::ffff:81.2.69.142' }), { wanIp: '81.2.69.142' })
})

t.test('who is logged in: nobody only where an empty list is told of a device that is online', async t => {
  const user = (users: unknown, online: boolean | null) =>
    toDevice({ _id: 'node//a', meshid: 'mesh//x', users }, { online, lastSeenAt: null, now: Date.now() }, null)
      .currentUser
  t.equal(user(['A\\b', 'A\\c'], true), 'A\\b')
  t.equal(user([], true), null)
  t.equal(user([], false), undefined, 'what the server kept of a device that is away')
  t.equal(user([], null), undefined)
  t.equal(user(undefined, true), undefined)
  t.equal(user('A\\b', true), undefined)
  t.equal(user([7], true), null)
})

t.test('the LAN address is none of a tunnel, a container or the machine itself', async t => {
  const up = { family: 'IPv4', type: 'ethernet', status: 'up' }
  const network = (netif2: object, ip = '81.2.69.142') =>
    stored(
      toDevice(
        { _id: 'node//a', meshid: 'mesh//x', ip },
        { online: true, lastSeenAt: null, now: Date.now() },
        {
          revision: 'r',
          details: { sysinfo: null, network: { netif2 } }
        }
      )
    )
  const ethernet = [{ ...up, address: '10.2.3.4', mac: 'd4:be:d9:01:02:03', gateway: '10.2.0.1' }]
  const others = {
    Tailscale: [{ ...up, address: '100.101.102.103', mac: '00:00:00:00:00:00' }],
    'OpenVPN TAP-Windows6': [{ ...up, address: '10.8.0.6', mac: '00:FF:AA:BB:CC:DD' }],
    podman0: [{ ...up, address: '10.88.0.1', mac: '3e:11:22:33:44:55' }]
  }
  t.match(network({ ...others, Ethernet: ethernet }), { lanIp: '10.2.3.4', macAddresses: ['D4:BE:D9:01:02:03'] })
  t.match(network({ ...others }), { lanIp: null, macAddresses: null })
  const host = { 'vEthernet (LAN)': ethernet, Ethernet: [{ ...up, mac: 'd4:be:d9:01:02:03' }] }
  t.match(network(host), { lanIp: '10.2.3.4' }, 'a Hyper-V host')
  t.match(network({ eth0: [{ ...up, family: 'IPv6', address: 'fd12::10', mac: 'd4:be:d9:01:02:03' }] }), {
    lanIp: 'fd12::10'
  })
  t.match(network({ eth0: [{ ...ethernet[0]!, status: 'down' }], wlan0: [{ ...up, address: '10.9.9.9' }] }), {
    lanIp: '10.9.9.9'
  })
  const seen = (ip: string) =>
    stored(toDevice({ _id: 'node//a', meshid: 'mesh//x', ip }, { online: true, lastSeenAt: null, now: 0 }, null))
  t.match(seen('100.64.1.2'), { lanIp: null, wanIp: null }, 'over a tunnel the server sees neither')
})

t.test('of the serial numbers that the firmware tells the first that is no filler counts', async t => {
  const serial = (bios: string, board: string) =>
    stored(
      toDevice(
        { _id: 'node//a', meshid: 'mesh//x' },
        { online: true, lastSeenAt: null, now: Date.now() },
        {
          revision: 'r',
          details: {
            sysinfo: {
              hardware: { identifiers: { bios_serial: bios, board_serial: board, product_name: 'System Product Name' } }
            },
            network: null
          }
        }
      )
    )
  for (const filler of ['To be filled by OEM', 'SYS-1234567890', '(null string)', '12345', 'Chassis Serial Number']) {
    t.match(serial(filler, 'PF2ABC12'), { serialNumber: 'PF2ABC12', model: null }, filler)
    t.match(serial(filler, filler), { serialNumber: null }, filler)
  }
  t.match(serial('7HX2QK3', 'PF2ABC12'), { serialNumber: '7HX2QK3' })
})

t.test('options are checked', async t => {
  t.throws(() => meshcentral({ requestTimeoutMs: -1 }), {
    message: /requestTimeoutMs must be a number of milliseconds/
  })
  const fake: FakeMeshCentral = await startFakeMeshCentral({ devices: 0, groups: 0 })
  t.teardown(() => fake.close())
  const provider = meshcentral({ allowPrivateNetwork: true })
  await t.rejects(openMesh(t, provider, { url: 'nonsense' }, { username: 'a', password: 'b' }), 'a URL that is none')
  t.equal(
    (
      await failure(
        provider.check(await openMesh(t, meshcentral(), { url: fake.url }, { username: 'a', password: 'b' }), signal)
      )
    ).kind,
    'forbidden',
    "private addresses are the host developer's decision"
  )
})
