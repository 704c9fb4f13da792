import t from 'tap'
import type { ChangeBatch, Client } from '../../../src/types.ts'
import { device, devices, group, list, scriptedHost } from '../scripted.ts'

t.setTimeout(120_000)

function psa() {
  const told: string[] = []
  const known = new Map(['c1', 'c2', 'c3'].map(id => [id, { id, name: id }]))
  let asked: string[] = []
  const host = {
    told,
    known,
    fails: false,
    take: () => told.splice(0).sort(),
    asked: () => asked.splice(0),
    directory: {
      clients: () => [...known.values()],
      client(_tenant: string, id: string): Client | null {
        asked.push(id)
        if (host.fails) throw new Error('the directory is down')
        return known.get(id) ?? null
      }
    },
    onChanges({ devices }: ChangeBatch) {
      told.push(...devices.map(({ change, device }) => `${change} ${device.externalId} ${device.clientRef}`))
    }
  }
  asked = []
  return host
}

async function mapped(host: ReturnType<typeof psa>, more: object = {}) {
  const h = await scriptedHost(t, { directory: host.directory, onChanges: host.onChanges, ...more })
  h.script.organizations = list([group('g1'), group('g2', 'g1'), group('g3')])
  await h.sync({ resources: ['organizations'] })
  await h.map({ g2: 'c2', g3: 'c2' })
  h.script.devices = list([
    ...devices(2),
    ...devices(2, { organizationExternalId: 'g2' }, 'e'),
    ...devices(1, { organizationExternalId: 'g3' }, 'f')
  ])
  await h.sync({ resources: ['organizations', 'devices'] })
  host.take()
  host.asked()
  return h
}
const both = { resources: ['organizations' as const, 'devices' as const] }

t.test('the directory no longer knows a mapped client: its devices stay, and nobody is told of them', async () => {
  const host = psa()
  const h = await mapped(host)
  host.known.delete('c2')
  h.script.devices = list([
    ...devices(2, { osVersion: '11' }),
    ...devices(2, { organizationExternalId: 'g2', osVersion: '11' }, 'e'),
    device('e-new', { organizationExternalId: 'g2' }),
    ...devices(1, { organizationExternalId: 'g3' }, 'f')
  ])
  await h.sync(both)
  t.strictSame(host.asked(), ['c1', 'c2'], 'each client is asked for once a run')
  t.strictSame(host.take(), ['updated d000 c1', 'updated d001 c1'])
  const rows = new Map((await h.rows('device')).map(row => [row.external_id, row]))
  t.equal(rows.get('e000').client_ref, 'c2', 'not handed to an ancestor')
  t.equal(rows.get('e000').os_version, '11')
  t.equal(rows.get('e-new').client_ref, null)
  const connection = (await h.call('t1', 'GET', `/connections/${h.connectionId}`)).body
  t.match(connection, { mappingStatus: 'broken', counts: { brokenMappings: 2 } })
  const { items } = (await h.call('t1', 'GET', `/connections/${h.connectionId}/organizations`)).body
  t.strictSame(
    items.map((one: any) => [one.externalId, one.mapping.status]),
    [
      ['g1', 'ok'],
      ['g2', 'broken'],
      ['g3', 'broken']
    ]
  )
  await h.sync(both)
  const events = (await h.rows('outbox', 'seq')).filter(({ type }) => type === 'RMM_MAPPING_BROKEN')
  t.equal(events.length, 1, 'told once')
  t.match(events[0].payload, { count: 2, organizations: [{ clientRef: 'c2' }, { clientRef: 'c2' }] })
  t.strictSame(host.take(), [])

  host.known.set('c2', { id: 'c2', name: 'back' })
  await h.sync(both)
  t.strictSame(
    host.take(),
    ['created e-new c2', 'updated e000 c2', 'updated e001 c2', 'updated f000 c2'],
    'what was kept is told when the client is back'
  )
  t.match((await h.call('t1', 'GET', `/connections/${h.connectionId}`)).body, {
    mappingStatus: 'ok',
    counts: { brokenMappings: 0 }
  })
})

t.test('a directory that throws says nothing about anybody', async () => {
  const host = psa()
  const h = await mapped(host)
  host.fails = true
  h.script.devices = list([
    ...devices(2),
    ...devices(2, { organizationExternalId: 'g2', osVersion: '11' }, 'e'),
    ...devices(1, { organizationExternalId: 'g3' }, 'f')
  ])
  t.match(await h.sync(both), { status: 'succeeded' })
  t.strictSame(host.take(), ['updated e000 c2', 'updated e001 c2'])
  t.match((await h.call('t1', 'GET', `/connections/${h.connectionId}`)).body, { mappingStatus: 'ok' })
})

t.test('a host that answers for many clients at once is asked once, and the mapping page asks as well', async () => {
  const host = psa()
  let calls = 0
  const directory = {
    ...host.directory,
    clientsByIds(_tenant: string, ids: string[]) {
      calls++
      return ids.flatMap(id => host.known.get(id) ?? [])
    }
  }
  const h = await mapped(host, { directory })
  calls = 0
  host.known.delete('c2')
  const { items } = (await h.call('t1', 'GET', `/connections/${h.connectionId}/organizations`)).body
  t.strictSame([calls, host.asked()], [1, []])
  t.strictSame(
    items.map((one: any) => one.mapping.status),
    ['ok', 'broken', 'broken']
  )
})

t.test('merged clients: everything of one goes over to the other, each device told once', async () => {
  const host = psa()
  const h = await mapped(host)
  host.known.delete('c2')
  await h.sync(both)
  const move = (body: object, tenant = 't1') =>
    h.call(tenant, 'PUT', `/connections/${h.connectionId}/mappings/move`, body)
  t.match(await move({ from: 'c2', to: 'c9' }), { status: 422, body: { code: 'RMM_ERR_CLIENT_UNKNOWN' } })
  t.match(await move({ from: 'c2', to: 'c2' }), { status: 422 })
  t.match(await move({ from: 'c2', to: 'c3' }, 't2'), { status: 404 })
  t.strictSame(await move({ from: 'c2', to: 'c3' }), { status: 200, body: { organizations: 2, devices: 3 } })
  t.strictSame(host.take(), ['moved e000 c3', 'moved e001 c3', 'moved f000 c3'])
  t.match((await h.call('t1', 'GET', `/connections/${h.connectionId}`)).body, { mappingStatus: 'ok' })
  t.strictSame((await move({ from: 'c2', to: 'c3' })).body, { organizations: 0, devices: 0 })
})
