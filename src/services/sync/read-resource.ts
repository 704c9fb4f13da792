import { ProviderError } from '../../providers/define.ts'
import type { ResourceName, RunItem, RunTotals } from '../../types.ts'
import { dropRunItems, type Pass } from '../store/index.ts'
import { judgeAlerts, judgeRecords, nothing, type Verdict } from './absence.ts'
import { askingWaitMs, noWords, type Words } from './asking.ts'
import { complete } from './complete.ts'
import { judgeDeleted } from './deleted.ts'
import { judgeUpdates } from './judge-updates.ts'
import { type Moves, noMoves } from './moves.ts'
import { tellProgress, withProgress } from './progress.ts'
import { readPages } from './read-pages.ts'
import { type Reading, step } from './reading.ts'

/**
 * Reads one resource to its end: pages, then what only a complete read can tell. A list that turns out not to be all
 * there is gets read once more. Throws where the read was not complete, or a person has to confirm what it says.
 */
export async function readResource(reading: Reading, name: ResourceName): Promise<void> {
  reading.state = withProgress(reading.state, name, { status: 'reading', error: null })
  const moves = noMoves()
  const words = noWords(askingWaitMs)
  const before = reading.state.totals
  try {
    let pass = await readPages(reading, name, moves)
    let verdict = await judge(reading, pass, words)
    if (verdict.doubt !== null && pass.doubtedId === null) {
      pass = await readAgain(reading, pass, moves, before, verdict.doubt)
      verdict = await judge(reading, pass, words)
    }
    await complete(reading, pass, moves, verdict)
  } catch (error) {
    if (!(error instanceof ProviderError && error.kind === 'not_in_plan')) throw error
    // The account's plan lacks it: said in the run's items, the rest of the run goes on.
    const { message } = error
    const items: RunItem[] = [{ resource: name, externalId: null, outcome: 'skipped', reason: message }]
    await tellProgress(reading, name, { status: 'skipped', error: { code: 'RMM_ERR_NOT_IN_PLAN', message } }, items)
  }
}

async function judge(reading: Reading, pass: Pass, words: Words): Promise<Verdict> {
  return await judgeDeleted(reading, pass, await judgeAbsence(reading, pass, words))
}

async function judgeAbsence(reading: Reading, pass: Pass, words: Words): Promise<Verdict> {
  const { resource, mode, notes } = pass
  if (resource === 'alerts') return await judgeAlerts(reading, pass, words)
  if (resource === 'updates') return notes.whole ? await judgeUpdates(reading, pass, words) : nothing(pass)
  const snapshot = reading.provider.resources[resource]!.deletes === 'snapshot'
  return snapshot && mode === 'full' ? await judgeRecords(reading, pass, resource, words) : nothing(pass)
}

/** From the beginning, in the same run. What the first read counted and told is counted and told anew. */
async function readAgain(
  reading: Reading,
  doubted: Pass,
  moves: Moves,
  before: RunTotals,
  doubt: string
): Promise<Pass> {
  const { core, attempt, context } = reading
  const { resource } = doubted
  core.log.info({ runId: attempt.runId, connectionId: context.connectionId, resource, doubt }, 'a list is read again')
  await step(reading, trx => dropRunItems(trx, core.database.t, attempt.runId, resource))
  const first = reading.state.totals
  const { unchanged, unmapped, failed } = before
  reading.state = withProgress(reading.state, resource, { pages: 0, processed: 0, failed: 0, older: 0 })
  Object.assign(reading.state.totals, { unchanged, unmapped, failed })
  const pass = await readPages(reading, resource, moves, { from: 'start', doubted })
  // What the first read wrote was as stored for the second.
  const written = first.created - before.created + first.updated - before.updated
  const { totals } = reading.state
  totals.unchanged = Math.max(unchanged, totals.unchanged - written)
  return pass
}
