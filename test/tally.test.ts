import t from 'tap'
import { existsSync } from 'node:fs'
import { files, onBoth, once } from '../.ci/suites.mjs'
import { sentence, tally } from '../.ci/tally.mjs'

const count = (text: string): string => sentence(tally(text))

t.test('test points count, the summaries of their subtests do not', t => {
  t.equal(
    count(`TAP version 14
# Subtest: a.test.ts
    # Subtest: one
        ok 1 - x
        ok 2 - y
        1..2
    ok 1 - one # time=3ms
    # Subtest: two
        not ok 1 - z
          ---
          diff: |
            ok 9 - inside a diagnostic
          ...
        1..1
    not ok 2 - two # time=1ms
    ok 3 - three # SKIP no server here
    1..3
not ok 1 - a.test.ts # time=9ms
ok 2 - b.test.ts # SKIP all of it
1..2`),
    '2 passed, 1 failed, 2 skipped'
  )
  t.end()
})

t.test('files that ran at the same time count the same', t => {
  t.equal(
    count(`not ok 1 - a.test.ts # time=9ms {
    # Subtest: one
        ok 1 - x
        not ok 2 - y
        1..2
    not ok 1 - one # time=3ms
    1..1
}

ok 2 - b.test.ts # time=9ms {
    ok 1 - z
    1..1
}`),
    '2 passed, 1 failed, 0 skipped'
  )
  t.end()
})

t.test('a file that fails without a failing point is a failure', t => {
  t.equal(
    count(
      '    # Subtest: one\n        ok 1 - x\n        1..1\n    ok 1 - one\n    1..1\nnot ok 1 - a.test.ts\n  ---\n  exitCode: 1\n  ...'
    ),
    '1 passed, 1 failed, 0 skipped'
  )
  t.equal(count('not ok 1 - a.test.ts # time=300000ms {\n    ok 1 - x\n    1..1\n}'), '1 passed, 1 failed, 0 skipped')
  t.equal(
    count('# Subtest: a.test.ts\n    1..0 # no tests found\nnot ok 1 - a.test.ts'),
    '0 passed, 1 failed, 0 skipped'
  )
  t.equal(
    count('not ok 1 - a.test.ts\nok 2 - b.test.ts'),
    '1 passed, 1 failed, 0 skipped',
    'and is not forgotten by the next'
  )
  t.end()
})

t.test('failures come with their diagnostics, skips with their reasons', t => {
  const counts = tally('not ok 1 - x\n  ---\n  found: 1\n  ...\nok 2 - y # SKIP needs Redis: set REDIS_URL\nok 3 - z')
  t.match(counts.failures, [{ line: 'not ok 1 - x', details: ['  found: 1'] }])
  t.same([...counts.reasons], [['needs Redis: set REDIS_URL', 1]])
  t.equal(count('ok 1 - z\nnot ok 2 - later # TODO'), '1 passed, 0 failed, 1 skipped')
  t.end()
})

t.test('what runs on one database only is there, and says why; everything else runs on both', t => {
  for (const [path, why] of Object.entries(once)) {
    t.ok(existsSync(new URL(`../${path}`, import.meta.url)), path)
    t.match(why, /\w/, why)
  }
  const both = onBoth()
  t.ok(both.includes('test/services/sync/engine.test.ts') && both.includes('test/migrations/migrations.test.ts'))
  t.notOk(both.some(file => file.startsWith('test/ui/')))
  t.ok(files().length > both.length && both.length > 30, `${both.length} of ${files().length} files`)
  t.end()
})
