import t from 'tap'
import type { Core } from '../../src/services/core.ts'
import { createTicker, type Duty } from '../../src/services/ticker.ts'
import { stays, until } from '../until.ts'

const silent = { debug() {}, info() {}, warn() {}, error() {} }

/** As much of a core as a ticker looks at. */
function core(tickMs = 5) {
  const stop = new AbortController()
  const warned: unknown[][] = []
  const log = { ...silent, warn: (...line: unknown[]) => warned.push(line) }
  return { core: { settings: { tickMs }, log, signal: stop.signal } as unknown as Core, stop, warned }
}

/** Something that is over when the test says so. */
function gate() {
  const { promise, resolve } = Promise.withResolvers<void>()
  return { over: promise, open: resolve }
}

function counted(name: string, more: Partial<Duty> = {}) {
  const duty = {
    name,
    turns: 0,
    async turn() {
      duty.turns++
    },
    ...more
  }
  return duty
}

t.test('a duty that hangs delays no other, and never runs twice at once', async t => {
  const { core: c } = core()
  const stuck = gate()
  const hanging = counted('hanging')
  hanging.turn = async () => {
    hanging.turns++
    await stuck.over
  }
  const other = counted('other')
  const ticker = createTicker(c, [hanging, other])
  ticker.start()
  await until(() => other.turns > 20)
  t.equal(hanging.turns, 1)
  const states = Object.fromEntries(ticker.duties().map(state => [state.name, state]))
  t.match(states['hanging'], { running: true, lastEndAt: null })
  t.ok(states['hanging']!.lateMs > 0, 'what hangs is late')
  stuck.open()
  await until(() => hanging.turns > 3)
  t.match(ticker.duties()[0], { lastEndAt: /^20/ })
  await ticker.stop(1_000)
  const { turns } = other
  await stays('no turns after stop', 30, () => other.turns === turns)
})

t.test('a duty that fails is repeated, said once, and told until it works again', async t => {
  const { core: c, warned } = core()
  let broken = true
  const failing = counted('failing')
  failing.turn = async () => {
    failing.turns++
    if (broken) throw new Error('the database is away')
  }
  const ticker = createTicker(c, [failing])
  ticker.start()
  await until(() => failing.turns > 3)
  t.equal(warned.length, 1)
  t.match(ticker.duties()[0], { lastError: 'the database is away' })
  t.ok(ticker.duties()[0]!.failures >= 3)
  broken = false
  await until(() => ticker.duties()[0]!.failures === 0)
  t.match(ticker.duties()[0], { lastError: null })
  broken = true
  await until(() => warned.length === 2)
  await ticker.stop(1_000)
})

t.test('where there is more to do the next turn follows at once; each duty has its own pace', async t => {
  const { core: c } = core(60_000)
  const portions = counted('portions')
  portions.turn = async () => ++portions.turns < 50
  const rare = counted('rare')
  const often = counted('often', { everyMs: 2 })
  const ticker = createTicker(c, [portions, rare, often])
  ticker.start()
  await until(() => portions.turns === 50 && often.turns > 10)
  t.equal(rare.turns, 1)
  await ticker.stop(1_000)
})

t.test('tick is one turn of every duty that began after it was asked for', async t => {
  const { core: c } = core(60_000)
  const first = gate()
  const slow = counted('slow')
  let ended = 0
  slow.turn = async () => {
    slow.turns++
    if (slow.turns === 1) await first.over
    ended++
  }
  const other = counted('other')
  const ticker = createTicker(c, [slow, other])
  ticker.start()
  const ticked = ticker.tick()
  first.open()
  await ticked
  t.strictSame([slow.turns, ended], [2, 2], 'the turn that was under way did not count')
  await ticker.tick()
  t.equal(slow.turns, 3)
  await ticker.stop(1_000)
  await ticker.tick()
  t.equal(slow.turns, 3)
})

t.test('stop waits for what is under way, but not for ever', async t => {
  const { core: c, stop } = core()
  const stuck = gate()
  const polite = counted('polite')
  let left = false
  polite.turn = async () => {
    polite.turns++
    await new Promise(resolve => c.signal.addEventListener('abort', resolve))
    left = true
  }
  const deaf = counted('deaf')
  deaf.turn = async () => {
    deaf.turns++
    await stuck.over
  }
  const ticker = createTicker(c, [polite, deaf])
  ticker.start()
  await until(() => polite.turns + deaf.turns === 2)
  stop.abort()
  await ticker.stop(50)
  t.ok(left, 'what listens has ended')
  t.equal(ticker.duties()[1]!.running, true, 'what does not was left')
  stuck.open()
  await ticker.stop(1_000)
  t.equal(ticker.duties()[1]!.running, false)
})
