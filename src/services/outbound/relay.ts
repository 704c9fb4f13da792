import { withTimeLimit } from '../../waits.ts'
import { setTimeout as delay } from 'node:timers/promises'
import type { EventSink, RmmEvent, Taken } from '../../types.ts'
import { ProviderError } from '../../providers/define.ts'
import type { Core } from '../core.ts'
import { publishSink } from '../diagnostics.ts'
import { messageOf } from '../../log.ts'
import { claimSink, markPublished, pendingEvents, releaseSink, renewSink, sinkFailures } from '../store/index.ts'

export interface SinkRelay {
  /** Events were committed: take them to the sink within a moment, together with those that follow at once. */
  kick(): void
  /** Takes what is pending now; joins a round that is under way. */
  relay(): Promise<void>
  /** No further rounds; resolves when the last one has ended. */
  stop(): Promise<void>
}

const batchSize = 500
/** A sink has this long for a batch; when it ignores the signal that ends it, a little longer. */
const publishMs = 30_000
const ignoredSignalMs = 3_000
const longestRetryMs = 60_000
/** Commits of this time leave together. */
const kickMs = 50
/** Another process serves the sink and may just have looked for the last time: look again soon, but not for ever. */
const heldRetryMs = 250
const heldRetries = 8

/**
 * Takes events to one sink, in order, one round at a time in this process and one process at a time: a sink that is
 * down delays only itself.
 */
export function createSinkRelay(core: Core, sink: EventSink): SinkRelay {
  const {
    database,
    log,
    settings: { leaseMs }
  } = core
  let round: Promise<void> | null = null
  let again = false
  let timer: NodeJS.Timeout | undefined
  let notBefore = 0
  let held = 0
  let stopped = false

  async function takeAll(): Promise<void> {
    if (!(await claimSink(database, sink.name, core.worker, leaseMs))) {
      if (++held <= heldRetries) arm(heldRetryMs)
      return
    }
    held = 0
    const lost = new AbortController()
    const renewal = setInterval(() => {
      renewSink(database, sink.name, core.worker, leaseMs).then(
        ours => {
          if (!ours) lost.abort()
        },
        () => {}
      )
    }, leaseMs / 3)
    let outcome: { error: string | null | undefined; retryMs: number } = { error: null, retryMs: 0 }
    try {
      const signal = AbortSignal.any([core.signal, lost.signal])
      while (!signal.aborted && (await takeBatch(signal))) {
        /* until nothing is pending */
      }
    } catch (error) {
      outcome = core.signal.aborted || lost.signal.aborted ? { error: undefined, retryMs: 0 } : await failed(error)
    } finally {
      clearInterval(renewal)
    }
    await releaseSink(database, sink.name, core.worker, outcome)
  }

  async function takeBatch(signal: AbortSignal): Promise<boolean> {
    const pending = await pendingEvents(database, sink.name, batchSize)
    if (pending.length === 0) return false
    const began = performance.now()
    const { ids, error } = await publish(
      sink,
      pending.map(({ event }) => event),
      signal
    ).catch((error: unknown): Taken => ({ ids: [], error }))
    const taken = new Set(ids)
    if (ids.length > 0)
      await markPublished(
        database,
        sink.name,
        pending.filter(({ event }) => taken.has(event.id)).map(({ seq }) => seq)
      )
    publishSink(() => ({
      sink: sink.name,
      events: ids.length,
      durationMs: performance.now() - began,
      error: error === undefined ? null : messageOf(error)
    }))
    if (error !== undefined) throw error
    if (ids.length === 0) throw new Error('the sink took none of its events and did not say why')
    return true
  }

  async function failed(error: unknown): Promise<{ error: string; retryMs: number }> {
    const failures = await sinkFailures(database, sink.name)
    const backoff = Math.min(1000 * 2 ** Math.min(failures, 10), longestRetryMs) * (0.5 + Math.random() / 2)
    const retryMs = Math.max(backoff, error instanceof ProviderError ? Math.min(error.retryAfterMs ?? 0, 3_600_000) : 0)
    log.warn(
      { err: error, sink: sink.name, failures: failures + 1 },
      'the sink did not take its events; they stay in the outbox'
    )
    notBefore = Date.now() + retryMs
    arm(retryMs + 10)
    return { error: messageOf(error), retryMs }
  }

  function relay(): Promise<void> {
    if (stopped || core.signal.aborted || Date.now() < notBefore) return round ?? Promise.resolve()
    if (round !== null) {
      again = true
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

  function arm(ms: number): void {
    if (stopped || core.signal.aborted) return
    clearTimeout(timer)
    timer = setTimeout(() => {
      timer = undefined
      relay().catch(error => {
        if (!core.signal.aborted)
          log.warn({ err: error, sink: sink.name }, 'relaying events failed; it is tried again with the next tick')
      })
    }, ms).unref()
  }

  return {
    relay,
    kick() {
      held = 0
      if (timer === undefined && Date.now() >= notBefore) arm(kickMs)
    },
    async stop() {
      stopped = true
      clearTimeout(timer)
      await round?.catch(() => {})
    }
  }
}

/** A sink that never answers must not keep its events for ever. */
async function publish(sink: EventSink, events: RmmEvent[], shutdown: AbortSignal): Promise<Taken> {
  const done = new AbortController()
  try {
    return await withTimeLimit(publishMs, [shutdown], async signal => {
      const taken = await Promise.race([sink.publish(events, signal), ignored(signal, done.signal)])
      const known = new Set(events.map(event => event.id))
      return taken === undefined ? { ids: [...known] } : { ...taken, ids: taken.ids.filter(id => known.has(id)) }
    })
  } finally {
    done.abort()
  }
}

/** Rejects a while after `signal` fired, if the sink is not `done` by then. */
function ignored(signal: AbortSignal, done: AbortSignal): Promise<never> {
  const { promise, reject } = Promise.withResolvers<never>()
  const giveUp = (): void => {
    void delay(ignoredSignalMs, undefined, { signal: done }).then(
      () => reject(new Error(`no answer within ${publishMs} ms`)),
      () => {}
    )
  }
  if (signal.aborted) giveUp()
  else signal.addEventListener('abort', giveUp, { once: true })
  return promise
}
