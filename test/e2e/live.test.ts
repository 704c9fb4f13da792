import { request } from 'node:https'
import t from 'tap'
import { noAgent, startAgent } from './mesh-agent.ts'
import { groupDocs, nodeId, windowsDocs } from './mesh-docs.ts'
import { connectReal, realHost } from './mesh-host.ts'
import { requireMeshCentral, RealMesh } from './meshcentral-server.ts'
import { stays, until } from '../until.ts'

const found = requireMeshCentral()

const account = { username: 'psa', password: 'Ps4-pass-one!' }
const mesh = await RealMesh.create(found.module, {
  settings: {
    manageAllDeviceGroups: ['user//admin', `user//${account.username}`],
    maxInvalidLogin: { time: 10, count: 3, coolofftime: 10 }
  },
  async prepare(mesh) {
    await mesh.account(account.username, account.password, { admin: true })
    const docs = await mesh.exportDocs()
    const group = groupDocs('Globex Devices', [
      { user: docs.find(doc => doc['_id'] === 'user//admin')!, rights: 4_294_967_295 }
    ])
    mesh.putDocs([...group.docs, ...windowsDocs(group.id, 'STAYS', 0)])
  }
})
t.teardown(() => mesh.close())

const graceMs = 2_000
const clients = [
  { id: 'c1', name: 'Acme' },
  { id: 'c2', name: 'Globex' }
]
const sent = { logins: 0, lists: 0, writes: 0 }
const open = (on?: Parameters<typeof realHost>[1]) =>
  realHost(t, {
    clients: () => clients,
    sent,
    worker: { enabled: true },
    schedule: { enabled: false },
    mesh: { offlineGraceMs: graceMs },
    ...on
  })
let host = await open()
const {
  body: {
    connection: { id }
  }
} = await connectReal(host, mesh, { secrets: account })
const [acme, globex] = (
  await host.call('t1', 'POST', `/connections/${id}/device-groups/sync-all`, {})
).body.results.map(({ groupId }: { groupId: string }) => groupId) as [string, string]

const devices = async () =>
  (await host.call('t1', 'GET', `/devices?connectionId=${id}&removed=any`)).body.items as Array<{
    id: string
    externalId: string
    organizationExternalId: string
    clientRef: string
    online: boolean
    osVersion: string
    removedAt: string | null
  }>
const device = async (externalId: string) => (await devices()).find(item => item.externalId === externalId)
const connection = async () =>
  (await host.call('t1', 'GET', `/connections/${id}`)).body as { status: string; statusReason: string }
const runs = async () =>
  (await host.call('t1', 'GET', `/connections/${id}/runs`)).body.items as Array<{ trigger: string; status: string }>
const idle = () =>
  until('the runs to end', async () =>
    (await runs()).every(({ status }) => status !== 'queued' && status !== 'running')
  )
t.test(
  'an agent comes, goes, comes back, is moved, removed and comes again: told within seconds',
  { skip: noAgent },
  async t => {
    const agent = await startAgent(t, mesh, acme)
    await until(
      'the new device',
      async () => (await devices()).some(({ online, osVersion }) => online && osVersion),
      30_000
    )
    const { id: deviceId, externalId } = (await devices()).find(({ online }) => online)!
    const now = async () => (await device(externalId))!
    t.match(await now(), { organizationExternalId: acme, clientRef: 'c1', online: true, removedAt: null })

    const left = Date.now()
    await agent.stop()
    await until('it to be offline', async () => !(await now()).online)
    t.ok(Date.now() - left >= graceMs - 1_000, `after ${Date.now() - left} ms, not before the grace`)
    agent.start()
    await until('it to be online', async () => (await now()).online)

    await mesh.meshctrl('movetodevicegroup', '--id', globex, '--devid', externalId)
    await until('its new group and client', async () => (await now()).clientRef === 'c2')
    t.match(await now(), { id: deviceId, organizationExternalId: globex, online: true })

    await agent.stop()
    await mesh.meshctrl('removedevice', '--id', externalId)
    await until('it to be removed', async () => (await now()).removedAt !== null)
    agent.start()
    await until('it to be there again', async () => {
      const { removedAt, online } = await now()
      return removedAt === null && online
    })
    t.match(
      await now(),
      { id: deviceId, organizationExternalId: acme, clientRef: 'c1' },
      'the same device, in the group it was installed for'
    )

    await mesh.meshctrl('removedevicegroup', '--id', acme)
    await until('it to go with its group', async () => (await now()).removedAt !== null)
    await agent.stop()
    agent.start()
    await until("the agent to bring its group back, and it to be its client's as before", async () => {
      const { removedAt, online, clientRef } = await now()
      return removedAt === null && online && clientRef === 'c1'
    })
    t.match(await now(), { id: deviceId, organizationExternalId: acme })
    await idle()
    t.ok(
      (await runs()).every(({ status }) => status === 'succeeded'),
      JSON.stringify((await runs()).filter(({ status }) => status !== 'succeeded'))
    )

    const before = (await runs()).length
    const seen: boolean[] = []
    await mesh.stop('SIGKILL')
    mesh.putDocs(windowsDocs(globex, 'MEANWHILE', 1))
    await mesh.start()
    await until(
      'what happened meanwhile',
      async () => {
        seen.push((await now()).online)
        return (await device(nodeId('MEANWHILE'))) !== undefined
      },
      60_000
    )
    t.ok(
      seen.every(online => online),
      'nobody is called offline because the server was away'
    )
    t.match((await runs()).slice(0, -before), [{ trigger: 'webhook' }], 'a run read what was missed')
    await until('the agent to be connected again', async () => (await now()).online)
    await agent.stop()
    await until('pushes after the loss', async () => !(await now()).online)
  }
)

t.test('a password that was changed: the listener stops and says so, and goes on with the new one', async t => {
  await mesh.stop()
  await mesh.changePassword(account.username, 'Ps4-pass-two!')
  await mesh.start()
  await until('the connection to say so', async () => (await connection()).status === 'error')
  t.match((await connection()).statusReason, /user name or password/)
  const tried = sent.logins
  await stays('a refused password is not tried again', 4_000, () => sent.logins === tried)
  t.equal(
    (await host.call('t1', 'PATCH', `/connections/${id}`, { secrets: { ...account, password: 'Ps4-pass-two!' } }))
      .status,
    200
  )
  await mesh.meshctrl('adddevicegroup', '--name', 'Heard again')
  await until('pushes', async () =>
    (await host.call('t1', 'GET', `/connections/${id}/organizations`)).body.items.some(
      ({ name }: { name: string }) => name === 'Heard again'
    )
  )
})

/** What a person does who has forgotten the password of the web page. */
async function failToLogIn(): Promise<void> {
  await new Promise<void>((resolve, reject) => {
    request(
      `${mesh.url}/`,
      { method: 'POST', rejectUnauthorized: false, headers: { 'content-type': 'application/x-www-form-urlencoded' } },
      response => {
        response.resume().on('end', resolve)
      }
    )
      .on('error', reject)
      .end('action=login&username=admin&password=wrong')
  })
}

t.test('a locked-out network: the listener waits, nobody is called wrong, and pages show what is stored', async t => {
  await idle()
  await host.app.close()
  await Promise.all(Array.from({ length: 5 }, failToLogIn))
  sent.logins = 0
  const first = host
  host = await open({ on: first })
  await until('the listener to try', () => sent.logins > 0)
  await stays('it tried once', 4_000, () => sent.logins === 1)
  t.equal((await connection()).status, 'connected', 'the password is not wrong')
  t.match((await host.call('t1', 'GET', `/connections/${id}/device-groups/status`)).body, {
    source: 'stored',
    message: /locked out our network.*next try in \d+ s/,
    totalClients: 2
  })
  t.match(await host.call('t1', 'POST', `/connections/${id}/device-groups/sync-all`, {}), {
    status: 503,
    body: { code: 'RMM_ERR_PLATFORM_BUSY' }
  })
  t.equal(sent.logins, 1, 'and pages do not try either')
})
