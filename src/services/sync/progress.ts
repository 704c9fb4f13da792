import type { ResourceName, RunItem } from '../../types.ts'
import {
  type Attempt,
  holdRun,
  insertRunItems,
  type MergeContext,
  type PageProgress,
  type StoredProgress,
  writeProgress
} from '../store/index.ts'
import type { Core } from '../core.ts'

/** The state with a change to one resource's progress, as a copy: a step that is rolled back leaves no trace in it. */
export function withProgress(state: PageProgress, name: ResourceName, change: Partial<StoredProgress>): PageProgress {
  return {
    leaseMs: state.leaseMs,
    totals: { ...state.totals },
    progress: state.progress.map(item => (item.resource === name ? { ...item, ...change } : { ...item }))
  }
}

type Counter = {
  [K in keyof StoredProgress]-?: StoredProgress[K] extends number | undefined ? K : never
}[keyof StoredProgress]

/** Adds to a counter of a state that is not committed yet. */
export function count(state: PageProgress, name: ResourceName, counter: Counter, more: number): void {
  const item = state.progress.find(item => item.resource === name)
  if (item !== undefined && more > 0) item[counter] = (item[counter] ?? 0) + more
}

/** Writes what became of a resource, where no page tells it, with the items that say so. */
export async function tellProgress(
  reading: { core: Core; attempt: Attempt; context: MergeContext; state: PageProgress },
  name: ResourceName,
  change: Partial<StoredProgress>,
  items: RunItem[] = []
): Promise<void> {
  const { core, attempt, context } = reading
  const { t } = core.database
  const state = withProgress(reading.state, name, change)
  await core.database.transaction(async trx => {
    await holdRun(trx, t, attempt)
    await insertRunItems(trx, t, { id: attempt.runId, ...context }, items)
    await writeProgress(trx, t, attempt, state)
  })
  reading.state = state
}
