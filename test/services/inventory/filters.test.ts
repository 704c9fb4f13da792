import fc from 'fast-check'
import { sql } from 'kysely'
import t, { type Test } from 'tap'
import type { Device, DeviceSort, List } from '../../../src/types.ts'
import { device, devices, group, list, page, scriptedHost } from '../scripted.ts'

const ids = (list: List<Device>) => list.items.map(({ externalId }) => externalId)

/** `g1` (client c1) with `g2` below it, `g3` beside them and in a circle with `g4`. */
async function setUp(t: Test) {
  const h = await scriptedHost(t, {})
  h.script.organizations = list([group('g1'), group('g2', 'g1'), group('g3', 'g4'), group('g4', 'g3')])
  h.script.devices = list(
    page([
      device('a', { serialNumber: 'PF3XK29T', lastSeenAt: new Date('2026-01-03T00:00:00Z') }),
      device('b', { organizationExternalId: 'g2', online: false, lastSeenAt: new Date('2026-01-01T00:00:00Z') }),
      device('c', { organizationExternalId: 'g3' }),
      device('d', { lastSeenAt: new Date('2026-01-02T00:00:00Z') })
    ])
  )
  await h.sync()
  await h.database.db.executeQuery(
    sql`update ${h.database.t.device} set removed_at = now() where external_id = 'd'`.compile(h.database.db)
  )
  const get = async (query: string) => {
    const answer = await h.app.inject({ url: `/rmm/devices?${query}`, headers: { 'x-tenant': 't1' } })
    return { status: answer.statusCode, ...answer.json() }
  }
  return { h, get, found: async (query: string) => ids(await get(query)) }
}

t.test('the list shows living devices unless removed ones are asked for', async t => {
  const { found, get, h } = await setUp(t)
  t.strictSame(await found(''), ['a', 'b', 'c'])
  t.strictSame(await found('removed=true'), ['d'])
  t.strictSame(await found('removed=any'), ['a', 'b', 'c', 'd'])
  t.match(await get('removed=maybe'), { status: 400, code: 'RMM_ERR_VALIDATION' })
  t.strictSame(ids(await h.app.rmm.inventory.list('t1')), ['a', 'b', 'c'], 'without the routes too')
})

t.test('every filter finds exactly its devices', async t => {
  const { found, get } = await setUp(t)
  t.strictSame(await found('externalId=b'), ['b'])
  t.strictSame(await found('serialNumber=PF3XK29T'), ['a'])
  t.strictSame(await found('assetRef=unknown'), [])
  t.strictSame(await found('provider=scripted'), ['a', 'b', 'c'])
  t.strictSame(await found('provider=levelio'), [])
  t.strictSame(await found('organizationExternalId=g1'), ['a'])
  t.strictSame(await found('organizationExternalId=g1&descendants=true'), ['a', 'b'])
  t.strictSame(await found('organizationExternalId=g4&descendants=true'), ['c'], 'a circle in the tree ends')
  t.strictSame(await found('updatedSince=2100-01-01T00:00:00Z'), [])
  t.strictSame(await found('updatedSince=2020-01-01T01:00:00%2B01:00'), ['a', 'b', 'c'])
  t.match(await get('updatedSince=yesterday'), { status: 400 })
  const total = await get('total=true&limit=1')
  t.match(total, { total: 3, items: { length: 1 } })
  t.equal((await get('')).total, undefined, 'counted only where asked')
})

t.test('other tenants see nothing of it, whatever they filter by', async t => {
  const { h } = await setUp(t)
  for (const query of ['removed=any', 'externalId=a', 'organizationExternalId=g1&descendants=true', 'sort=updatedAt']) {
    const answer = await h.app.inject({ url: `/rmm/devices?total=true&${query}`, headers: { 'x-tenant': 't2' } })
    t.match(answer.json(), { items: [], total: 0, nextCursor: null }, query)
  }
})

t.test('sorted by time the newest comes first, and what has none last', async t => {
  const { found, get } = await setUp(t)
  t.strictSame(await found('sort=lastSeenAt&removed=any'), ['a', 'd', 'b', 'c'])
  const { nextCursor } = await get('sort=lastSeenAt&limit=1')
  t.match(await get(`sort=updatedAt&cursor=${nextCursor}`), { status: 400, code: 'RMM_ERR_CURSOR' })
})

t.test('pages of any size show every device once, in any order', async t => {
  const h = await scriptedHost(t, {})
  h.script.devices = list(
    page(
      devices(23).map((record, n) => ({
        ...record,
        displayName: `pc ${n % 4}`,
        ...(n % 3 === 0 ? {} : { lastSeenAt: new Date(Date.UTC(2026, 0, 1 + (n % 5))) })
      }))
    )
  )
  await h.sync()
  await fc.assert(
    fc.asyncProperty(
      fc.constantFrom<DeviceSort>('name', 'lastSeenAt', 'updatedAt'),
      fc.integer({ min: 1, max: 30 }),
      async (sort, limit) => {
        const seen: Device[] = []
        let cursor: string | null = null
        do {
          const part: List<Device> = await h.app.rmm.inventory.list('t1', {
            sort,
            limit,
            ...(cursor ? { cursor } : {})
          })
          seen.push(...part.items)
          cursor = part.nextCursor
        } while (cursor !== null)
        const key = ({ displayName, lastSeenAt, updatedAt }: Device) =>
          ({ name: displayName, lastSeenAt, updatedAt })[sort]
        const keys = seen.map(item => key(item) ?? '')
        const inOrder = [...keys].sort()
        if (sort !== 'name') inOrder.reverse()
        t.strictSame([new Set(seen.map(({ id }) => id)).size, keys], [23, inOrder])
      }
    ),
    { numRuns: 12 }
  )
})
