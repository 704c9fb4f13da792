import type { RmmProvider } from '../../providers/define.ts'
import type { ResourceName, Run } from '../../types.ts'
import { classify, type Failure } from '../egress/index.ts'
import type { RunEnd, StoredProgress } from '../store/index.ts'
import { handOverOwed, notTaken } from './hand-over.ts'
import { NotRecorded } from './not-recorded.ts'
import { tellProgress } from './progress.ts'
import { readResource } from './read-resource.ts'
import type { Reading } from './reading.ts'
import { summarize } from './summary.ts'
import { afterWaits, isToldWait, nextWait } from './waits.ts'

/**
 * Gives every resource its turn. One that fails does not keep the next from being read, unless nothing else could be
 * read either: that is thrown. Resolves with what should be tried again in another attempt, or null.
 */
export async function readRun(reading: Reading, resources: ResourceName[]): Promise<Failure | null> {
  const again: Failure[] = []
  for (const name of wanted(resources, reading.provider)) {
    const before = progressOf(reading, name)
    if (before === undefined || isSettled(before)) continue
    try {
      await readResource(reading, name)
    } catch (error) {
      const failure = failureOfResource(reading, error)
      if (failure === null) throw error
      reading.core.log.warn({ err: error, runId: reading.attempt.runId, resource: name }, 'a resource was not read')
      const change = failedResource(reading, name, before, failure)
      await tellProgress(reading, name, change)
      if (!change.final) again.push(failure)
    }
  }
  const devices = progressOf(reading, 'devices')
  if (reading.mode === 'full' && devices?.complete && reading.core.onChanges !== undefined) await handOverOwed(reading)
  return longestWait(again)
}

/** What becomes of a resource that failed: whether it is read again in this run, and what that has cost. */
function failedResource(
  reading: Reading,
  name: ResourceName,
  before: StoredProgress,
  failure: Failure
): Partial<StoredProgress> {
  const { maxAttempts } = reading.core.settings
  const { code, message } = failure
  if (!isToldWait(failure)) {
    const failures = (before.failures ?? 0) + 1
    const final = failure.kind === 'permanent' || failures >= maxAttempts
    return { status: 'failed', error: { code, message }, failures, final }
  }
  const progressed = (progressOf(reading, name)?.furthest ?? 0) > (before.furthest ?? 0)
  const waited = progressed ? 0 : (before.waits ?? 0)
  const waits = nextWait(failure, waited, progressed, maxAttempts)
  if (waits !== null) return { status: 'failed', error: { code, message }, waits, final: false }
  return { status: 'failed', error: { code, message: afterWaits(failure, waited).message }, final: true }
}

/** Null where the whole run is concerned: then no other resource is read in this attempt. */
function failureOfResource(reading: Reading, error: unknown): Failure | null {
  const { code, cancelled } = error as { code?: unknown; cancelled?: boolean }
  if (error instanceof NotRecorded) return null
  if (reading.signal.aborted || cancelled === true || code === 'RMM_ERR_STALE_ATTEMPT') return null
  const failure = classify(error)
  return failure.reach === 'run' ? null : failure
}

function longestWait(failures: Failure[]): Failure | null {
  return failures.reduce<Failure | null>(
    (longest, failure) =>
      longest === null || (failure.retryAfterMs ?? 0) > (longest.retryAfterMs ?? 0) ? failure : longest,
    null
  )
}

function progressOf({ state }: Reading, name: ResourceName): StoredProgress | undefined {
  return state.progress.find(item => item.resource === name)
}

function isSettled({ complete, status, final }: StoredProgress): boolean {
  return complete || status === 'skipped' || final === true
}

/** How a run ends that gave every resource its turn. */
export function verdict({ state }: Pick<Reading, 'state'>): RunEnd {
  const failed = state.progress.filter(item => item.status === 'failed')
  const refused = state.progress.reduce((sum, item) => sum + (item.refused ?? 0), 0)
  if (failed.length === 0 && refused > 0) return notTaken(refused, summarize(state))
  if (failed.length === 0) return { status: 'succeeded', summary: summarize(state), error: null }
  const error = errorOf(failed, state.progress.length)
  if (!state.progress.some(item => item.complete)) return { status: 'failed', summary: error.message, error }
  const notRead = failed.map(({ resource, error }) => `${resource} (${error?.message})`).join(', ')
  return { status: 'partial', summary: `${summarize(state)} Not read: ${notRead}.`, error }
}

/** Named by resource, unless there was only one to read. */
function errorOf(failed: StoredProgress[], of: number): NonNullable<Run['error']> {
  const named = failed.map(({ resource, error }) => (of > 1 ? `${resource}: ${error?.message}` : error?.message))
  return { code: failed[0]!.error?.code ?? 'RMM_ERR_INTERNAL', message: named.join('; ') }
}

/** In the order they depend on each other, and only what the provider has. */
function wanted(resources: ResourceName[], provider: RmmProvider): ResourceName[] {
  return (['organizations', 'devices', 'updates', 'alerts'] as const).filter(
    name => resources.includes(name) && provider.resources[name] !== undefined
  )
}
