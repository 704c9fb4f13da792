import t from 'tap'
import { build, connectLevel, fakeLevel, syncNow } from '../../helper.ts'

t.test('a first sync lands every device, organization and alert, and a second one changes nothing', async t => {
  const fake = await fakeLevel(t, { devices: 230, groups: 12 })
  const host = await build(t)
  const id = await connectLevel(host, fake)
  const first = await syncNow(host, id)
  t.match(first, { status: 'succeeded', totals: { unmapped: 230, created: 0, failed: 0 } })
  t.match((await host.call('t1', 'GET', `/connections/${id}`)).body.counts, { devices: 230, organizations: 12 })
  const second = await syncNow(host, id)
  t.match(second, { status: 'succeeded', totals: { created: 0, updated: 0, removed: 0, unmapped: 230 } })
})
