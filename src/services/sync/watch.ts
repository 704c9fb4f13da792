import { setTimeout as delay } from 'node:timers/promises'
import type { Run } from '../../types.ts'
import { type RunRow, toRun } from '../store/index.ts'

/** How often a run that somebody watches is looked at. */
const watchEveryMs = 300

/**
 * Follows runs until they end. However many watch the same run in this process, the database is asked once per
 * interval: a look that is younger serves everybody.
 */
export function createWatch(find: (tenantId: string, runId: string) => Promise<RunRow>) {
  const looks = new Map<string, Promise<RunRow>>()

  function look(tenantId: string, runId: string): Promise<RunRow> {
    const key = JSON.stringify([tenantId, runId])
    const known = looks.get(key)
    if (known !== undefined) return known
    const fresh = find(tenantId, runId)
    looks.set(key, fresh)
    const forget = (): void => {
      if (looks.get(key) === fresh) looks.delete(key)
    }
    // What failed is not told twice.
    fresh.catch(forget)
    setTimeout(forget, watchEveryMs).unref()
    return fresh
  }

  return async function* watch(tenantId: string, runId: string, signal: AbortSignal): AsyncGenerator<Run> {
    let last = ''
    for (;;) {
      const row = await look(tenantId, runId)
      const seen = `${String(row.updated_at)}|${row.status}`
      if (seen !== last) yield toRun(row)
      last = seen
      if (row.finished_at !== null) return
      await delay(watchEveryMs, undefined, { signal }).catch(() => {})
      if (signal.aborted) return
    }
  }
}
