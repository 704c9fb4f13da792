import t from 'tap'
import { createPlaces } from '../../src/services/places.ts'
import { pause, until } from '../until.ts'

function work(key = '') {
  const { promise, resolve } = Promise.withResolvers<void>()
  const job = {
    key,
    begun: 0,
    end: resolve,
    run() {
      job.begun++
      return promise
    }
  }
  return job
}

t.test('no more than there are places at once, one of a key, the others in turn', async t => {
  const places = createPlaces({ places: 2, slowMs: 60_000 })
  const jobs = ['a', 'b', 'c', 'd'].map(key => work(key))
  let under = 0
  let peak = 0
  const done = jobs.map(job =>
    places.enter(job.key, async () => {
      peak = Math.max(peak, ++under)
      job.begun++
      await pause(2)
      under--
    })
  )
  t.equal(places.room(), 0)
  t.equal(
    places.begin('e', async () => {}),
    null
  )
  await Promise.all(done)
  t.equal(peak, 2)
  t.strictSame(
    jobs.map(job => job.begun),
    [1, 1, 1, 1]
  )
  const first = work()
  const again = work()
  const running = places.enter('a', first.run)
  const joined = [places.enter('a', again.run), places.enter('a', again.run)]
  t.equal(again.begun, 0, 'the key has one under way')
  first.end()
  await running
  t.equal(again.begun, 1, 'asked for twice while it waited, it is done once')
  again.end()
  await Promise.all(joined)
  t.equal(again.begun, 1)
})

const slowMs = 10

t.test('slow ones do not take all places, now or ever, and get theirs back by being quick', async t => {
  const places = createPlaces({ places: 2, slowMs })
  const slow = ['s1', 's2', 's3', 's4'].map(key => work(key))
  const begun = slow.map(job => places.enter(job.key, job.run))
  const quick = async (key: string) => {
    let done = false
    await places.enter(key, async () => {
      done = true
    })
    return done
  }
  t.ok(await quick('q1'), 'a quick one gets its turn behind four that hang')
  await until(() => slow.every(job => job.begun === 1))
  await until(() => places.room() === 2)
  t.strictSame(places.turnedAway().sort(), ['s1', 's2', 's3', 's4'])
  for (const job of slow) job.end()
  await Promise.all(begun)
  t.strictSame(places.turnedAway(), [])

  const more = ['s1', 's2', 's3', 's4'].map(key => work(key))
  const again = more.map(job => places.enter(job.key, job.run))
  t.strictSame(
    more.map(job => job.begun),
    [1, 1, 0, 0],
    'what was slow before has to find one of the places for slow ones'
  )
  t.equal(places.room(), 2, 'and leaves the others alone')
  t.ok(await quick('q2'))
  for (const job of more) job.end()
  await Promise.all(again)
  for (const { key } of more) {
    // On a busy machine even nothing may take its time.
    for (let took = slowMs; took >= slowMs; ) {
      const began = Date.now()
      await quick(key)
      took = Date.now() - began
    }
  }
  const last = ['s1', 's2', 's3', 's4'].map(key => work(key))
  const ends = last.map(job => places.enter(job.key, job.run))
  t.strictSame(
    last.map(job => job.begun),
    [1, 1, 0, 0],
    'all of them were quick, so they share the ordinary places'
  )
  t.equal(places.room(), 0)
  for (const job of last) job.end()
  await Promise.all(ends)
})

t.test('closing waits for what is under way and forgets the rest', async t => {
  const places = createPlaces({ places: 1, slowMs: 60_000 })
  const one = work()
  const never = work()
  void places.enter('a', one.run)
  const waiting = places.enter('b', never.run)
  const closed = places.close()
  await waiting
  one.end()
  await closed
  t.equal(never.begun, 0)
})
