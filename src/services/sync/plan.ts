import type { PlanResult } from '../../types.ts'
import type { Core } from '../core.ts'
import {
  type Database,
  type Db,
  dropRecordings,
  insertPlanned,
  insertRunItems,
  type PlannedChange,
  rollBackTo,
  type RunEnd,
  type RunRow,
  savepoint,
  simulated,
  writeProgress,
  writeResult
} from '../store/index.ts'
import { NotRecorded } from './not-recorded.ts'
import { type Reading, step } from './reading.ts'
import { readRun, verdict } from './read-run.ts'
import { record, recordedProvider, recordStart } from './recording.ts'

/** Ends the transaction in which a plan was worked out: nothing of it stays. */
class TakenBack extends Error {}

/** Questions that may follow from each other: reads, doubted reads, what vanished, unknown organizations and their parents. */
const roundsAtMost = 40

/**
 * Reads like a sync and writes what that would change. It is worked out by the sync itself, from what the platform said,
 * in one transaction that is rolled back; what that has to ask is asked outside of it.
 */
export async function planRun(reading: Reading, run: RunRow): Promise<RunEnd> {
  const { core } = reading
  await dropRecordings(core.database, run.id)
  await recordStart(reading)
  if (run.mode === 'full') for (const name of run.resources) await record(reading, new NotRecorded(`${name}:0`))
  for (let round = 0; round < roundsAtMost; round++) {
    try {
      return await keepPlan(reading, run, await workOut(reading, run))
    } catch (error) {
      if (!(error instanceof NotRecorded)) throw error
      await record(reading, error)
    }
  }
  throw new Error(`the plan had more than ${roundsAtMost} rounds of questions`)
}

interface WorkedOut {
  end: RunEnd
  state: Reading['state']
  changes: PlannedChange[]
  items: Parameters<typeof insertRunItems>[3]
}

async function workOut(reading: Reading, run: RunRow): Promise<WorkedOut> {
  const { core, context } = reading
  let found: WorkedOut | undefined
  await core.database
    .transaction(async trx => {
      const database = within(core.database, trx)
      const inside = { ...core, database, onChanges: undefined }
      const source = core.database.inThread ? inside : core
      const { provider, now, prefetch } = await recordedProvider(source, reading.provider, run.id, true)
      const simulation: Reading = {
        ...reading,
        provider,
        prefetch,
        core: atTime(inside, now),
        state: structuredClone(reading.state)
      }
      const again = await readRun(simulation, run.resources)
      const end = verdict(simulation)
      found = {
        end: again === null ? end : { ...end, status: 'partial' },
        state: simulation.state,
        ...(await simulated(trx, database.t, context.connectionId, run.id))
      }
      throw new TakenBack()
    })
    .catch(error => {
      if (!(error instanceof TakenBack)) throw error
    })
  return found!
}

/** The engine by the clock of what was kept. */
export function atTime(core: Core, now: () => Date): Core {
  return { ...core, now, clock: { ...core.clock, fromProcess: time => time, measure: async () => {} } }
}

/** A database whose transactions are steps of an open one. */
function within(database: Database, trx: Db): Database {
  return {
    ...database,
    db: trx,
    async transaction(work) {
      await savepoint(trx, 'rmm_plan')
      try {
        return await work(trx)
      } catch (error) {
        await rollBackTo(trx, 'rmm_plan')
        throw error
      }
    }
  }
}

async function keepPlan(reading: Reading, run: RunRow, found: WorkedOut): Promise<RunEnd> {
  const { core, attempt, context } = reading
  const { t } = core.database
  const result: PlanResult = {
    counts: countsOf(found.changes),
    warnings: warningsOf(found),
    expiresAt: new Date(core.now().getTime() + planGoodForMs).toISOString()
  }
  await step(reading, async trx => {
    await insertPlanned(trx, t, { ...context, by: { ...context.by, actor: run.actor } }, found.changes)
    await insertRunItems(trx, t, { id: run.id, ...context }, found.items)
    await writeProgress(trx, t, attempt, found.state)
    await writeResult(trx, t, run.id, { plan: result })
  })
  reading.state = found.state
  const count = found.changes.length
  const summary = count === 0 ? 'Nothing would change.' : `${count} change${count === 1 ? '' : 's'} would be made.`
  const warned = result.warnings.length === 0 ? '' : ` ${result.warnings.map(({ message }) => message).join(' ')}`
  return found.end.status === 'failed'
    ? { ...found.end, summary: found.end.summary }
    : { status: 'succeeded', summary: summary + warned, error: null }
}

/** So long a plan can be applied. */
export const planGoodForMs = 24 * 60 * 60_000

function countsOf(changes: PlannedChange[]): PlanResult['counts'] {
  const counts = new Map<string, PlanResult['counts'][number]>()
  for (const { entity, kind, clientRef } of changes) {
    const key = JSON.stringify([entity, kind, clientRef])
    const so = counts.get(key) ?? { entity, kind, clientRef, count: 0 }
    so.count++
    counts.set(key, so)
  }
  return [...counts.values()]
}

function warningsOf({ state, items }: WorkedOut): PlanResult['warnings'] {
  const brakes = state.progress.flatMap(({ resource, error }) =>
    error === null ? [] : { code: error.code, message: `${resource}: ${error.message}` }
  )
  const told = items.filter(({ outcome }) => outcome === 'ambiguous' || outcome === 'held').length
  const notTaken = items.filter(({ outcome }) => outcome === 'failed').length
  return [
    ...brakes,
    ...(told > 0
      ? [{ code: 'RMM_WARN_UNDECIDED', message: `${told} records would be left as they are; the items name them.` }]
      : []),
    ...(notTaken > 0
      ? [{ code: 'RMM_WARN_NOT_TAKEN', message: `${notTaken} records could not be taken; the items name them.` }]
      : []),
    ...(state.totals.unmapped > 0
      ? [{ code: 'RMM_WARN_UNMAPPED', message: `${state.totals.unmapped} devices belong to no mapped client.` }]
      : [])
  ]
}
