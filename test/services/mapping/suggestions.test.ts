import t from 'tap'
import { group, list, scriptedHost } from '../scripted.ts'

t.test('suggestions come page by page, and mapping some of a page leaves none of the next out', async t => {
  const clients = Array.from({ length: 6 }, (_, n) => ({ id: `c${n}`, name: `Harbour ${'abcdef'[n]}${n}${n} Print` }))
  const twin = { id: 'twin', name: 'Harbour a00 print' }
  const all = [...clients, twin]
  const host = await scriptedHost(t, {
    mapped: false,
    directory: { clients: () => all, client: (_tenant, id) => all.find(client => client.id === id) ?? null }
  })
  host.script.organizations = list(clients.map(({ name }, n) => group(`g${n}`, null, name)))
  await host.sync()
  const pages = async (limit: number, after: (page: any) => Promise<void> = async () => {}) => {
    const items: any[] = []
    let cursor = ''
    do {
      const url = `/connections/${host.connectionId}/organizations/suggestions?limit=${limit}${cursor}`
      const { status, body } = await host.call('t1', 'GET', url)
      t.equal(status, 200)
      t.ok(body.items.length <= limit)
      items.push(...body.items)
      await after(body)
      cursor = body.nextCursor === null ? '' : `&cursor=${body.nextCursor}`
    } while (cursor !== '')
    return items
  }
  const whole = await pages(200)
  t.strictSame(
    whole.map(({ clientRef, score }) => [clientRef, score]),
    [['c0', 1], ['twin', 1], ...clients.slice(1).map(({ id }) => [id, 1])],
    'equally good clients are all named'
  )
  for (const limit of [1, 2, 3]) t.strictSame(await pages(limit), whole, `${limit} at a time`)
  const accepting = await pages(2, async ({ items }) => {
    for (const { organizationId, clientRef } of items)
      await host.app.rmm.organizations.update('t1', host.connectionId, organizationId, { mode: 'mapped', clientRef })
  })
  t.strictSame(accepting, whole)
})
