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

/** Clocks differ by this much without having been set in between. */
const noiseMs = 500
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
    if (Math.abs(current - offset) > noiseMs) before = { offset, until: performance.now() + rememberMs }
    offset = current
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
      const possible = offsets.map(offset => time.getTime() + offset).filter(ms => ms <= limit)
      return new Date(possible.length > 0 ? Math.max(...possible) : limit)
    },
    measure
  }
}
