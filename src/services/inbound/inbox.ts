import { waitAtMost } from '../../waits.ts'
import type { Core } from '../core.ts'
import type { UsableEvent } from '../model/index.ts'
import { createPlaces } from '../places.ts'
import { connectionById, type ConnectionRow, connectionsWithDeliveries } from '../store/index.ts'
import type { ReRead } from '../sync/index.ts'
import type { Hints } from './hints.ts'
import { createRounds } from './rounds.ts'
import { createShownAlerts } from './shown-alerts.ts'

export interface Inbox {
  /** Begins to work; until then, and in processes that never begin, deliveries are only stored. */
  start(): void
  /**
   * A delivery was stored: shows its alert at once, and works on it soon, together with what else comes in until
   * then.
   */
  received(connectionId: string, event: UsableEvent, receivedAt: Date): void
  /** Works on what is due of this connection soon. */
  kick(connectionId: string): void
  /**
   * Works on what is due: of other processes that died, and repetitions. Waits for the end of what it began, but not
   * for long. True where there is more.
   */
  drain(): Promise<boolean>
  stop(): Promise<void>
}

/** Quiet time that ends a burst, and the longest a first delivery waits for the end of one. */
const quietMs = 600
const longestMs = 2_500
/** Connections that are worked on at once, and as many whose platform is slow; the same again for what failed before. */
const connectionsAtOnce = 8
const slowMs = 2_000

/**
 * Works off stored deliveries after they were answered. A storm about few devices becomes few re-reads. A connection
 * whose platform is slow or down holds up only itself, a device that fails only itself.
 */
export function createInbox(core: Core, hints: Hints, reread: ReRead): Inbox {
  const shown = createShownAlerts(core, reread)
  const rounds = createRounds(core, hints, shown)
  const kicked = new Map<string, { since: number; timer: NodeJS.Timeout }>()
  const places = {
    together: createPlaces({ places: connectionsAtOnce, slowMs }),
    alone: createPlaces({ places: connectionsAtOnce, slowMs })
  }
  let started = false

  async function work(connectionId: string, round: (connection: ConnectionRow) => Promise<boolean>): Promise<void> {
    try {
      const connection = await connectionById(core.database, connectionId)
      // A process that does not know the provider leaves its deliveries to those that do.
      if (
        connection === null ||
        connection.status === 'disconnected' ||
        core.registry.get(connection.provider) === undefined
      )
        return
      while (!core.signal.aborted && (await round(connection))) {
        /* until nothing is due */
      }
    } catch (error) {
      if (!core.signal.aborted)
        core.log.warn({ err: error, connectionId }, 'working on deliveries failed; they are taken up again')
    }
  }

  const together = (id: string) => (): Promise<void> => work(id, rounds.together)
  const alone = (id: string) => (): Promise<void> => work(id, rounds.alone)

  function kick(connectionId: string): void {
    if (!started || core.signal.aborted) return
    const waiting = kicked.get(connectionId)
    const since = waiting?.since ?? Date.now()
    clearTimeout(waiting?.timer)
    const wait = Math.max(0, Math.min(quietMs, since + longestMs - Date.now()))
    kicked.set(connectionId, {
      since,
      timer: setTimeout(() => {
        kicked.delete(connectionId)
        void places.together.enter(connectionId, together(connectionId))
      }, wait).unref()
    })
  }

  return {
    start() {
      started = true
    },
    kick,
    received(connectionId, { alert, occurredAt }, receivedAt) {
      if (!started || core.signal.aborted) return
      if (alert !== undefined) shown.soon(connectionId, { alert, occurredAt, receivedAt })
      kick(connectionId)
    },
    async drain() {
      const due = await connectionsWithDeliveries(
        core.database,
        core.registry.ids(),
        [...places.together.turnedAway(), ...kicked.keys()],
        2 * connectionsAtOnce
      )
      const begun = due.flatMap(one => [
        one.together ? places.together.begin(one.id, together(one.id)) : null,
        one.alone ? places.alone.begin(one.id, alone(one.id)) : null
      ])
      const under = begun.filter(work => work !== null)
      await waitAtMost(core.settings.tickMs, Promise.all(under))
      return due.length === 2 * connectionsAtOnce && under.length > 0
    },
    async stop() {
      started = false
      for (const { timer } of kicked.values()) clearTimeout(timer)
      kicked.clear()
      await Promise.all([places.together.close(), places.alone.close(), shown.stop()])
    }
  }
}
