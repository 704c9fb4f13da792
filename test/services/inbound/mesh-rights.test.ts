import { sql } from 'kysely'
import t, { type Test } from 'tap'
import { meshRights } from '../../../src/testing/fake-mesh/index.ts'
import { syncNow } from '../../helper.ts'
import { connectMesh, database, fakeMesh, meshHost, type MeshHostOptions } from '../mesh-host.ts'
import { until } from '../../until.ts'

t.setTimeout(120_000)

/** 8 groups with 3 devices each, mapped to clients of their own, and a host that listens. */
async function listening(t: Test, member: boolean, options: MeshHostOptions = {}) {
  const fake = await fakeMesh(t, {
    groups: 0,
    devices: 0,
    ...(member ? { siteadmin: 0, manageAllDeviceGroups: false } : {})
  })
  const groups = Array.from({ length: 8 }, (_, n) => fake.world.addGroup(`Client ${n}`, { account: fake.account }))
  for (const { _id: meshid } of groups)
    for (let n = 0; n < 3; n++) fake.world.addNode({ meshid, name: `PC-${n}`, agent: { id: 4 } })
  const clients = groups.map((_, n) => ({ id: `c${n}`, name: `Client ${n}` }))
  const host = await meshHost(t, { worker: { enabled: true }, clients, ...options })
  const id = await connectMesh(host, fake)
  await syncNow(host, id)
  const { items } = (await host.call('t1', 'GET', `/connections/${id}/organizations`)).body
  for (const organization of items)
    await host.call('t1', 'PATCH', `/connections/${id}/organizations/${organization.id}`, {
      clientRef: `c${organization.name.slice(-1)}`
    })
  await until('the push socket', () => fake.sockets() === 1)
  const { db, t: tables } = await database(host)
  const rows = async () => (await sql<any>`select * from ${tables.device} order by external_id`.execute(db)).rows
  const before = (await rows()).map(row => `${row.external_id} ${row.client_ref}`)
  const organizations = async () =>
    (await host.call('t1', 'GET', `/connections/${id}/organizations`)).body.items as Array<{
      externalId: string
      removedAt: string | null
      outOfSightSince: string | null
    }>
  const events = async () =>
    (await sql<any>`select payload from ${tables.outbox} where type = 'RMM_OUT_OF_SIGHT'`.execute(db)).rows.map(
      row => row.payload
    )
  const unharmed = async () => {
    const now = await rows()
    t.strictSame(
      now.map(row => `${row.external_id} ${row.client_ref}`),
      before,
      'every device has its client'
    )
    t.ok(
      now.every(row => row.removed_at === null),
      'none is removed'
    )
    t.ok(
      (await organizations()).every(({ removedAt }) => removedAt === null),
      'nor is a group'
    )
    return now
  }
  return { fake, groups, host, id, rows, organizations, events, unharmed }
}

t.test('an account that is taken out of 4 of 8 groups: told once, by the push and by the next sync', async t => {
  const { fake, groups, host, id, rows, organizations, events, unharmed } = await listening(t, true)
  for (const { _id } of groups.slice(0, 4)) fake.world.setRights(fake.account, _id, 0)
  await until(
    'the groups to be out of sight',
    async () => (await organizations()).filter(({ outOfSightSince }) => outOfSightSince !== null).length === 4
  )
  t.equal((await unharmed()).filter(row => row.out_of_sight_since !== null).length, 12)
  t.match(await syncNow(host, id), { status: 'succeeded', totals: { removed: 0 } })
  await unharmed()
  t.match(await events(), [
    { organizations: 4, devices: 12, groups: ['Client 0', 'Client 1', 'Client 2', 'Client 3'], sample: { length: 10 } }
  ])
  for (const { _id } of groups.slice(0, 4)) fake.world.setRights(fake.account, _id, meshRights.all)
  await until('them to be back', async () =>
    (await organizations()).every(({ outOfSightSince }) => outOfSightSince === null)
  )
  // A sync that is asked for may join one that has read the devices already.
  await until('the devices to be back', async () => {
    await syncNow(host, id)
    return (await rows()).every((row: { out_of_sight_since: unknown }) => row.out_of_sight_since === null)
  })
  await unharmed()
})

t.test('a site administrator who is demoted loses sight, not devices', async t => {
  const { fake, groups, host, id, unharmed, events } = await listening(t, false)
  fake.account.siteadmin = 0
  fake.account.links.clear()
  for (const { _id } of groups.slice(0, 2)) fake.world.setRights(fake.account, _id, meshRights.all)
  t.match(await syncNow(host, id, { force: true }), { status: 'succeeded', totals: { removed: 0 } })
  t.equal((await unharmed()).filter(row => row.out_of_sight_since !== null).length, 18)
  t.match(await events(), [{ organizations: 6, devices: 18 }])
})

t.test('what is deleted while a member listens is removed: a device, and a group with its devices', async t => {
  const { fake, groups, rows, organizations, host, id } = await listening(t, true)
  const [first] = fake.world.nodes.keys()
  fake.world.removeNode(first!)
  await until('the device to be removed', async () =>
    (await rows()).some(row => row.external_id === first && row.removed_at !== null)
  )
  fake.world.removeGroup(groups[7]!._id)
  await until('the group to be removed', async () =>
    (await organizations()).some(({ externalId, removedAt }) => externalId === groups[7]!._id && removedAt !== null)
  )
  await until('its devices to go with it', async () =>
    (await rows()).filter(row => row.organization_external_id === groups[7]!._id).every(row => row.removed_at !== null)
  )
  await syncNow(host, id)
  t.equal((await rows()).filter(row => row.removed_at !== null).length, 4)
  t.equal((await rows()).filter(row => row.out_of_sight_since !== null).length, 0)
})

t.test('a group that its agent brings back: the device has its client at once', async t => {
  const told: string[] = []
  const { fake, groups, rows } = await listening(t, false, {
    onChanges: batch => {
      told.push(...batch.devices.map(({ change, device }) => `${change} ${device.clientRef}`))
    }
  })
  const [, node] = [...fake.world.nodes.values()].filter(({ meshid }) => meshid === groups[3]!._id)
  const row = async () => (await rows()).find(({ external_id }) => external_id === node!._id)
  fake.world.removeGroup(groups[3]!._id)
  await until('it to be gone with its group', async () => (await row()).removed_at !== null)
  told.length = 0
  fake.world.connectNode(node!._id)
  await until('it to be back', async () => (await row()).removed_at === null)
  t.equal((await row()).client_ref, 'c3')
  t.ok(
    told.every(change => !change.endsWith(' null')),
    told.join()
  )
})
