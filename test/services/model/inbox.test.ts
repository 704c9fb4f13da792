import fc from 'fast-check'
import t from 'tap'
import {
  createJudge,
  type Fault,
  judgeDelivery,
  mostFailures,
  oldestMs,
  type Outcome,
  retryAfter,
  severalSilent,
  subjectOf,
  type Setback
} from '../../../src/services/model/inbox.ts'

const trouble = (fault: Fault, retryMs = 0): Setback => ({ fault, reason: `${fault}!`, retryMs })
const attempts = fc.array(
  fc.tuple(fc.integer({ min: 0, max: 9 }).map(String), fc.constantFrom(null, 'silent', 'answered', 'ours', 'wait')),
  { maxLength: 40 }
) as fc.Arbitrary<Array<[string, Fault | null]>>

t.test('the platform is down after several different silent subjects in a row, and never before', async () => {
  fc.assert(
    fc.property(attempts, all => {
      const judge = createJudge(false)
      let row = new Set<string>()
      let isDown = false
      for (const [subject, fault] of all) {
        judge.tell(subject, fault === null ? null : trouble(fault))
        if (fault === null) row = new Set()
        else if (fault === 'silent') row.add(subject)
        isDown ||= row.size >= severalSilent
        if ((judge.down() !== null) !== isDown) return false
      }
      return true
    })
  )
})

t.test('every silent subject is told of once it is known to have failed, each once, and no other is', async () => {
  fc.assert(
    fc.property(attempts, all => {
      const judge = createJudge(false)
      const told: string[] = []
      for (const [subject, fault] of all)
        told.push(...judge.tell(subject, fault === null ? null : trouble(fault)).map(one => one.subject))
      told.push(...judge.end().map(one => one.subject))
      const silent = new Set(all.filter(([, fault]) => fault === 'silent').map(([subject]) => subject))
      // In a round each subject is tried once: what is told twice was silent twice, with an answer in between.
      const rounds = 1 + all.filter(([, fault]) => fault === null).length
      return (
        told.every(subject => silent.has(subject)) &&
        [...silent].every(subject => told.includes(subject)) &&
        told.length <= silent.size * rounds
      )
    })
  )
})

t.test(
  'refused secrets and a told wait say at once that nothing more is to be asked; so does one silence in an outage',
  async t => {
    const judge = createJudge(false)
    judge.tell('a', trouble('account', 5_000))
    t.match(judge.down(), { fault: 'account', retryMs: 5_000 })
    const outage = createJudge(true)
    outage.tell('a', trouble('answered'))
    t.equal(outage.down(), null)
    outage.tell('b', trouble('silent'))
    t.match(outage.down(), { fault: 'silent' })
  }
)

const outcome: fc.Arbitrary<Outcome> = fc.oneof(
  fc.constant<Outcome>({ kind: 'done' }),
  fc.constant<Outcome>({ kind: 'parked', reason: 'parked' }),
  fc.integer({ min: 0, max: 9_000 }).map((retryMs): Outcome => ({ kind: 'wait', reason: 'wait', retryMs })),
  fc.constant<Outcome>({ kind: 'down', reason: 'down' }),
  fc
    .constantFrom('silent' as const, 'answered' as const, 'ours' as const)
    .map((fault): Outcome => ({ kind: 'failed', reason: 'failed', fault }))
)
const parts = fc
  .dictionary(fc.constantFrom('devices|1', 'devices|2', 'alerts|1', 'organizations|'), outcome, { minKeys: 1 })
  .map(record => new Map(Object.entries(record)))
const waiting = fc.record({
  failures: fc.integer({ min: 0, max: 30 }),
  ageMs: fc.integer({ min: 0, max: 2 * oldestMs })
})

t.test(
  'a delivery is done when all its parts are, waits for what is tried alone, and tells the rest apart',
  async () => {
    fc.assert(
      fc.property(parts, waiting, (given, state) => {
        const verdict = judgeDelivery(given, state)
        const of = (...kinds: string[]) => [...given].filter(([, { kind }]) => kinds.includes(kind)).map(([key]) => key)
        const left = of('parked', 'wait', 'down', 'failed')
        return (
          (verdict.status === 'done') === (left.length === 0) &&
          JSON.stringify(verdict.open) === JSON.stringify(left) &&
          JSON.stringify(verdict.waitsFor) === JSON.stringify(of('parked', 'failed')) &&
          verdict.failed === of('failed').length > 0 &&
          (left.length === 0 || verdict.reason !== null)
        )
      })
    )
  }
)

t.test('it dies by its own failures or by age, never of what only waits, and names the subject', async () => {
  fc.assert(
    fc.property(parts, waiting, (given, state) => {
      const { status, reason } = judgeDelivery(given, state)
      const failed = [...given].flatMap(([subject, part]) => (part.kind === 'failed' ? [{ subject, ...part }] : []))
      const isDown = [...given.values()].some(({ kind }) => kind === 'down')
      const mayDie =
        failed.some(({ fault }) => state.failures + 1 >= mostFailures[fault]) ||
        ((isDown || failed.length > 0) && state.ageMs >= oldestMs)
      return (
        (status === 'dead') === mayDie &&
        (failed.length === 0 || reason!.startsWith(failed[0]!.subject.replace('|', ' ').trim()))
      )
    })
  )
})

t.test(
  'the back-off grows to its limit, is never sooner than was told, and asks a silent platform every minute',
  async t => {
    fc.assert(
      fc.property(
        fc.integer({ min: 1, max: 200 }),
        fc.integer({ min: 0, max: 3_600_000 }),
        fc.boolean(),
        fc.constantFrom<Fault>('silent', 'account', 'ours'),
        (failures, told, whole, fault) => {
          const now = retryAfter(failures, trouble(fault, told), whole)
          return now >= told && now >= 2_000 && retryAfter(failures + 1, trouble(fault, told), whole) >= now
        }
      )
    )
    t.equal(retryAfter(50, trouble('silent'), true), 60_000)
    t.equal(retryAfter(50, trouble('account'), true), 900_000, 'refused secrets count towards a lock-out')
    t.equal(retryAfter(50, trouble('silent'), false), 900_000)
    t.equal(subjectOf('organizations'), 'organizations|')
  }
)
