import t from 'tap'
import { ninjaone } from '../../../src/providers/ninjaone/index.ts'
import { startFakeNinjaOne } from '../../../src/testing/index.ts'
import type { DeviceDetail, RmmProvider } from '../../../src/index.ts'
import { build, connectLevel, fakeLevel, syncNow } from '../../helper.ts'

t.setTimeout(120_000)

t.test('the updates that wait for a device are told by name, and go when they are installed', async t => {
  const fake = await fakeLevel(t, { devices: 3, groups: 1 })
  for (const id of fake.updates.ids()) fake.updates.delete(id)
  const [device] = fake.devices.ids()
  const host = await build(t)
  const id = await connectLevel(host, fake)
  const detail = async () => {
    const { body } = await host.call('t1', 'GET', `/devices?externalId=${encodeURIComponent(device!)}`)
    return (await host.call('t1', 'GET', `/devices/${body.items[0].id}`)).body as DeviceDetail
  }
  await syncNow(host, id, { resources: ['organizations', 'devices'] })
  t.match(await detail(), { pendingOsPatches: null, patches: null }, 'not read yet')
  await syncNow(host, id)
  t.match(await detail(), { pendingOsPatches: 0, patches: [] })
  const made = fake.updates.set({
    device_id: device!,
    name: '2026-11 Cumulative Update',
    kb_ids: ['KB5068861', 'KB5000001'],
    category: 'Security Updates',
    is_available: true,
    published_on: '2026-11-10T00:00:00Z'
  } as never)
  await syncNow(host, id)
  t.strictSame((await detail()).patches, [
    {
      externalId: made.id,
      title: '2026-11 Cumulative Update',
      kb: 'KB5068861, KB5000001',
      severity: null,
      category: 'Security Updates',
      publishedAt: '2026-11-10T00:00:00.000Z'
    }
  ])
  fake.updates.patch(made.id, { name: 'Renamed' } as never)
  await syncNow(host, id)
  t.match((await detail()).patches, [{ title: 'Renamed' }])
  fake.updates.delete(made.id)
  await syncNow(host, id)
  await syncNow(host, id)
  t.match(await detail(), { pendingOsPatches: 0, patches: [] })
})

t.test('a printer is a printer, and counts as a workstation only where two kinds are all there is', async t => {
  const fake = await startFakeNinjaOne({ devices: 0 })
  t.teardown(() => fake.close())
  const place = { organizationId: 1, locationId: 1 }
  const classes = {
    WINDOWS_WORKSTATION: ['workstation', 'workstation'],
    WINDOWS_SERVER: ['server', 'server'],
    LINUX_SERVER: ['server', 'server'],
    MAC: ['workstation', 'workstation'],
    VMWARE_VM_HOST: ['vm-host', 'server'],
    HYPERV_VMM_HOST: ['vm-host', 'server'],
    NMS_PRINTER: ['printer', 'workstation'],
    NMS_SWITCH: ['network', 'workstation'],
    NMS_FIREWALL: ['network', 'workstation'],
    ANDROID: ['phone', 'workstation'],
    APPLE_IOS: ['phone', 'workstation'],
    CLOUD_MONITOR_TARGET: ['other', 'workstation']
  }
  const host = await build(t, { providers: [ninjaone({ allowPrivateNetwork: true }) as RmmProvider] })
  for (const nodeClass of Object.keys(classes)) fake.world.addDevice({ ...place, nodeClass, displayName: nodeClass })
  const { body } = await host.call('t1', 'POST', '/connections', {
    provider: 'ninjaone',
    config: { region: 'us', baseUrl: fake.url },
    secrets: { clientId: fake.clientId, clientSecret: fake.clientSecret }
  })
  await syncNow(host, body.connection.id)
  const { items } = (await host.call('t1', 'GET', '/devices')).body as { items: DeviceDetail[] }
  t.strictSame(Object.fromEntries(items.map(item => [item.displayName, [item.kind, item.assetType]])), classes)
})
