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
    progress: state.progress.map(item => (item.resource === name ? { ...item, ...change } : item))
  }
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
