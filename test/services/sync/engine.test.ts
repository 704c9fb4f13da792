import { sql } from 'kysely'
import t from 'tap'
import { ProviderError } from '../../../src/providers/define.ts'
import type { ChangeBatch } from '../../../src/types.ts'
import { alert, createScript, device, devices, fastEngine, group, list, page, scriptedHost } from '../scripted.ts'
import { pause, until } from '../../until.ts'

/** One page per transaction, whatever has been read ahead. */
const pageByPage = { ...fastEngine, batchRecords: 1 }
/** What two complete reads in a row have to be apart. */
const tick = () => pause(fastEngine.tickMs)
const ago = (ms: number): Date => new Date(Date.now() - ms)

t.test("a page is one transaction: when the host's hook throws, nothing of that page is there", async t => {
  const seen: string[][] = []
  let fail = true
  const h = await scriptedHost(t, {
    engine: pageByPage,
    onChangesIsolation: 'batch',
    onChanges: async (batch, em) => {
      seen.push(batch.devices.map(({ device }) => device.externalId))
      for (const { device } of batch.devices)
        await em
          .getConnection()
          .execute(
            `insert into host_asset (id, name) values ('${h.schema}-${device.id}', 'x')`,
            [],
            'run',
            em.getTransactionContext()
          )
      if (fail && batch.devices.some(({ device }) => device.externalId === 'b'))
        throw new Error('the asset register is full')
    }
  })
  h.script.devices = list([device('a')], [device('b')], [device('c')])
  const run = await h.sync({ resources: ['devices'] })
  t.match(run, {
    status: 'failed',
    error: { code: 'RMM_ERR_ON_CHANGES', message: /the asset register is full/ },
    summary: /the asset register is full/
  })
  t.strictSame(seen, [['a'], ['b'], ['b']], 'tried twice, page a only once')
  t.strictSame(
    (await h.rows('device')).map(row => row.external_id),
    ['a'],
    'earlier pages stay'
  )
  t.match(run.progress, [{ resource: 'devices', pages: 1, processed: 1, complete: false }], 'and are counted')
  t.strictSame(run.totals.created, 1)
  t.strictSame(
    (await h.told()).filter(type => type.startsWith('RMM_DEVICE')),
    ['RMM_DEVICE_CREATED a']
  )
  const assets = await sql<{ count: string }>`select count(*) from host_asset where id like ${`${h.schema}-%`}`.execute(
    h.database.db
  )
  t.equal(Number(assets.rows[0]!.count), 1, 'what the host wrote for b went with it')
  t.strictSame((await h.rows('pass', 'resource')).find(row => row.resource === 'devices').checkpoint, 1)

  fail = false
  h.script.pulls.length = 0
  t.match(await h.sync({ resources: ['devices'] }), { status: 'succeeded', totals: { created: 2 } })
  t.strictSame(h.script.pulls, [{ resource: 'devices', from: null }], 'the next run that a person starts is fresh')
  t.strictSame(
    (await h.rows('device')).map(row => row.external_id),
    ['a', 'b', 'c']
  )
})

t.test('a page that the database lost with its last moments is read again, not taken for seen', async t => {
  const h = await scriptedHost(t, { engine: pageByPage })
  const all = list(devices(30), devices(200, {}, 'e'))
  h.script.devices = all
  await h.sync({ resources: ['devices'] })
  let lost = false
  h.script.devices = async function* (from, signal) {
    for await (const next of all(from, signal)) {
      const [before] = await h.rows('pass', 'resource')
      if (!lost && Number(before.pages) === 1) {
        // As after a crash of the database: a quiet page, which nobody waited for, is gone with its checkpoint.
        lost = true
        await sql`delete from ${h.database.t.page} where pass_id = ${before.id}`.execute(h.database.db)
        await sql`update ${h.database.t.pass} set pages = 0, checkpoint = null where id = ${before.id}`.execute(
          h.database.db
        )
      }
      yield next
      if (!lost) await until('the page', async () => Number((await h.rows('pass', 'resource'))[0].pages) > 0)
    }
  }
  const run = await h.sync({ resources: ['devices'] })
  t.equal(lost, true)
  t.match(run, { status: 'succeeded', totals: { removed: 0 } })
  t.equal((await h.rows('device')).filter(row => row.removed_at !== null).length, 0)
})

t.test('a late page never overwrites a newer row, and a tie goes to the later arrival', async t => {
  const h = await scriptedHost(t)
  const at = ago(60_000)
  const name = async () => (await h.rows('device'))[0].display_name
  const read = async (displayName: string, observedAt: Date) => {
    h.script.devices = list(page([device('a', { displayName })], { observedAt }))
    await h.sync({ resources: ['devices'] })
    return await name()
  }
  t.equal(await read('first', at), 'first')
  t.equal(await read('late', new Date(at.getTime() - 1)), 'first')
  t.equal(await read('tie', at), 'tie')
  t.equal(await read('newer', new Date(at.getTime() + 1)), 'newer')
  // Seen unchanged by a run: only the page remembers it.
  t.equal(await read('newer', new Date(at.getTime() + 1_000)), 'newer')
  t.equal(await read('between', new Date(at.getTime() + 500)), 'newer', 'also when the newer row was seen unchanged')
})

t.test('a device without a client counts as unmapped also where its page came late', async t => {
  const h = await scriptedHost(t)
  h.script.devices = list(page([device('a', { organizationExternalId: null })]))
  t.match(await h.sync({ resources: ['devices'] }), { totals: { unmapped: 1, unchanged: 0 } })
  h.script.devices = list(
    page([device('a', { organizationExternalId: null, displayName: 'late' })], { observedAt: ago(60_000) })
  )
  t.match(await h.sync({ resources: ['devices'] }), { totals: { unmapped: 1, unchanged: 0 } })
})

t.test('what a single read saw unchanged counts as newer than a page from before', async t => {
  const h = await scriptedHost(t)
  h.script.devices = list(page([device('a')], { observedAt: ago(60_000) }))
  h.script.alerts = list(page([alert('x')], { observedAt: ago(60_000) }))
  await h.sync()
  h.script.one.set('a', device('a'))
  t.match(await h.app.rmm.sync.device('t1', h.connectionId, 'a'), { outcome: 'unchanged' })
  h.script.devices = list(page([device('a', { displayName: 'late' })], { observedAt: ago(30_000) }))
  t.match(await h.sync({ resources: ['devices'] }), { totals: { updated: 0 } })
  t.equal((await h.rows('device'))[0].display_name, 'a')
})

t.test('a device that a single read found gone is not brought back by a page from before', async t => {
  const h = await scriptedHost(t)
  h.script.devices = list(page([device('a'), device('b')], { observedAt: ago(60_000) }))
  await h.sync({ resources: ['devices'] })
  t.match(await h.app.rmm.sync.device('t1', h.connectionId, 'a'), { outcome: 'removed', device: { online: false } })
  h.script.devices = list(page([device('a', { displayName: 'ghost' }), device('b')], { observedAt: ago(30_000) }))
  await h.sync({ resources: ['devices'] })
  t.match((await h.rows('device'))[0], { removed_at: /./, display_name: 'a' })
  h.script.devices = list([device('a'), device('b')])
  await h.sync({ resources: ['devices'] })
  t.equal((await h.rows('device'))[0].removed_at, null, 'a newer page does')
})

t.test('unchanged rows are not rewritten, heartbeats are kept fresh beside them', async t => {
  const h = await scriptedHost(t)
  const now = new Date()
  h.script.devices = list(devices(30, { uptimeSeconds: 5, lastSeenAt: ago(60_000) }))
  h.script.alerts = list([alert('x')])
  await h.sync()
  const versions = async (table: 'device' | 'device_status' | 'alert' | 'organization') =>
    (await h.rows(table, table === 'device_status' ? 'device_id' : 'external_id')).map(row => row.version)
  const told = (await h.told()).filter(type => type.startsWith('RMM_DEVICE'))
  const before = {
    device: await versions('device'),
    status: await versions('device_status'),
    alert: await versions('alert'),
    organization: await versions('organization')
  }
  h.script.devices = list(devices(30, { uptimeSeconds: 65, lastSeenAt: ago(60_000) }))
  t.match(await h.sync(), { summary: /^Nothing changed/, totals: { unchanged: 30, updated: 0 } })
  for (const [table, seen] of Object.entries(before)) {
    if (table !== 'status') t.strictSame(await versions(table as 'device'), seen, table)
  }
  h.script.devices = list(devices(30, { uptimeSeconds: 125, lastSeenAt: now, online: false }))
  t.match(await h.sync(), { totals: { unchanged: 30, updated: 0 } })
  t.strictSame(await versions('device'), before.device, 'a heartbeat is no change of the device')
  t.notSame(await versions('device_status'), before.status)
  t.match((await h.app.rmm.inventory.list('t1')).items[0], { online: false, lastSeenAt: now.toISOString() })
  t.strictSame(
    (await h.told()).filter(type => type.startsWith('RMM_DEVICE')),
    told,
    'and no event'
  )
})

t.test('what cannot end is never erased, and a sparse record keeps what is known', async t => {
  const h = await scriptedHost(t)
  const full = {
    hostname: 'HOST',
    serialNumber: 'SN1',
    assetType: 'server' as const,
    ramBytes: 68_719_476_736,
    cpuCores: 8,
    macAddresses: ['00:1B:21:0A:0B:0C'],
    tags: ['vip'],
    maintenanceMode: true,
    volumes: [{ name: 'C:', totalBytes: 1_099_511_627_776, freeBytes: 7 }],
    antivirus: { provider: 'D', status: 'on' },
    details: { risk: 'low' },
    lastSeenAt: ago(1_000),
    uptimeSeconds: 60
  }
  h.script.devices = list([device('a', full)])
  await h.sync()
  const {
    items: [before]
  } = await h.app.rmm.inventory.list('t1')
  h.script.devices = list([
    {
      externalId: 'a',
      displayName: 'a',
      hostname: null,
      volumes: null,
      antivirus: null,
      online: null,
      macAddresses: [],
      details: null,
      ramBytes: null
    }
  ])
  await h.sync()
  const {
    items: [after]
  } = await h.app.rmm.inventory.list('t1')
  const { observedAt: _o, updatedAt: _u, ...known } = before!
  t.match(after, known)
  t.match(await h.app.rmm.inventory.get('t1', before!.id), { details: { risk: 'low' } })
  h.script.devices = list([device('a', { organizationExternalId: null })])
  await h.sync()
  t.match(
    (await h.rows('device'))[0],
    { organization_external_id: null, client_ref: null },
    'but "in no organization" can be told'
  )
})

t.test('tombstones come only from a complete full read, and what comes back has its history', async t => {
  const batches: ChangeBatch[] = []
  const h = await scriptedHost(t, {
    onChanges: async batch => {
      batches.push(batch)
      return {
        assetRefs: Object.fromEntries(batch.devices.map(({ device }) => [device.id, `asset-${device.externalId}`]))
      }
    }
  })
  const five = devices(5)
  h.script.devices = list(five)
  await h.sync({ resources: ['devices'] })
  const [first] = await h.rows('device')
  const removed = async () =>
    (await h.rows('device')).filter(row => row.removed_at !== null).map(row => row.external_id)

  h.script.devices = list(five.slice(1))
  await h.sync({ resources: ['devices'], mode: 'incremental' })
  t.strictSame(await removed(), [], 'not from an incremental one')
  h.script.devices = async function* () {
    yield page(five.slice(1))
    throw new ProviderError('unreachable', 'the line broke')
  }
  t.match(await h.sync({ resources: ['devices'] }), {
    status: 'failed',
    error: { code: 'RMM_ERR_UNREACHABLE', message: 'the line broke' }
  })
  t.strictSame(await removed(), [], 'not from a broken one')

  h.script.devices = async function* () {
    yield page(five.slice(1))
    // Between the page and the end of the list, a webhook adds a device that the list does not have.
    h.script.one.set('new', device('new'))
    await h.app.rmm.sync.device('t1', h.connectionId, 'new')
  }
  t.match(await h.sync({ resources: ['devices'] }), { status: 'succeeded', totals: { removed: 1, unchanged: 4 } })
  t.strictSame(await removed(), ['d000'], 'the one added by a webhook meanwhile survives')
  t.match(batches.at(-1)?.devices, [
    { change: 'removed', device: { externalId: 'd000', assetRef: 'asset-d000', online: false, removedAt: /./ } }
  ])
  t.match(await h.app.rmm.connections.get('t1', h.connectionId), { counts: { devices: 5 } })

  h.script.devices = list([...five, device('new')])
  t.match(await h.sync({ resources: ['devices'] }), { status: 'succeeded', totals: { updated: 1 } })
  const [revived] = await h.rows('device')
  t.match(
    { ...revived },
    { id: first.id, asset_ref: 'asset-d000', removed_at: null, client_ref: 'c1' },
    'revived with its id and its asset'
  )
  t.equal(String(revived.created_at), String(first.created_at))
  t.match(batches.at(-1)?.devices, [{ change: 'created', device: { externalId: 'd000', assetRef: 'asset-d000' } }])
})

t.test('the brake refuses a mass removal until a person confirms it', async t => {
  for (const [known, left, refused] of [
    [50, 39, true],
    [50, 40, false],
    [100, 85, false],
    [11, 0, true],
    [1, 0, true]
  ] as const) {
    const h = await scriptedHost(t)
    h.script.devices = list(devices(known))
    await h.sync({ resources: ['devices'] })
    h.script.devices = left === 0 ? list([]) : list(devices(left))
    const run = await h.sync({ resources: ['devices'] })
    const live = async () => (await h.app.rmm.connections.get('t1', h.connectionId)).counts.devices
    if (!refused) {
      t.match(run, { status: 'succeeded', totals: { removed: known - left } }, `${known} to ${left}`)
      continue
    }
    t.match(
      run,
      {
        status: 'failed',
        error: {
          code: 'RMM_ERR_MASS_REMOVAL',
          message: new RegExp(`^${known - left} of ${known} devices.*force: true`)
        }
      },
      `${known} to ${left}`
    )
    t.equal(await live(), known)
    t.match(
      await h.sync({ resources: ['devices'] }),
      { status: 'failed', error: { code: 'RMM_ERR_MASS_REMOVAL' } },
      'again, without force'
    )
    t.match(await h.sync({ resources: ['devices'], force: true }), {
      status: 'succeeded',
      totals: { removed: known - left }
    })
    t.equal(await live(), left)
  }
})

t.test('a key of another account cannot remove the devices of the first by bringing many of its own', async t => {
  const h = await scriptedHost(t)
  h.script.devices = list(devices(30))
  await h.sync({ resources: ['devices'] })
  h.script.devices = list(devices(500, {}, 'other'))
  t.match(await h.sync({ resources: ['devices'] }), {
    status: 'failed',
    error: { code: 'RMM_ERR_MASS_REMOVAL', message: /^30 of 30/ }
  })
})

t.test('one bad record becomes one item, the rest of its page lands', async t => {
  const h = await scriptedHost(t)
  h.script.organizations = list(page([group('g1'), { externalId: '', name: 'x' }]))
  h.script.devices = list(
    page([device('a'), device('bad\0id'), { externalId: 7.5 } as never, null as never, device('b')], {
      rejected: [
        { externalId: 'c', reason: 'has no shape' },
        { externalId: 'n\0ul', reason: 'half \ud800 a pair and \0' }
      ]
    })
  )
  h.script.alerts = list(page([alert('x', { status: 'odd\0' as never }), alert('y')]))
  const run = await h.sync()
  t.match(run, { status: 'succeeded', totals: { created: 2, failed: 7 } })
  t.match(run.summary, /2 created.*7 records failed/)
  t.strictSame(
    (await h.rows('device')).map(row => row.external_id),
    ['a', 'b']
  )
  t.strictSame(
    (await h.rows('alert')).map(row => row.external_id),
    ['y']
  )
  const items = await h.items(run.id)
  t.equal(items.length, 7)
  t.ok(items.every(item => item.outcome === 'failed' && item.reason.length > 5))
  h.script.devices = list(page([device('b')], { rejected: [{ externalId: 'a', reason: 'has no shape now' }] }))
  t.match(
    await h.sync({ resources: ['devices'] }),
    { status: 'succeeded', totals: { removed: 0, failed: 1 } },
    'a record that became bad is not gone'
  )
})

t.test('"nothing came", "nothing mapped" and "nothing changed" read differently', async t => {
  const h = await scriptedHost(t, { mapped: false })
  t.match(await h.sync(), { status: 'succeeded', summary: /^Nothing came/ })
  h.script.devices = list(devices(3))
  t.match(await h.sync(), { status: 'succeeded', summary: /^Nothing mapped: 3 devices/ })
  await h.map({ g1: 'c1' })
  t.match(await h.sync(), { status: 'succeeded', summary: /^Nothing changed: 3 devices/ })
  h.script.devices = list(devices(4))
  t.match(await h.sync(), { status: 'succeeded', summary: /^1 created; 3 unchanged/ })
  t.match(await h.sync({ resources: ['organizations'] }), { summary: '1 organization read.' })
})

t.test('duplicates on a page and across pages land once, as the newest observation says', async t => {
  const h = await scriptedHost(t)
  h.script.devices = list(
    page([device('a', { displayName: 'one' }), device('a', { displayName: 'two' })], { observedAt: ago(3_000) }),
    page([device('a', { displayName: 'three' })], { observedAt: ago(2_000) }),
    page([device('a', { displayName: 'late' })], { observedAt: ago(5_000) })
  )
  t.match(await h.sync({ resources: ['devices'] }), { status: 'succeeded', progress: [{ pages: 3 }] })
  t.strictSame(
    (await h.rows('device')).map(row => row.display_name),
    ['three']
  )
  t.strictSame(
    (await h.told()).filter(type => type.startsWith('RMM_DEVICE_CREATED')),
    ['RMM_DEVICE_CREATED a']
  )
})

t.test('explicit deletes remove what they name, and a complete list removes nothing more', async t => {
  const h = await scriptedHost(t, { script: createScript({ deletes: 'explicit' }) })
  h.script.devices = list(devices(4))
  h.script.alerts = list([alert('x'), alert('y')])
  await h.sync()
  h.script.devices = list(page([device('d003')], { deletedIds: ['d000', 'unknown'] }))
  h.script.alerts = list(page([], { deletedIds: ['x'] }))
  h.script.one.set('y', alert('y'))
  t.match(await h.sync({ mode: 'incremental' }), { status: 'succeeded', totals: { removed: 1 } })
  t.strictSame(
    (await h.rows('device')).filter(row => row.removed_at !== null).map(row => row.external_id),
    ['d000']
  )
  t.strictSame(
    (await h.rows('alert')).map(row => row.status),
    ['resolved', 'active']
  )
})

t.test('alerts: what is missing is asked for before it closes, resolved stays resolved', async t => {
  const h = await scriptedHost(t)
  const events = async () => (await h.told()).filter(type => type.startsWith('RMM_ALERT'))
  h.script.devices = list([device('d000')])
  h.script.alerts = list(
    page([alert('open'), alert('gone'), alert('over'), alert('unsure')], { observedAt: ago(60_000) })
  )
  await h.sync()
  t.strictSame((await events()).sort(), [
    'RMM_ALERT_TRIGGERED gone',
    'RMM_ALERT_TRIGGERED open',
    'RMM_ALERT_TRIGGERED over',
    'RMM_ALERT_TRIGGERED unsure'
  ])
  h.script.alerts = list([])
  h.script.one.set('open', alert('open'))
  h.script.one.set('over', alert('over', { status: 'resolved', resolvedAt: ago(5_000) }))
  h.script.one.set('unsure', new ProviderError('forbidden', 'not for this key'))
  const run = await h.sync({ resources: ['alerts'] })
  t.strictSame(h.script.asked.sort(), ['gone', 'open', 'over', 'unsure'])
  t.strictSame(
    (await h.rows('alert')).map(row => `${row.external_id} ${row.status}`),
    ['gone resolved', 'open active', 'over resolved', 'unsure active']
  )
  t.match(await h.items(run.id), [{ resource: 'alerts', externalId: 'unsure', outcome: 'ambiguous' }])
  t.strictSame((await events()).slice(4).sort(), ['RMM_ALERT_RESOLVED gone', 'RMM_ALERT_RESOLVED over'])

  h.script.alerts = list(page([alert('over')], { observedAt: ago(30_000) }))
  h.script.one.set('open', alert('open'))
  await h.sync({ resources: ['alerts'] })
  t.equal(
    (await h.rows('alert')).find(row => row.external_id === 'over').status,
    'resolved',
    'a late page does not open it again'
  )

  const { items } = await h.app.rmm.alerts.list('t1', { status: 'active' })
  const open = items.find(item => item.externalId === 'open')!
  t.ok(open.deviceId, 'the device is found by its external id')
  t.match(await h.app.rmm.alerts.resolve('t1', open.id), { status: 'resolved', resolvedAt: /./ })
  t.strictSame(h.script.resolved, ['open'], 'resolved on the platform first')
  t.match(await h.app.rmm.alerts.resolve('t1', open.id), { status: 'resolved' })
  t.strictSame(h.script.resolved, ['open'], 'already resolved is fine, and asks nobody')
})

t.test('without single reads, a list of changes closes no alert; the second full one in a row does', async t => {
  const h = await scriptedHost(t, { script: createScript({ noSingleReads: true }) })
  h.script.alerts = list(page([alert('x')], { observedAt: ago(1_000) }))
  await h.sync({ resources: ['alerts'] })
  h.script.alerts = list([])
  await h.sync({ resources: ['alerts'], mode: 'incremental' })
  t.equal((await h.rows('alert'))[0].status, 'active')
  await h.sync({ resources: ['alerts'] })
  t.equal((await h.rows('alert'))[0].status, 'active', 'nor the first full one that misses it')
  await tick()
  await h.sync({ resources: ['alerts'] })
  t.equal((await h.rows('alert'))[0].status, 'resolved')
})

t.test('pending patches are null until they were read, and stay null where the plan has none', async t => {
  const h = await scriptedHost(t)
  const pending = async () => (await h.app.rmm.inventory.list('t1')).items.map(item => item.pendingOsPatches)
  const update = (externalId: string, deviceExternalId: string) => ({ externalId, deviceExternalId })
  h.script.devices = list(devices(3))
  h.script.updates = async function* () {
    throw new ProviderError('not_in_plan', 'Updates are not in this plan')
  }
  const run = await h.sync()
  t.match(run, { status: 'succeeded' })
  t.match(await h.items(run.id), [
    { resource: 'updates', externalId: null, outcome: 'skipped', reason: 'Updates are not in this plan' }
  ])
  t.strictSame(await pending(), [null, null, null])
  h.script.updates = list(
    [update('u1', 'd000'), update('u2', 'd000')],
    [update('u2', 'd000'), update('u3', 'd002'), update('u4', 'unknown')]
  )
  t.match(await h.sync({ resources: ['updates'] }), { status: 'succeeded' })
  t.strictSame(await pending(), [2, 0, 1], 'each update counts once')
  h.script.updates = list([])
  await h.sync({ resources: ['updates'] })
  t.strictSame(await pending(), [2, 0, 1], 'they count until a second read misses them')
  await tick()
  await h.sync({ resources: ['updates'] })
  t.strictSame(await pending(), [0, 0, 0])
})

t.test('single reads tell what they did', async t => {
  const h = await scriptedHost(t)
  const read = async (externalId: string) => (await h.app.rmm.sync.device('t1', h.connectionId, externalId)).outcome
  h.script.one.set('a', device('a'))
  t.equal(await read('a'), 'created')
  t.equal(await read('a'), 'unchanged')
  h.script.one.set('a', device('a', { displayName: 'renamed' }))
  t.equal(await read('a'), 'updated')
  h.script.one.set('a', device('a', { displayName: 'renamed', organizationExternalId: 'nowhere' }))
  t.equal(await read('a'), 'unmapped')
  h.script.one.delete('a')
  t.equal(await read('a'), 'removed')
  t.equal(await read('a'), 'removed', 'and again')
  await t.rejects(read('never seen'), { code: 'RMM_ERR_NOT_FOUND', statusCode: 404 })
  h.script.one.set('a', new ProviderError('unreachable', 'the line broke'))
  await t.rejects(read('a'), { code: 'RMM_ERR_PLATFORM', message: 'the line broke' })
  t.equal((await h.rows('run', 'id')).length, 1, 'none of them is a run')
})
