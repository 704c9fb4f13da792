import { sql } from 'kysely'
import t from 'tap'
import type { Change, ChangeBatch, Run } from '../../../src/types.ts'
import {
  alert,
  createScript,
  device,
  devices,
  ended,
  group,
  list,
  page,
  type Script,
  scriptedHost,
  type ScriptedHost
} from '../scripted.ts'

t.setTimeout(200_000)

const url = (h: ScriptedHost) => `/connections/${h.connectionId}`
async function start(h: ScriptedHost, path: string, body: object): Promise<Run> {
  const reply = await h.call('t1', 'POST', path, body)
  if (reply.status !== 202) throw new Error(JSON.stringify(reply))
  return await ended(h, reply.body.run.id)
}
const plan = (h: ScriptedHost, body: object = {}) => start(h, `${url(h)}/sync`, { ...body, plan: true })
const apply = (h: ScriptedHost, planId: string, body: object = {}) => start(h, `/runs/${planId}/apply`, body)
const changes = async (h: ScriptedHost, runId: string, query = ''): Promise<Change[]> =>
  (await h.call('t1', 'GET', `/runs/${runId}/changes?limit=200${query}`)).body.items
const short = ({ kind, entity, externalId, clientRef, state }: Change) =>
  `${kind} ${entity} ${externalId} ${clientRef} ${state}`

function recorder() {
  const told: string[] = []
  return {
    onChanges: ({ devices, alerts }: ChangeBatch) => {
      told.push(
        ...devices.map(
          ({ change, device, changed }) =>
            `${change} ${device.externalId} ${device.clientRef} ${(changed ?? []).map(({ field }) => field)}`
        )
      )
      told.push(...alerts.map(({ change, alert }) => `${change} ${alert.externalId}`))
    },
    take: () => told.splice(0).sort()
  }
}

/** Everything that a sync may leave behind, without ids and times. */
async function tables(h: ScriptedHost) {
  const of = async (table: Parameters<ScriptedHost['rows']>[0], columns: string[], order?: string) =>
    (await h.rows(table, order)).map(row => columns.map(column => row[column]))
  return {
    devices: await of('device', [
      'external_id',
      'organization_external_id',
      'client_ref',
      'assignment',
      'display_name',
      'os_version',
      'pending_os_patches',
      'hash'
    ]),
    removed: (await h.rows('device')).filter(row => row.removed_at !== null).map(row => row.external_id),
    organizations: await of('organization', [
      'external_id',
      'name',
      'path',
      'effective_client_ref',
      'assignment',
      'hash'
    ]),
    alerts: await of('alert', ['external_id', 'status', 'severity', 'hash']),
    heartbeats: (await h.rows('device_status', 'device_id')).map(row => `${row.online} ${row.hash}`).sort()
  }
}

/** An account before, and after everything that can happen to one. */
function before(script: Script): void {
  script.organizations = list([group('g1'), group('g2'), group('g3', 'g1')])
  script.devices = list(
    [...devices(12), ...devices(6, { organizationExternalId: 'g2' }, 'e')],
    devices(5, { organizationExternalId: 'g3' }, 'f')
  )
  script.alerts = list([alert('a1'), alert('a2')])
  script.updates = list([{ externalId: 'u1', deviceExternalId: 'd000' }])
}
function after(script: Script): void {
  script.organizations = list([group('g1', null, 'Renamed'), group('g2'), group('g3', 'g2'), group('g4', 'g1')])
  script.devices = list(
    page([
      ...devices(11).map((one, n) =>
        n === 3
          ? { ...one, osVersion: '11' }
          : n === 4
            ? { ...one, organizationExternalId: 'g2' }
            : n === 5
              ? { ...one, online: false }
              : one
      ),
      device('new', { organizationExternalId: 'g4' }),
      device('stray', { organizationExternalId: 'unknown' })
    ]),
    [...devices(6, { organizationExternalId: 'g2' }, 'e'), ...devices(5, { organizationExternalId: 'g3' }, 'f')]
  )
  script.one.clear()
  script.alerts = list([alert('a1', { severity: 'minor' }), alert('a3')])
  script.updates = list([
    { externalId: 'u1', deviceExternalId: 'd000' },
    { externalId: 'u2', deviceExternalId: 'd003' }
  ])
}
async function settled(h: ScriptedHost): Promise<void> {
  before(h.script)
  await h.sync()
  await h.map({ g2: 'c2' })
  await h.sync()
  // Answered when asked by id: the list alone convinces nobody.
  for (const one of devices(12)) h.script.one.set(String(one.externalId), one)
}

t.test('a plan writes nothing but what would change, and applied it is the sync', async t => {
  const planned = recorder()
  const synced = recorder()
  const one = await scriptedHost(t, { onChanges: planned.onChanges })
  const two = await scriptedHost(t, { onChanges: synced.onChanges, script: createScript() })
  for (const h of [one, two]) {
    await settled(h)
    after(h.script)
  }
  planned.take()
  synced.take()
  const was = await tables(one)
  const versions = async () => (await one.rows('device_status', 'device_id')).map(row => row.version)
  const heartbeats = await versions()
  const events = await one.told()
  const run = await plan(one)
  t.match(run, { kind: 'plan', status: 'succeeded', plan: { warnings: [{ code: 'RMM_WARN_UNMAPPED' }] } })
  t.strictSame(await tables(one), was)
  t.strictSame(await versions(), heartbeats, 'not even heartbeats')
  t.strictSame(planned.take(), [])
  t.strictSame((await one.told()).slice(events.length), ['RMM_PLAN_READY'])
  const found = await changes(one, run.id)
  t.match(
    found.map(short).sort(),
    [
      'create alert a3 null planned',
      'create device new c1 planned',
      'create device stray null planned',
      'create organization g4 null planned',
      'move device d004 c2 planned',
      'move device f000 c2 planned'
    ]
      .concat(found.map(short).sort().slice(6))
      .sort(),
    'with before and after'
  )
  t.match(found.find(({ externalId, kind }) => externalId === 'd003' && kind === 'update')!.changed, [
    { field: 'osVersion', from: null, to: '11' }
  ])
  t.ok(found.some(({ externalId, kind }) => externalId === 'd011' && kind === 'remove'))
  t.ok(found.every(({ state, runId }) => state === 'planned' && runId === run.id))
  const counted = run.plan!.counts.reduce((sum, { count }) => sum + count, 0)
  t.equal(counted, found.length)

  const applied = await apply(one, run.id)
  t.match(applied, { kind: 'apply', status: 'succeeded' })
  t.match(await two.sync(), { status: 'succeeded' })
  t.strictSame(planned.take(), synced.take(), 'the host hears the same')
  t.strictSame(await tables(one), await tables(two), 'the tables are the same')
  t.ok((await changes(one, run.id)).every(({ state }) => state === 'applied'))
  t.match(
    await plan(one),
    { summary: /^Nothing would change\./, plan: { counts: [] } },
    'and planning again finds nothing'
  )
  t.match(await one.call('t1', 'POST', `/runs/${run.id}/apply`, {}), {
    status: 409,
    body: { message: /applied already/ }
  })
})

t.test('only and except: what was not chosen stays as it is, and stays planned', async t => {
  const host = recorder()
  const h = await scriptedHost(t, { onChanges: host.onChanges })
  await settled(h)
  after(h.script)
  host.take()
  const run = await plan(h, { resources: ['organizations', 'devices'] })
  const found = await changes(h, run.id)
  const of = (externalId: string) => found.find(one => one.externalId === externalId && one.entity === 'device')!.id
  t.match(await apply(h, run.id, { only: [of('new'), of('d011')] }), { status: 'succeeded' })
  t.strictSame(host.take(), ['created new c1 ', 'removed d011 c1 '])
  const rows = new Map((await h.rows('device')).map(row => [row.external_id, row]))
  t.equal(rows.get('d003').os_version, null)
  t.equal(rows.get('d004').client_ref, 'c1')
  t.notOk(rows.has('stray'))
  t.match(await apply(h, run.id, { except: [of('d003')] }), { status: 'succeeded' })
  t.equal((await h.rows('device')).find(row => row.external_id === 'd003').os_version, null)
  t.strictSame((await changes(h, run.id, '&state=planned')).map(short), ['update device d003 c1 planned'])
  t.match(await h.call('t1', 'POST', `/runs/${run.id}/apply`, { only: ['4711'] }), { status: 404 })
})

t.test('what was observed since is stale: listed, and left to the next sync', async t => {
  const h = await scriptedHost(t)
  h.script.devices = list(devices(5))
  await h.sync()
  h.script.devices = list([...devices(3, { osVersion: '11' }), ...devices(5).slice(3)])
  const run = await plan(h)
  h.script.one.set('d001', device('d001', { osVersion: '12' }))
  await h.app.rmm.sync.device('t1', h.connectionId, 'd001')
  const applied = await apply(h, run.id)
  t.match(applied, { status: 'succeeded', summary: /1 planned change was not true any more/ })
  t.strictSame(
    (await h.rows('device')).map(row => row.os_version),
    ['11', '12', '11', null, null]
  )
  t.strictSame((await changes(h, run.id, '&state=stale')).map(short), ['update device d001 c1 stale'])
  t.strictSame((await changes(h, applied.id, '&state=stale')).map(short), ['update device d001 c1 stale'])
  t.equal((await changes(h, applied.id, '&state=applied')).length, 2)
})

t.test('a brake that would trip is a warning, and what is no plan, or an old one, is refused', async t => {
  const h = await scriptedHost(t)
  h.script.devices = list(devices(40))
  const sync = await h.sync()
  t.match(await h.call('t1', 'POST', `/runs/${sync.id}/apply`, {}), {
    status: 409,
    body: { code: 'RMM_ERR_CONFLICT', message: /not a plan/ }
  })
  h.script.devices = list(devices(10))
  const run = await plan(h)
  t.match(run, { status: 'succeeded', plan: { warnings: [{ code: 'RMM_ERR_MASS_REMOVAL' }], counts: [] } })
  const forced = await plan(h, { force: true })
  t.match(forced.plan!.counts, [{ entity: 'device', kind: 'remove', clientRef: 'c1', count: 30 }])
  await sql`update ${h.database.t.run} set result = jsonb_set(result, '{plan,expiresAt}', '"2026-01-01T00:00:00.000Z"') where id = ${forced.id}`.execute(
    h.database.db
  )
  t.match(await h.call('t1', 'POST', `/runs/${forced.id}/apply`, {}), {
    status: 409,
    body: { code: 'RMM_ERR_PLAN_EXPIRED' }
  })
  t.match(await h.call('t2', 'POST', `/runs/${forced.id}/apply`, {}), { status: 404 })
})

t.test('who may plan, and nothing else, may plan', async t => {
  const asked: string[] = []
  const h = await scriptedHost(t, {
    authorize: (_request, action) => {
      asked.push(action)
      if (action === 'sync:run') throw Object.assign(new Error('no'), { statusCode: 403 })
    }
  })
  h.script.devices = list(devices(2))
  t.match(await h.call('t1', 'POST', `${url(h)}/sync`, {}), { status: 403 })
  asked.length = 0
  t.match(await plan(h), { kind: 'plan', status: 'succeeded' })
  t.strictSame(asked, ['sync:run', 'sync:plan', 'sync:plan'])
})

t.test('what is erased is in no plan either: the plan can no longer be applied', async t => {
  const h = await scriptedHost(t)
  h.script.devices = list(devices(2))
  await h.sync()
  h.script.devices = list([...devices(2, { currentUser: 'jane' }), device('new', { currentUser: 'jane' })])
  const run = await plan(h)
  const { id } = (await h.rows('device')).find(row => row.external_id === 'd000')
  await h.app.rmm.inventory.erase('t1', { deviceId: id })
  t.strictSame(await h.rows('recording', 'id'), [])
  t.notOk((await changes(h, run.id)).some(({ externalId }) => externalId === 'd000'))
  t.match(await h.call('t1', 'POST', `/runs/${run.id}/apply`, {}), {
    status: 409,
    body: { code: 'RMM_ERR_PLAN_EXPIRED' }
  })
})
