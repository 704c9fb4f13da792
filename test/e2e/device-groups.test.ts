import { sql } from 'kysely'
import t, { type Test } from 'tap'
import { countStatements } from '../../bench/statements.ts'
import { marker } from '../../src/services/model/group-names.ts'
import { openDatabase } from '../../src/services/store/database.ts'
import { databaseKind } from '../helper.ts'
import { connectReal, realHost, syncElsewhere } from './mesh-host.ts'
import { requireMeshCentral, RealMesh } from './meshcentral-server.ts'
import { until } from '../until.ts'

const found = requireMeshCentral()

t.setTimeout(600_000)

const nasty = [
  'Müller & Söhne',
  '株式会社サンプル',
  '🏢 Tower 🏗️',
  'O\'Brien "Quotes" \\ Slash',
  '<script>alert(1)</script>',
  '<img src=x onerror=alert(1)>',
  'Acme\r\nMeshServer=wss://evil.example/agent.ashx',
  'Tab\tand\u0000NUL and \u0007bell',
  '  padded   twice  ',
  "$& $1 $$ $` $'",
  '.*',
  '^(a+)+$',
  '[a-z]{2,}(?=\\d)',
  '../../etc/passwd',
  '%00%0d%0a',
  '{"json":true}',
  "'; drop table mesh; --",
  '__proto__',
  'constructor',
  'right-to-left \u202e gpj.exe',
  'half of \ud83c a pair',
  'Acme',
  'Acme East',
  'Acme East Coast',
  'null',
  '0',
  'שלום עולם',
  'مرحبا',
  '\u2028line\u2029separators',
  'Devices',
  'Some Devices'
]
const cutAt = [
  'x'.repeat(300),
  'u'.repeat(120),
  '🏢'.repeat(100),
  `${'z'.repeat(127)}🏢`,
  `${'w'.repeat(119)}🏢`,
  `${'v'.repeat(118)}👩‍👩‍👧‍👦`
]
/** Pairs that would get one name: twins, NFC and NFD, upper and lower case, a difference far beyond the cut. */
const alike = [
  'Twins',
  'Twins',
  'Zo\u00eb',
  'Zoe\u0308',
  'Case',
  'CASE',
  `${'y'.repeat(5_000)} one`,
  `${'y'.repeat(5_000)} two`
]
const blank = ['', ' \r\n\u200b', '\u0000\u0001\u0007', '\u202e\u200f']
const total = 1_000
const hostile = [...nasty, ...cutAt, ...alike, ...blank]
const clients = [
  ...hostile,
  ...Array.from({ length: total - hostile.length }, (_, n) =>
    n % 2 === 0 ? `Client ${n}` : `Client ${n} ${nasty[n % nasty.length]}`
  )
].map((name, n) => ({ id: `c${n}`, name }))
const mine = clients.filter(({ name }) => !alike.includes(name) && !blank.includes(name)).length
const at = (name: string) => clients.find(client => client.name === name)!

const few = [
  { id: 'one', name: 'Part One' },
  { id: 'two', name: 'Part Two' },
  { id: 'three', name: 'Part Three' }
]

const mesh = await RealMesh.create(found.module, {
  async prepare(mesh) {
    await mesh.account('second', 'Sec0nd-pass!', { admin: true })
    await mesh.account('partial', 'P4rtial-pass!')
    mesh.putDocs([{ ...(await mesh.exportDocs()).find(doc => doc['_id'] === 'user//partial')!, siteadmin: 64 }])
  }
})
t.teardown(() => mesh.close())

const sent = { logins: 0, lists: 0, writes: 0 }
const host = await realHost(t, { clients: tenant => (tenant === 't3' ? few : clients), sent })
const created = await connectReal(host, mesh)
const id = created.body.connection?.id as string
const call = (path: string, body?: object) =>
  host.call('t1', path === 'status' ? 'GET' : 'POST', `/connections/${id}/device-groups/${path}`, body)
type Result = {
  results: Array<{ clientRef: string; name: string; groupId: string | null; outcome: string; error?: string }>
  [count: string]: any
}
async function syncAll(body: object = {}): Promise<Result> {
  const answer = await call('sync-all', body)
  if (answer.status !== 200) throw new Error(JSON.stringify(answer.body))
  return answer.body
}
const of = (result: Result, client: { id: string }) => result.results.find(({ clientRef }) => clientRef === client.id)!

type Listed = { _id: string; name: string; desc?: string }
/** What meshctrl.js, the platform's own client, lists. */
const list = async () => JSON.parse(await mesh.meshctrl('listdevicegroups', '--json')) as Listed[]
const edit = (group: Listed, ...change: string[]) => mesh.meshctrl('editdevicegroup', '--id', group._id, ...change)
/** Groups on the server that are none of the first tenant's: by id, their names. */
const others = new Map<string, string>()
/** meshctrl lists the groups of this result and those that are not ours, and no other. */
async function asListed(t: Test, { results }: Result, why = 'meshctrl lists exactly these'): Promise<void> {
  const expected = new Map([
    ...results.flatMap(({ groupId, name }): Array<[string, string]> => (groupId === null ? [] : [[groupId, name]])),
    ...others
  ])
  t.strictSame(new Map((await list()).map(({ _id, name }) => [_id, name])), expected, why)
}

t.test(
  'a wrong password, an unknown authority and a server that is not there are told apart, and nothing is stored',
  async t => {
    t.equal(created.status, 201)
    t.match(await connectReal(host, mesh, { secrets: { password: 'wrong' } }), {
      status: 422,
      body: { code: 'RMM_ERR_CONNECTION_CHECK', message: /user name or password/ }
    })
    t.match(await connectReal(host, mesh, { config: { ca: undefined } }), {
      status: 422,
      body: { message: /certificate/i }
    })
    t.match(await connectReal(host, mesh, { config: { url: mesh.url.replace(/\d+$/, '1') } }), {
      status: 422,
      body: { message: /refused the connection/ }
    })
    t.equal((await host.call('t1', 'GET', '/connections')).body.items.length, 1)
  }
)

t.test(
  '1,000 clients with names of every nasty kind, two processes at once: a group each and no duplicates',
  async t => {
    const elsewhere = syncElsewhere(t, host, mesh, id, clients)
    const [here, there] = (await Promise.all([syncAll(), elsewhere.result])) as [Result, Result]
    const [first, second] = here.created > there.created ? [here, there] : [there, here]
    t.match(first, { totalClients: total, created: mine, linked: 0, conflicts: alike.length, failed: blank.length })
    t.match(second, { totalClients: total, created: 0, existing: mine, conflicts: alike.length, failed: blank.length })
    await asListed(t, first)
    const names = (await list()).map(({ name }) => name)
    t.equal(new Set(names).size, mine)
    t.notOk(
      names.some(
        name =>
          /[\p{Cc}\u2028\u202e]/u.test(name) ||
          name.length > 128 ||
          !name.isWellFormed() ||
          name !== name.normalize('NFC')
      ),
      'each name in one line of at most 128 units, no pair cut in two'
    )
    for (const client of blank.map(at)) t.match(of(first, client), { outcome: 'failed', error: /rename the client/ })
    for (const client of clients.filter(({ name }) => alike.includes(name)))
      t.match(of(first, client), { outcome: 'conflict', error: /2 clients have this name/ })
  }
)

t.test(
  'the second run, and the one after a restart, is one log-in, one list, no write and at most five statements',
  async t => {
    const before = await mesh.meshctrl('listdevicegroups', '--json')
    const statements = await countStatements({ kind: databaseKind, orm: host.orm })
    t.teardown(statements.stop)
    for (const why of ['again', 'after a restart']) {
      Object.assign(sent, { logins: 0, lists: 0, writes: 0 })
      const counted = statements.read()
      t.match(await syncAll({ rename: true }), { existing: mine, created: 0, linked: 0, renamed: 0 }, why)
      const used = statements.read() - counted
      t.strictSame(sent, { logins: 1, lists: 1, writes: 0 }, why)
      t.ok(used > 0 && used <= 5, `${why}: ${used} statements`)
      t.equal(await mesh.meshctrl('listdevicegroups', '--json'), before, `${why}: nothing on the server has changed`)
      if (why === 'again') await mesh.restart()
    }
  }
)

t.test(
  'conflicts and unusable names are settled by renaming the clients; status says when nothing is left',
  async t => {
    for (const [n, client] of clients.filter(({ name }) => alike.includes(name)).entries())
      if (n % 2 === 1) client.name = `Other ${n}`
    for (const [n, client] of blank.map(at).entries()) client.name = `Was blank ${n}`
    t.match((await call(`ensure/${at('Twins').id}`)).body, { created: true, name: 'Twins Devices' })
    const all = await syncAll()
    t.match(all, { success: true, existing: mine + 1, created: total - mine - 1 })
    await asListed(t, all)
    Object.assign(sent, { logins: 0, lists: 0, writes: 0 })
    const pages = await Promise.all(Array.from({ length: 10 }, () => call('status')))
    t.ok(pages.every(({ body }) => body.source === 'platform' && body.totalClients === total && body.needsSync === 0))
    t.strictSame(sent, { logins: 1, lists: 1, writes: 0 }, 'ten open pages are one log-in')
  }
)

t.test('renamed clients, groups renamed and deleted behind our back', async t => {
  const start = await syncAll()
  for (let n = 0; n < 200; n++) clients[clients.length - 1 - n]!.name = `Renamed ${n}`
  const group = (await list()).find(({ _id }) => _id === of(start, at('Client 0')).groupId)!
  await edit(group, '--name', 'Called otherwise')
  t.match((await call('status')).body, { source: 'platform', needsSync: 201 })
  Object.assign(sent, { logins: 0, lists: 0, writes: 0 })
  const renamed = await syncAll({ rename: true })
  t.match(renamed, { renamed: 201, existing: total - 201, success: true })
  t.strictSame(sent, { logins: 1, lists: 1, writes: 201 }, 'each rename is confirmed without another list')
  await asListed(t, renamed)

  await mesh.meshctrl('removedevicegroup', '--id', group._id)
  t.match((await call('status')).body, { needsSync: 1 })
  const missing = await syncAll()
  t.match(missing, { existing: total - 1, failed: 1 })
  t.match(of(missing, at('Client 0')), { outcome: 'failed', error: /if the next sync does not see it either/ })
  const again = await syncAll()
  t.match(again, { existing: total - 1, created: 1 })
  t.not(of(again, at('Client 0')).groupId, group._id)
  await asListed(t, again)
})

t.test('marks that somebody swapped, copied or removed: nothing is taken from anybody', async t => {
  const start = await syncAll()
  const groups = new Map((await list()).map(group => [group._id, group]))
  const [one, two, three] = ['Client 2', 'Client 4', 'Client 6'].map(
    name => groups.get(of(start, at(name)).groupId!)!
  ) as [Listed, Listed, Listed]
  await edit(one, '--desc', two.desc!)
  await edit(two, '--desc', one.desc!)
  const before = await mesh.meshctrl('listdevicegroups', '--json')
  const swapped = await syncAll({ rename: true })
  t.match(swapped, { existing: total - 2, conflicts: 2 })
  for (const name of ['Client 2', 'Client 4'])
    t.match(of(swapped, at(name)), {
      outcome: 'conflict',
      error: /carries the mark of another client; remove that mark/
    })
  t.equal(await mesh.meshctrl('listdevicegroups', '--json'), before, 'nothing is written')
  await edit(one, '--desc', 'mine')
  await edit(two, '--desc', '')
  t.match(await syncAll(), { success: true, existing: total }, 'removed, they are written anew')
  const marked = new Map((await list()).map(({ _id, desc }) => [_id, desc]))
  t.equal(marked.get(one._id), `mine ${marker('t1', at('Client 2').id)}`)
  t.match(marked.get(two._id), marker('t1', at('Client 4').id))

  await mesh.meshctrl('adddevicegroup', '--name', "Somebody's copy", '--desc', three.desc!)
  const copy = (await list()).find(({ name }) => name === "Somebody's copy")!
  others.set(copy._id, copy.name)
  t.match(await syncAll(), { success: true, existing: total, linked: 0 })
  const drift = (await call('status')).body.clients.find(
    ({ clientRef }: { clientRef: string }) => clientRef === at('Client 6').id
  )
  t.match(drift, { groupId: three._id, needsSync: true, drift: /the same mark is also on "Somebody's copy"/ })
  await asListed(t, await syncAll())
  await mesh.meshctrl('removedevicegroup', '--id', copy._id)
  others.delete(copy._id)
})

t.test(
  'a process that is killed in mid-run, a server that is restarted and one that is killed: no duplicates',
  async t => {
    const { db, t: tables } = await openDatabase(host.orm, host.schema)
    const stored = async () =>
      (await sql`select 1 from ${tables.client_group} where client_ref like 'more-%'`.execute(db)).rows.length
    const grow = (from: number) => {
      for (let n = from; n < from + 120; n++) clients.push({ id: `more-${n}`, name: `More ${n}` })
    }

    grow(0)
    const elsewhere = syncElsewhere(t, host, mesh, id, clients)
    await until('some of the new groups', async () => (await stored()) > 0)
    await elsewhere.kill()
    const kept = await stored()
    // Its lease would run out in 20 s.
    await sql`delete from ${tables.lease} where name like 'groups:%'`.execute(db)
    const after = await syncAll()
    t.match(after, { success: true, totalClients: total + 120 })
    t.ok(after.existing >= total + kept, `${kept} stored, ${after.linked} found by their mark, ${after.created} made`)
    await asListed(t, after)

    for (const [n, signal] of (['SIGINT', 'SIGKILL'] as const).entries()) {
      const before = clients.length
      const storedBefore = await stored()
      grow((n + 1) * 120)
      const running = call('sync-all', {})
      await until('some of the new groups', async () => (await stored()) > storedBefore)
      await mesh.stop(signal)
      const half = await running
      t.match(half, { status: 200, body: { existing: before, totalClients: before + 120 } })
      t.equal(
        half.body.created + half.body.failed,
        120,
        `${signal}: ${half.body.created} made, ${half.body.failed} not`
      )
      t.equal((await stored()) - storedBefore, half.body.created, 'what it says is what is kept')
      t.match(await call('sync-all', {}), { status: 502, body: { code: 'RMM_ERR_PLATFORM' } })
      t.match(await call('status'), {
        status: 200,
        body: { source: 'stored', totalClients: before + 120, needsSync: half.body.failed }
      })
      await mesh.start()
      // A server that ends may have lost groups that it had confirmed already: these are missing first.
      const found = await syncAll()
      t.ok(
        found.results.every(
          ({ outcome, error }) =>
            ['existing', 'linked', 'created'].includes(outcome) || /is not in the list any more/.test(error!)
        ),
        `${found.failed} lost by the server`
      )
      const rest = await syncAll()
      t.match(rest, { success: true, totalClients: before + 120, failed: 0, conflicts: 0 })
      await asListed(t, rest)
    }
    for (const { groupId, name, clientRef } of (await syncAll()).results)
      if (Number(clientRef.replace(/\D/g, '')) >= 300 || clientRef.startsWith('more-')) others.set(groupId!, name)
    clients.splice(300)
    const left = await syncAll()
    t.match(left, { totalClients: 300, existing: 300 })
    await asListed(t, left, 'groups of clients that left stay where they are')
  }
)

t.test("a second administrator's groups: not seen they are not touched, seen they are linked once", async t => {
  const tenant = await connectReal(host, mesh, {
    tenant: 't2',
    secrets: { username: 'second', password: 'Sec0nd-pass!' }
  })
  const theirs = (path: string, body: object = {}) =>
    host.call('t2', 'POST', `/connections/${tenant.body.connection.id}/device-groups/${path}`, body)
  const own = await theirs(`ensure/${at('Client 2').id}`)
  t.match(
    own,
    { status: 200, body: { created: true, name: 'Client 2 Devices' } },
    'an account that sees nothing makes its own'
  )
  others.set(own.body.groupId, own.body.name)
  const all = await syncAll()
  t.match(
    all,
    { existing: 300, linked: 0, conflicts: 0 },
    "the first tenant, who sees it, does not take it: its mark is another's"
  )
  await asListed(t, all)
  clients.push({ id: 'new', name: 'Brand New' })
  await mesh.meshctrl('adddevicegroup', '--name', 'Brand New Devices', '--desc', 'made by hand')
  const linked = await syncAll()
  t.match(linked, { existing: 300, linked: 1 })
  t.equal(
    (await list()).find(({ _id }) => _id === of(linked, { id: 'new' }).groupId)!.desc,
    `made by hand ${marker('t1', 'new')}`
  )
  t.match((await theirs('sync-all', { dryRun: true })).body, { message: /does not see all groups/ })
  await host.call('t2', 'DELETE', `/connections/${tenant.body.connection.id}?mode=purge`)
})

t.test('an account with partial rights does what it may, and says for each of the others what it may not', async t => {
  for (const { name } of few) await mesh.meshctrl('adddevicegroup', '--name', `${name} Devices`)
  const groups = new Map(
    (await list()).filter(({ name }) => name.startsWith('Part ')).map(group => [group.name, group])
  )
  for (const [name, { _id }] of groups) others.set(_id, name)
  await mesh.meshctrl(
    'addusertodevicegroup',
    '--id',
    groups.get('Part One Devices')!._id,
    '--userid',
    'partial',
    '--fullrights'
  )
  await mesh.meshctrl(
    'addusertodevicegroup',
    '--id',
    groups.get('Part Two Devices')!._id,
    '--userid',
    'partial',
    '--remotecontrol'
  )
  const {
    body: { connection }
  } = await connectReal(host, mesh, { tenant: 't3', secrets: { username: 'partial', password: 'P4rtial-pass!' } })
  const theirs = async (path: string, body: object = {}) =>
    (
      await host.call(
        't3',
        path === 'status' ? 'GET' : 'POST',
        `/connections/${connection.id}/device-groups/${path}`,
        path === 'status' ? undefined : body
      )
    ).body
  const result = await theirs('sync-all')
  t.match(result, {
    success: false,
    linked: 1,
    failed: 2,
    message: /does not see all groups/,
    results: [
      { outcome: 'linked', groupId: groups.get('Part One Devices')!._id },
      { outcome: 'failed', error: /Edit Device Group/ },
      { outcome: 'failed', error: /No New Device Groups/ }
    ]
  })
  t.strictSame(
    (await list())
      .filter(({ name }) => name.startsWith('Part '))
      .map(({ name, desc = '' }) => [name, desc.includes('[psa:')])
      .sort(),
    [
      ['Part One Devices', true],
      ['Part Three Devices', false],
      ['Part Two Devices', false]
    ]
  )
  t.match((await theirs('status')).clients[0], { setupComplete: true, drift: null })
  await mesh.meshctrl('removeuserfromdevicegroup', '--id', groups.get('Part One Devices')!._id, '--userid', 'partial')
  for (let n = 0; n < 2; n++)
    t.match((await theirs('sync-all')).results[0], { outcome: 'failed', error: /a right was taken away/ })
  t.match((await theirs('status')).clients[0], { hasGroup: true, groupExists: false })
  await asListed(t, await syncAll())
  await host.call('t3', 'DELETE', `/connections/${connection.id}?mode=purge`)
})

t.test(
  'a restored database: what came after the backup is missing and made again, what was deleted since is found again',
  async t => {
    const start = await syncAll()
    await mesh.stop()
    const backup = await mesh.exportDocs()
    await mesh.start()
    clients.push({ id: 'late', name: 'Latecomer' })
    at('Client 8').name = 'Client of another name'
    const deleted = of(start, at('Client 10')).groupId!
    await mesh.meshctrl('removedevicegroup', '--id', deleted)
    await syncAll({ rename: true })
    const since = await syncAll()
    t.match(since, { success: true, existing: 301, created: 1 })
    t.not(of(since, at('Client 10')).groupId, deleted)

    await mesh.stop()
    await mesh.importDocs(backup)
    await mesh.start()
    const restored = await syncAll()
    t.match(restored, { existing: 300, linked: 1, failed: 1 })
    t.match(of(restored, at('Client 10')), { outcome: 'linked', groupId: deleted })
    t.match(of(restored, { id: 'late' }), { outcome: 'failed', error: /if the next sync does not see it either/ })
    t.match(
      (await call('status')).body.clients.find(
        ({ clientRef }: { clientRef: string }) => clientRef === at('Client of another name').id
      ),
      { drift: /renamed on the platform/ }
    )
    const settled = await syncAll({ rename: true })
    t.match(settled, { success: true, created: 1, renamed: 1, existing: 300 })
    await asListed(t, settled)
  }
)

t.test(
  'a lost database: everything is missing once, then made again; a fresh server: found and made at once',
  async t => {
    const before = await syncAll()
    await mesh.stop()
    await mesh.wipe()
    await mesh.start()
    others.clear()
    t.match(
      await syncAll(),
      { failed: 302, created: 0 },
      'the same server without groups: perhaps only a right was lost'
    )
    t.match(await syncAll({ dryRun: true }), { created: 302 })
    const again = await syncAll()
    t.match(again, { created: 302, failed: 0 })
    await asListed(t, again)
    t.ok(again.results.every(({ groupId }, n) => groupId !== before.results[n]!.groupId))

    await mesh.stop()
    await mesh.wipe({ certificates: true })
    await mesh.start()
    t.match(
      await call('sync-all', {}),
      { status: 502, body: { message: /certificate/i } },
      'its certificate is another one: nobody is told the password'
    )
    t.match(await call('status'), { status: 200, body: { source: 'stored', message: /certificate/i, needsSync: 0 } })
    const config = { url: mesh.url, ca: mesh.ca }
    const secrets = { username: mesh.username, password: mesh.password }
    const patch = (change: object) => host.call('t1', 'PATCH', `/connections/${id}`, change)
    t.match(await patch({ config }), { status: 422, body: { code: 'RMM_ERR_SECRETS_REQUIRED' } }, 'another authority')
    t.match(await patch({ config, secrets }), { status: 200 })
    await mesh.meshctrl('adddevicegroup', '--name', 'Client 12 Devices')
    await mesh.meshctrl('adddevicegroup', '--name', 'Found by its mark', '--desc', marker('t1', at('Client 14').id))
    const migrated = await syncAll()
    t.match(migrated, { success: true, created: 300, linked: 2, failed: 0 })
    t.match(of(migrated, at('Client 14')), { outcome: 'linked', name: 'Found by its mark' })
    await asListed(t, migrated)
    t.match(await syncAll(), { existing: 302 })
    t.ok(mesh.running, 'the server lives')
  }
)
