import type { Test } from 'tap'

const Real = Date

/** This process' clock, as everything in it reads it. */
export interface ProcessClock {
  /** Milliseconds ahead of the real time; negative for behind. */
  set(aheadMs: number): void
}

/** Makes the clock of this process one that can be set, as an operator or a bad battery would. */
export function settableClock(aheadMs = 0): ProcessClock {
  let ahead = aheadMs
  class Shifted extends Real {
    constructor(...given: unknown[]) {
      if (given.length === 0) super(Real.now() + ahead)
      else super(...(given as [number]))
    }
    static override now(): number {
      return Real.now() + ahead
    }
    static override [Symbol.hasInstance](value: unknown): boolean {
      return value instanceof Real
    }
  }
  globalThis.Date = Shifted as DateConstructor
  return {
    set(aheadMs) {
      ahead = aheadMs
    }
  }
}

/** The same for a test: right again when it ends. */
export function processClock(t: Test): ProcessClock {
  t.teardown(() => {
    globalThis.Date = Real
  })
  return settableClock()
}
