import t from 'tap'
import type { Change, HostDeviceChange } from '../../../src/types.ts'
import { alert, device, devices, group, list, page, scriptedHost } from '../scripted.ts'

t.setTimeout(120_000)

const short = ({ kind, entity, externalId, clientRef, state }: Change) =>
  `${kind} ${entity} ${externalId} ${clientRef} ${state}`

t.test('what a run did is listed with the values before and after, and costs a first sync no rows', async t => {
  const told: HostDeviceChange[] = []
  const h = await scriptedHost(t, { onChanges: ({ devices }) => void told.push(...devices) })
  const changes = async (runId: string, query = '') =>
    (await h.call('t1', 'GET', `/runs/${runId}/changes${query}`)).body.items as Change[]
  h.script.devices = list(devices(3, { osVersion: '10', tags: ['a'], details: { score: 1, same: true } }))
  const first = await h.sync()
  t.strictSame((await changes(first.id, '?kind=create&entity=device')).map(short).sort(), [
    'create device d000 c1 applied',
    'create device d001 c1 applied',
    'create device d002 c1 applied'
  ])
  t.equal(
    (await h.rows('change', 'id')).filter(row => row.entity === 'device').length,
    0,
    'told by the rows themselves'
  )
  told.length = 0

  const boot = new Date('2026-01-05T10:00:00Z')
  h.script.devices = list([
    device('d000', {
      osVersion: '11',
      tags: ['a'],
      ramBytes: 2 ** 40,
      lastRebootAt: boot,
      details: { score: 2, same: true }
    }),
    device('d001', { osVersion: '10', tags: ['a'], details: { score: 1, same: true } })
  ])
  const second = await h.sync()
  const expected = [
    { field: 'osVersion', from: '10', to: '11' },
    { field: 'ramBytes', from: null, to: 2 ** 40 },
    { field: 'details', from: { score: 1 }, to: { score: 2 } },
    { field: 'lastRebootAt', from: null, to: boot.toISOString() }
  ]
  const items = await changes(second.id)
  t.strictSame(items.map(short), ['update device d000 c1 applied', 'remove device d002 c1 applied'])
  t.strictSame(items[0]!.changed, expected)
  t.match(items[0], { cause: 'run', runId: second.id, connectionId: h.connectionId, actor: null, reason: null })
  t.strictSame(
    told.map(({ change, changed }) => ({ change, changed })),
    [
      { change: 'updated', changed: expected },
      { change: 'removed', changed: undefined }
    ],
    'and the host can write only what the platform changed'
  )
  const events = (await h.rows('outbox', 'seq')).filter(({ type }) => type === 'RMM_DEVICE_UPDATED')
  t.strictSame(
    events.map(({ payload }) => payload.changedFields),
    [expected.map(({ field }) => field)]
  )

  const third = await h.sync()
  t.strictSame(await changes(third.id), [], 'an unchanged account has none')
  h.script.devices = list(devices(3, { osVersion: '10', tags: ['a'], details: { score: 1, same: true } }))
  const fourth = await h.sync()
  t.match((await changes(fourth.id)).map(short), ['update device d000 c1 applied', 'revive device d002 c1 applied'])

  const { id } = (await h.rows('device')).find(row => row.external_id === 'd002')!
  const line = await h.call('t1', 'GET', `/devices/${id}/changes?total=true`)
  t.strictSame(
    line.body.items.map(({ kind, runId }: Change) => [kind, runId]),
    [
      ['revive', fourth.id],
      ['remove', second.id],
      ['create', first.id]
    ],
    'its time line, newest first, down to its making'
  )
  t.equal(line.body.total, 3)
  const pages: string[] = []
  for (let cursor = ''; cursor !== 'null'; ) {
    const { body } = await h.call('t1', 'GET', `/devices/${id}/changes?limit=1${cursor}`)
    pages.push(...body.items.map(({ kind }: Change) => kind))
    cursor = body.nextCursor === null ? 'null' : `&cursor=${body.nextCursor}`
  }
  t.strictSame(pages, ['revive', 'remove', 'create'])
})

t.test('moves, mappings, groups, alerts, patch counts and connections are in the log with who did it', async t => {
  const h = await scriptedHost(t)
  h.script.organizations = list([group('g1'), group('g2')])
  h.script.devices = list(devices(2))
  h.script.alerts = list([alert('a1')])
  h.script.updates = list([{ externalId: 'u1', deviceExternalId: 'd000' }])
  await h.sync()
  const anna = h.app.rmm.as({ id: 'u7', name: 'Anna' })
  const organization = (await anna.organizations.list('t1', h.connectionId)).items.find(o => o.externalId === 'g1')!
  await anna.organizations.update('t1', h.connectionId, organization.id, { clientRef: 'c2' })
  await anna.connections.update('t1', h.connectionId, { name: 'Other', secrets: { apiKey: 'x' } })
  h.script.organizations = list([group('g1', null, 'New name'), group('g2')])
  h.script.alerts = list([alert('a1', { status: 'resolved', resolvedAt: new Date() })])
  h.script.updates = list([
    { externalId: 'u1', deviceExternalId: 'd000' },
    { externalId: 'u2', deviceExternalId: 'd000' }
  ])
  await h.sync()

  const { items } = (await h.call('t1', 'GET', `/connections/${h.connectionId}/changes?limit=200`)).body
  const log = [...(items as Change[])].reverse()
  const pick = (entity: string, kind: string) => log.filter(one => one.entity === entity && one.kind === kind)
  t.match(pick('organization', 'map').at(-1), {
    cause: 'mapping',
    displayName: 'Group g1',
    actor: { id: 'u7', name: 'Anna' },
    changed: [{ field: 'mapping.clientRef', from: 'c1', to: 'c2' }]
  })
  const moves = pick('device', 'move')
  t.strictSame(moves.map(({ externalId }) => externalId).sort(), ['d000', 'd001'])
  t.match(moves[0], { actor: { id: 'u7' }, changed: [{ field: 'clientRef', from: 'c1', to: 'c2' }] })
  const batch = pick('organization', 'map').at(-1)!.runId!
  t.equal(moves[0]!.runId, batch, 'a mapping and its moves belong together')
  t.equal((await h.call('t1', 'GET', `/runs/${batch}/changes`)).body.items.length, 3)
  t.match(pick('organization', 'update').at(-1)!.changed, [{ field: 'name', from: 'Group g1', to: 'New name' }])
  t.match(pick('alert', 'create').map(short), ['create alert a1 null applied'])
  t.match(pick('alert', 'update')[0]!.changed, [{ field: 'status', from: 'active', to: 'resolved' }])
  t.match(pick('device', 'update').at(-1)!.changed, [{ field: 'pendingOsPatches', from: 1, to: 2 }])
  t.strictSame(
    pick('connection', 'update')[0]!.changed,
    [
      { field: 'name', from: 'Scripted', to: 'Other' },
      { field: 'secrets', from: null, to: null }
    ],
    'a secret has no value here'
  )
})

t.test('what one device is read again for is in the log, by whom', async t => {
  const h = await scriptedHost(t)
  h.script.devices = list(devices(1))
  await h.sync()
  h.script.one.set('d000', device('d000', { osVersion: '12' }))
  await h.app.rmm.sync.device('t1', h.connectionId, 'd000')
  const { id } = (await h.rows('device'))[0]!
  const { items } = await h.app.rmm.changes.ofDevice('t1', id)
  t.match(items[0], {
    cause: 'operator',
    runId: null,
    kind: 'update',
    changed: [{ field: 'osVersion', from: null, to: '12' }]
  })
  t.equal(items.length, 2)
  t.match(await h.call('t2', 'GET', `/devices/${id}/changes`), { status: 404 })
  t.match(await h.call('t1', 'GET', `/runs/${id}/changes`), { status: 404 })
})

t.test('a page that is rolled back leaves no trace in the log', async t => {
  let refuse = false
  const h = await scriptedHost(t, {
    onChanges: () => {
      if (refuse) throw new Error('no')
    }
  })
  h.script.devices = list(page(devices(3)))
  await h.sync()
  refuse = true
  h.script.devices = list(page(devices(3, { osVersion: '11' })))
  t.match(await h.sync(), { status: /failed|partial/ })
  t.equal((await h.rows('change', 'id')).filter(({ entity }) => entity === 'device').length, 0)
})
