import fc from 'fast-check'
import t from 'tap'
import { isLoss, isMassive, isMassRemoval, tellMove } from '../../../src/services/model/brakes.ts'
import { askingOrder, missAgain, sampleSize, tellSigns } from '../../../src/services/model/doubts.ts'

t.test('a count is massive above 10 and above 20 %, and never with less', async t => {
  t.equal(isMassive(11, 50), true)
  t.equal(isMassive(10, 10), false)
  t.equal(isMassive(10, 50), false)
  t.equal(isMassive(20, 100), false)
  t.equal(isMassive(21, 100), true)
  fc.assert(
    fc.property(fc.nat(5_000), fc.nat(5_000), (count, of) => {
      if (isMassive(count, of) && !isMassive(count + 1, of)) throw new Error('more of it is less')
      if (isMassive(count, of + 1) && !isMassive(count, of)) throw new Error('a smaller share is more')
    })
  )
})

t.test('a list with nothing in it needs a person wherever something would be lost', async t => {
  t.equal(isMassRemoval({ lost: 1, known: 1, seen: 0 }), true)
  t.equal(isMassRemoval({ lost: 0, known: 20, seen: 0 }), false)
  t.equal(isMassRemoval({ lost: 10, known: 20, seen: 5 }), false)
  t.equal(isMassRemoval({ lost: 11, known: 20, seen: 5 }), true)
})

t.test('an organization is a loss by its devices or by a decision, unless its client is elsewhere by now', async t => {
  const none = { devices: 0, decided: false, linkedElsewhere: false, ofAnotherServer: false }
  t.equal(isLoss(none), false)
  t.equal(isLoss({ ...none, devices: 1 }), true)
  t.equal(isLoss({ ...none, decided: true }), true)
  t.equal(isLoss({ ...none, decided: true, devices: 3, linkedElsewhere: true }), false)
  t.equal(isLoss({ ...none, decided: true, devices: 3, ofAnotherServer: true }), false)
})

t.test('every missing record is asked for once; of many the first and the last come first', async t => {
  const ids = fc.uniqueArray(fc.string(), { maxLength: 80 })
  fc.assert(
    fc.property(
      ids,
      fc.infiniteStream(fc.double({ min: 0, max: 1, maxExcluded: true, noNaN: true })),
      (given, dice) => {
        const order = askingOrder(given, () => dice.next().value as number)
        if (order.length !== given.length || new Set(order).size !== given.length) throw new Error('not each once')
        if (given.some(id => !order.includes(id))) throw new Error('one is missing')
        if (given.length <= sampleSize && order.join('\0') !== given.join('\0'))
          throw new Error('a few keep their order')
        if (given.length > sampleSize && (order[0] !== given[0] || order[1] !== given.at(-1)))
          throw new Error('ends first')
      }
    )
  )
  const many = Array.from({ length: 1_000 }, (_, n) => `d${n}`)
  t.not(askingOrder(many).slice(2, 25).join(), many.slice(1, 24).join(), 'the rest by chance')
})

const at = (ms: number) => new Date(1_795_000_000_000 + ms)

t.test('gone is what two complete reads in a row, far enough apart, did not show', async t => {
  const first = missAgain(new Map(), ['a', 'b'], { startedAt: at(0), endedAt: at(10), apartMs: 100 })
  t.strictSame(first.gone, [])
  const soon = missAgain(first.missed, ['a'], { startedAt: at(50), endedAt: at(60), apartMs: 100 })
  t.strictSame(soon.gone, [], 'too soon: it is still the same moment')
  t.strictSame([...soon.missed], [...first.missed].slice(0, 1), 'what was shown again begins anew')
  t.strictSame(missAgain(soon.missed, ['a', 'b'], { startedAt: at(110), endedAt: at(120), apartMs: 100 }).gone, ['a'])
})

t.test('nothing is gone that one of the last two complete reads showed, whatever the reads', async t => {
  const reads = fc.array(
    fc.record({ shown: fc.subarray(['a', 'b', '__proto__']), pause: fc.nat(200), long: fc.nat(50) }),
    {
      maxLength: 12
    }
  )
  fc.assert(
    fc.property(reads, given => {
      let missed: ReadonlyMap<string, string> = new Map()
      let clock = 0
      const history: Array<{ shown: string[]; began: number; ended: number }> = []
      for (const { shown, pause, long } of given) {
        const began = clock + pause
        const ended = began + long
        clock = ended
        const absent = ['a', 'b', '__proto__'].filter(id => !shown.includes(id))
        const result = missAgain(missed, absent, { startedAt: at(began), endedAt: at(ended), apartMs: 100 })
        missed = result.missed
        for (const id of result.gone) {
          const before = history.findLast(read => read.ended + 100 <= began)
          if (shown.includes(id) || before === undefined) throw new Error(`${id} is gone at once`)
          const since = history.slice(history.indexOf(before))
          if (since.some(read => read.shown.includes(id))) throw new Error(`${id} was shown meanwhile`)
        }
        history.push({ shown, began, ended })
      }
    })
  )
  t.pass()
})

t.test('doubts and moves are told in words', async t => {
  t.strictSame(tellSigns({ unidentified: 0, endedEmpty: false, repeated: 0 }), [])
  t.match(tellSigns({ unidentified: 1, endedEmpty: true, repeated: 2 }), [
    /last page was empty/,
    /2 records were/,
    /1 record has/
  ])
  t.equal(
    tellMove({ externalId: 'd', displayName: 'FRONT', from: 'c1', to: null }),
    'FRONT would move from client c1 to no client'
  )
})
