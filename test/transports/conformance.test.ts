import t, { type Test } from 'tap'
import { databaseKind } from '../helper.ts'
import { inProcess } from './cases-in-process.ts'
import { manyProcesses } from './cases-processes.ts'
import type { Kind } from './setup.ts'

t.setTimeout(280_000)

/** Why a transport cannot be tried here; false where it can. */
function missing (kind: Kind): string | false {
  if (kind !== 'direct' && databaseKind === 'pglite') return 'skipped: TEST_DATABASE_URL not set'
  if (kind === 'temporal' && !process.env['TEMPORAL_ADDRESS']) return 'skipped: TEMPORAL_ADDRESS not set'
  return false
}

for (const kind of ['direct', 'postgres', 'temporal'] as const) {
  const skip = missing(kind)
  t.test(`${kind}, one process`, { skip }, async (t: Test) => { await inProcess(t, kind) })
  t.test(`${kind}, several processes`, { skip: skip || (databaseKind === 'pglite' && 'skipped: PGlite lives in one process, TEST_DATABASE_URL not set') }, async (t: Test) => { await manyProcesses(t, kind) })
}
