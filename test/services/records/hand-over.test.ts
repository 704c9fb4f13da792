import t from 'tap'
import type { ChangeBatch, Run } from '../../../src/types.ts'
import { build } from '../../helper.ts'
import { alert, devices, ended, fastEngine, list, page, scriptedHost, type ScriptedHost } from '../scripted.ts'

t.setTimeout(120_000)

/** A host with an asset for every device, which can lose its memory. */
function psa() {
  const told: string[] = []
  const broken = new Set<string>()
  const host = {
    told,
    broken,
    names: true,
    calls: 0,
    take: () => told.splice(0).sort(),
    onChanges({ devices, alerts }: ChangeBatch) {
      host.calls++
      const bad = devices.find(({ device }) => broken.has(device.externalId))
      if (bad !== undefined) throw new Error(`no room for ${bad.device.externalId}`)
      told.push(...devices.map(({ change, device }) => `${change} ${device.externalId}`))
      told.push(...alerts.map(({ change, alert }) => `${change} alert ${alert.externalId}`))
      return host.names
        ? { assetRefs: Object.fromEntries(devices.map(({ device }) => [device.id, `a-${device.externalId}`])) }
        : {}
    }
  }
  return host
}

async function handOver(h: ScriptedHost, body: object = {}): Promise<Run> {
  const reply = await h.call('t1', 'POST', `/connections/${h.connectionId}/handover`, body)
  if (reply.status !== 202) throw new Error(JSON.stringify(reply))
  return await ended(h, reply.body.run.id)
}

t.test('a hand-over gives known devices and their open alerts again, and asks the platform nothing', async t => {
  const host = psa()
  const h = await scriptedHost(t, { onChanges: host.onChanges, engine: { ...fastEngine, batchRecords: 4 } })
  h.script.devices = list([...devices(9), ...devices(1, { organizationExternalId: 'elsewhere' }, 'u')])
  h.script.alerts = list([alert('a1')])
  await h.sync()
  host.take()
  h.script.pulls.length = 0
  const before = await h.rows('outbox', 'seq')
  const run = await handOver(h)
  t.match(run, { kind: 'handover', status: 'succeeded', totals: { handedOver: 9, created: 0 }, resources: ['devices'] })
  t.strictSame(host.take(), ['handover alert a1', ...devices(9).map(d => `handover ${d.externalId}`)])
  t.strictSame(h.script.pulls, [])
  t.strictSame(
    (await h.rows('outbox', 'seq')).slice(before.length).map(({ type }) => type),
    ['RMM_SYNC_STARTED', 'RMM_SYNC_COMPLETED'],
    'nothing happened to any device'
  )
  const { id } = (await h.rows('device'))[3]!
  t.match(await handOver(h, { deviceIds: [id] }), { totals: { handedOver: 1 } })
  t.match(await handOver(h, { clientRef: 'c9' }), { totals: {}, summary: '0 devices were handed over.' })
  t.match(await handOver(h, { onlyWithoutAsset: true }), { summary: '0 devices were handed over.' })
  t.match(await h.call('t1', 'POST', `/connections/${h.connectionId}/handover`, { deviceIds: [h.connectionId] }), {
    status: 404,
    body: { code: 'RMM_ERR_NOT_FOUND' }
  })
  t.match(await h.call('t2', 'POST', `/connections/${h.connectionId}/handover`, {}), { status: 404 })
})

t.test('a host that begins to listen is told of what it never heard, once', async t => {
  const h = await scriptedHost(t)
  h.script.devices = list(devices(9))
  await h.sync()
  const host = psa()
  const later = await build(t, {
    on: { orm: h.orm, schema: h.schema },
    providers: [h.script.provider],
    engine: fastEngine,
    onChanges: host.onChanges
  })
  await h.app.close()
  const sync = async () => await ended(later, (await later.app.rmm.sync.start('t1', h.connectionId)).run.id)
  t.match(await sync(), { status: 'succeeded', totals: { unchanged: 9, handedOver: 9 } })
  t.strictSame(
    host.take(),
    devices(9).map(d => `created ${d.externalId}`)
  )
  await sync()
  t.strictSame(host.take(), [], 'once')
  t.ok((await later.app.rmm.inventory.list('t1')).items.every(({ assetRef }) => assetRef !== null))
})

t.test('released assets are handed over by the next full sync, and the log has the link that went', async t => {
  const host = psa()
  const h = await scriptedHost(t, { onChanges: host.onChanges })
  h.script.devices = list(devices(3))
  await h.sync()
  host.take()
  const refused = h.orm.em.fork().transactional(async em => {
    await h.app.rmm.inventory.release('t1', ['a-d001'], { em: em as never })
    throw new Error('rolled back')
  })
  await t.rejects(refused, { message: 'rolled back' })
  t.equal((await h.rows('device'))[1].asset_ref, 'a-d001', 'with the transaction of the host it was taken back')
  t.equal(await h.app.rmm.inventory.release('t2', ['a-d001']), 0)
  t.equal(await h.app.rmm.as({ id: 'u1' }).inventory.release('t1', ['a-d001', 'nothing']), 1)
  const device = (await h.rows('device'))[1]
  t.equal(device.asset_ref, null)
  const [unlink] = (await h.app.rmm.changes.ofDevice('t1', device.id)).items
  t.match(unlink, {
    kind: 'unlink',
    reason: 'asset-gone',
    actor: { id: 'u1' },
    changed: [{ field: 'assetRef', from: 'a-d001', to: null }]
  })
  await h.sync({ mode: 'incremental' })
  t.strictSame(host.take(), [], 'an incremental sync does not')
  await h.sync()
  t.strictSame(host.take(), ['handover d001'])
  host.names = false
  await h.app.rmm.inventory.release('t1', ['a-d001'])
  await h.sync()
  t.strictSame(host.take(), ['handover d001'])
  await h.sync()
  t.strictSame(host.take(), [], 'who names no asset is not asked again')
})

t.test('onChanges throws for 1 device of 30: it is named, the rest goes on, and it is told again', async t => {
  const host = psa()
  host.broken.add('d017')
  const h = await scriptedHost(t, { onChanges: host.onChanges })
  h.script.devices = list(page(devices(30)))
  const some = { resources: ['organizations', 'devices'] as const }
  const run = await h.sync(some as never)
  t.match(run, { status: 'partial', totals: { created: 30, failed: 1 }, error: { code: 'RMM_ERR_ON_CHANGES' } })
  t.strictSame(await h.items(run.id), [
    {
      resource: 'devices',
      externalId: 'd017',
      outcome: 'failed',
      reason: 'onChanges of the host failed: no room for d017'
    }
  ])
  t.equal(host.take().length, 29, 'each once')
  t.equal((await h.rows('device')).filter(row => row.asset_ref === null).length, 1)
  t.ok(host.calls <= 51, `${host.calls} calls`)
  const again = await h.sync(some as never)
  t.match(again, { status: 'partial', totals: { unchanged: 30, failed: 1 } }, 'it does not fail the account for ever')
  host.broken.clear()
  t.match(await h.sync(some as never), { status: 'succeeded', totals: { handedOver: 1 } })
  t.strictSame(host.take(), ['created d017'])
})

t.test(
  'a host that takes nothing fails the run as before, and one with much trouble costs a bounded number of calls',
  async t => {
    const host = psa()
    for (const { externalId } of devices(40)) host.broken.add(String(externalId))
    const h = await scriptedHost(t, { onChanges: host.onChanges })
    h.script.devices = list(page(devices(40)))
    t.match(await h.sync({ resources: ['devices'] }), {
      status: 'failed',
      error: { code: 'RMM_ERR_ON_CHANGES', message: /no room for d000/ }
    })
    t.equal((await h.rows('device')).length, 0)
    for (const { externalId } of devices(20)) host.broken.delete(String(externalId))
    host.calls = 0
    const run = await h.sync({ resources: ['devices'] })
    t.match(run, { status: 'partial', totals: { created: 40 } })
    t.ok(host.calls <= 60, `${host.calls} calls`)
    t.equal((await h.items(run.id)).length, 20, 'every device that was not taken is named')
    t.equal(host.take().length, 20)
  }
)

t.test("'batch' leaves it as it was; what the host refuses by name is told alike", async t => {
  const host = psa()
  host.broken.add('d003')
  const h = await scriptedHost(t, { onChanges: host.onChanges, onChangesIsolation: 'batch' })
  h.script.devices = list(page(devices(9)))
  t.match(await h.sync({ resources: ['devices'] }), { status: 'failed' })

  const refusing = await scriptedHost(t, {
    onChanges: ({ devices }) => ({
      refused: Object.fromEntries(
        devices.filter(({ device }) => device.externalId === 'd002').map(({ device }) => [device.id, 'not ours'])
      )
    })
  })
  refusing.script.devices = list(page(devices(4)))
  const run = await refusing.sync()
  t.match(run, { status: 'partial', totals: { created: 4, failed: 1 } })
  t.match(await refusing.items(run.id), [
    { externalId: 'd002', outcome: 'failed', reason: 'the host refused it: not ours' }
  ])
})

t.test('what the host has switched off begins no work; it can be named, paused and disconnected', async t => {
  let available = true
  const h = await scriptedHost(t, { available: () => available, engine: fastEngine })
  h.script.devices = list(devices(2))
  await h.sync()
  const url = `/connections/${h.connectionId}`
  await h.call('t1', 'PATCH', url, { schedule: { enabled: true, everyMinutes: 15 } })
  available = false
  h.script.pulls.length = 0
  const refused = { status: 404, body: { code: 'RMM_ERR_PROVIDER_UNAVAILABLE' } }
  t.match(await h.call('t1', 'POST', `${url}/sync`, {}), refused)
  t.match(await h.call('t1', 'POST', `${url}/handover`, {}), refused)
  t.match(await h.call('t1', 'POST', `${url}/devices/d000/sync`), refused)
  t.match(await h.call('t1', 'POST', `${url}/test`), refused)
  t.match(await h.call('t1', 'PATCH', url, { secrets: { apiKey: 'other' } }), refused)
  t.match(await h.call('t1', 'PATCH', url, { name: 'Old one', schedule: { enabled: false } }), {
    status: 200,
    body: { name: 'Old one', schedule: { enabled: false } }
  })
  t.match(await h.call('t1', 'GET', url), { status: 200 })
  t.strictSame([h.script.pulls, h.script.asked], [[], []], 'the platform was not asked')
  t.match(await h.call('t1', 'DELETE', url), { status: 204 })
})
