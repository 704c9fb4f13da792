import { AssertionError } from 'node:assert'
import t from 'tap'
import { providerContract } from '../../src/testing/index.ts'
import { type Bug, bugs } from './mini-bugs.ts'
import { miniSubject } from './mini.ts'

/** Bugs planted one at a time: the contract has to see them, or it proves nothing. */

t.setTimeout(500_000)

/** How many may stay unseen. */
const tolerated = 2

/** The first case that fails; null where the bug stays unseen. Anything but a broken rule gets out. */
async function caught(bug: Bug): Promise<{ name: string; sentence: string } | null> {
  for (const { name, skip, run } of providerContract(miniSubject(bug))) {
    if (skip !== undefined) continue
    try {
      await run()
    } catch (error) {
      if (!(error instanceof AssertionError)) throw error
      return { name, sentence: error.message }
    }
  }
  return null
}

t.test('without a bug every case passes', async t => {
  for (const { name, skip, run } of providerContract(miniSubject())) await t.test(name, { skip: skip ?? false }, run)
})

t.test(
  'every planted bug is caught, with a sentence that says which rule was broken and where it is written',
  async t => {
    t.ok(bugs.length >= 57, `${bugs.length} bugs`)
    const missed: string[] = []
    for (const bug of bugs) {
      const began = performance.now()
      const found = await caught(bug)
      t.comment(
        `${Math.round(performance.now() - began)} ms | ${found === null ? 'MISSED' : 'caught'} | ${bug} | ${found?.name ?? ''} | ${found?.sentence ?? ''}`
      )
      if (found === null) missed.push(bug)
      else t.match(found.sentence, /^.+ \(see docs\/writing-a-provider\.md#[a-z-]+\)$/, bug)
    }
    t.comment(`${bugs.length - missed.length} of ${bugs.length} caught`)
    t.ok(missed.length <= tolerated, `missed: ${missed.join(', ')}`)
  }
)
