import t, { type Test } from 'tap'
import type { DeviceRecord, KnownRevisions } from '../../src/providers/define.ts'
import { type MeshCentralOptions, meshcentral } from '../../src/providers/meshcentral/index.ts'
import { isCurrent } from '../../src/providers/meshcentral/revision.ts'
import {
  meshRights,
  startFakeMeshCentral,
  windowsHardware,
  type FakeMeshOptions
} from '../../src/testing/fake-mesh/index.ts'
import { openMesh } from './mesh-client.ts'

const { signal } = new AbortController()
const minute = 60_000
/** No device's turn comes while a test runs: within a day, one of hundreds does now and then. */
const centuryMs = 100 * 365 * 24 * 60 * minute

async function setUp(t: Test, options: FakeMeshOptions = {}, more: MeshCentralOptions = {}) {
  const fake = await startFakeMeshCentral(options)
  t.teardown(() => fake.close())
  const provider = meshcentral({
    allowPrivateNetwork: true,
    debounceMs: 20,
    offlineGraceMs: 60,
    requestTimeoutMs: 3000,
    inventoryMaxAgeMs: centuryMs,
    ...more
  })
  const devices = provider.resources.devices!
  const client = await openMesh(t, provider, { url: fake.url }, { username: fake.username, password: fake.password })
  const marks = new Map<string, string>()
  const known: KnownRevisions = async ids =>
    new Map(ids.flatMap(id => (marks.has(String(id)) ? [[String(id), marks.get(String(id))!]] : [])))
  const remember = (record: DeviceRecord) => {
    if (record.inventory?.facts) marks.set(String(record.externalId), record.inventory.revision)
  }
  const pull = async () => {
    fake.resetCounts()
    const records: DeviceRecord[] = []
    for await (const page of devices.pull(client, null, signal, known)) records.push(...page.records)
    records.forEach(remember)
    return records
  }
  /** External ids of the devices whose inventory one more list reads again. */
  const reread = async () => (await pull()).filter(record => record.inventory?.facts).map(record => record.externalId)
  return { fake, devices, client, marks, pull, reread, remember }
}

t.test('a second list of devices that did not change asks for nothing but the list', async t => {
  const { fake, pull } = await setUp(t, { devices: 450 })
  fake.world.addNode({ meshid: [...fake.world.groups.keys()][0]!, name: 'printer', mtype: 3, host: '10.0.0.9' })
  const first = await pull()
  t.strictSame(fake.counts.actions, { nodes: 1, lastconnects: 1, getsysinfo: 450, getnetworkinfo: 450 })
  const second = await pull()
  t.strictSame(fake.counts.actions, { nodes: 1, lastconnects: 1 }, 'however many there are')
  const own = ({ inventory: _, online: _online, lastSeenAt: _seen, uptimeSeconds: _uptime, ...record }: DeviceRecord) =>
    record
  t.strictSame(second.map(own), first.map(own), 'and all of them are told, with what the list itself has')
  t.strictSame(
    second.map(({ inventory }) => inventory?.revision),
    first.map(({ inventory }) => inventory?.revision)
  )
  t.match(
    second.find(({ displayName }) => displayName === 'printer'),
    { hostname: '10.0.0.9', inventory: null },
    'a device without agent has nothing more to read'
  )
})

t.test('a device is read again when its agent came or went, or what its inventory is mixed with changed', async t => {
  const { fake, pull, reread } = await setUp(t)
  await pull()
  const offline = [...fake.world.nodes.keys()].find(id => !fake.world.connected.has(id))!
  const [online, other] = [...fake.world.connected.keys()] as [string, string]
  const events: Array<[string, string, () => void]> = [
    ['it reconnected', online, () => fake.world.connectNode(online, Date.now() - 20 * minute)],
    ['it went away', online, () => fake.world.disconnectNode(online)],
    ['it came back', online, () => fake.world.connectNode(online, Date.now() - 10 * minute)],
    ['it came and went in between', offline, () => fake.world.lastConnects.set(offline, Date.now() - 5 * minute)],
    ['its system was told', other, () => fake.world.changeNode(other, { osdesc: 'Microsoft Windows Server 2025' })],
    ['its address changed', other, () => fake.world.changeNode(other, { ip: '192.168.7.7' })],
    ['it was restarted', other, () => fake.world.changeNode(other, { lastbootuptime: 1_795_324_999_000 })]
  ]
  for (const [what, id, change] of events) {
    change()
    t.strictSame(await reread(), [id], what)
    t.strictSame(await reread(), [], `${what}: once`)
  }
  fake.world.changeNode(other, { name: 'Renamed', users: ['ACME\\jane'], desc: 'x', tags: ['y'] })
  t.strictSame(await reread(), [], 'what the list itself tells needs no further reading')
})

t.test('a right to see details that was lost or given is noticed', async t => {
  const { fake, pull, reread } = await setUp(t, { manageAllDeviceGroups: false, siteadmin: 0, groups: 2, devices: 6 })
  await pull()
  const [group] = [...fake.world.groups.keys()] as [string]
  const members = [...fake.world.nodes.values()]
    .filter(({ meshid }) => meshid === group)
    .map(({ _id }) => _id)
    .sort()
  fake.world.setRights(fake.account, group, meshRights.remote)
  t.strictSame(await reread(), members)
  t.strictSame(await reread(), [])
  fake.world.setRights(fake.account, group, meshRights.all)
  t.strictSame(await reread(), members)
})

t.test('an agent that has only just come is read once more: it takes a moment to tell all', async t => {
  const { fake, pull, reread } = await setUp(t)
  await pull()
  const [id] = fake.world.connected.keys() as unknown as [string]
  fake.world.connectNode(id, Date.now() - 2000)
  t.strictSame(await reread(), [id])
  t.strictSame(await reread(), [id], 'as long as it has only just come')
  fake.world.connectNode(id, Date.now() - 6 * minute)
  t.strictSame(await reread(), [id])
  t.strictSame(await reread(), [])
})

t.test('a single read always reads, and the list knows what it read', async t => {
  const { fake, devices, client, marks, pull, reread, remember } = await setUp(t)
  await pull()
  const ids = [...fake.world.nodes.keys()]
  for (const id of ids) fake.world.setHardware(id, windowsHardware(7000))
  t.strictSame(await reread(), [], 'a list cannot see it')
  const before = new Map(marks)
  for (const id of ids) {
    const record = (await devices.fetchOne!(client, id, signal))!
    t.equal(record.inventory?.facts?.serialNumber, 'SN-8000')
    remember(record)
    t.not(marks.get(id), before.get(id), 'a mark of its own')
  }
  t.strictSame(await reread(), [], 'of agents that are there and of those that are away')
})

t.test('a mark that is not ours is one of another state', async t => {
  const { fake, marks, pull, reread } = await setUp(t)
  await pull()
  const ids = [...fake.world.nodes.keys()].sort()
  for (const [n, id] of ids.entries())
    marks.set(id, ['', 'nonsense', `${marks.get(id)}0.1`, marks.get(id)!.replace(/\..*/, ''), 'a.b.c'][n % 5]!)
  t.strictSame(await reread(), ids)
})

t.test('inventoryMaxAgeMs: 0 reads everything with every list, and nonsense is refused', async t => {
  const { fake, pull, reread } = await setUp(t, {}, { inventoryMaxAgeMs: 0 })
  await pull()
  t.equal((await reread()).length, fake.world.nodes.size)
  t.throws(() => meshcentral({ inventoryMaxAgeMs: -1 }), {
    message: /inventoryMaxAgeMs must be a number of milliseconds/
  })
})

t.test('what nothing told about is read again within a day, every device at a time of its own', t => {
  const hour = 60 * minute
  const day = 24 * hour
  const readAt = 1_795_324_543_000
  const ids = Array.from({ length: 1000 }, (_, n) => `node//${n}`)
  const due = (after: number, since = readAt) => ids.filter(id => !isCurrent(`s.${since}`, 's', id, since + after, day))
  t.equal(due(0).length, 0)
  t.equal(due(day).length, 1000, 'none later than a day')
  let before = 0
  for (let after = 1; after <= 24; after++) {
    const now = due(after * hour).length
    t.ok(now - before > 15 && now - before < 80, `${now - before} in hour ${after}`)
    before = now
  }
  const [id] = ids as [string]
  t.notOk(
    isCurrent('s.0', 's', 'node//x', Date.now(), Number.MAX_SAFE_INTEGER),
    'what was read too early is read again, whatever the time allowed'
  )
  const first = Array.from({ length: 24 * 60 }, (_, n) => n * minute).find(
    after => !isCurrent(`s.${readAt}`, 's', id, readAt + after, day)
  )!
  t.ok(
    isCurrent(`s.${readAt + first}`, 's', id, readAt + first + day - 2 * minute, day),
    'and from its turn on a whole day later'
  )
  t.notOk(isCurrent(`s.${readAt + first}`, 's', id, readAt + first + day, day))
  t.end()
})
