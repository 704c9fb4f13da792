import { ProviderError } from '../../providers/define.ts'

export interface Limits {
  /** Requests in flight. Default 1. */
  concurrency?: number
  /** Hard cap of requests started in any minute. Default: none. */
  perMinute?: number
}

/** Leave to send one request. */
export interface Permit {
  /** The answer was read or the request failed: the next one may go. Safe to call twice. */
  release(): void
  /**
   * The platform said 429: everyone waits `waitMs`, then all are paced. `told`: the wait is what the platform asked
   * for. `reason`: what whoever is kept waiting gets to read.
   */
  throttled(waitMs: number, told?: boolean, reason?: string): void
  /** The platform answers again: nobody waits for the end of its pause any more. */
  answered(): void
}

/** Shared by all runs of one connection, since platforms count per account. */
export interface RateLimiter {
  /**
   * Waits for a turn, first come first served. Rejects with the signal's reason, or with
   * `ProviderError('rate_limited')` where the platform's pause is longer than `maxWaitMs`. `atOnce`: a person waits, and
   * may know more than the pause; it goes first and waits for neither pause nor pace.
   */
  acquire(signal: AbortSignal, maxWaitMs: number, atOnce?: boolean): Promise<Permit>
}

interface Waiter {
  maxWaitMs: number
  atOnce: boolean
  start(): void
  fail(error: unknown): void
}

const firstPace = 90
const slowestPace = 6
/** For a platform that says when to come back: that is obeyed, and makes up for what is asked too early. */
const slowestToldPace = 60
const fastestPace = 6000
/** The pace goes up by a quarter after so many requests without a 429, and after so long without one. */
const stepAfter = 20
const stepAfterMs = 15_000

/** Tokens that refill with time. Burst and refill together never exceed `perMinute` in any minute. */
function createBucket(perMinute: number, now: () => number) {
  const burst = Math.max(1, Math.floor(perMinute / 10))
  const perMs = (perMinute - burst + 1) / 60_000
  let tokens = burst
  let at = now()
  const refill = () => {
    const current = now()
    tokens = Math.min(burst, tokens + (current - at) * perMs)
    at = current
  }
  return {
    waitMs() {
      refill()
      return tokens >= 1 ? 0 : Math.ceil((1 - tokens) / perMs)
    },
    take() {
      refill()
      tokens -= 1
    }
  }
}

/**
 * No pacing until the platform first says 429; from then on 90 a minute, halved by each further 429 and a quarter
 * faster step by step.
 */
function createPace(now: () => number) {
  let perMinute: number | null = null
  let pausedUntil = now()
  let reason = ''
  let nextAt = 0
  let calm = 0
  let calmSince = now()
  let throttledAt = -1
  /** Quarters to add: for the requests that went well, or for the time that went by. */
  const steps = () => Math.max(calm >= stepAfter ? 1 : 0, Math.floor((now() - calmSince) / stepAfterMs))
  return {
    pauseMs: () => pausedUntil - now(),
    reason: () => reason,
    resume() {
      pausedUntil = Math.min(pausedUntil, now())
    },
    waitMs: () => Math.max(pausedUntil, nextAt) - now(),
    take() {
      if (perMinute === null) return
      calm++
      if (steps() > 0) {
        perMinute = Math.min(fastestPace, perMinute * 1.25 ** steps())
        calm = 0
        calmSince = now()
      }
      nextAt = now() + 60_000 / perMinute
    },
    throttled(turn: number, lastTurn: number, waitMs: number, told: boolean, why: string) {
      if (now() + waitMs >= pausedUntil) reason = why
      pausedUntil = Math.max(pausedUntil, now() + waitMs)
      calm = 0
      calmSince = pausedUntil
      // Requests that were in flight together get their 429 together: that is one complaint, not several.
      if (turn <= throttledAt) return
      throttledAt = lastTurn
      const slowest = told ? slowestToldPace : slowestPace
      perMinute = perMinute === null ? firstPace : Math.min(perMinute, Math.max(slowest, perMinute / 2))
    }
  }
}

/**
 * One limiter per connection; hand the same one to every egress of that connection. `now` in milliseconds, of a clock
 * that nobody sets: by one that is set back everyone would wait that much longer.
 */
export function createRateLimiter(limits: Limits = {}, now: () => number = () => performance.now()): RateLimiter {
  const concurrency = Math.max(1, limits.concurrency ?? 1)
  const bucket = limits.perMinute ? createBucket(limits.perMinute, now) : null
  const pace = createPace(now)
  const queue: Waiter[] = []
  let active = 0
  let turns = 0
  let timer: NodeJS.Timeout | undefined

  function refuseLongWaits() {
    const pause = pace.pauseMs()
    for (const waiter of queue.filter(waiter => !waiter.atOnce && pause > waiter.maxWaitMs)) {
      queue.splice(queue.indexOf(waiter), 1)
      waiter.fail(
        new ProviderError(
          'rate_limited',
          `${pace.reason()} (nothing is asked for another ${Math.ceil(pause / 1000)} s)`,
          { retryAfterMs: pause }
        )
      )
    }
  }

  function pump() {
    clearTimeout(timer)
    refuseLongWaits()
    while (queue.length > 0 && active < concurrency) {
      const wait = Math.max(queue[0]!.atOnce ? 0 : pace.waitMs(), bucket?.waitMs() ?? 0)
      if (wait > 0) {
        timer = setTimeout(pump, wait)
        return
      }
      pace.take()
      bucket?.take()
      active++
      queue.shift()!.start()
    }
  }

  function permit(): Permit {
    const turn = ++turns
    let held = true
    return {
      release() {
        if (!held) return
        held = false
        active--
        pump()
      },
      throttled(waitMs, told = false, reason = 'The platform allows us no request for a while') {
        pace.throttled(turn, turns, waitMs, told, reason)
        pump()
      },
      answered() {
        pace.resume()
        pump()
      }
    }
  }

  return {
    acquire(signal, maxWaitMs, atOnce = false) {
      if (signal.aborted) return Promise.reject(signal.reason)
      return new Promise((resolve, reject) => {
        const onAbort = () => {
          queue.splice(queue.indexOf(waiter), 1)
          reject(signal.reason)
          pump()
        }
        const waiter: Waiter = {
          maxWaitMs,
          atOnce,
          start() {
            signal.removeEventListener('abort', onAbort)
            resolve(permit())
          },
          fail(error) {
            signal.removeEventListener('abort', onAbort)
            reject(error)
          }
        }
        signal.addEventListener('abort', onAbort, { once: true })
        if (atOnce) queue.unshift(waiter)
        else queue.push(waiter)
        pump()
      })
    }
  }
}
