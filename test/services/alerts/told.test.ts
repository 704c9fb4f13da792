import t from 'tap'
import type { Alert, ChangeBatch, RmmEvent } from '../../../src/index.ts'
import { build, connectLevel, fakeLevel, syncNow } from '../../helper.ts'
import { until } from '../../until.ts'

t.setTimeout(120_000)

t.test('an alert tells whose it is; that of an excluded device is shown and told to nobody', async t => {
  const fake = await fakeLevel(t, { devices: 3, groups: 2 })
  for (const id of fake.alerts.ids()) fake.alerts.delete(id)
  const [a, b] = fake.groups.ids() as [string, string]
  const [mine, theirs, loose] = fake.devices.ids() as [string, string, string]
  for (const id of [a, b]) fake.groups.patch(id, { parent_id: null })
  fake.devices.move(mine, a)
  fake.devices.move(theirs, b)
  fake.devices.move(loose, null)
  const heard: ChangeBatch['alerts'] = []
  const events: RmmEvent[] = []
  const host = await build(t, {
    onChanges: async ({ devices, alerts }) => {
      heard.push(...alerts)
      return { assetRefs: Object.fromEntries(devices.map(({ device }) => [device.id, `asset-${device.externalId}`])) }
    }
  })
  host.app.rmm.events.on('RMM_ALERT_TRIGGERED', event => void events.push(event))
  const id = await connectLevel(host, fake)
  await syncNow(host, id, { resources: ['organizations'] })
  const { items } = (await host.call('t1', 'GET', `/connections/${id}/organizations`)).body
  const of = (group: string) => items.find((item: { externalId: string }) => item.externalId === group).id
  const { status } = await host.call('t1', 'PUT', `/connections/${id}/mappings`, {
    mappings: [
      { organizationId: of(a), mode: 'mapped', clientRef: 'c1' },
      { organizationId: of(b), mode: 'excluded' }
    ]
  })
  t.equal(status, 200)
  const raise = (device: string, name: string) =>
    fake.alerts.set({ device_id: device, name, severity: 'critical', is_resolved: false } as never).id
  raise(mine, 'Old')
  await syncNow(host, id)
  raise(mine, 'Mine')
  raise(theirs, 'Theirs')
  raise(loose, 'Loose')
  const over = raise(mine, 'Over')
  fake.alerts.patch(over, { is_resolved: true, resolved_at: new Date().toISOString() } as never)
  await syncNow(host, id)
  const alerts = (await host.call('t1', 'GET', `/alerts?connectionId=${id}`)).body.items as Alert[]
  t.match(Object.fromEntries(alerts.map(alert => [alert.name, alert])), {
    Old: { origin: 'backfill', clientRef: 'c1', assetRef: `asset-${mine}`, assignment: 'mapped' },
    Mine: { origin: 'sweep', clientRef: 'c1', assetRef: `asset-${mine}`, assignment: 'mapped' },
    Theirs: { origin: 'sweep', clientRef: null, assetRef: null, assignment: 'excluded' },
    Loose: { origin: 'sweep', clientRef: null, assetRef: null, assignment: 'unmapped' },
    Over: { status: 'resolved' }
  })
  const told = [
    ['triggered', 'Loose'],
    ['triggered', 'Mine'],
    ['triggered', 'Old']
  ]
  t.strictSame(heard.map(({ change, alert }) => [change, alert.name]).sort(), told)
  await until('the events', () => events.length === told.length)
  t.match(
    events.find(({ payload }) => (payload as { name?: string }).name === 'Mine'),
    { payload: { clientRef: 'c1', assetRef: `asset-${mine}`, assignment: 'mapped', origin: 'sweep' } }
  )
})
