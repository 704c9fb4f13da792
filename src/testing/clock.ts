/** A clock that moves only when told. */
export interface FixedClock {
  /** A new `Date` on every call, so that no caller can move the clock through it. */
  now(): Date
  /** Moves the clock by `ms` milliseconds; negative moves it back. */
  advance(ms: number): Date
  set(date: Date | string | number): Date
}

/**
 * Makes a clock for tests.
 *
 * @param start where it stands. Default `2026-11-21T12:00:00.000Z`.
 * @throws RangeError on a time that is no time.
 */
export function fixedClock(start: Date | string | number = '2026-11-21T12:00:00.000Z'): FixedClock {
  let time = timeOf(start)
  return {
    now: () => new Date(time),
    advance(ms) {
      time = timeOf(time + ms)
      return new Date(time)
    },
    set(date) {
      time = timeOf(date)
      return new Date(time)
    }
  }
}

function timeOf(value: Date | string | number): number {
  const time = new Date(value).getTime()
  if (Number.isNaN(time)) throw new RangeError(`not a time: ${String(value)}`)
  return time
}
