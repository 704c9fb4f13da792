import t from 'tap'
import { build, connectLevel, fakeLevel } from '../../helper.ts'
import { connectMesh, fakeMesh, meshHost } from '../mesh-host.ts'

t.setTimeout(120_000)

const banned = { action: 'close', cause: 'banned', msg: 'banned-1' }

t.test('A22, B10: MeshCentral has locked us out; a person who knows that it is over is not kept waiting', async t => {
  const fake = await fakeMesh(t, { groups: 1 })
  const host = await meshHost(t, { clients: [{ id: 'c1', name: 'Acme' }] })
  const id = await connectMesh(host, fake)
  const status = async () => (await host.call('t1', 'GET', `/connections/${id}/device-groups/status`)).body
  const syncAll = () => host.call('t1', 'POST', `/connections/${id}/device-groups/sync-all`, {})
  const test = () => host.call('t1', 'POST', `/connections/${id}/test`)
  fake.refuseLogins(banned)
  t.match(await test(), { status: 422, body: { message: /locked out our network/ } })
  fake.resetCounts()
  t.match(await syncAll(), {
    status: 503,
    body: { message: /locked out our network.*badlogins reset.*next try in \d+ s/ }
  })
  t.match(await status(), { source: 'stored', message: /locked out our network/ })
  t.equal(fake.counts.logins + fake.counts.refusals, 0, 'nobody else asks meanwhile')
  t.match(await test(), { status: 422, body: { message: /locked out our network/ } })
  t.equal(fake.counts.refusals, 1, 'a person does, once')

  fake.refuseLogins(null)
  t.match(await syncAll(), { status: 503, body: { message: /locked out/ } })
  t.match(await test(), { status: 200, body: { ok: true } })
  t.match(await syncAll(), { status: 200 }, 'which ends the wait for everybody')

  for (const [what, ask] of [
    [
      'new secrets',
      () =>
        host.call('t1', 'PATCH', `/connections/${id}`, {
          secrets: { username: fake.username, password: fake.password }
        })
    ],
    ['another connection', async () => ({ status: (await connectMesh(host, fake, { tenant: 't2' })) === '' ? 0 : 200 })]
  ] as const) {
    fake.refuseLogins(banned)
    await test()
    fake.refuseLogins(null)
    t.match(await ask(), { status: 200 }, `${what} is asked for at once`)
    t.match(await syncAll(), { status: 200 })
  }
})

t.test('A22: Level wants us to wait for ten minutes; a test and new secrets are tried at once', async t => {
  const fake = await fakeLevel(t, { devices: 3, groups: 1 })
  const host = await build(t, { worker: { enabled: false } })
  const id = await connectLevel(host, fake)
  const reread = () => host.call('t1', 'POST', `/connections/${id}/devices/${fake.devices.ids()[0]}/sync`)
  const secrets = { apiKey: fake.apiKey }
  for (const [what, ask] of [
    ['a test', () => host.call('t1', 'POST', `/connections/${id}/test`)],
    ['new secrets', () => host.call('t1', 'PATCH', `/connections/${id}`, { secrets })]
  ] as const) {
    fake.fail({ kind: 'rate-limited', retryAfter: 600, times: Infinity })
    t.match(await reread(), { status: 503, body: { message: /status 429.*asks to wait 600 s/ } })
    const before = fake.requests.length
    t.match(await reread(), { status: 503, body: { message: /status 429.*600 s.*nothing is asked for another \d+ s/ } })
    t.equal(fake.requests.length, before, 'a pause is kept, with the reason it began with')
    t.match(await ask(), { status: 422, body: { message: /status 429/ } })
    t.equal(fake.requests.length, before + 1, `${what} asks once`)
    fake.heal()
    t.match(await ask(), { status: 200 })
    t.match(await reread(), { status: 200 }, 'and an answer ends the pause')
  }
})

t.test('B13: a time-out tells the last answer', async t => {
  const fake = await fakeLevel(t, { devices: 3, groups: 1 })
  const host = await build(t, { engine: { interactiveMs: 1_000 }, worker: { enabled: false } })
  const id = await connectLevel(host, fake)
  for (const [fault, said] of [
    [{ kind: 'rate-limited', retryAfter: 3 }, /in time.*status 429.*3 s/],
    [{ status: 503, retryAfter: 5 }, /in time.*status 503/]
  ] as const) {
    fake.fail({ ...fault, times: Infinity })
    t.match(await host.call('t1', 'POST', `/connections/${id}/test`), { status: 422, body: { message: said } })
    fake.heal()
  }
})

t.test('B13: an answer of MeshCentral that was cut on its way is told as that, and at once', async t => {
  const fake = await fakeMesh(t, { groups: 2 })
  const host = await meshHost(t)
  const id = await connectMesh(host, fake)
  fake.intercept = command => {
    if (command['action'] !== 'meshes') return false
    fake.broadcast('{"action":"meshes","meshes":[{"_id":"mesh//')
    return true
  }
  t.match(await host.call('t1', 'POST', `/connections/${id}/test`), {
    status: 422,
    body: { message: /is not complete JSON.*proxy/ }
  })
})
