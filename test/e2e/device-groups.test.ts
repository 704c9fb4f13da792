import { existsSync } from 'node:fs'
import { sql } from 'kysely'
import t, { type Test } from 'tap'
import type { RmmProvider } from '../../src/index.ts'
import { meshcentral } from '../../src/providers/meshcentral/index.ts'
import { marker } from '../../src/services/group-names.ts'
import { openDatabase } from '../../src/services/store/database.ts'
import { build, type Host, syncNow } from '../helper.ts'
import { findMeshCentral, RealMesh, until } from './meshcentral-server.ts'

const found = findMeshCentral()
if ('missing' in found) {
  t.comment(`skipped: ${found.missing}`)
  t.plan(0, found.missing)
  process.exit(0)
}

t.setTimeout(600_000)

const hostile = [
  'Müller & Söhne', '株式会社サンプル', '🏢 Tower 🏗️', 'O\'Brien "Quotes" \\ Slash', '<script>alert(1)</script>', '<img src=x onerror=alert(1)>', 'Acme\r\nMeshServer=wss://evil.example/agent.ashx',
  'Tab\tand\u0000NUL and \u0007bell', '  padded   twice  ', 'éclair (NFD)', 'éclair (NFC)', '$& $1 $$', '../../etc/passwd', '%00%0d%0a', '{"json":true}', '\'; drop table mesh; --', '__proto__', 'constructor',
  'right-to-left \u202e gpj.exe', 'x'.repeat(300), '🏢'.repeat(100), `${'z'.repeat(127)}🏢`, 'Acme', 'Acme East', 'Twins', 'null', '0', 'שלום עולם', 'مرحبا', '\u2028line\u2029separators', 'Twins', ' \r\n\u200b', 'Devices'
]
const clients = [...hostile, ...Array.from({ length: 200 - hostile.length }, (_, n) => `Client ${n}`)].map((name, n) => ({ id: `c${n}`, name }))
const at = (name: string) => clients.find(client => client.name === name)!
const blank = at(' \r\n\u200b').id
const twins = clients.filter(({ name }) => name === 'Twins')

const mesh = await RealMesh.create(found.module)
t.teardown(() => mesh.close())

async function makeHost (t: Test, on?: { orm: Host['orm'], schema: string }): Promise<Host> {
  return await build(t, {
    providers: [meshcentral({ allowPrivateNetwork: true, requestTimeoutMs: 20_000, offlineGraceMs: 1_000, debounceMs: 100 }) as RmmProvider],
    directory: { clients: () => clients, client: (_tenant: string, id: string) => clients.find(client => client.id === id) ?? null },
    worker: { enabled: false }, engine: { interactiveMs: 60_000 }, ...(on === undefined ? {} : { on })
  })
}

const host = await makeHost(t)
const connect = async (secrets: object = {}, tenant = 't1') => await host.call(tenant, 'POST', '/connections', { provider: 'meshcentral', config: { url: mesh.url, ca: mesh.ca }, secrets: { username: mesh.username, password: mesh.password, ...secrets } })

/** What meshctrl.js, the platform's own client, lists: id and name of every device group. */
async function listed (): Promise<Map<string, string>> {
  const list = JSON.parse(await mesh.meshctrl('listdevicegroups', '--json')) as Array<{ _id: string, name: string }>
  return new Map(list.map(group => [group._id, group.name]))
}

const created = await connect()
const id = created.body.connection?.id as string
const call = (path: string, body?: object) => host.call('t1', path === 'status' ? 'GET' : 'POST', `/connections/${id}/device-groups/${path}`, body)
async function syncAll (body: object = {}) {
  const answer = await call('sync-all', body)
  if (answer.status !== 200) throw new Error(JSON.stringify(answer.body))
  return answer.body as { results: Array<{ clientRef: string, name: string, groupId: string | null, outcome: string, error?: string }>, [count: string]: any }
}
const expected = (result: Awaited<ReturnType<typeof syncAll>>) => new Map(result.results.filter(({ groupId }) => groupId !== null).map(({ groupId, name }) => [groupId, name]))
const of = (result: Awaited<ReturnType<typeof syncAll>>, client: { id: string }) => result.results.find(({ clientRef }) => clientRef === client.id)!

t.test('a wrong password, an unknown authority and a server that is not there are told apart, and nothing is stored', async t => {
  t.equal(created.status, 201)
  t.match(await connect({ password: 'wrong' }), { status: 422, body: { code: 'RMM_ERR_CONNECTION_CHECK', message: /user name or password/ } })
  const wrongAuthority = await host.call('t1', 'POST', '/connections', { provider: 'meshcentral', config: { url: mesh.url }, secrets: { username: mesh.username, password: mesh.password } })
  t.match(wrongAuthority, { status: 422, body: { message: /certificate/i } })
  const wrongUrl = await host.call('t1', 'POST', '/connections', { provider: 'meshcentral', config: { url: mesh.url.replace(/\d+$/, '1'), ca: mesh.ca }, secrets: { username: mesh.username, password: mesh.password } })
  t.match(wrongUrl, { status: 422, body: { message: /refused the connection/ } })
  t.equal((await host.call('t1', 'GET', '/connections')).body.items.length, 1)
})

t.test('200 clients with hostile names get their groups; the second run writes nothing; two hosts at once make no duplicates', async t => {
  const other = await makeHost(t, host)
  const answers = await Promise.all([host, other].map(one => one.call('t1', 'POST', `/connections/${id}/device-groups/sync-all`, {})))
  t.strictSame(answers.map(({ status }) => status), [200, 200])
  const [first, second] = answers.map(({ body }) => body).sort((a, b) => b.created - a.created)
  t.match(first, { totalClients: 200, created: 197, linked: 0, conflicts: 2, failed: 1 })
  t.match(second, { totalClients: 200, created: 0, existing: 197, conflicts: 2, failed: 1 })
  t.match(of(first, { id: blank }), { outcome: 'failed', error: /rename the client/ })
  for (const twin of twins) t.match(of(first, twin), { outcome: 'conflict', error: /2 clients have this name/ })
  const groups = await listed()
  t.strictSame(groups, expected(first), 'meshctrl lists exactly these')
  t.notOk([...groups.values()].some(name => /[\p{Cc}\u2028\u202e]/u.test(name) || name.length > 128), 'each name in one line of at most 128 units')

  const before = await mesh.meshctrl('listdevicegroups', '--json')
  t.match(await syncAll({ rename: true }), { existing: 197, created: 0, linked: 0, renamed: 0 })
  t.equal(await mesh.meshctrl('listdevicegroups', '--json'), before, 'nothing on the server has changed')

  twins[1]!.name = 'Twins West'
  t.match((await call(`ensure/${twins[1]!.id}`)).body, { created: true, name: 'Twins West Devices' })
  t.match((await call(`ensure/${twins[0]!.id}`)).body, { created: true, name: 'Twins Devices' })
  at(' \r\n\u200b').name = 'Was blank'
  const all = await syncAll()
  t.match(all, { success: true, existing: 199, created: 1 })
  t.strictSame(await listed(), expected(all))
  t.match((await call('status')).body, { totalClients: 200, needsSync: 0 })
})

t.test('renamed clients, groups renamed and deleted behind our back, a restart', async t => {
  const start = await syncAll()
  at('Acme East').name = 'Acme West'
  const groupId = of(start, at('Client 1')).groupId!
  await mesh.meshctrl('editdevicegroup', '--id', groupId, '--name', 'Called otherwise')
  t.match((await call('status')).body.needsSync, 2)
  const renamed = await syncAll({ rename: true })
  t.match(renamed, { renamed: 2, existing: 198, success: true })
  t.match(of(renamed, at('Acme West')).name, 'Acme West Devices')
  t.strictSame(await listed(), expected(renamed))

  await mesh.meshctrl('removedevicegroup', '--id', groupId)
  const missing = await syncAll()
  t.match(missing, { existing: 199, failed: 1 })
  t.match(of(missing, at('Client 1')), { outcome: 'failed', error: /if the next sync does not see it either/ })
  await mesh.restart()
  const again = await syncAll()
  t.match(again, { existing: 199, created: 1 })
  t.not(of(again, at('Client 1')).groupId, groupId)
  t.strictSame(await listed(), expected(again))
})

t.test('a server killed in mid-run: what was made is kept, the next run goes on without duplicates', async t => {
  const more = Array.from({ length: 200 }, (_, n) => ({ id: `more-${n}`, name: `More ${n}` }))
  clients.push(...more)
  const running = call('sync-all', {})
  const { db, t: tables } = await openDatabase(host.orm, host.schema)
  const stored = async () => (await sql`select 1 from ${tables.client_group} where client_ref like 'more-%'`.execute(db)).rows.length
  await until('some of the new groups', async () => await stored() > 0)
  await mesh.stop('SIGKILL')
  const half = await running
  t.match(half, { status: 200, body: { success: false, existing: 200, totalClients: 400 } })
  t.ok(half.body.created > 0 && half.body.failed > 0 && half.body.created + half.body.failed === 200, `${half.body.created} made, ${half.body.failed} not`)
  t.equal(await stored(), half.body.created, 'what it says is what is kept')
  t.match(await call('sync-all', {}), { status: 502, body: { code: 'RMM_ERR_PLATFORM' } })
  await mesh.start()
  // A killed server may have lost groups that it had confirmed already: these are missing first.
  const after = await syncAll()
  t.ok(after.results.every(({ outcome, error }) => ['existing', 'linked', 'created'].includes(outcome) || /is not in the list any more/.test(error!)), `${after.failed} lost by the server`)
  const rest = await syncAll()
  t.match(rest, { success: true, totalClients: 400, failed: 0, conflicts: 0 })
  const groups = await listed()
  t.strictSame(groups, expected(rest))
  t.equal(groups.size, 400)
  clients.splice(200)
  t.match(await syncAll(), { totalClients: 200, existing: 200 }, 'groups of clients that left stay where they are')
})

t.test('a second administrator\'s groups: not seen they are not touched, seen they are linked once', async t => {
  await mesh.stop()
  await mesh.account('second', 'Sec0nd-pass!', { admin: true })
  await mesh.start()
  const tenant = await connect({ username: 'second', password: 'Sec0nd-pass!' }, 't2')
  t.equal(tenant.status, 201)
  const theirs = (path: string, body: object = {}) => host.call('t2', 'POST', `/connections/${tenant.body.connection.id}/device-groups/${path}`, body)
  const before = await listed()
  const own = await theirs(`ensure/${at('Client 2').id}`)
  t.match(own, { status: 200, body: { created: true, name: 'Client 2 Devices' } }, 'an account that sees nothing makes its own')
  t.equal((await listed()).size, before.size + 1)
  t.match(await syncAll(), { existing: 200, linked: 0, conflicts: 0 }, 'the first tenant, who sees it, does not take it: its mark is another\'s')
  clients.push({ id: 'new', name: 'Brand New' })
  await mesh.meshctrl('adddevicegroup', '--name', 'Brand New Devices', '--desc', 'made by hand')
  const linked = await syncAll()
  t.match(linked, { existing: 200, linked: 1 })
  const group = (JSON.parse(await mesh.meshctrl('listdevicegroups', '--json')) as Array<{ _id: string, desc: string }>).find(({ _id }) => _id === of(linked, { id: 'new' }).groupId)!
  t.equal(group.desc, `made by hand ${marker('t1', 'new')}`)
  t.match((await theirs('sync-all', { dryRun: true })).body, { message: /does not see all groups/ })
  await host.call('t2', 'DELETE', `/connections/${tenant.body.connection.id}?mode=purge`)
})

t.test('install links work on the groups, devices appear under their clients, and sharing needs a device', async t => {
  const link = await call(`${at('Client 3').id}/install-link`, { hours: 1 })
  t.match(link, { status: 201, body: { url: /\/agentinvite\?c=/ } })
  const page = await mesh.download(new URL(link.body.url).pathname + new URL(link.body.url).search)
  t.ok(page.length > 0, 'the page is there')
  const working = await build(t, {
    providers: [meshcentral({ allowPrivateNetwork: true, offlineGraceMs: 1_000, debounceMs: 100 }) as RmmProvider], on: host,
    directory: { clients: () => clients, client: (_tenant: string, id: string) => clients.find(client => client.id === id) ?? null }
  })
  const run = await syncNow(working, id)
  t.equal(run.status, 'succeeded')
  const organizations = (await working.call('t1', 'GET', `/connections/${id}/organizations?limit=200`)).body.items as Array<{ mapping: { mode: string, clientRef: string }, externalId: string }>
  const status = (await call('status')).body.clients as Array<{ clientRef: string, groupId: string }>
  const refs = new Map(status.map(({ groupId, clientRef }) => [groupId, clientRef]))
  t.ok(organizations.length > 100 && organizations.every(({ externalId, mapping }) => !refs.has(externalId) || mapping.clientRef === refs.get(externalId)), 'after a sync every group is still its client\'s')
  await working.app.close()
})

t.test('a lost database: everything is missing once, then made again; a fresh server: found and made at once', async t => {
  const before = await syncAll()
  await mesh.stop()
  await mesh.wipe()
  await mesh.start()
  t.match(await syncAll(), { failed: 201, created: 0 }, 'the same server without groups: perhaps only a right was lost')
  t.match(await syncAll({ dryRun: true }), { created: 201 })
  const again = await syncAll()
  t.match(again, { created: 201, failed: 0 })
  t.strictSame(await listed(), expected(again))
  t.ok(again.results.every(({ groupId }, n) => groupId !== before.results[n]!.groupId))

  await mesh.stop()
  await mesh.wipe({ certificates: true })
  await mesh.start()
  t.match(await call('sync-all', {}), { status: 502, body: { message: /certificate/i } }, 'its certificate is another one: nobody is told the password')
  const moved = await host.call('t1', 'PATCH', `/connections/${id}`, { config: { url: mesh.url, ca: mesh.ca } })
  t.equal(moved.status, 200)
  await mesh.meshctrl('adddevicegroup', '--name', 'Client 4 Devices')
  await mesh.meshctrl('adddevicegroup', '--name', 'Found by its mark', '--desc', marker('t1', at('Client 5').id))
  const migrated = await syncAll()
  t.match(migrated, { success: true, created: 199, linked: 2, failed: 0 })
  t.match(of(migrated, at('Client 5')), { outcome: 'linked', name: 'Found by its mark' })
  t.strictSame(await listed(), expected(migrated), 'meshctrl lists exactly these')
  t.match(await syncAll(), { existing: 201 })
  t.ok(mesh.running && existsSync(mesh.data), 'the server lives')
})
