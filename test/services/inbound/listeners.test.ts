import { sql } from 'kysely'
import t, { type Test } from 'tap'
import { syncNow } from '../../helper.ts'
import { connectMesh, database, fakeMesh, meshHost, type MeshHostOptions } from '../mesh-host.ts'
import { stays, until } from '../../until.ts'

/** A connection that was synced once, and a host that listens to it. */
async function listening(
  t: Test,
  { fake: fakeOptions = {}, ...options }: MeshHostOptions & { fake?: Parameters<typeof fakeMesh>[1] } = {}
) {
  const fake = await fakeMesh(t, { groups: 1, devices: 3, ...fakeOptions })
  const host = await meshHost(t, { worker: { enabled: true }, ...options })
  const id = await connectMesh(host, fake)
  await syncNow(host, id)
  await until('the push socket', () => fake.sockets() === 1)
  const runs = async () =>
    (await host.call('t1', 'GET', `/connections/${id}/runs`)).body.items as Array<{
      id: string
      trigger: string
      status: string
      resources: string[]
    }>
  const idle = () => until('the runs to end', async () => (await runs()).every(({ status }) => status === 'succeeded'))
  await idle()
  const device = async (externalId: string) =>
    (await host.call('t1', 'GET', '/devices')).body.items.find(
      (item: { externalId: string }) => item.externalId === externalId
    )
  return { fake, host, id, runs, idle, device }
}

t.test('what is pushed is read again: new, changed, moved and removed devices, new and deleted groups', async t => {
  const { fake, host, id, runs, device } = await listening(t)
  const [group] = fake.world.groups.values()
  const node = fake.world.addNode({ meshid: group!._id, name: 'NEW-PC', agent: { id: 4 } })
  await until('the new device', async () => (await device(node._id))?.displayName === 'NEW-PC')
  const before = (await runs()).length
  fake.world.changeNode(node._id, { name: 'RENAMED-PC' })
  await until('its new name', async () => (await device(node._id))?.displayName === 'RENAMED-PC')
  t.equal((await runs()).length, before, 'one device is re-read without a run')
  const other = fake.world.addGroup('Second', { account: fake.account })
  await until('the new group', async () =>
    (await host.call('t1', 'GET', `/connections/${id}/organizations`)).body.items.some(
      (item: { name: string }) => item.name === 'Second'
    )
  )
  fake.world.moveNode(node._id, other._id)
  await until('its new group', async () => (await device(node._id))?.organizationExternalId === other._id)
  fake.world.removeGroup(other._id)
  await until(
    'the devices of a deleted group to go with it, though nobody said so',
    async () => (await device(node._id))?.removedAt !== null
  )
  const [first] = fake.world.nodes.values()
  fake.world.removeNode(first!._id)
  await until('the removed device', async () => (await device(first!._id))?.removedAt !== null)
  t.equal(fake.crashed, null)
})

t.test('online at once, offline only after the grace', async t => {
  const { fake, device } = await listening(t, { mesh: { offlineGraceMs: 1_500 } })
  const [id] = fake.world.connected.keys()
  const offline = [...fake.world.nodes.keys()].find(node => !fake.world.connected.has(node))!
  fake.world.connectNode(offline)
  await until('the device that came', async () => (await device(offline)).online === true)
  const seen: boolean[] = []
  fake.world.disconnectNode(id!)
  fake.world.connectNode(id!)
  fake.world.disconnectNode(offline)
  const began = Date.now()
  await until('the device that went', async () => {
    seen.push((await device(id!)).online)
    return (await device(offline)).online === false
  })
  t.ok(Date.now() - began >= 1_000, 'not before the grace')
  t.ok(
    seen.every(online => online),
    'one that comes back meanwhile was never away'
  )
})

t.test('a lost socket is followed by a read of what was missed, once pushes arrive again', async t => {
  const { fake, runs, device } = await listening(t)
  const before = (await runs()).length
  const [group] = fake.world.groups.values()
  fake.dropConnections()
  await until('the server to notice', () => fake.sockets() === 0)
  const node = fake.world.addNode({ meshid: group!._id, name: 'MISSED', agent: { id: 4 } })
  await until('what was missed', async () => (await device(node._id))?.displayName === 'MISSED')
  t.match((await runs()).slice(0, -before), [{ trigger: 'webhook', resources: ['organizations', 'devices'] }])
  const later = fake.world.addNode({ meshid: group!._id, name: 'HEARD', agent: { id: 4 } })
  await until('pushes again', async () => (await device(later._id))?.displayName === 'HEARD')
})

t.test('a run that was under way when the socket was lost does not count as the read of what was missed', async t => {
  const { fake, host, id, runs, device } = await listening(t)
  const [group] = fake.world.groups.values()
  const [first] = fake.world.nodes.keys()
  // What is re-read after a push is asked for on the push socket.
  let pushes = (): void => {}
  fake.intercept = (command, session) => {
    if (command['action'] === 'nodes' && command['id'] === first) pushes = () => session.drop()
    return false
  }
  fake.world.changeNode(first!, { name: 'SEEN' })
  await until('a change on the push socket', async () => (await device(first!)).displayName === 'SEEN')
  let release = (): void => {}
  const released = new Promise<void>(resolve => {
    release = resolve
  })
  let isListed = false
  fake.intercept = ({ action, tag }, session) => {
    if (action !== 'lastconnects') return false
    isListed = true
    void released.then(() => session.send({ action: 'lastconnects', lastconnects: {}, tag }))
    return true
  }
  const { run } = await host.app.rmm.sync.start('t1', id)
  await until('the run to have its list', () => isListed && fake.sockets() === 2)
  pushes()
  await until('the push socket to go', () => fake.sockets() === 1)
  const node = fake.world.addNode({ meshid: group!._id, name: 'MISSED', agent: { id: 4 } })
  await until('it to come back', () => fake.sockets() === 2)
  fake.intercept = null
  release()
  t.equal((await host.app.rmm.sync.settled('t1', run.id)).status, 'succeeded')
  await until('what was missed', async () => (await device(node._id))?.displayName === 'MISSED')
  t.match(await runs(), [{ trigger: 'webhook', resources: ['organizations', 'devices'] }, { id: run.id }])
})

t.test('one socket per connection, whatever the number of hosts; another takes over from one that closes', async t => {
  const { fake, host, device } = await listening(t)
  const second = await meshHost(t, { worker: { enabled: true }, on: host, engine: { tickMs: 100 } })
  const ticks = await database(host)
  const leases = async () =>
    (await sql<{ worker: string }>`select worker from ${ticks.t.lease} where name like 'listen:%'`.execute(ticks.db))
      .rows
  const [{ worker } = { worker: '' }] = await leases()
  const [group] = fake.world.groups.values()
  const first = fake.world.addNode({ meshid: group!._id, name: 'BEFORE', agent: { id: 4 } })
  await until('pushes at the first', async () => (await device(first._id)) !== undefined)
  t.equal(fake.sockets(), 1, 'the second leaves it alone')
  await host.app.close()
  await until(
    'the other host to take over',
    async () => (await leases()).some(row => row.worker !== worker) && fake.sockets() === 1
  )
  const node = fake.world.addNode({ meshid: group!._id, name: 'AFTER', agent: { id: 4 } })
  await until('pushes there', async () =>
    (await second.call('t1', 'GET', '/devices')).body.items.some(
      (item: { externalId: string }) => item.externalId === node._id
    )
  )
})

t.test(
  'new secrets get a new socket, refused ones are not tried again, and a connection that goes takes its socket with it',
  async t => {
    const { fake, host, id, idle } = await listening(t)
    await idle()
    const logins = fake.counts.logins
    fake.password = fake.account.password = 'another-password'
    t.equal(
      (
        await host.call('t1', 'PATCH', `/connections/${id}`, {
          secrets: { username: fake.username, password: fake.password }
        })
      ).status,
      200
    )
    await until('a new log-in', () => fake.counts.logins >= logins + 2 && fake.sockets() === 1)

    fake.account.password = 'changed on the server'
    fake.dropConnections()
    await until(
      'the connection to say so',
      async () => (await host.call('t1', 'GET', `/connections/${id}`)).body.status === 'error'
    )
    t.match((await host.call('t1', 'GET', `/connections/${id}`)).body.statusReason, /password/)
    await until('the socket to be given up', () => fake.sockets() === 0)
    // A run that was under way when the password changed has its own try.
    await until('no run to be under way', async () =>
      (await host.call('t1', 'GET', `/connections/${id}/runs`)).body.items.every(
        ({ status }: { status: string }) => status === 'succeeded' || status === 'failed' || status === 'partial'
      )
    )
    const tried = fake.counts.refusals
    await stays('a refused password is not tried again', 1_000, () => fake.counts.refusals === tried)
    fake.password = fake.account.password
    t.equal(
      (
        await host.call('t1', 'PATCH', `/connections/${id}`, {
          secrets: { username: fake.username, password: fake.password }
        })
      ).status,
      200
    )
    await until('a socket with the right one', () => fake.sockets() === 1)

    t.equal((await host.call('t1', 'DELETE', `/connections/${id}`)).status, 204)
    await until('the socket of a disconnected connection to close', () => fake.sockets() === 0)
    t.equal(
      (
        await host.call('t1', 'PATCH', `/connections/${id}`, {
          secrets: { username: fake.username, password: fake.password }
        })
      ).status,
      200
    )
    await until('it comes back with the secrets', () => fake.sockets() === 1)
    t.equal((await host.call('t1', 'DELETE', `/connections/${id}?mode=purge`)).status, 204)
    await until('the socket of a purged connection to close', () => fake.sockets() === 0)
    const { db, t: tables } = await database(host)
    await until(
      'its lease to be given back',
      async () => (await sql`select 1 from ${tables.lease} where name like 'listen:%'`.execute(db)).rows.length === 0
    )
  }
)

t.test('a host that starts reads what nobody heard before, and closes cleanly in the middle of it', async t => {
  const { fake, host } = await listening(t)
  await host.app.close()
  await until('the socket to close with the host', () => fake.sockets() === 0)
  const [group] = fake.world.groups.values()
  const node = fake.world.addNode({ meshid: group!._id, name: 'MEANWHILE', agent: { id: 4 } })
  const next = await meshHost(t, { worker: { enabled: true }, on: host })
  await until('what happened meanwhile', async () =>
    (await next.call('t1', 'GET', '/devices')).body.items.some(
      (item: { externalId: string }) => item.externalId === node._id
    )
  )
  for (let n = 0; n < 50; n++) fake.world.changeNode(node._id, { desc: `change ${n}` })
  await next.app.close()
  await until('nothing to be left open', () => fake.sockets() === 0)
})

t.test('a process that starts while agents are still coming back calls nobody offline for one grace', async t => {
  const { fake, host, id, device } = await listening(t, { mesh: { offlineGraceMs: 200 } })
  const online = [...fake.world.connected.keys()]
  for (const node of online) await until('its presence', async () => (await device(node))?.online === true)
  await host.app.close()
  // The site is out, and the server was restarted: nothing tells for how long.
  for (const node of online) {
    fake.world.disconnectNode(node)
    fake.world.lastConnects.set(node, Date.now() - 24 * 3_600_000)
  }
  const next = await meshHost(t, { worker: { enabled: true }, on: host, mesh: { offlineGraceMs: 8_000 } })
  await until('its first read', async () => {
    const { items } = await next.app.rmm.sync.runs('t1', id)
    return items.filter(run => run.trigger === 'webhook' && run.status === 'succeeded').length > 0
  })
  const states = async () =>
    (await next.app.rmm.inventory.list('t1', { connectionId: id })).items
      .filter(item => online.includes(item.externalId))
      .map(item => item.online)
  t.ok((await states()).every(Boolean), 'as they were stored')
  await until('the end of the grace', async () => (await states()).every(isOnline => !isOnline))
})
