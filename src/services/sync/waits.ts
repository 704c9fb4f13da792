import type { Failure } from '../egress/index.ts'

/** A platform that wants to be left alone for longer ends the run. */
const longestWaitMs = 15 * 60_000

/** The platform asked to wait. That is no failure: it costs no attempt as long as the run gets further in between. */
export function isToldWait({ kind, retryAfterMs }: Failure): boolean {
  return kind === 'transient' && retryAfterMs !== undefined
}

/**
 * How many waits in a row that makes, or null where it is not waited for any more: too long, or `most` waits went by
 * without getting any further.
 */
export function nextWait(failure: Failure, before: number, progressed: boolean, most: number): number | null {
  const waits = progressed ? 0 : before
  return (failure.retryAfterMs ?? 0) > longestWaitMs || waits >= most ? null : waits + 1
}

/** Says that waiting did not help. */
export function afterWaits(failure: Failure, waits: number): Failure {
  if (waits === 0) return failure
  const times = waits === 1 ? 'once' : `${waits} times`
  return { ...failure, message: `${failure.message} It was waited for ${times} without getting any further.` }
}
