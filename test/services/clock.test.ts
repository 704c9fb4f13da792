import t from 'tap'
import { createClock } from '../../src/services/clock.ts'
import { processClock } from '../process-clock.ts'

const began = Date.now() - performance.now()
/** The real time, whatever `Date` says. */
const truth = () => Math.floor(began + performance.now())
const database = async () => truth()

const hour = 3_600_000
const near = (a: Date, b: number) => Math.abs(a.getTime() - b) < 400

t.test("times are the database's, whatever this process' clock says", async t => {
  const mine = processClock(t)
  for (const ahead of [0, hour, -hour, 365 * 24 * hour]) {
    mine.set(ahead)
    const clock = createClock(database)
    await clock.measure()
    t.ok(near(clock.now(), truth()), `${ahead}`)
    t.ok(near(clock.fromProcess(new Date()), truth()))
    t.ok(clock.fromProcess(new Date(Date.now() + 60_000)) <= clock.now(), 'never after now')
    t.ok(
      near(clock.fromProcess(new Date(Date.now() - 60_000)), truth() - 60_000),
      'what was read earlier stays earlier'
    )
  }
})

t.test('a clock that is set while a page is on its way: the page was read when it was read', async t => {
  const mine = processClock(t)
  for (const jump of [hour, -hour]) {
    mine.set(0)
    const clock = createClock(database)
    await clock.measure()
    const stamped = new Date()
    const stampedAt = truth()
    mine.set(jump)
    t.ok(near(clock.fromProcess(stamped), stampedAt), `stamped before ${jump}`)
    t.ok(near(clock.fromProcess(new Date()), truth()), `stamped after ${jump}`)
  }
})

t.test('a database whose clock was set is followed; ordinary noise does not move times back', async t => {
  let skew = 0
  const clock = createClock(async () => truth() + skew)
  await clock.measure()
  let last = clock.now()
  for (let n = 0; n < 50; n++) {
    await clock.measure()
    t.ok(clock.now() >= last)
    last = clock.now()
  }
  const began = performance.now()
  skew = -hour
  await clock.measure(60_000)
  t.ok(near(clock.now(), last.getTime() + performance.now() - began), 'not looked at again so soon')
  await clock.measure()
  t.ok(near(clock.now(), last.getTime() - hour + performance.now() - began))
})
