import { sql } from 'kysely'
import t from 'tap'
import { callbackSink } from '../../../src/index.ts'
import { alert, devices, group, list, scriptedHost } from '../scripted.ts'

async function filled(t: Parameters<typeof scriptedHost>[0]) {
  const gone: string[] = []
  const host = await scriptedHost(t, {
    // Never takes anything: events that wait are erased like others.
    events: [
      callbackSink(() => {
        throw new Error('not now')
      })
    ],
    onChanges: async batch => {
      for (const { change, device } of batch.devices) if (change === 'removed') gone.push(device.externalId)
      return {
        assetRefs: Object.fromEntries(batch.devices.map(({ device }) => [device.id, `asset-${device.externalId}`]))
      }
    }
  })
  const { script } = host
  script.organizations = list([group('g1'), group('g2')])
  script.devices = list([
    ...devices(4, { currentUser: 'CORP\\jane.doe' }),
    ...devices(2, { organizationExternalId: 'g2', currentUser: 'CORP\\bob' }, 'e')
  ])
  script.alerts = list([
    alert('a0', { deviceExternalId: 'd000' }),
    alert('a1', { deviceExternalId: 'd001' }),
    alert('b0', { deviceExternalId: 'e000' })
  ])
  await host.sync()
  await host.map({ g2: 'c2' })
  script.devices = list([
    ...devices(4, { currentUser: 'CORP\\jane.doe', hostname: 'renamed' }),
    ...devices(2, { organizationExternalId: 'g2' }, 'e')
  ])
  await host.sync()
  await sql`insert into ${host.database.t.delivery} (tenant_id, connection_id, event_id, event_type, hints, body, status)
    select 't1', ${host.connectionId}::uuid, x, 'x', jsonb_build_array(jsonb_build_object('resource', 'devices', 'externalId', x)), jsonb_build_object('device', x), 'done' from unnest(array['d000', 'd001', 'e000']) x`.execute(
    host.database.db
  )
  /** Every row of every table in which one of these words is. */
  const traces = async (...words: string[]) => {
    const found: string[] = []
    for (const [name, table] of Object.entries(host.database.t)) {
      // What a read has seen: ids of the platform, until the next one.
      if (name === 'page' || name === 'migration') continue
      const { rows } = await sql<{ text: string }>`select x::text as text from ${table} x`.execute(host.database.db)
      for (const { text } of rows) if (words.some(word => text.includes(word))) found.push(`${name}: ${text}`)
    }
    return found
  }
  const idOf = async (externalId: string) =>
    (await host.rows('device')).find(row => row.external_id === externalId)?.id as string
  return { host, gone, traces, idOf }
}

t.test('what is known of one device goes with every trace, once, and nothing else does', async t => {
  const { host, gone, traces, idOf } = await filled(t)
  const { erase } = host.app.rmm.as({ id: 'u1', name: 'Olga' }).inventory
  const id = await idOf('d000')
  const others = (await traces('d001', 'e000')).length
  t.ok((await traces('d000', id)).length >= 6)
  t.strictSame(await erase('t2', { deviceId: id }), { devices: 0, alerts: 0 }, 'another tenant has no such device')
  t.strictSame(await erase('t1', { deviceId: 'no id' }), { devices: 0, alerts: 0 })
  t.strictSame(await erase('t1', { deviceId: id }), { devices: 1, alerts: 1 })
  t.strictSame(gone, ['d000'], 'the host parts with its asset')
  const left = await traces('d000', id)
  t.equal(left.length, 1, left.join('\n'))
  t.match(left, [/^outbox: .*RMM_DATA_ERASED/], 'but for the event that names its id')
  t.equal((await traces('d001', 'e000')).length, others)
  const { items } = await host.app.rmm.activity.list('t1', { type: 'RMM_DATA_ERASED' })
  t.match(items, [{ actor: { id: 'u1' }, summary: 'Erased the data of 1 device and 1 alert of "Scripted"' }])
  t.strictSame(await erase('t1', { deviceId: id }), { devices: 0, alerts: 0 }, 'again')
  t.equal((await host.app.rmm.activity.list('t1', { type: 'RMM_DATA_ERASED' })).items.length, 1)
  t.strictSame(gone, ['d000'])
})

t.test("all devices of a client, removed ones too, and no other client's", async t => {
  const { host, gone, traces } = await filled(t)
  host.script.devices = list([...devices(3), ...devices(2, { organizationExternalId: 'g2' }, 'e')])
  await host.sync()
  t.strictSame(gone.splice(0), ['d003'])
  t.strictSame(await host.app.rmm.inventory.erase('t1', { clientRef: 'c1' }), { devices: 4, alerts: 2 })
  t.strictSame(gone.sort(), ['d000', 'd001', 'd002'], 'a removed one was told before')
  t.strictSame(await traces('d000', 'd001', 'd002', 'd003', 'jane.doe'), [])
  t.strictSame(
    (await host.rows('device')).map(row => row.external_id),
    ['e000', 'e001']
  )
  t.strictSame(await host.app.rmm.inventory.erase('t1', { clientRef: 'c1' }), { devices: 0, alerts: 0 })
  t.match(await host.sync(), { status: 'succeeded', totals: { created: 3 } }, 'what the platform still has comes back')
})
