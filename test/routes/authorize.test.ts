import t from 'tap'
import type { RmmProvider } from '../../src/index.ts'
import { level } from '../../src/providers/level/index.ts'
import { meshcentral } from '../../src/providers/meshcentral/index.ts'
import type { Action, ActionTarget } from '../../src/types.ts'
import { build as host, connectLevel, fakeLevel, syncNow } from '../helper.ts'
import { event, post, rotateHook, settled } from '../services/inbound/hook-helper.ts'
import { fakeMesh } from '../services/mesh-host.ts'
import { build, contract } from './stub.ts'

t.setTimeout(120_000)

/** Named here on their own: whoever takes an action out of the guard has to take it out here. */
const again = [
  'connection:write',
  'sync:run',
  'mapping:write',
  'device:remote',
  'device:power',
  'automation:run',
  'match:write'
]
const refusal = Object.assign(new Error('Ask your administrator'), { statusCode: 403, code: 'HOST_SAYS_NO' })

t.test(
  'actions that depend on what is asked for are asked about again, with the body, before anything happens',
  async t => {
    const { app, asked, order, calls } = await build(t)
    for (const { method, url, action, target, body } of contract) {
      asked.length = order.length = calls.length = 0
      const reply = await app.inject({ method, url: `/rmm${url}`, ...(body && { body }) })
      t.ok(reply.statusCode < 300, reply.body)
      const [first, second, ...more] = asked
      t.strictSame([first, more], [{ action, target }, []], `${method} ${url}`)
      if (!again.includes(action)) t.equal(second, undefined, `${action} is asked about once`)
      else t.match(second, { action, target: { ...target, body: body ?? {} } }, `${action} is asked about again`)
      t.ok(second === undefined || 'body' in (second.target as object), 'a host can tell the two questions apart')
    }
    asked.length = 0
    await app.inject({ method: 'POST', url: '/rmm/connections/c1/sync', body: { resources: ['devices'] } })
    t.strictSame(
      asked[1]?.target,
      { connectionId: 'c1', body: { resources: ['devices'], mode: 'full', force: false } },
      'the body is the checked one, with its defaults'
    )
  }
)

t.test('what the host throws the second time is answered like the first, and nothing has happened', async t => {
  for (const refuse of [() => Promise.reject(refusal), () => false as never]) {
    const { app, calls } = await build(t, {
      options: {
        authorize: (_request, _action, target) => (target !== undefined && 'body' in target ? refuse() : undefined)
      }
    })
    for (const { method, url, action, body, status } of contract) {
      calls.length = 0
      const reply = await app.inject({ method, url: `/rmm${url}`, ...(body && { body }) })
      if (!again.includes(action)) {
        t.equal(reply.statusCode, status)
        continue
      }
      t.match([reply.statusCode, reply.json()], [403, { code: /HOST_SAYS_NO|RMM_ERR_FORBIDDEN/ }], `${method} ${url}`)
      t.strictSame(calls, [])
    }
  }
})

t.test('a wrong body is refused before the second question, what is not there as well', async t => {
  const { app, asked } = await build(t, { options: { locate: async () => null } })
  const wrong = await app.inject({ method: 'POST', url: '/rmm/connections/c1/sync', body: { force: 'yes' } })
  t.match([wrong.statusCode, asked.length], [400, 1])
  for (const [url, message] of [
    ['/connections/c1/sync', 'Connection not found'],
    ['/runs/r1/cancel', 'Run not found'],
    ['/deliveries/v1/replay', 'Delivery not found'],
    ['/devices/d1/remote-session', 'Device not found']
  ]) {
    asked.length = 0
    const reply = await app.inject({ method: 'POST', url: `/rmm${url}` })
    t.match([reply.statusCode, reply.json().message, asked.length], [404, message, 1])
  }
  const broken = await build(t, { options: { locate: () => Promise.reject(new Error('the database is away')) } })
  const reply = await broken.app.inject({ method: 'POST', url: '/rmm/connections/c1/sync' })
  t.match(
    [reply.statusCode, reply.json()],
    [500, { code: 'RMM_ERR_INTERNAL' }],
    'our trouble is not the host’s to answer'
  )
})

t.test('a host allows a sync without force, one connection, watching only, one client’s devices', async t => {
  const seen: ActionTarget[] = []
  let rule: (action: Action, target: ActionTarget & { body: any }) => boolean = () => true
  const real = await host(t, {
    providers: [level({ allowPrivateNetwork: true }), meshcentral({ allowPrivateNetwork: true })] as RmmProvider[],
    authorize: (_request, action, target) => {
      if (target === undefined || !('body' in target)) return
      seen.push(target)
      if (!rule(action, target as never)) throw refusal
    }
  })
  const fake = await fakeMesh(t, { groups: 2, devices: 4 })
  const { connection } = await real.app.rmm.connections.create('t1', {
    provider: 'meshcentral',
    config: { url: fake.url },
    secrets: { username: fake.username, password: fake.password }
  })
  const other = await connectLevel(real, await fakeLevel(t, { devices: 2, groups: 1 }))
  await syncNow(real, connection.id)
  const [one, two] = (await real.app.rmm.organizations.list('t1', connection.id)).items
  await real.app.rmm.organizations.map('t1', connection.id, [
    { organizationId: one!.id, mode: 'mapped', clientRef: 'c1' },
    { organizationId: two!.id, mode: 'mapped', clientRef: 'c2' }
  ])
  const devices = (await real.app.rmm.inventory.list('t1')).items
  const of = (clientRef: string) => devices.find(device => device.clientRef === clientRef)!
  const call = async (url: string, body?: object) => (await real.call('t1', 'POST', url, body)).status

  rule = (action, { body }) => action !== 'sync:run' || body.force !== true
  t.strictSame(
    [
      await call(`/connections/${connection.id}/sync`, { force: true }),
      await call(`/connections/${connection.id}/sync`)
    ],
    [403, 202]
  )
  rule = (_action, { connectionId }) => connectionId === connection.id
  t.strictSame([await call(`/connections/${other}/sync`), await call(`/connections/${connection.id}/sync`)], [403, 202])
  const { run } = await real.app.rmm.sync.start('t1', other)
  t.equal(await call(`/runs/${run.id}/cancel`), 403, 'a run is one of its connection')
  const hook = await rotateHook(real, other)
  await post(real, hook.path, event('device_updated', { id: 'nobody' }), hook.secret)
  const [delivery] = await settled(real, other)
  t.equal(await call(`/deliveries/${delivery!.id}/replay`), 403, 'and so is a delivery')

  rule = (action, { body }) => action !== 'device:remote' || body.viewOnly === true
  t.strictSame(
    [
      await call(`/devices/${of('c1').id}/remote-session`),
      await call(`/devices/${of('c1').id}/remote-session`, { viewOnly: true })
    ],
    [403, 201]
  )
  rule = (_action, { clientRef }) => clientRef === 'c1'
  seen.length = 0
  const reread = (externalId: string) =>
    call(`/connections/${connection.id}/devices/${encodeURIComponent(externalId)}/sync`)
  t.strictSame(
    [
      await call(`/devices/${of('c2').id}/remote-session`),
      await call(`/devices/${of('c1').id}/remote-session`),
      await reread(of('c2').externalId),
      await reread(of('c1').externalId),
      await reread('node//unknown')
    ],
    [403, 201, 403, 200, 403]
  )
  const told = ({ id, clientRef }: { id: string; clientRef: string | null }) => ({
    connectionId: connection.id,
    deviceId: id,
    clientRef
  })
  t.match(seen, [told(of('c2')), told(of('c1')), told(of('c2')), told(of('c1')), { connectionId: connection.id }])
})
