/**
 * The one clock is the database's: processes differ, jump and are set wrong. `now` counts on from the last look at it
 * with a clock that cannot be set, and is never ahead of it.
 */
export interface Clock {
  now(): Date
  /** A time read from this process' own clock a moment ago, as the database's time; never after `now`. */
  fromProcess(time: Date): Date
  /** Looks at the database's clock, unless that was done within `maxAgeMs`. Default: always. */
  measure(maxAgeMs?: number): Promise<void>
}

/** Differences come in whole milliseconds of two clocks: this much is none, so that one time stays one time. */
const noiseMs = 20
/** A difference that changes by more was not drift: the clock was set. */
const setMs = 500
/** So long a time may have been on its way that was read before the process' clock was set. */
const rememberMs = 600_000

/** `ask` tells the database's time in ms since 1970; null where the database works in this thread, by its clock. */
export function createClock(ask: (() => Promise<number>) | null): Clock {
  let anchor: { told: number; at: number } | undefined
  let offset = 0
  let before: { offset: number; until: number } | undefined

  const now = (): number =>
    anchor === undefined ? Date.now() : Math.floor(anchor.told + performance.now() - anchor.at)

  /** Notices that the process' clock was set. */
  function compare(): void {
    const current = now() - Date.now()
    const change = Math.abs(current - offset)
    if (change > setMs) before = { offset, until: performance.now() + rememberMs }
    if (change > noiseMs) offset = current
  }

  async function measure(maxAgeMs = 0): Promise<void> {
    const asked = performance.now()
    if (ask === null || (anchor !== undefined && asked - anchor.at < maxAgeMs)) return
    const told = await ask()
    const at = performance.now()
    const counted = now()
    // It was `told` at some moment in between. What was counted since an earlier look may be closer, but not outside.
    const fits = anchor !== undefined && counted >= told && counted <= told + (at - asked)
    anchor = { told: fits ? counted : told, at }
    compare()
  }

  return {
    now: () => new Date(now()),
    fromProcess(time) {
      compare()
      const limit = now()
      const offsets = before !== undefined && before.until > performance.now() ? [offset, before.offset] : [offset]
      // Read before the clock was set or after: a time that would lie ahead was not read by that clock.
      const possible = offsets.map(offset => time.getTime() + offset).filter(ms => ms <= limit + setMs)
      return new Date(Math.min(limit, ...(possible.length > 0 ? [Math.max(...possible)] : [])))
    },
    measure
  }
}
