import type { Rmm } from '../rmm.ts'
import type { EventSink, RmmEvent, RmmEventType } from '../types.ts'
import type { Core } from './core.ts'
import { createSinkRelay } from './relay.ts'
import { anyLease, dropLease, pruneLeases, takeLease } from './store/named-lease.ts'
import { outboxLag, pruneOutbox } from './store/relay.ts'

/** The sink that is this process's listeners. */
const emitterSink = 'emitter'
/** Every process with listeners holds a lease below this name. */
const listening = 'listeners:'

const keepHours = 72
/** Ticks may be late; a process that died is thought to listen for so long. */
const listeningTicks = 5

export type EventsService = Rmm['events'] & {
  /** From now on committed events leave at once. Processes that never start leave them to those that did. */
  start (): void
  /** Hands every sink what it has not taken yet. Returns when nothing is left or a sink failed. */
  relay (): Promise<void>
  /** Every tick: tells the other processes whether this one has listeners, and learns whether any has. */
  tend (): Promise<void>
  prune (): Promise<void>
  close (): Promise<void>
}

/** Takes events out of the outbox, in order, to every sink on its own. */
export function createEvents (core: Core, hostSinks: readonly EventSink[]): EventsService {
  const listeners = new Map<RmmEventType | '*', Set<(event: RmmEvent) => void | Promise<void>>>()
  const { database, log } = core
  const mine = listening + core.worker
  let told = false
  let heardElsewhere = false
  const hostRelays = hostSinks.map(sink => createSinkRelay(core, sink))
  const emitter = createSinkRelay(core, { name: emitterSink, publish: emit })
  const heardHere = (): boolean => listeners.size > 0

  /** New events wait for listeners only where there are some: reading and marking every event for nobody costs as much as writing it. */
  function choose (heard: boolean): void {
    core.sinks = [...heard ? [emitterSink] : [], ...hostSinks.map(sink => sink.name)]
  }
  choose(true)

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
      choose(true)
      return () => {
        set.delete(listener)
        if (set.size === 0 && listeners.get(type) === set) listeners.delete(type)
      }
    },
    lag: () => outboxLag(database),
    start () {
      database.onEvents(() => { for (const relay of heardHere() ? [emitter, ...hostRelays] : hostRelays) relay.kick() })
    },
    async relay () {
      // Listeners of other processes get what waits; where nobody listens it is taken as heard.
      const relays = heardHere() || !heardElsewhere ? [emitter, ...hostRelays] : hostRelays
      await Promise.all(relays.map(relay => relay.relay()))
    },
    async tend () {
      const heard = heardHere()
      if (heard) await takeLease(database, mine, core.worker, core.settings.tickMs * listeningTicks)
      else if (told) await dropLease(database, mine, core.worker)
      told = heard
      heardElsewhere = await anyLease(database, listening, core.worker)
      choose(heardHere() || heardElsewhere)
    },
    async prune () {
      await pruneOutbox(database, keepHours)
      await pruneLeases(database, listening)
    },
    async close () {
      await Promise.all([emitter, ...hostRelays].map(relay => relay.stop()))
      if (told) await dropLease(database, mine, core.worker).catch(error => log.debug({ err: error }, 'the lease of the listeners could not be dropped; it ends by itself'))
      // One sink that cannot close must not keep the others open.
      for (const sink of hostSinks) await Promise.resolve(sink.close?.()).catch(error => log.warn({ err: error, sink: sink.name }, 'closing the sink failed'))
    }
  }
}
