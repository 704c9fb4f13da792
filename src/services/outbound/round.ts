import { ProviderError } from '../../providers/define.ts'
import type { EventSink, Taken } from '../../types.ts'
import { type Core, severalFail } from '../core.ts'
import { publishSink } from '../diagnostics.ts'
import { messageOf } from '../../log.ts'
import type { Places } from '../places.ts'
import { failLane, laneWorks, markPublished, type PendingEvent, pendingEvents, sinkWorks } from '../store/index.ts'
import { publish } from './publish.ts'

/** What a round ended with: `error` null where nothing is wrong with the sink, undefined where nothing was learned. */
export interface RoundEnd {
  error: string | null | undefined
  retryMs: number
}

export interface RoundParts {
  core: Core
  sink: EventSink
  /** Ends the round: the process stops, or another one serves the sink. */
  signal: AbortSignal
  /** Failures of the sink as a whole since it last took something. */
  failures: number
  /** Where the sink takes several calls at once. */
  places: Places | null
  /** Connections whose events were in a call that failed, and of which one is at fault; kept over rounds. */
  suspects: Set<string>
  /** Resolves when there may be something new: events, or a place. */
  woken(): Promise<void>
}

const eventsAtOnce = 500
const connectionsAtOnce = 100
const eventsPerLane = 50
/** A sink has this long for a call; where it takes one at a time, a connection that failed before has less. */
const publishMs = 30_000
const retriedMs = 5_000
const firstRetryMs = 250
const longestRetryMs = 60_000
const longestToldMs = 3_600_000

/** Four times as long with every failure, up to a minute; not before a time that was told. */
export function pauseAfter(failures: number, error: unknown): number {
  const backoff = Math.min(firstRetryMs * 4 ** Math.min(failures - 1, 10), longestRetryMs) * (0.75 + Math.random() / 2)
  return Math.max(backoff, error instanceof ProviderError ? Math.min(error.retryAfterMs ?? 0, longestToldMs) : 0)
}

/** The events of one connection that are offered together, oldest first. */
interface Lane {
  connectionId: string
  tenantId: string
  failures: number
  events: PendingEvent[]
}

/**
 * Takes events to a sink until nothing is ready or the sink is down. The events of a connection follow each other; one
 * whose events are refused waits alone, with a back-off that its first taken event ends. That the sink is down is
 * concluded from several connections.
 */
export async function relayRound(parts: RoundParts): Promise<RoundEnd> {
  const { core, sink, signal, places, suspects, woken } = parts
  const { database, log } = core
  const calls = new Set<Promise<void>>()
  const offered = new Set<string>()
  /** Connections that failed since an event was taken. */
  const failedInRow = new Set<string>()
  let works = parts.failures === 0
  let tried = false
  let aloneLast = false
  let down: RoundEnd | undefined

  const room = (): number => (places === null ? 1 - calls.size : works ? places.room() : 1 - calls.size)

  async function ready(connections: number): Promise<Lane[]> {
    const found = await pendingEvents(database, sink.name, {
      except: [...offered, ...(places?.turnedAway() ?? [])],
      connections,
      events: places === null ? eventsAtOnce : eventsPerLane * connections
    })
    const lanes = Map.groupBy(found, ({ event }) => event.connectionId)
    return [...lanes].map(([connectionId, events]) => ({
      connectionId,
      tenantId: events[0]!.event.tenantId,
      failures: events[0]!.failures,
      events
    }))
  }

  /** Begins calls with what is ready. True where there may be more. */
  async function begin(): Promise<boolean> {
    const connections = !works ? 1 : places === null ? connectionsAtOnce : room()
    const lanes = await ready(connections)
    if (places !== null) {
      const begun = lanes.filter(lane => start([lane], work => places.begin(lane.connectionId, work)))
      return begun.length === connections
    }
    const healthy = lanes.filter(lane => lane.failures === 0 && !suspects.has(lane.connectionId))
    const [alone] = lanes.filter(lane => !healthy.includes(lane))
    // Neither side waits for the end of the other.
    aloneLast = alone !== undefined && (healthy.length === 0 || !aloneLast)
    const next = aloneLast ? [alone!] : healthy
    return next.length > 0 && start(next, work => work())
  }

  function start(lanes: Lane[], place: (work: () => Promise<void>) => Promise<void> | null): boolean {
    const done = place(() => offer(lanes).catch(error => broken(error)))
    if (done === null) return false
    for (const { connectionId } of lanes) offered.add(connectionId)
    const call = done.finally(() => {
      for (const { connectionId } of lanes) offered.delete(connectionId)
      calls.delete(call)
    })
    calls.add(call)
    return true
  }

  /** Our own side failed: what was offered comes again. */
  function broken(error: unknown): void {
    if (signal.aborted) return
    down ??= { error: undefined, retryMs: 0 }
    log.warn({ err: error, sink: sink.name }, 'relaying events failed; it is tried again with the next tick')
  }

  async function offer(lanes: Lane[]): Promise<void> {
    tried = true
    const began = performance.now()
    const events = lanes.flatMap(lane => lane.events).sort((a, b) => Number(a.seq) - Number(b.seq))
    const limitMs = places === null && lanes.length === 1 && lanes[0]!.failures > 0 ? retriedMs : publishMs
    const { ids, error } = await publish(
      sink,
      events.map(({ event }) => event),
      limitMs,
      signal
    )
    const taken = new Set(ids)
    const done = events.filter(({ event }) => taken.has(event.id))
    if (done.length > 0)
      await markPublished(
        database,
        sink.name,
        done.map(({ seq }) => seq)
      )
    publishSink(() => ({
      sink: sink.name,
      events: done.length,
      durationMs: performance.now() - began,
      error: error === undefined ? null : messageOf(error)
    }))
    if (!signal.aborted) await conclude(lanes, taken, error)
  }

  async function conclude(lanes: Lane[], taken: Set<string>, error: Taken['error']): Promise<void> {
    if (taken.size > 0) await progressed()
    for (const lane of lanes) {
      const count = lane.events.filter(({ event }) => taken.has(event.id)).length
      if (error === undefined || count === lane.events.length) {
        suspects.delete(lane.connectionId)
        if (lane.failures > 0 && count > 0) await laneWorks(database, sink.name, lane.connectionId)
      } else if (lanes.length > 1) suspects.add(lane.connectionId)
      else await failed(lane, count > 0 ? 1 : lane.failures + 1, error)
    }
  }

  async function progressed(): Promise<void> {
    failedInRow.clear()
    if (works) return
    works = true
    await sinkWorks(database, sink.name)
  }

  async function failed({ connectionId, tenantId }: Lane, failures: number, error: unknown): Promise<void> {
    suspects.delete(connectionId)
    failedInRow.add(connectionId)
    const retryMs = pauseAfter(failures, error)
    await failLane(database, sink.name, { connectionId, tenantId, failures, retryMs, error: messageOf(error) })
    log[failures === 1 ? 'info' : 'debug'](
      { err: error, sink: sink.name, connectionId, failures },
      'the sink did not take the events of a connection; they stay in the outbox'
    )
    if (works && failedInRow.size < severalFail) return
    // What the others were suspected of is the sink's doing.
    suspects.clear()
    const sinkFailures = parts.failures + 1
    log.warn(
      { err: error, sink: sink.name, failures: sinkFailures },
      'the sink takes no events, of several connections; they stay in the outbox'
    )
    down ??= { error: messageOf(error), retryMs: pauseAfter(sinkFailures, error) }
  }

  while (!signal.aborted && down === undefined) {
    const waking = woken()
    const more = room() > 0 && (await begin())
    if (calls.size === 0) break
    if (!more || room() <= 0) await Promise.race([...calls, waking])
  }
  await Promise.all(calls)
  if (signal.aborted) return { error: undefined, retryMs: 0 }
  return down ?? { error: tried ? null : undefined, retryMs: 0 }
}
