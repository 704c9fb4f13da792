import { countKnown, type Pass, stillThere } from '../store/index.ts'
import { brake, type Verdict } from './absence.ts'
import type { Reading } from './reading.ts'

/**
 * What the platform itself calls deleted is believed without asking, but not without the brake: together with what was
 * merely missing it may be more than is removed without a person's word. What waits is kept with the pass.
 */
export async function judgeDeleted(reading: Reading, pass: Pass, verdict: Verdict): Promise<Verdict> {
  const { resource, notes } = pass
  if (notes.deleted.length === 0 || resource === 'updates' || resource === 'alerts') return verdict
  const { database } = reading.core
  const { connectionId } = reading.context
  const ids = notes.deleted.map(([id]) => id)
  const living = await stillThere(database.db, database.t, connectionId, resource, ids)
  const { known } = await countKnown(database, connectionId, pass, resource)
  const gone = [...new Set([...verdict.gone, ...living])]
  const blocked = verdict.blocked ?? (await brake(reading, pass, resource, { known, seen: known, gone }))
  if (blocked !== null) return { ...verdict, gone: [], blocked }
  return { ...verdict, deleted: notes.deleted.filter(([id]) => living.has(id)) }
}
