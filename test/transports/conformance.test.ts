import t, { type Test } from 'tap'
import { databaseKind } from '../helper.ts'
import { inProcess } from './cases-in-process.ts'
import { manyProcesses } from './cases-processes.ts'
import { slowNeighbours } from './cases-slow.ts'
import type { Kind } from './setup.ts'

// Most of the time is spent waiting for engines to give up on dead workers: they wait side by side.
t.jobs = 3

/** Why a transport cannot be tried here; false where it can. */
function missing(kind: Kind): string | false {
  if (kind !== 'direct' && databaseKind === 'pglite') return 'skipped: TEST_DATABASE_URL not set'
  if (kind === 'temporal' && !process.env['TEMPORAL_ADDRESS']) return 'skipped: TEMPORAL_ADDRESS not set'
  return false
}

const kinds = ['temporal', 'postgres', 'direct'] as const
for (const kind of kinds) {
  const skip =
    missing(kind) || (databaseKind === 'pglite' && 'skipped: PGlite lives in one process, TEST_DATABASE_URL not set')
  t.test(`${kind}, several processes`, { skip, buffered: true }, async (t: Test) => {
    await manyProcesses(t, kind)
  })
}
for (const kind of kinds)
  t.test(`${kind}, one process`, { skip: missing(kind), buffered: true }, async (t: Test) => {
    await inProcess(t, kind)
  })
for (const kind of kinds)
  t.test(`${kind}, slow neighbours`, { skip: missing(kind), buffered: true }, async (t: Test) => {
    await slowNeighbours(t, kind)
  })
