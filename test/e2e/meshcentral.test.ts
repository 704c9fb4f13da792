import { randomBytes } from 'node:crypto'
import { readFileSync } from 'node:fs'
import t, { type Test } from 'tap'
import { ProviderError, type DeviceRecord, type Hint } from '../../src/providers/define.ts'
import { meshcentral } from '../../src/providers/meshcentral/index.ts'
import { linuxHardware } from '../../src/testing/fake-mesh/index.ts'
import { openMesh, stored } from '../providers/mesh-client.ts'
import { noAgent, startAgent } from './mesh-agent.ts'
import { base32, nodeId, totp, windowsDocs } from './mesh-docs.ts'
import { requireMeshCentral, RealMesh } from './meshcentral-server.ts'
import { until } from '../until.ts'
import { freePort } from '../ports.ts'

const found = requireMeshCentral()

const provider = meshcentral({
  allowPrivateNetwork: true,
  requestTimeoutMs: 10_000,
  offlineGraceMs: 1000,
  debounceMs: 100
})
const groups = provider.deviceGroups!
const { signal } = new AbortController()
const failure = async (promise: Promise<unknown>): Promise<ProviderError> => {
  const error = await promise.then(
    () => null,
    (reason: unknown) => reason
  )
  if (!(error instanceof ProviderError)) throw new Error(`expected a ProviderError, got ${String(error)}`)
  return error
}

const secret = randomBytes(20)
const pagedGroup = `mesh/paged/${'M'.repeat(64)}`
const mesh = await RealMesh.create(found.module, {
  domains: { paged: { title: 'Paged', newAccounts: false, maxDeviceView: 3 } },
  async prepare(mesh) {
    await mesh.account('twofactor', 'Tw0factor-pass!')
    await mesh.account('plain', 'Pl4in-pass!')
    await mesh.account('second', 'Sec0nd-pass!', { admin: true })
    await mesh.account('pager', 'P4ger-pass!', { admin: true, domain: 'paged' })
    const docs = await mesh.exportDocs()
    const user = (id: string) => docs.find(doc => doc['_id'] === id)!
    mesh.putDocs([
      { ...user('user//twofactor'), otpsecret: base32(secret) },
      { ...user('user//plain'), siteadmin: 64 },
      { ...user('user/paged/pager'), links: { [pagedGroup]: { rights: 4_294_967_295 } } },
      {
        type: 'mesh',
        _id: pagedGroup,
        name: 'Paged',
        mtype: 2,
        domain: 'paged',
        desc: '',
        links: { 'user/paged/pager': { name: 'pager', rights: 4_294_967_295 } },
        creation: 1_795_326_762_288
      },
      ...Array.from({ length: 10 }, (_, index) => windowsDocs(pagedGroup, `PAGED-${index}`, index)).flat()
    ])
  }
})
t.teardown(() => mesh.close())

const open = (
  t: Test,
  { config = {}, secrets = {} }: { config?: Record<string, unknown>; secrets?: Record<string, string> } = {}
) =>
  openMesh(
    t,
    provider,
    { url: mesh.url, ca: mesh.ca, ...config },
    { username: mesh.username, password: mesh.password, ...secrets }
  )

async function readDevices(client: Awaited<ReturnType<typeof open>>): Promise<DeviceRecord[]> {
  const records: DeviceRecord[] = []
  for await (const page of provider.resources.devices!.pull(client, null, signal)) records.push(...page.records)
  return records
}

/** What the platform's own client lists: id and name of every device group. */
async function listedByMeshctrl(): Promise<Map<string, string>> {
  const list = JSON.parse(await mesh.meshctrl('listdevicegroups', '--json')) as Array<{ _id: string; name: string }>
  return new Map(list.map(group => [group._id, group.name]))
}

t.test('the log-in tells what is wrong', async t => {
  const client = await open(t)
  const { account, warnings } = await provider.check(client, signal)
  t.equal(account, `admin on 127.0.0.1:${mesh.port}`)
  t.match(warnings, [/login token/], 'only the password is worth a warning')

  const wrong = await failure(provider.check(await open(t, { secrets: { password: 'wrong-password' } }), signal))
  t.equal(wrong.kind, 'auth')
  t.match(wrong.message, /user name or password/)

  const untrusted = await failure(provider.check(await open(t, { config: { ca: undefined } }), signal))
  t.equal(untrusted.kind, 'unreachable')
  t.match(untrusted.message, /certificate/i, 'an unknown authority is named')

  const down = await failure(
    provider.check(await open(t, { config: { url: `https://127.0.0.1:${await freePort()}` } }), signal)
  )
  t.equal(down.kind, 'unreachable')
  t.match(down.message, /refused the connection/)

  t.equal(
    (await failure(provider.check(await open(t, { config: { domain: 'nowhere' } }), signal))).kind,
    'protocol',
    'a domain that is not there'
  )
  t.equal(
    (await failure(provider.check(await open(t, { config: { domain: 'paged' } }), signal))).kind,
    'auth',
    'an account of another domain'
  )
})

t.test('two-factor accounts need a code or a login token', async t => {
  const secrets = { username: 'twofactor', password: 'Tw0factor-pass!' }
  const refused = await failure(provider.check(await open(t, { secrets }), signal))
  t.equal(refused.kind, 'auth')
  t.match(refused.message, /2FA code or login token/)
  const client = await open(t, { secrets: { ...secrets, token: totp(secret) } })
  t.equal((await provider.check(client, signal)).account, `twofactor on 127.0.0.1:${mesh.port}`)

  const session = await client.session(signal)
  const made = new Promise<Record<string, unknown>>(resolve => {
    const stop = session.onEvent(event => {
      if (event['action'] !== 'loginTokenAdded') return
      stop()
      resolve(event)
    })
  })
  await session
    .request({ action: 'createLoginToken', name: 'sync', expire: 0 }, { signal: AbortSignal.timeout(500) })
    .catch(() => {})
  t.match(await made, { newToken: { name: 'sync', tokenUser: /^~t:/ } }, 'the account can make its token')
})

const hostile = [
  'Müller & Söhne',
  '株式会社サンプル',
  '🏢 Tower 🏗️',
  'O\'Brien "Quotes" \\ Slash',
  '<script>alert(1)</script>',
  '<img src=x onerror=alert(1)>',
  'Acme\r\nMeshServer=wss://evil.example/agent.ashx',
  'Tab\tand\u0000NUL and \u0007bell',
  '  padded   twice  ',
  'e\u0301clair (NFD)',
  'éclair (NFC)',
  '$& $1 $$',
  '../../etc/passwd',
  '%00%0d%0a',
  '{"json":true}',
  "'; drop table mesh; --",
  '__proto__',
  'constructor',
  'right-to-left \u202e gpj.exe',
  'x'.repeat(300),
  '🏢'.repeat(100),
  `${'x'.repeat(127)}🏢`,
  'Acme',
  'Acme East',
  'Acme',
  'null',
  '0',
  'שלום עולם',
  'مرحبا',
  '\u2028line\u2029separators'
]
const clients = [...hostile, ...Array.from({ length: 200 - hostile.length }, (_, index) => `Client ${index}`)]

t.test('200 groups with hostile names are made, listed, renamed, and no name gets out of its line', async t => {
  const client = await open(t)
  const made = new Map<string, string>()
  for (let start = 0; start < clients.length; start += 8) {
    const batch = await Promise.all(
      clients
        .slice(start, start + 8)
        .map((name, index) => groups.create(client, { name, description: `marker-${start + index}` }, signal))
    )
    for (const group of batch) made.set(group.id, group.name)
  }
  t.equal(made.size, 200, 'every creation has its own id')
  const { groups: listed, server, complete } = await groups.list(client, signal)
  t.equal(listed.length, 200)
  t.ok(complete && server, 'the account sees all, and the server has an identity')
  t.strictSame(new Map(listed.map(group => [group.id, group.name])), made, 'the server stores what was promised')
  t.strictSame(
    new Set(listed.map(group => group.description)),
    new Set(clients.map((_, index) => `marker-${index}`)),
    'every marker is there'
  )
  for (const [index, name] of clients.entries())
    t.equal(
      listed.find(group => group.description === `marker-${index}`)!.name,
      groups.sanitizeName(name),
      `marker ${index} is on its group`
    )
  t.strictSame(await listedByMeshctrl(), made, "meshctrl, the platform's own client, lists exactly these")

  const lineBreaker = listed.find(group => group.name.startsWith('Acme MeshServer'))!
  const settings = (
    await mesh.download(`/meshsettings?id=${encodeURIComponent(lineBreaker.id.split('/')[2]!)}`)
  ).toString('utf8')
  t.strictSame(
    settings
      .split(/\r?\n/)
      .filter(line => line.startsWith('MeshServer='))
      .map(line => line.includes('evil')),
    [false],
    "the agents' settings have one server, and it is not the injected one"
  )

  const renamed = await groups.rename(client, lineBreaker.id, { name: 'Renamed\r\nMeshServer=wss://evil' }, signal)
  t.match(renamed, { id: lineBreaker.id, name: 'Renamed MeshServer=wss://evil', description: 'marker-6' })
  t.strictSame(
    await groups.rename(client, lineBreaker.id, { name: renamed.name, description: 'moved' }, signal),
    { ...renamed, description: 'moved' },
    'name and marker change on their own'
  )
  t.strictSame(
    await groups.rename(client, lineBreaker.id, { name: renamed.name }, signal),
    { ...renamed, description: 'moved' },
    'a rename to the same name is fine'
  )
  t.equal((await listedByMeshctrl()).get(lineBreaker.id), renamed.name)
  t.equal(
    (await failure(groups.create(client, { name: '\u0000\r\n\u200b', description: '' }, signal))).kind,
    'protocol',
    'a name of which nothing is left'
  )

  const organizations = []
  for await (const page of provider.resources.organizations!.pull(client, null, signal))
    organizations.push(...page.records)
  t.equal(organizations.length, 200)
})

t.test('groups that were deleted behind our back, and links to them', async t => {
  const client = await open(t)
  const group = await groups.create(client, { name: 'Short-lived', description: 'marker-short' }, signal)
  const link = await provider.installLink!(client, group.id, { hours: 1 }, signal)
  t.match(link.url, /\/agentinvite\?c=/)
  t.ok(Math.abs(link.expiresAt.getTime() - Date.now() - 3_600_000) < 60_000)
  await mesh.meshctrl('removedevicegroup', '--id', group.id)
  t.notOk((await groups.list(client, signal)).groups.some(({ id }) => id === group.id))
  t.equal(await provider.resources.organizations!.fetchOne!(client, group.id, signal), null)
  t.equal(
    (await failure(groups.rename(client, group.id, { name: 'New' }, signal))).kind,
    'gone',
    'the server lets an administrator change it; the list tells that it is gone'
  )
  t.equal((await failure(provider.installLink!(client, group.id, { hours: 1 }, signal))).kind, 'gone')
})

t.test('an account without rights is told which', async t => {
  const plain = await open(t, { secrets: { username: 'plain', password: 'Pl4in-pass!' } })
  t.match(
    (await provider.check(plain, signal)).warnings.join('\n'),
    /sees only the device groups it is a member of[\s\S]*may not create device groups/
  )
  const refused = await failure(groups.create(plain, { name: 'Not allowed', description: '' }, signal))
  t.equal(refused.kind, 'forbidden')
  t.match(refused.message, /No New Device Groups/)

  const admin = await open(t)
  const group = await groups.create(admin, { name: 'Watched', description: '' }, signal)
  await mesh.meshctrl('addusertodevicegroup', '--id', group.id, '--userid', 'plain', '--remotecontrol')
  t.strictSame(
    (await groups.list(plain, signal)).groups.map(({ id }) => id),
    [group.id],
    'a member sees its groups'
  )
  t.equal((await groups.list(plain, signal)).complete, false)
  const silent = await failure(groups.rename(plain, group.id, { name: 'Mine' }, signal))
  t.equal(silent.kind, 'forbidden', "the server's silence is understood without waiting for the time-out")
  t.match(silent.message, /Edit Device Group/)

  const second = await open(t, { secrets: { username: 'second', password: 'Sec0nd-pass!' } })
  const theirs = await groups.create(second, { name: 'Made by the other administrator', description: '' }, signal)
  t.equal(
    (await groups.list(second, signal)).complete,
    false,
    'a full administrator without manageAllDeviceGroups does not see all'
  )
  t.strictSame(
    (await groups.list(second, signal)).groups.map(({ id }) => id),
    [theirs.id]
  )
  t.ok(
    (await groups.list(admin, signal)).groups.some(({ id }) => id === theirs.id),
    'the one with it does'
  )
})

t.test('Windows devices are read with their hardware and without their secrets; links into them', async t => {
  const admin = await open(t)
  const group = await groups.create(admin, { name: 'Fixtures', description: '' }, signal)
  await mesh.stop()
  mesh.putDocs([
    ...windowsDocs(group.id, 'WIN-1', 1),
    ...windowsDocs(group.id, 'WIN-2', 2, { osdesc: 'Microsoft Windows Server 2022 Datacenter - 21H2/20348', name: '' }),
    {
      type: 'node',
      mtype: 2,
      _id: nodeId('LINUX'),
      meshid: group.id,
      name: 'linux',
      rname: 'linux',
      domain: '',
      agent: { id: 6 }
    },
    { _id: `si${nodeId('LINUX')}`, type: 'sysinfo', domain: '', time: 1, hardware: linuxHardware() },
    {
      type: 'node',
      mtype: 3,
      _id: nodeId('PRINTER'),
      meshid: group.id,
      name: 'printer',
      host: '10.0.0.9',
      domain: '',
      agent: { id: 4, caps: 0 }
    },
    {
      type: 'node',
      mtype: 1,
      _id: nodeId('AMT'),
      meshid: group.id,
      name: 'amt',
      host: '10.0.0.10',
      domain: '',
      intelamt: { user: 'admin', pass: 'amt-secret' }
    }
  ])
  await mesh.start()
  await until(
    'the grace after the restart to be over',
    async () => (await provider.resources.devices!.fetchOne!(admin, nodeId('WIN-1'), signal))?.online === false
  )
  const records = await readDevices(admin)
  t.equal(records.length, 5)
  const byName = new Map(records.map(record => [record.displayName, stored(record)]))
  t.match(byName.get('WIN-1'), {
    externalId: nodeId('WIN-1'),
    organizationExternalId: group.id,
    hostname: 'win-1',
    assetType: 'workstation',
    osType: 'Windows',
    osVersion: 'Microsoft Windows 11 Pro - 24H2/26100',
    serialNumber: 'SN-1001',
    manufacturer: 'Dell Inc.',
    model: 'OptiPlex 7090',
    cpuModel: /i7-10700/,
    cpuCores: 8,
    ramBytes: 16 * 1024 ** 3,
    wanIp: '81.2.69.142',
    lanIp: '10.1.0.1',
    macAddresses: ['D4:BE:D9:00:00:01'],
    currentUser: 'ACME\\jane',
    volumes: [{ name: 'C:', totalBytes: 511_000_000_000, freeBytes: 200_000_000_001 }],
    antivirus: { provider: 'Microsoft Defender', status: 'enabled' },
    online: false
  })
  t.match(
    byName.get('win-2'),
    { assetType: 'server', displayName: 'win-2' },
    'a node without name goes by its host name'
  )
  t.match(byName.get('linux'), { osType: 'Linux', assetType: 'server', ramBytes: 24 * 1024 ** 3, serialNumber: null })
  t.match(byName.get('printer'), { online: null, hostname: '10.0.0.9', details: { kind: 'local' } })
  t.notMatch(
    JSON.stringify(records),
    /recoveryPassword|111111-222222|amt-secret|ssh-secret|"pass"/,
    'no BitLocker key, no AMT or SSH credentials'
  )
  t.match(await provider.resources.devices!.fetchOne!(admin, nodeId('WIN-1'), signal), {
    inventory: { facts: { serialNumber: 'SN-1001' } }
  })
  t.equal(await provider.resources.devices!.fetchOne!(admin, nodeId('NOBODY'), signal), null)

  const session = await provider.remoteSession!(
    admin,
    nodeId('WIN-1'),
    { minutes: 15, viewOnly: true, guestName: 'Jane\r\nTech' },
    signal
  )
  t.match(session.url, /\/sharing\?c=/)
  t.ok(Math.abs(session.expiresAt.getTime() - Date.now() - 15 * 60_000) < 30_000)
  t.equal(
    (
      await failure(
        provider.remoteSession!(admin, nodeId('NOBODY'), { minutes: 15, viewOnly: false, guestName: 'x' }, signal)
      )
    ).kind,
    'gone'
  )

  await mesh.meshctrl('addusertodevicegroup', '--id', group.id, '--userid', 'plain', '--remotecontrol')
  const plain = await open(t, { secrets: { username: 'plain', password: 'Pl4in-pass!' } })
  const refused = await failure(
    provider.remoteSession!(plain, nodeId('WIN-1'), { minutes: 15, viewOnly: false, guestName: 'x' }, signal)
  )
  t.equal(refused.kind, 'forbidden')
  t.match(refused.message, /Guest Sharing/)
  const limited = (await readDevices(plain)).find(record => record.displayName === 'WIN-1')!
  t.match(
    limited.inventory?.facts,
    { serialNumber: undefined, details: undefined, interfaces: undefined },
    'what the account may not see is "not told", never empty'
  )
  t.ok(mesh.running, 'the server lives')
})

t.test(
  'a second list of unchanged devices asks for nothing but the list; a single read is known to the next one',
  async t => {
    const client = await open(t)
    const session = await client.session(signal)
    const asked: string[] = []
    const request = session.request.bind(session)
    session.request = async (command, options) => {
      if (command.action !== 'ping') asked.push(command.action)
      return await request(command, options)
    }
    const marks = new Map<string, string>()
    const remember = (record: DeviceRecord) => {
      if (record.inventory?.facts) marks.set(String(record.externalId), record.inventory.revision)
    }
    const reread = async () => {
      const records: DeviceRecord[] = []
      asked.length = 0
      for await (const page of provider.resources.devices!.pull(
        client,
        null,
        signal,
        async ids => new Map(ids.flatMap(id => (marks.has(String(id)) ? [[String(id), marks.get(String(id))!]] : [])))
      ))
        records.push(...page.records)
      records.forEach(remember)
      return records
        .filter(record => record.inventory?.facts)
        .map(record => record.externalId)
        .sort()
    }
    const agents = [nodeId('WIN-1'), nodeId('WIN-2'), nodeId('LINUX')].sort()
    t.strictSame(await reread(), agents)
    t.strictSame(await reread(), [])
    t.strictSame(asked, ['nodes', 'lastconnects'])
    remember((await provider.resources.devices!.fetchOne!(client, nodeId('WIN-1'), signal))!)
    t.strictSame(await reread(), [], 'the state is the same, whichever way it was read')

    await mesh.stop()
    mesh.putDocs([
      {
        _id: `lc${nodeId('WIN-2')}`,
        type: 'lastconnect',
        domain: '',
        meshid: 'mesh//x',
        time: 1_795_327_999_000,
        cause: 1,
        connectType: 1,
        addr: '127.0.0.1:43943'
      }
    ])
    await mesh.start()
    const again = await open(t)
    const records: DeviceRecord[] = []
    for await (const page of provider.resources.devices!.pull(again, null, signal, async () => marks))
      records.push(...page.records)
    t.strictSame(
      records.filter(record => record.inventory?.facts).map(record => record.externalId),
      [nodeId('WIN-2')],
      'its agent was there in between'
    )
  }
)

t.test('a server that shows a few devices at a time is read completely, and its pushes come back', async t => {
  const client = await open(t, { config: { domain: 'paged' }, secrets: { username: 'pager', password: 'P4ger-pass!' } })
  t.match((await provider.check(client, signal)).warnings.join('\n'), /at most 3 devices at a time/)
  const [records, one] = await Promise.all([
    readDevices(client),
    provider.resources.devices!.fetchOne!(client, nodeId('PAGED-7', 'paged'), signal)
  ])
  t.strictSame(
    records.map(record => record.displayName).sort(),
    Array.from({ length: 10 }, (_, index) => `PAGED-${index}`)
  )
  t.equal(one?.displayName, 'PAGED-7', 'a single read meanwhile is not cut off by the page either')
  t.equal((await groups.list(client, signal)).server?.endsWith('/paged'), true, 'another domain is another server')

  const session = await client.session(signal)
  const pushed = new Promise<unknown>(resolve =>
    session.onEvent(event => {
      if (event['action'] === 'changenode') resolve(event['nodeid'])
    })
  )
  await session.request({ action: 'changedevice', nodeid: nodeId('PAGED-9', 'paged'), desc: 'changed' }, { signal })
  t.equal(await pushed, nodeId('PAGED-9', 'paged'), 'after a paged read a change of any device is pushed again')
})

t.test('a killed server ends what is in flight at once, and is found again after its restart', async t => {
  const client = await open(t)
  const before = await groups.list(client, signal)
  const session = await client.session(signal)
  const reading = (async () => {
    for (;;) await session.request({ action: 'meshes' }, { signal })
  })()
  const [error] = await Promise.all([failure(reading), mesh.stop('SIGKILL')])
  t.equal(error.kind, 'unreachable')
  t.notMatch(error.message, /did not answer/, "by the socket's end, not by the request's own time-out")
  t.equal((await failure(groups.list(client, signal))).kind, 'unreachable', 'while it is away')
  await mesh.start()
  const after = await groups.list(client, signal)
  t.strictSame(after.groups.map(({ id }) => id).sort(), before.groups.map(({ id }) => id).sort(), 'the same groups')
  t.equal(after.server, before.server, 'of the same server')
  t.ok(
    (await readDevices(client)).every(record => record.online !== false),
    'the first list after the loss calls nobody offline'
  )
})

t.test('a real agent comes, goes and comes back', { skip: noAgent }, async t => {
  const client = await open(t)
  const group = await groups.create(client, { name: 'Agents "here" <b>&</b>', description: '' }, signal)
  const hints: Hint[] = []
  const stopListening = new AbortController()
  t.teardown(() => stopListening.abort())
  const listening = (async () => {
    for await (const hint of provider.listen!(client, stopListening.signal)) hints.push(hint)
  })()
  await client.session(signal)
  const agent = await startAgent(t, mesh, group.id)
  await until(
    'the hint of the new device',
    () => hints.some(hint => hint.resource === 'devices' && hint.kind === 'changed'),
    60_000
  )
  const id = String(hints.find(hint => hint.resource === 'devices')!.externalId)
  const read = () => provider.resources.devices!.fetchOne!(client, id, signal)
  await until(
    'the agent to tell its system',
    async () => typeof (await read())?.inventory?.facts?.osVersion === 'string'
  )
  const device = stored((await read())!)
  t.match(device, { externalId: id, organizationExternalId: group.id, online: true, osType: 'Linux', lastSeenAt: Date })
  t.ok((await readDevices(client)).some(record => record.externalId === id && record.online === true))
  const stateOf = (record: DeviceRecord | null | undefined) => record?.inventory?.revision.split('.')[0]
  await until(
    'the list and a single read to see the same state of it',
    async () => stateOf((await readDevices(client)).find(record => record.externalId === id)) === stateOf(await read())
  )

  hints.length = 0
  await agent.stop()
  await until('the hint of the device that went', () =>
    hints.some(hint => hint.externalId === id && hint.kind === 'heartbeat')
  )
  t.equal((await read())?.online, false, 'after the grace it is offline')

  hints.length = 0
  agent.start()
  await until('the hint of the device that came back', () => hints.some(hint => hint.externalId === id))
  t.equal((await read())?.online, true)

  await agent.stop()
  stopListening.abort()
  await listening
})

t.test('pushes end with the socket, and begin again with the next one', async t => {
  const client = await open(t)
  const lost = failure(
    (async () => {
      for await (const hint of provider.listen!(client, signal)) t.comment(`hint ${hint.externalId}`)
    })()
  )
  await client.session(signal)
  await mesh.restart()
  t.equal((await lost).kind, 'unreachable')
  const stop = new AbortController()
  const hints: Hint[] = []
  const again = (async () => {
    for await (const hint of provider.listen!(client, stop.signal)) hints.push(hint)
  })()
  // It has to log in first: change something until it is heard.
  const admin = await open(t)
  const group = await groups.create(admin, { name: 'Heard', description: '' }, signal)
  let change = 0
  await until('the hint of the group', async () => {
    await groups.rename(admin, group.id, { name: `Heard ${change++}` }, signal)
    return hints.some(hint => hint.resource === 'organizations' && hint.externalId === group.id)
  })
  stop.abort()
  await again
  t.pass('the listener ends without an error when it is told to')
})

t.test('a lost database is the same server without groups, a fresh installation is another server', async t => {
  const before = await groups.list(await open(t), signal)
  t.ok(before.groups.length > 200)
  await mesh.stop()
  await mesh.wipe()
  await mesh.start()
  const lost = await groups.list(await open(t), signal)
  t.strictSame(lost, { groups: [], server: before.server, complete: true })

  await mesh.stop()
  await mesh.wipe({ certificates: true })
  await mesh.start()
  const fresh = await groups.list(await open(t), signal)
  t.strictSame(fresh.groups, [])
  t.ok(fresh.server && fresh.server !== before.server, 'its identity differs')
  t.equal(
    (
      await failure(
        provider.check(
          await open(t, { config: { ca: readFileSync(new URL('../fixtures/tls/ca.pem', import.meta.url), 'utf8') } }),
          signal
        )
      )
    ).kind,
    'unreachable',
    'another authority is not trusted'
  )
})
