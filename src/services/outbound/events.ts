import { ConflictError } from '../../errors.ts'
import type { Rmm } from '../../rmm.ts'
import type { EventSink, RmmEvent, RmmEventType } from '../../types.ts'
import type { Core } from '../core.ts'
import { createSinkRelay } from './relay.ts'
import {
  anyLease,
  dropLease,
  emitterSink,
  outboxLag,
  pruneLeases,
  pruneOutbox,
  seeSinks,
  takeLease
} from '../store/index.ts'
import { dropSink } from './drop.ts'

/** Every process with listeners holds a lease below this name. */
const listening = 'listeners:'

const keepHours = 72
/** How often a process says which sinks it serves. */
const seenEveryMs = 60_000
/** Looks in which nobody was found listening before nobody is taken to listen. */
const unheardLooks = 2

/** Hears only events of the type it is kept under. */
type Listener = (event: RmmEvent) => void | Promise<void>

export interface EventsService {
  rmm: Rmm['events']
  /** From now on committed events leave at once. Processes that never start leave them to those that did. */
  start(): void
  /** One per sink: hands it what it has not taken yet. */
  relays: Array<{ name: string; relay(): Promise<void> }>
  /**
   * Tells the other processes which sinks this one serves and whether it has listeners, and learns whether any has; to
   * be done this often.
   */
  look(): Promise<void>
  presenceMs: number
  prune(): Promise<void>
  close(): Promise<void>
}

/** Takes events out of the outbox, in order, to every sink on its own. */
export function createEvents(core: Core, hostSinks: readonly EventSink[]): EventsService {
  const listeners = new Map<RmmEventType | '*', Set<Listener>>()
  const { database, log } = core
  const mine = listening + core.worker
  let told = false
  let unheard = 0
  let started = false
  const hostRelays = hostSinks.map(sink => createSinkRelay(core, sink))
  const emitter = createSinkRelay(
    core,
    { name: emitterSink, publish: emit },
    async () => heardHere() || (await nobodyListens())
  )
  const names = [emitterSink, ...hostSinks.map(sink => sink.name)]
  let seenAt = 0
  const heardHere = (): boolean => listeners.size > 0

  /**
   * New events wait for listeners only where there are some: reading and marking every event for nobody costs as much
   * as writing it.
   */
  function choose(heard: boolean): void {
    core.sinks = heard ? names : names.slice(1)
  }
  choose(true)

  async function look(): Promise<void> {
    if (Date.now() - seenAt > seenEveryMs) {
      await seeSinks(database, names)
      seenAt = Date.now()
    }
    const heard = heardHere()
    if (heard) await takeLease(database, mine, core.worker, core.settings.leaseMs)
    else if (told) await dropLease(database, mine, core.worker)
    told = heard
    unheard = heard || (await anyLease(database, listening, core.worker)) ? 0 : unheard + 1
    choose(unheard < unheardLooks)
  }

  /**
   * Where nobody listens, what waits for listeners is taken as heard. A process that has just begun to listen is
   * asked for at the last moment.
   */
  async function nobodyListens(): Promise<boolean> {
    return !heardHere() && unheard >= unheardLooks && !(await anyLease(database, listening, core.worker))
  }

  const lookAgain = (): void => {
    look().catch(error => log.debug({ err: error }, 'looking for listeners failed; it is tried again'))
  }

  async function emit(events: RmmEvent[]): Promise<void> {
    for (const event of events) {
      for (const listener of [...(listeners.get(event.type) ?? []), ...(listeners.get('*') ?? [])]) {
        try {
          await listener(event)
        } catch (error) {
          // A listener is the host's own code in the same process: repeating the event would not mend it.
          log.error(
            { err: error, eventId: event.id, type: event.type, connectionId: event.connectionId },
            'an event listener failed'
          )
        }
      }
    }
  }

  const rmm: Rmm['events'] = {
    on(type, given) {
      const listener = given as Listener
      const set = listeners.get(type) ?? new Set()
      listeners.set(type, set.add(listener))
      choose(true)
      if (started && !told) lookAgain()
      return () => {
        set.delete(listener)
        if (set.size === 0 && listeners.get(type) === set) listeners.delete(type)
      }
    },
    lag: () => outboxLag(database),
    async drop(sink) {
      if (names.includes(sink))
        throw new ConflictError(`This process serves the sink '${sink}': take it out of option 'events' first`)
      return { events: await dropSink(database, sink) }
    }
  }

  return {
    rmm,
    start() {
      started = true
      // Listeners are called from here: what they do is not the doing of whoever happened to commit.
      database.onEvents(() =>
        core.actors.run(null, () => {
          for (const relay of heardHere() ? [emitter, ...hostRelays] : hostRelays) relay.kick()
        })
      )
    },
    look,
    presenceMs: Math.min(core.settings.tickMs, core.settings.leaseMs / 3),
    relays: [
      { name: emitterSink, relay: () => emitter.relay() },
      ...hostSinks.map(({ name }, n) => ({ name, relay: () => hostRelays[n]!.relay() }))
    ],
    async prune() {
      await pruneOutbox(database, keepHours)
      await pruneLeases(database, listening)
    },
    async close() {
      // The lease is left to end by itself: until then events wait, for the process that comes in this one's place.
      await Promise.all([emitter, ...hostRelays].map(relay => relay.stop()))
      // One sink that cannot close must not keep the others open.
      for (const sink of hostSinks)
        await Promise.resolve(sink.close?.()).catch(error =>
          log.warn({ err: error, sink: sink.name }, 'closing the sink failed')
        )
    }
  }
}
