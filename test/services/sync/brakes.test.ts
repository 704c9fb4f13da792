import { sql } from 'kysely'
import t from 'tap'
import { createScript, device, devices, group, list, page, scriptedHost, type ScriptedHost } from '../scripted.ts'

t.setTimeout(120_000)

const both = { resources: ['organizations' as const, 'devices' as const] }
const gone = async (h: ScriptedHost) =>
  (await h.rows('organization')).filter(row => row.removed_at !== null).map(row => row.external_id)
const groups = Array.from({ length: 40 }, (_, n) => group(`s${String(n).padStart(2, '0')}`))
/** A device in each of the first 20 groups. */
const inGroups = groups
  .slice(0, 20)
  .map(({ externalId }) => device(`in-${externalId}`, { organizationExternalId: externalId }))

t.test(
  'E13: 20 of 40 groups that were empty and nobody’s are cleaned up: they go, and the new device comes',
  async t => {
    const h = await scriptedHost(t, { mapped: false })
    h.script.organizations = list(groups)
    h.script.devices = list(inGroups)
    await h.sync(both)
    h.script.organizations = list(groups.slice(0, 20))
    h.script.devices = list([...inGroups, device('new', { organizationExternalId: 's00' })])
    t.match(await h.sync(both), { status: 'succeeded', totals: { created: 0, unmapped: 21 } })
    t.equal((await gone(h)).length, 20)
    t.ok((await h.rows('device')).some(row => row.external_id === 'new'))
  }
)

t.test('groups with devices, or that somebody decided about, are a loss: they stay, the devices are read', async t => {
  for (const decided of [false, true]) {
    const h = await scriptedHost(t, { mapped: false })
    h.script.organizations = list(groups)
    h.script.devices = list(decided ? [] : inGroups)
    await h.sync(both)
    if (decided)
      await h.map(Object.fromEntries(groups.slice(0, 20).map(({ externalId }) => [String(externalId), 'c1'])))
    h.script.organizations = list(groups.slice(12))
    h.script.devices = list([...(decided ? [] : inGroups), device('new', { organizationExternalId: 's20' })])
    const run = await h.sync(both)
    t.match(run, {
      status: 'partial',
      progress: [
        {
          resource: 'organizations',
          status: 'failed',
          error: { code: 'RMM_ERR_MASS_REMOVAL', message: /^12 of 20 organizations/ }
        },
        { resource: 'devices', status: 'complete' }
      ]
    })
    t.strictSame(await gone(h), [])
    t.ok(
      (await h.rows('device')).some(row => row.external_id === 'new'),
      'its own resource only'
    )
    t.match(await h.sync({ ...both, force: true }), { status: 'succeeded' })
    t.equal((await gone(h)).length, 12)
  }
})

t.test('a brake on the organizations leaves what they show alone: new and renamed ones are written', async t => {
  const h = await scriptedHost(t, { mapped: false })
  h.script.organizations = list(groups)
  h.script.devices = list(inGroups)
  await h.sync(both)
  h.script.organizations = list([...groups.slice(15, 39), group('s39', 'fresh', 'Renamed'), group('fresh')])
  t.match(await h.sync(both), { status: 'partial' })
  const rows = await h.rows('organization')
  t.equal(rows.length, 41)
  t.match(
    rows.find(row => row.external_id === 's39'),
    { name: 'Renamed', path: 'Group fresh / Renamed', depth: 1 }
  )
})

t.test('a group whose client was given another one meanwhile is no loss, nor is one of another server', async t => {
  const link = async (h: ScriptedHost, clientRef: string, externalId: string) =>
    await sql`insert into ${h.database.t.client_group} (tenant_id, connection_id, client_ref, external_id, name, client_name)
      values ('t1', ${h.connectionId}, ${clientRef}, ${externalId}, 'G', 'C')`.execute(h.database.db)
  const h = await scriptedHost(t, { mapped: false })
  const old = groups.slice(0, 20)
  const made = groups.slice(20)
  h.script.organizations = list(old)
  h.script.devices = list([])
  await h.sync(both)
  await sql`update ${h.database.t.organization} set mode = 'mapped', client_ref = 'client ' || external_id`.execute(
    h.database.db
  )
  h.script.organizations = list(made)
  t.match(await h.sync(both), { status: 'partial', error: { code: 'RMM_ERR_MASS_REMOVAL' } })
  for (const [n, { externalId }] of made.entries()) await link(h, `client ${old[n]!.externalId}`, String(externalId))
  t.match(await h.sync(both), { status: 'succeeded' })
  t.equal((await gone(h)).length, 20)

  const moved = await scriptedHost(t, { mapped: false })
  moved.script.organizations = list(page(old, { server: 'one' }))
  await moved.sync(both)
  await moved.map(Object.fromEntries(old.map(({ externalId }) => [String(externalId), 'c1'])))
  moved.script.organizations = list(page(made, { server: 'one' }))
  t.match(await moved.sync(both), { status: 'partial' }, 'the same server')
  moved.script.organizations = list(page(made, { server: 'two' }))
  t.match(await moved.sync(both), { status: 'succeeded' }, 'another one')
  t.equal((await gone(moved)).length, 20)
})

t.test('an empty list of devices is a loss whatever their number, one of empty groups is none', async t => {
  const h = await scriptedHost(t, { mapped: false, script: createScript({ noSingleReads: true }) })
  h.script.organizations = list(groups.slice(0, 3))
  h.script.devices = list(devices(2, { organizationExternalId: null }))
  await h.sync(both)
  h.script.devices = list([])
  t.match(await h.sync(both), { status: 'partial', error: { code: 'RMM_ERR_MASS_REMOVAL' } })
  h.script.organizations = list([])
  t.match(await h.sync(both), { progress: [{ status: 'complete' }, { status: 'failed' }] })
})

for (const deletes of ['snapshot', 'explicit'] as const) {
  t.test(`what the platform calls deleted (${deletes}) needs a person as well where it is much`, async t => {
    const h = await scriptedHost(t, { script: createScript({ deletes }) })
    const all = devices(100)
    const ids = (from: number, to: number) => all.slice(from, to).map(({ externalId }) => externalId)
    const removed = async () => (await h.rows('device')).filter(row => row.removed_at !== null).length
    h.script.devices = list(all)
    await h.sync({ resources: ['devices'] })
    h.script.devices = list(
      page(all.slice(0, 40), { deletedIds: ids(50, 65) }),
      page(all.slice(40, 50), { deletedIds: ids(65, 100) })
    )
    t.match(await h.sync({ resources: ['devices'] }), {
      status: 'failed',
      error: { code: 'RMM_ERR_MASS_REMOVAL', message: /^50 of 100 devices would be removed/ }
    })
    t.equal(await removed(), 0)
    // Said once by a platform that tells only what changed: the next run still knows it.
    h.script.devices = list(
      deletes === 'explicit' ? all.slice(0, 50) : page(all.slice(0, 50), { deletedIds: ids(50, 100) })
    )
    t.match(await h.sync({ resources: ['devices'], force: true }), { status: 'succeeded', totals: { removed: 50 } })
    t.equal(await removed(), 50)
  })

  t.test(`a few that the platform calls deleted (${deletes}) go, unless they were seen afterwards`, async t => {
    const h = await scriptedHost(t, { script: createScript({ deletes }) })
    const all = devices(100)
    h.script.devices = list(all)
    await h.sync({ resources: ['devices'] })
    h.script.devices = list(page(all.slice(2), { deletedIds: ['d000', 'd001'] }), [all[1]!])
    t.match(await h.sync({ resources: ['devices'] }), { status: 'succeeded', totals: { removed: 1 } })
    t.strictSame(
      (await h.rows('device')).filter(row => row.removed_at !== null).map(row => row.external_id),
      ['d000']
    )
  })
}
