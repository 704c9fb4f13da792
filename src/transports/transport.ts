import { TransportError } from '../errors.ts'

/**
 * Share of an engine's time limit after which a worker hands a run over to the next segment: long runs cost no
 * attempts.
 */
export const sliceShare = 0.9

/** What a run ends with when its engine gave up on it: its workers died, one after the other. */
export function workersLost(engine: string): Error {
  return new TransportError(
    `The workers that executed this run died or went silent, one after the other, and '${engine}' gave up on it; what was committed stays`
  )
}
