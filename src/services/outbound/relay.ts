import type { EventSink } from '../../types.ts'
import { waitAtMost } from '../../waits.ts'
import type { Core } from '../core.ts'
import { createPlaces } from '../places.ts'
import { claimSink, nextLaneIn, releaseSink, renewSink } from '../store/index.ts'
import { relayRound } from './round.ts'

export interface SinkRelay {
  /** Events were committed: take them to the sink within a moment, together with those that follow at once. */
  kick(): void
  /** Sees to it that what is pending is taken; waits for the end of that for a while. */
  relay(): Promise<void>
  /** No further rounds; resolves when the last one has ended. */
  stop(): Promise<void>
}

/** Commits of this time leave together. */
const kickMs = 50
/** Another process serves the sink and may just have looked for the last time: look again soon, but not for ever. */
const heldRetryMs = 250
const heldRetries = 8
/** A connection whose call takes longer than this does not keep its place from the others. */
const slowMs = 2_000

/**
 * Takes events to one sink, one round at a time in this process and one process at a time: a sink that is down delays
 * only itself. `isOurs` is asked before every round, whatever it was begun for: other processes may have to be the ones
 * to take its events.
 */
export function createSinkRelay(
  core: Core,
  sink: EventSink,
  isOurs: () => boolean | Promise<boolean> = () => true
): SinkRelay {
  const { database, log, settings } = core
  const suspects = new Set<string>()
  const parallel = sink.parallel ?? 1
  const places = parallel === 1 ? null : createPlaces({ places: parallel, slowMs, onFree: () => wake.resolve() })
  let wake = Promise.withResolvers<void>()
  let round: Promise<void> | null = null
  let again = false
  let timer: NodeJS.Timeout | undefined
  let timerAt = 0
  let notBefore = 0
  let held = 0
  let stopped = false

  /** One for each look: what happens during the look is not lost. */
  function woken(): Promise<void> {
    wake = Promise.withResolvers<void>()
    return wake.promise
  }

  async function takeAll(): Promise<void> {
    if (!(await isOurs())) return
    const claimed = await claimSink(database, sink.name, core.worker, settings.leaseMs)
    if (claimed === null) {
      if (++held <= heldRetries) arm(heldRetryMs)
      return
    }
    held = 0
    const lost = new AbortController()
    const renewal = setInterval(() => {
      renewSink(database, sink.name, core.worker, settings.leaseMs).then(
        ours => {
          if (!ours) lost.abort()
        },
        () => {}
      )
    }, settings.leaseMs / 3)
    const signal = AbortSignal.any([core.signal, lost.signal])
    try {
      const end = await relayRound({ core, sink, signal, failures: claimed.failures, places, suspects, woken })
      if (end.retryMs > 0) notBefore = Date.now() + end.retryMs
      await releaseSink(database, sink.name, core.worker, end)
      if (!signal.aborted) arm(end.retryMs > 0 ? end.retryMs : await nextLaneIn(database, sink.name))
    } finally {
      clearInterval(renewal)
    }
  }

  function begin(): Promise<void> {
    if (stopped || core.signal.aborted || Date.now() < notBefore) return round ?? Promise.resolve()
    if (round !== null) {
      again = true
      wake.resolve()
      return round
    }
    round = (async () => {
      do {
        again = false
        await takeAll()
      } while (again && !stopped && Date.now() >= notBefore)
    })().finally(() => {
      round = null
    })
    return round
  }

  /** The sooner of two times counts. */
  function arm(ms: number | null): void {
    if (ms === null || stopped || core.signal.aborted) return
    if (timer !== undefined && timerAt <= Date.now() + ms) return
    clearTimeout(timer)
    timerAt = Date.now() + ms
    timer = setTimeout(() => {
      timer = undefined
      begin().catch(error => {
        if (!core.signal.aborted)
          log.warn({ err: error, sink: sink.name }, 'relaying events failed; it is tried again with the next tick')
      })
    }, ms + 10).unref()
  }

  return {
    relay: () => waitAtMost(settings.tickMs, begin()),
    kick() {
      held = 0
      if (Date.now() >= notBefore) arm(kickMs)
    },
    async stop() {
      stopped = true
      clearTimeout(timer)
      await round?.catch(() => {})
    }
  }
}
