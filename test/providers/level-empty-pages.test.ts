import t from 'tap'
import type { LevelClient } from '../../src/providers/level/client.ts'
import { alerts, updates } from '../../src/providers/level/resources.ts'

/** A client whose lists come in these pages, by the status asked for. */
const clientOf = (pages: Record<string, unknown[][]>) =>
  ({
    async *list(_name: string, { status }: { status: string }) {
      const all = pages[status] ?? []
      for (const [n, rows] of all.entries())
        yield { observedAt: new Date(), rows, next: n + 1 < all.length ? `p${n}` : null }
    }
  }) as unknown as LevelClient

const counts = async (pull: AsyncIterable<{ records: unknown[] }>) => {
  const found: number[] = []
  for await (const page of pull) found.push(page.records.length)
  return found
}

const { signal } = new AbortController()
const update = (id: string, available: boolean) => ({ id, device_id: 'd', is_available: available })
const alert = (id: string) => ({
  id,
  device_id: 'd',
  name: 'Disk',
  severity: 'warning',
  started_at: '2026-01-01T00:00:00Z'
})

t.test('updates that are not available leave no empty page at the end, which would look like a cut list', async t => {
  const pages = [[update('a', true)], [update('b', false), update('c', false)]]
  t.strictSame(await counts(updates.pull(clientOf({ available: pages }), null, signal)), [1])
  t.strictSame(await counts(updates.pull(clientOf({ available: [[update('b', false)]] }), null, signal)), [0])
})

t.test('an account on which nothing was ever resolved has a whole list of alerts', async t => {
  t.strictSame(await counts(alerts(3).pull(clientOf({ active: [[alert('a')]], resolved: [[]] }), null, signal)), [1])
})
