import { setTimeout as delay } from 'node:timers/promises'

/*
 * Whoever waits holds the process: a timer that somebody awaits keeps its reference, and is cleared when the wait is
 * over. Without it a process that has nothing else open ends in the middle of the wait, and nobody learns of it.
 * `AbortSignal.timeout` has no reference either. Timers that nobody awaits (the next tick, a renewal) have none.
 */

/**
 * Does `work` with a signal that fires after `ms`, with a `TimeoutError`, or with the first of `signals`. The work is
 * not left: it ends by obeying the signal.
 */
export async function withTimeLimit<T>(
  ms: number,
  signals: AbortSignal[],
  work: (signal: AbortSignal) => Promise<T>
): Promise<T> {
  const limit = new AbortController()
  const timer = setTimeout(() => limit.abort(new DOMException(`not done within ${ms} ms`, 'TimeoutError')), ms)
  try {
    return await work(AbortSignal.any([...signals, limit.signal]))
  } finally {
    clearTimeout(timer)
  }
}

/**
 * The same for work that may not obey: `graceMs` after its signal fired it is left to itself, and the time-out is
 * thrown.
 */
export async function withHardLimit<T>(
  ms: number,
  graceMs: number,
  signals: AbortSignal[],
  work: (signal: AbortSignal) => Promise<T>
): Promise<T> {
  return await withTimeLimit(ms, signals, async signal => {
    const left = Promise.withResolvers<never>()
    let timer: NodeJS.Timeout | undefined
    const giveUp = (): void => {
      const late = new DOMException(`no answer within ${ms} ms`, 'TimeoutError')
      timer = setTimeout(() => left.reject(late), graceMs)
    }
    if (signal.aborted) giveUp()
    else signal.addEventListener('abort', giveUp, { once: true })
    try {
      return await Promise.race([work(signal), left.promise])
    } finally {
      signal.removeEventListener('abort', giveUp)
      clearTimeout(timer)
    }
  })
}

/** Resolves when `done` has settled, after `ms` at the latest. Throws what `done` throws by then. */
export async function waitAtMost(ms: number, done: Promise<unknown> | undefined): Promise<void> {
  const over = new AbortController()
  try {
    await Promise.race([done, delay(ms, undefined, { signal: over.signal }).catch(() => {})])
  } finally {
    over.abort()
  }
}

/** Longest piece of computing between two looks of the event loop at everything else. */
const longestPieceMs = 10

/**
 * For long computations: call the function between any two of their steps. It lets everything else of the process have
 * its turn whenever a piece has taken long enough, and costs next to nothing in between.
 */
export function createTurns(pieceMs = longestPieceMs): () => Promise<void> | undefined {
  let began = performance.now()
  return () => {
    if (performance.now() - began < pieceMs) return undefined
    return new Promise(resolve =>
      setImmediate(() => {
        began = performance.now()
        resolve()
      })
    )
  }
}
