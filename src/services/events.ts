import type { Rmm } from '../rmm.ts'
import type { EventSink, RmmEvent, RmmEventType } from '../types.ts'
import type { Core } from './core.ts'
import { createSinkRelay } from './relay.ts'
import { outboxLag, pruneOutbox } from './store/relay.ts'

export const emitterSink = 'emitter'

const keepHours = 72

export type EventsService = Rmm['events'] & {
  /** From now on committed events leave at once. Processes that never start leave them to those that did. */
  start (): void
  /** Hands every sink what it has not taken yet. Returns when nothing is left or a sink failed. */
  relay (): Promise<void>
  prune (): Promise<void>
  close (): Promise<void>
}

/** Takes events out of the outbox, in order, to every sink on its own. */
export function createEvents (core: Core, hostSinks: readonly EventSink[]): EventsService {
  const listeners = new Map<RmmEventType | '*', Set<(event: RmmEvent) => void | Promise<void>>>()
  const sinks: EventSink[] = [...hostSinks, { name: emitterSink, publish: emit }]
  const relays = sinks.map(sink => createSinkRelay(core, sink))
  const { database, log } = core

  async function emit (events: RmmEvent[]): Promise<void> {
    for (const event of events) {
      for (const listener of [...listeners.get(event.type) ?? [], ...listeners.get('*') ?? []]) {
        try {
          await listener(event)
        } catch (error) {
          // A listener is the host's own code in the same process: repeating the event would not mend it.
          log.error({ err: error, eventId: event.id, type: event.type, connectionId: event.connectionId }, 'an event listener failed')
        }
      }
    }
  }

  return {
    on (type, listener) {
      const set = listeners.get(type) ?? new Set()
      listeners.set(type, set.add(listener))
      return () => { set.delete(listener) }
    },
    lag: () => outboxLag(database),
    start () {
      database.onEvents(() => { for (const relay of relays) relay.kick() })
    },
    async relay () {
      await Promise.all(relays.map(relay => relay.relay()))
    },
    prune: () => pruneOutbox(database, keepHours),
    async close () {
      await Promise.all(relays.map(relay => relay.stop()))
      // One sink that cannot close must not keep the others open.
      for (const sink of sinks) await Promise.resolve(sink.close?.()).catch(error => log.warn({ err: error, sink: sink.name }, 'closing the sink failed'))
    }
  }
}
