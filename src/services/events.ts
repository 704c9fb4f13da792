import { setTimeout as delay } from 'node:timers/promises'
import type { Rmm } from '../rmm.ts'
import type { EventSink, RmmEvent, RmmEventType } from '../types.ts'
import type { Core } from './core.ts'
import { claimSink, markPublished, outboxLag, pendingEvents, pruneOutbox, releaseSink, sinkFailures } from './store/relay.ts'

export const emitterSink = 'emitter'

const batchSize = 500
const publishMs = 30_000
const longestRetryMs = 60_000
const keepHours = 72

export type EventsService = Rmm['events'] & {
  /** Hands every sink what it has not taken yet. Returns when nothing is left or a sink failed. */
  relay (): Promise<void>
  prune (): Promise<void>
  close (): Promise<void>
}

/** Takes events out of the outbox, in order, to every sink on its own: one that is down delays only itself. */
export function createEvents (core: Core, hostSinks: readonly EventSink[]): EventsService {
  const listeners = new Map<RmmEventType | '*', Set<(event: RmmEvent) => void | Promise<void>>>()
  const sinks: EventSink[] = [...hostSinks]
  if (core.sinks.includes(emitterSink)) sinks.push({ name: emitterSink, publish: emit })
  const { database, log } = core

  async function emit (events: RmmEvent[]): Promise<void> {
    for (const event of events) {
      for (const listener of [...listeners.get(event.type) ?? [], ...listeners.get('*') ?? []]) {
        try {
          await listener(event)
        } catch (error) {
          // A listener is the host's own code in the same process: repeating the event would not mend it.
          log.error({ err: error, eventId: event.id, type: event.type }, 'an event listener failed')
        }
      }
    }
  }

  async function relayTo (sink: EventSink): Promise<void> {
    if (!await claimSink(database, sink.name, core.worker, publishMs * 2)) return
    let outcome: { error: string | null, retryMs: number } = { error: null, retryMs: 0 }
    try {
      while (!core.signal.aborted) {
        const pending = await pendingEvents(database, sink.name, batchSize)
        if (pending.length === 0) break
        await publish(sink, pending.map(({ event }) => event), core.signal)
        await markPublished(database, sink.name, pending.map(({ seq }) => seq))
        if (pending.length === batchSize) await claimSink(database, sink.name, core.worker, publishMs * 2)
      }
    } catch (error) {
      const failures = await sinkFailures(database, sink.name)
      outcome = { error: (error as Error).message.slice(0, 500), retryMs: Math.min(1000 * 2 ** Math.min(failures, 10), longestRetryMs) * (0.5 + Math.random() / 2) }
      log.warn({ err: error, sink: sink.name, failures: failures + 1 }, 'the sink did not take its events; they stay in the outbox')
    }
    await releaseSink(database, sink.name, core.worker, outcome)
  }

  return {
    on (type, listener) {
      const set = listeners.get(type) ?? new Set()
      listeners.set(type, set.add(listener))
      return () => { set.delete(listener) }
    },
    lag: () => outboxLag(database),
    async relay () {
      await Promise.all(sinks.map(sink => relayTo(sink)))
    },
    prune: () => pruneOutbox(database, keepHours),
    async close () {
      for (const sink of sinks) await sink.close?.()
    }
  }
}

/** A sink that never answers must not keep its events for ever. */
async function publish (sink: EventSink, events: RmmEvent[], shutdown: AbortSignal): Promise<void> {
  const timer = new AbortController()
  const signal = AbortSignal.any([shutdown, timer.signal])
  const tooLong = delay(publishMs, undefined, { signal: timer.signal, ref: false }).then(() => {
    throw new Error(`no answer within ${publishMs} ms`)
  })
  try {
    await Promise.race([sink.publish(events, signal), tooLong])
  } finally {
    timer.abort()
    tooLong.catch(() => {})
  }
}

/**
 * A sink that calls a function of the host with events in order. When it throws, the same events come again later,
 * so it has to tolerate an event it has seen (by `id`).
 */
export function callbackSink (callback: (events: RmmEvent[], signal: AbortSignal) => void | Promise<void>, options: { name?: string } = {}): EventSink {
  return { name: options.name ?? 'callback', publish: async (events, signal) => { await callback(events, signal) } }
}
