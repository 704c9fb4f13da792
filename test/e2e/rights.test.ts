import t from 'tap'
import { syncNow } from '../helper.ts'
import { until } from '../until.ts'
import { groupDocs, windowsDocs } from './mesh-docs.ts'
import { connectReal, realHost } from './mesh-host.ts'
import { requireMeshCentral, RealMesh } from './meshcentral-server.ts'

t.setTimeout(280_000)
const found = requireMeshCentral()

interface Device {
  externalId: string
  displayName: string
  clientRef: string | null
  removedAt: string | null
  outOfSightSince: string | null
}

const account = { username: 'psa', password: 'Ps4-pass-one!' }
const all = 4_294_967_295
const perGroup = 6
const names = ['One', 'Two', 'Three', 'Four', 'Five']
/** Cleaned up later: nobody's, and nothing in them. */
const empty = Array.from({ length: 20 }, (_, n) => `Empty ${n}`)
const groups = new Map<string, string>()

const mesh = await RealMesh.create(found.module, {
  async prepare(mesh) {
    await mesh.account(account.username, account.password)
    const users = (await mesh.exportDocs()).filter(doc => doc['type'] === 'user')
    const members = users.map(user => ({ user, rights: all }))
    for (const name of [...names, ...empty]) {
      const group = groupDocs(name, members)
      groups.set(name, group.id)
      mesh.putDocs(group.docs)
      if (names.includes(name))
        mesh.putDocs(Array.from({ length: perGroup }, (_, n) => windowsDocs(group.id, `${name}-${n}`, n)).flat())
    }
  }
})
t.teardown(() => mesh.close())

async function setUp(t: Parameters<typeof realHost>[0], secrets: object) {
  const host = await realHost(t, {
    clients: () => names.map(name => ({ id: name, name })),
    worker: { enabled: true },
    schedule: { enabled: false }
  })
  const { status, body } = await connectReal(host, mesh, { secrets })
  if (status !== 201) throw new Error(JSON.stringify(body))
  const { id } = body.connection as { id: string }
  await syncNow(host, id)
  const { items } = (await host.call('t1', 'GET', `/connections/${id}/organizations?limit=200`)).body
  const mappings = (items as Array<{ id: string; name: string }>)
    .filter(({ name }) => names.includes(name))
    .map(({ id: organizationId, name }) => ({ organizationId, mode: 'mapped', clientRef: name }))
  const mapped = await host.call('t1', 'PUT', `/connections/${id}/mappings`, { mappings })
  if (mapped.status !== 200) throw new Error(JSON.stringify(mapped.body))
  const devices = async () =>
    (await host.call('t1', 'GET', `/devices?connectionId=${id}&removed=any&limit=200`)).body.items as Device[]
  return { host, id, devices }
}

t.test('A21: an account that loses its right to groups loses sight of their devices, and nothing else', async t => {
  const { host, id, devices } = await setUp(t, account)
  const before = await devices()
  t.equal(before.length, names.length * perGroup)
  const lost = ['One', 'Two', 'Three']
  for (const name of lost)
    await mesh.meshctrl('removeuserfromdevicegroup', '--id', groups.get(name)!, '--userid', account.username)
  const run = await syncNow(host, id)
  t.equal(run.status, 'succeeded', JSON.stringify(run.error))
  t.match(run.totals, { removed: 0 })
  const out = (device: Device) => lost.includes(device.clientRef!)
  const after = await devices()
  t.strictSame(
    after.map(({ externalId, clientRef, removedAt }) => ({ externalId, clientRef, removedAt })),
    before.map(({ externalId, clientRef, removedAt }) => ({ externalId, clientRef, removedAt })),
    'nothing is removed, nothing moves'
  )
  t.ok(after.every(device => (device.outOfSightSince !== null) === out(device)))
  for (const name of lost)
    await mesh.meshctrl('addusertodevicegroup', '--id', groups.get(name)!, '--userid', account.username, '--fullrights')
  await syncNow(host, id)
  await until('all to be in sight again', async () =>
    (await devices()).every(({ outOfSightSince }) => outOfSightSince === null)
  )
})

t.test('E13: twenty empty groups that somebody cleaned up stop nothing', async t => {
  const { host, id, devices } = await setUp(t, {})
  for (const name of empty) await mesh.meshctrl('removedevicegroup', '--id', groups.get(name)!)
  const run = await syncNow(host, id)
  t.equal(run.status, 'succeeded', JSON.stringify(run.error))
  const { items } = (await host.call('t1', 'GET', `/connections/${id}/organizations?limit=200`)).body
  t.strictSame(
    (items as Array<{ name: string; removedAt: string | null }>)
      .filter(({ name, removedAt }) => name.startsWith('Empty') && removedAt === null)
      .map(({ name }) => name),
    []
  )
  t.ok((await devices()).every(({ removedAt }) => removedAt === null))
})
