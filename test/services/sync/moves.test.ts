import { sql } from 'kysely'
import t from 'tap'
import { ProviderError } from '../../../src/providers/define.ts'
import type { ChangeBatch } from '../../../src/types.ts'
import { device, devices, fastEngine, group, list, page, scriptedHost, type ScriptedHost } from '../scripted.ts'

t.setTimeout(120_000)

function recorder() {
  const told: string[] = []
  return {
    onChanges: (batch: ChangeBatch) => {
      told.push(...batch.devices.map(({ change, device }) => `${change} ${device.externalId} ${device.clientRef}`))
    },
    take: () => told.splice(0).sort()
  }
}

/** 40 devices of c1 in g1, 20 of c2 in g2. */
async function twoClients(h: ScriptedHost, first = 40): Promise<void> {
  h.script.organizations = list([group('g1'), group('g2'), group('g3')])
  await h.sync({ resources: ['organizations'] })
  await h.map({ g1: 'c1', g2: 'c2' })
  h.script.devices = list([...devices(first), ...devices(20, { organizationExternalId: 'g2' }, 'e')])
  await h.sync()
}
const clientsOf = async (h: ScriptedHost) => {
  const counts: Record<string, number> = {}
  for (const { client_ref: client } of (await h.rows('device')).filter(row => row.removed_at === null))
    counts[String(client)] = (counts[String(client)] ?? 0) + 1
  return counts
}

const both = { resources: ['organizations' as const, 'devices' as const] }

for (const batchRecords of [500, 7]) {
  t.test(
    `13 of 60 mapped devices leave their client: none does until a person confirms it (${batchRecords})`,
    async t => {
      const host = recorder()
      const h = await scriptedHost(t, { onChanges: host.onChanges, engine: { ...fastEngine, batchRecords } })
      await twoClients(h)
      host.take()
      const moved = devices(40).map((one, n) =>
        n % 3 === 0 && n < 38
          ? { ...one, organizationExternalId: n % 2 ? 'g2' : 'g3', displayName: `${one.displayName}!` }
          : one
      )
      h.script.devices = list(moved.slice(0, 20), [
        ...moved.slice(20),
        ...devices(20, { organizationExternalId: 'g2' }, 'e'),
        device('new', { organizationExternalId: 'g2' })
      ])
      const run = await h.sync(both)
      t.match(run, {
        status: 'partial',
        error: { code: 'RMM_ERR_MASS_MOVE', message: /13 devices would leave their client.*force: true/ }
      })
      t.strictSame(await clientsOf(h), { c1: 40, c2: 21 }, 'nothing moves, the rest is written')
      t.strictSame(
        host.take(),
        [
          'created new c2',
          ...moved.filter(({ displayName }) => displayName.endsWith('!')).map(one => `updated ${one.externalId} c1`)
        ].sort(),
        'the host hears what else changed'
      )
      const items = await h.items(run.id)
      t.equal(items.length, 13)
      t.match(
        items.find(({ externalId }) => externalId === 'd003'),
        {
          resource: 'devices',
          outcome: 'held',
          reason: 'd003! would move from client c1 to client c2'
        }
      )
      t.match(items.find(({ externalId }) => externalId === 'd000')?.reason, /to no client/)

      t.match(await h.sync(both), { status: 'partial', error: { code: 'RMM_ERR_MASS_MOVE' } }, 'and again')
      t.strictSame(host.take(), [])
      t.match(await h.sync({ ...both, force: true }), { status: 'succeeded' })
      t.strictSame(await clientsOf(h), { c1: 27, c2: 27, null: 7 })
      t.equal(host.take().filter(change => change.startsWith('moved')).length, 13, 'each once')
      t.match(await h.sync(both), { status: 'succeeded', totals: { updated: 0 } })
    }
  )
}

t.test('10 moves, or a fifth of the devices, are nobody’s alarm, and each is one change', async t => {
  for (const [first, moving] of [
    [40, 10],
    [80, 20]
  ] as const) {
    const host = recorder()
    const h = await scriptedHost(t, { onChanges: host.onChanges })
    await twoClients(h, first)
    host.take()
    const told = (await h.told()).length
    h.script.devices = list([
      ...devices(first).map((one, n) =>
        n < moving ? { ...one, organizationExternalId: 'g2', displayName: 'x' } : one
      ),
      ...devices(20, { organizationExternalId: 'g2' }, 'e')
    ])
    t.match(await h.sync(), { status: 'succeeded', totals: { updated: moving, unchanged: first + 20 - moving } })
    t.equal(host.take().length, moving)
    t.equal((await h.told()).slice(told).filter(event => event.startsWith('RMM_DEVICE')).length, moving)
  }
})

t.test('what a mapping says moves whatever the number, and takes nothing along that waits', async t => {
  const h = await scriptedHost(t)
  await twoClients(h)
  h.script.devices = list([
    ...devices(40).map((one, n) => (n < 20 ? { ...one, organizationExternalId: 'g2' } : one)),
    ...devices(20, { organizationExternalId: 'g2' }, 'e')
  ])
  t.match(await h.sync(), { status: 'partial', error: { code: 'RMM_ERR_MASS_MOVE' } })
  await h.map({ g3: 'c3' })
  t.strictSame(await clientsOf(h), { c1: 40, c2: 20 }, 'a mapping of another group')
  await h.map({ g1: 'c3' })
  t.strictSame(await clientsOf(h), { c1: 20, c2: 20, c3: 20 }, 'those in g1; the others wait')
})

t.test('a group that goes to another parent takes its devices along only when a person says so', async t => {
  const host = recorder()
  const h = await scriptedHost(t, { onChanges: host.onChanges })
  h.script.organizations = list([group('g1'), group('g2'), group('site', 'g1'), group('room', 'site')])
  await h.sync({ resources: ['organizations'] })
  await h.map({ g1: 'c1', g2: 'c2' })
  h.script.devices = list([
    ...devices(15, { organizationExternalId: 'site' }),
    ...devices(15, { organizationExternalId: 'room' }, 'e'),
    ...devices(10, { organizationExternalId: 'g1' }, 'f')
  ])
  await h.sync()
  host.take()
  h.script.organizations = list([
    group('g1'),
    group('g2'),
    group('site', 'g2'),
    group('room', 'site'),
    group('new', 'site')
  ])
  const run = await h.sync()
  t.match(run, {
    status: 'partial',
    progress: [
      { resource: 'organizations', complete: false, error: { code: 'RMM_ERR_MASS_MOVE', message: /30 devices/ } },
      { resource: 'devices', complete: true },
      {},
      {}
    ]
  })
  t.strictSame(await clientsOf(h), { c1: 40 })
  t.equal((await h.items(run.id)).filter(({ outcome }) => outcome === 'held').length, 30)
  await h.map({ g2: 'c3' })
  t.strictSame(await clientsOf(h), { c1: 40 }, 'an operator’s mapping does not let it through')
  t.strictSame(host.take(), [])
  t.match(await h.sync({ force: true }), { status: 'succeeded' })
  t.strictSame(await clientsOf(h), { c1: 10, c3: 30 })
  t.equal(host.take().length, 30)
})

t.test('a platform that is right again leaves nothing behind of the move that waited', async t => {
  const h = await scriptedHost(t)
  await twoClients(h)
  const before = h.script.devices
  h.script.organizations = list([group('g1'), group('g2'), group('g3'), group('site', 'g1')])
  h.script.devices = list([
    ...devices(40, { organizationExternalId: 'site' }),
    ...devices(20, { organizationExternalId: 'g2' }, 'e')
  ])
  t.match(await h.sync(), { status: 'succeeded' })
  h.script.organizations = list([group('g1'), group('g2'), group('g3'), group('site', 'g3')])
  h.script.devices = list([
    ...devices(40, { organizationExternalId: null }),
    ...devices(20, { organizationExternalId: 'site' }, 'e')
  ])
  t.match(await h.sync(), {
    status: 'partial',
    progress: [{ error: { code: 'RMM_ERR_MASS_MOVE' } }, { error: { code: 'RMM_ERR_MASS_MOVE' } }, {}, {}]
  })
  t.strictSame(await clientsOf(h), { c1: 40, c2: 20 })
  h.script.organizations = list([group('g1'), group('g2'), group('g3'), group('site', 'g1')])
  h.script.devices = before
  t.match(await h.sync(), { status: 'succeeded' })
  t.strictSame(await clientsOf(h), { c1: 40, c2: 20 })
})

t.test('a device in a group that no list has shown: the group is asked for before it loses its client', async t => {
  const h = await scriptedHost(t)
  await twoClients(h)
  h.script.one.set('site', group('site', 'wing'))
  h.script.one.set('wing', group('wing', 'g1'))
  h.script.one.set('locked', new Error('the group cannot be read'))
  h.script.one.set('d002', device('d002', { organizationExternalId: 'nowhere' }))
  h.script.devices = list([
    device('d000', { organizationExternalId: 'site' }),
    device('d001', { organizationExternalId: 'locked' }),
    device('d002', { organizationExternalId: 'nowhere' }),
    ...devices(40).slice(3),
    ...devices(20, { organizationExternalId: 'g2' }, 'e')
  ])
  const run = await h.sync()
  t.match(run, { status: 'succeeded' })
  t.strictSame(
    (await h.rows('device')).slice(0, 3).map(row => `${row.organization_external_id} ${row.client_ref}`),
    ['site c1', 'locked c1', 'nowhere null']
  )
  t.match(await h.items(run.id), [
    { resource: 'devices', externalId: 'd001', outcome: 'ambiguous', reason: /locked.*stays with its client/ }
  ])
})

t.test('a group that is gone leaves its devices alone until they have been read', async t => {
  const host = recorder()
  const h = await scriptedHost(t, { onChanges: host.onChanges })
  await twoClients(h)
  await h.map({ g3: 'c1' })
  host.take()
  h.script.organizations = list([group('g2'), group('g3')])
  h.script.devices = list([
    ...devices(40, { organizationExternalId: 'g3' }),
    ...devices(20, { organizationExternalId: 'g2' }, 'e')
  ])
  t.match(await h.sync({ force: true }), { status: 'succeeded', totals: { removed: 0 } })
  t.strictSame(await clientsOf(h), { c1: 40, c2: 20 })
  t.ok(
    host.take().every(change => change.startsWith('updated')),
    'nobody was told of a move'
  )
})

t.test('more moves than are kept in memory are counted all the same', async t => {
  const h = await scriptedHost(t)
  h.script.organizations = list([group('g1'), group('g2')])
  await h.sync({ resources: ['organizations'] })
  await h.map({ g2: 'c2' })
  const all = devices(5_000)
  h.script.devices = list(...Array.from({ length: 50 }, (_, n) => all.slice(n * 100, n * 100 + 100)))
  await h.sync({ resources: ['devices'] })
  const moved = (count: number) =>
    list(
      ...Array.from({ length: 50 }, (_, n) =>
        page(
          all
            .slice(n * 100, n * 100 + 100)
            .map((one, at) => (n * 100 + at < count ? { ...one, organizationExternalId: 'g2' } : one))
        )
      )
    )
  h.script.devices = moved(3_000)
  const run = await h.sync({ resources: ['devices'] })
  t.match(run, { status: 'failed', error: { code: 'RMM_ERR_MASS_MOVE', message: /^3000 devices/ } })
  t.strictSame(await clientsOf(h), { c1: 5_000 })
  t.match(await h.sync({ resources: ['devices'], force: true }), { status: 'succeeded' })
  t.strictSame(await clientsOf(h), { c1: 2_000, c2: 3_000 })
})

t.test('single reads that move one device after the other stop at the brake; a run and a person decide', async t => {
  const host = recorder()
  const h = await scriptedHost(t, { onChanges: host.onChanges })
  await twoClients(h)
  host.take()
  const moved = devices(40, { organizationExternalId: 'g2', displayName: 'moved' })
  for (const [n, one] of moved.entries()) {
    h.script.one.set(String(one.externalId), { ...one, displayName: `moved ${n}` })
    t.match(await h.app.rmm.sync.device('t1', h.connectionId, String(one.externalId)), { outcome: 'updated' })
  }
  t.strictSame(await clientsOf(h), { c1: 28, c2: 32 }, '12 of 60 are 20 %, one more is not')
  t.ok(
    (await h.rows('device')).slice(0, 40).every(row => row.display_name.startsWith('moved')),
    'everything else is taken over'
  )
  // Asked for again and again, as heartbeats do: it stays where it is.
  for (let n = 0; n < 3; n++) await h.app.rmm.sync.device('t1', h.connectionId, 'd039')
  await sql`update ${h.database.t.connection} set moves_since = now() - interval '2 hours'`.execute(h.database.db)
  t.match(await h.app.rmm.sync.device('t1', h.connectionId, 'd039'), { device: { clientRef: 'c1' } }, 'also later')
  h.script.devices = list([...moved, ...devices(20, { organizationExternalId: 'g2' }, 'e')])
  const run = await h.sync(both)
  t.match(run, { status: 'partial', error: { code: 'RMM_ERR_MASS_MOVE', message: /28 devices/ } })
  t.match(await h.sync({ ...both, force: true }), { status: 'succeeded' })
  t.strictSame(await clientsOf(h), { c2: 60 })
})

t.test('a single read of a device in a group that nobody has listed asks for the group first', async t => {
  const h = await scriptedHost(t)
  await twoClients(h)
  h.script.one.set('site', group('site', 'g2'))
  const read = async (organizationExternalId: string) => {
    h.script.one.set('d000', device('d000', { organizationExternalId }))
    return (await h.app.rmm.sync.device('t1', h.connectionId, 'd000')).device
  }
  t.match(await read('site'), { organizationExternalId: 'site', clientRef: 'c2' })
  h.script.one.set('site', new Error('cannot be read'))
  t.match(await read('other'), { organizationExternalId: 'other', clientRef: null }, 'it says that there is none')
  h.script.one.set('d001', device('d001', { organizationExternalId: 'locked' }))
  h.script.one.set('locked', new Error('cannot be read'))
  t.match(await h.app.rmm.sync.device('t1', h.connectionId, 'd001'), { device: { clientRef: 'c1' } }, 'it does not say')
})

t.test('while the organizations cannot be read, a group that nobody knows moves no device', async t => {
  const h = await scriptedHost(t)
  await twoClients(h)
  const inNew = [
    ...devices(30, { organizationExternalId: 'brand new' }),
    ...devices(40).slice(30),
    ...devices(20, { organizationExternalId: 'g2' }, 'e')
  ]
  const listed = h.script.organizations
  h.script.organizations = async function* () {
    throw new ProviderError('protocol', 'half a list')
  }
  h.script.devices = list(inNew)
  const run = await h.sync()
  t.match(run, { status: 'partial', error: { message: /^organizations: half a list$/ } })
  t.strictSame(await clientsOf(h), { c1: 40, c2: 20 })
  t.equal((await h.items(run.id)).filter(({ outcome }) => outcome === 'ambiguous').length, 30)
  h.script.organizations = listed
  for (const one of inNew) h.script.one.set(String(one.externalId), one)
  t.match(
    await h.sync(),
    { status: 'partial', error: { code: 'RMM_ERR_MASS_MOVE' } },
    'a list that knows it not is heard'
  )
})

t.test('a group that came and went while its device was read leaves the device its client', async t => {
  const h = await scriptedHost(t)
  await twoClients(h)
  const moved = device('d000', { organizationExternalId: 'g2' })
  h.script.one.set('d000', moved)
  h.script.devices = list([
    device('d000', { organizationExternalId: 'short-lived' }),
    ...devices(40).slice(1),
    ...devices(20, { organizationExternalId: 'g2' }, 'e')
  ])
  t.match(await h.sync(), { status: 'succeeded' })
  t.match((await h.rows('device'))[0], { organization_external_id: 'g2', client_ref: 'c2' }, 'it is where it says now')
})
