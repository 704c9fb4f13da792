import t from 'tap'
import { countStatements } from '../../../bench/statements.ts'
import { databaseKind } from '../../helper.ts'
import { connectMesh, fakeMesh, groupsOn, meshHost } from '../mesh-host.ts'

const clientsOf = (count: number) => Array.from({ length: count }, (_, n) => ({ id: `c${n}`, name: `Client ${n}` }))

async function setUp(t: Parameters<typeof meshHost>[0], count: number) {
  const clients = clientsOf(count)
  const fake = await fakeMesh(t)
  const host = await meshHost(t, { clients, engine: { interactiveMs: 60_000 } })
  const id = await connectMesh(host, fake)
  const syncAll = async (body: object = {}) =>
    (await host.call('t1', 'POST', `/connections/${id}/device-groups/sync-all`, body)).body
  return { clients, fake, host, syncAll }
}

t.test('linking 200 groups and renaming 200 read the list once each', async t => {
  const { clients, fake, syncAll } = await setUp(t, 200)
  for (const { name } of clients)
    fake.world.addGroup(`${name} Devices`, { account: fake.account, desc: 'made by hand' })
  fake.resetCounts()
  t.match(await syncAll(), { success: true, linked: 200 })
  t.match(fake.counts, { logins: 1, lists: 1, writes: 200 })
  t.ok(
    [...fake.world.groups.values()].every(({ desc }) => /^made by hand \[psa:/.test(String(desc))),
    'each carries its mark'
  )

  for (const client of clients) client.name = `${client.name} International`
  fake.resetCounts()
  t.match(await syncAll({ rename: true }), { success: true, renamed: 200 })
  t.match(fake.counts, { logins: 1, lists: 1, writes: 200 })
  t.ok([...groupsOn(fake).values()].every(name => name.endsWith(' International Devices')))
})

t.test('a server that ignores some changes and says "ok" is found out by its list, also among many', async t => {
  const { clients, fake, syncAll } = await setUp(t, 60)
  await syncAll()
  for (const client of clients) client.name = `${client.name} International`
  fake.intercept = (command, session) => {
    if (command['action'] !== 'editmesh' || !String(command['meshname']).startsWith('Client 7 ')) return false
    session.send({ action: 'editmesh', responseid: command['responseid'], result: 'ok' })
    return true
  }
  fake.resetCounts()
  const result = await syncAll({ rename: true })
  t.match(result, { renamed: 59, failed: 1 })
  t.match(result.results[7], { outcome: 'failed', error: /did not store it/ })
  t.equal(fake.counts.lists, 2, 'one more for the one in doubt')
})

t.test('a group that is deleted while it is being renamed is not said to be renamed', async t => {
  const { clients, fake, syncAll } = await setUp(t, 2)
  const { results } = await syncAll()
  for (const client of clients) client.name = `${client.name} International`
  fake.intercept = ({ action, meshid }) => {
    if (action === 'editmesh' && meshid === results[0].groupId) fake.world.removeGroup(results[0].groupId)
    return false
  }
  t.match(await syncAll({ rename: true }), {
    renamed: 1,
    failed: 1,
    results: [{ outcome: 'failed', error: /not on the MeshCentral server any more/ }, { outcome: 'renamed' }]
  })
})

t.test(
  '1,000 clients that have their groups cost one log-in, one list, no write and at most five statements',
  async t => {
    const { clients, fake, host, syncAll } = await setUp(t, 1_000)
    t.match(await syncAll(), { success: true, created: 1_000 })
    const statements = await countStatements({ kind: databaseKind, orm: host.orm })
    t.teardown(statements.stop)
    fake.resetCounts()
    const before = statements.read()
    t.match(await syncAll({ rename: true }), { success: true, existing: 1_000 })
    const used = statements.read() - before
    t.match(fake.counts, { logins: 1, lists: 1, writes: 0 })
    t.ok(used > 0 && used <= 5, `${used} statements`)
    t.equal(groupsOn(fake).size, clients.length)
  }
)
