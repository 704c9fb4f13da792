import type { Test } from 'tap'

const Real = Date

/** This process' clock, as everything in it reads it. */
export interface ProcessClock {
  /** Milliseconds ahead of the real time; negative for behind. */
  set(aheadMs: number): void
}

/** Lets a test set the clock of its process, as an operator or a bad battery would. Right again when the test ends. */
export function processClock(t: Test): ProcessClock {
  let ahead = 0
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
  t.teardown(() => {
    globalThis.Date = Real
  })
  return {
    set(aheadMs) {
      ahead = aheadMs
    }
  }
}
