import type { NewEvent } from '../../types.ts'
import type { Db } from '../store/index.ts'
import { applyChanges } from './changes.ts'
import { refusedItems } from './host.ts'
import type { Outcome } from './moves.ts'
import { count } from './progress.ts'
import type { Reading } from './reading.ts'

/** Ends a step of a run: what the host does not take becomes items of it. */
export async function tellHost(reading: Reading, trx: Db, out: Outcome, events: NewEvent[] = []): Promise<void> {
  const { core, context } = reading
  const isolation =
    reading.isolation === null ? null : { ...reading.isolation, failed: new Set(reading.isolation.failed) }
  const items = refusedItems(await applyChanges(core, trx, context, out.changes, events, isolation))
  // A step that is repeated has the same calls to spend again.
  if (isolation !== null) Object.assign(reading.isolation!, isolation)
  out.items.push(...items)
  out.state.totals.failed += items.length
  count(out.state, 'devices', 'refused', items.length)
}
