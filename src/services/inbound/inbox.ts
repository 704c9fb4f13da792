import { messageOf } from '../../log.ts'
import { ProviderError } from '../../providers/define.ts'
import type { Core } from '../core.ts'
import { publishDelivery } from '../diagnostics.ts'
import { Deferred, hintKey, type Hints } from './hints.ts'
import type { ReRead } from '../sync/index.ts'
import {
  claimDeliveries,
  connectionById,
  type ConnectionRow,
  connectionsWithDeliveries,
  type DeliveryRow,
  ownAlertsOf,
  renewDeliveries,
  type Settled,
  settleDeliveries
} from '../store/index.ts'
import { usable, type UsableAlert, type UsableEvent, type UsableHint } from '../model/index.ts'

export interface Inbox {
  /** Begins to work; until then, and in processes that never begin, deliveries are only stored. */
  start(): void
  /**
   * A delivery was stored: shows its alert at once, and works on it soon, together with what else comes in until
   * then.
   */
  received(connectionId: string, deliveryId: string, event: UsableEvent, receivedAt: Date): void
  /** Works on what is due of this connection soon. */
  kick(connectionId: string): void
  /** Works on every due delivery: those of other processes that died, and repetitions. */
  drain(): Promise<void>
  stop(): Promise<void>
}

/** Quiet time that ends a burst, and the longest a first delivery waits for the end of one. */
const quietMs = 600
const longestMs = 2_500
/** Alerts in the payload are shown sooner; those of this time together. */
const showMs = 20
const showAtOnce = 500
const batchSize = 2_000
const connectionsAtOnce = 20
/** Attempts until a delivery is dead: with our own errors after some minutes, with the platform's after some hours. */
const maxAttempts = 8
const maxPlatformAttempts = 24
const firstRetryMs = 2_000
const slowestRetryMs = 900_000

/** What is needed of a delivery to show its alert: a row, or one that was just stored. */
interface Told {
  id: string
  alert: UsableAlert
  occurredAt: Date | null
  receivedAt: Date
}

/** Works off stored deliveries after they were answered. A storm about few devices becomes few re-reads. */
export function createInbox(core: Core, hints: Hints, reread: ReRead): Inbox {
  const { database, settings } = core
  const kicked = new Map<string, { since: number; timer: NodeJS.Timeout }>()
  const shown = new Map<string, { told: Told[]; timer: NodeJS.Timeout }>()
  /** One piece of work per connection (or connection's alerts to show) at a time; the next waits for it. */
  const busy = new Map<string, Promise<void>>()
  let started = false

  async function inTurn(turn: string, work: () => Promise<void>): Promise<void> {
    const before = busy.get(turn)
    const now = (async () => {
      await before
      try {
        if (!core.signal.aborted) await work()
      } catch (error) {
        if (!core.signal.aborted)
          core.log.warn(
            { err: error, connectionId: turn.replace('show:', '') },
            'working on deliveries failed; they are taken up again'
          )
      }
    })()
    busy.set(turn, now)
    await now
    if (busy.get(turn) === now) busy.delete(turn)
  }

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
        void run(connectionId)
      }, wait).unref()
    })
  }

  /**
   * The payload's word on an alert without waiting for the burst to end. Lost with the process it does no harm: the
   * delivery tells it again.
   */
  function show(connectionId: string, told: Told): void {
    const waiting = shown.get(connectionId)
    if (waiting !== undefined) {
      if (waiting.told.length < showAtOnce) waiting.told.push(told)
      return
    }
    const timer = setTimeout(() => {
      const { told } = shown.get(connectionId)!
      shown.delete(connectionId)
      // Beside the turn of the batches: a long re-read must not hold back what the payload says.
      void inTurn(`show:${connectionId}`, async () => {
        const connection = await connectionById(database, connectionId)
        if (connection !== null)
          for (const error of (await applyAlerts(connection, told)).values())
            core.log.debug({ err: error, connectionId }, 'an alert could not be shown yet')
      })
    }, showMs).unref()
    shown.set(connectionId, { told: [told], timer })
  }

  async function run(connectionId: string): Promise<void> {
    await inTurn(connectionId, async () => {
      const connection = await connectionById(database, connectionId)
      // A process that does not know the provider leaves its deliveries to those that do.
      if (
        connection === null ||
        connection.status === 'disconnected' ||
        core.registry.get(connection.provider) === undefined
      )
        return
      while (!core.signal.aborted && (await workOnBatch(connection))) {
        /* until nothing is due */
      }
    })
  }

  async function workOnBatch(connection: ConnectionRow): Promise<boolean> {
    const claimed = await claimDeliveries(database, connection.id, batchSize, settings.leaseMs)
    if (claimed.length === 0) return false
    const ids = claimed.map(row => row.id)
    const renewal = setInterval(() => {
      renewDeliveries(database, ids, settings.leaseMs).catch(() => {})
    }, settings.leaseMs / 3)
    try {
      const rows = claimed.map(row => readAgain(core, connection, row))
      const told = rows.filter(row => row.alert !== null).map(toTold)
      const failures = await applyAlerts(connection, told)
      const own = await ownAlertsOf(
        database.db,
        database.t,
        connection.id,
        told.filter(({ alert }) => alert.derived).map(({ alert }) => alert)
      )
      const wanted = [
        ...rows.flatMap(row => row.hints),
        ...[...own.values()].map((externalId): UsableHint => ({ resource: 'alerts', externalId }))
      ]
      const hintFailures = await hints.follow(connection, wanted, core.signal)
      const jitter = 0.75 + Math.random() / 2
      const settled = rows.map(row =>
        settle(
          row,
          failures.get(row.id) ??
            row.hints.map(hint => hintFailures.get(hintKey(hint))).find(error => error !== undefined),
          core.signal.aborted,
          jitter
        )
      )
      await settleDeliveries(database, settled)
      for (const [n, row] of rows.entries()) tell(connection, row, settled[n]!)
      report(connection, settled)
    } finally {
      clearInterval(renewal)
    }
    return claimed.length === batchSize
  }

  /** What the payload alone says about an alert; the re-read corrects it. Only the newest word on each alert counts. */
  async function applyAlerts(connection: ConnectionRow, told: Told[]): Promise<Map<string, unknown>> {
    const failures = new Map<string, unknown>()
    const newest = new Map<string, Told & { at: Date }>()
    for (const one of told) {
      // A platform whose clock is ahead must not make later reads look old.
      const at = one.occurredAt !== null && one.occurredAt < one.receivedAt ? one.occurredAt : one.receivedAt
      const other = newest.get(one.alert.externalId)
      // Of two that happened in the same millisecond the end is the later one.
      const later =
        other === undefined ||
        other.at < at ||
        (other.at.getTime() === at.getTime() && (one.alert.status === 'resolved' || other.alert.status === 'active'))
      if (later) newest.set(one.alert.externalId, { ...one, at })
    }
    for (const { id, alert, at } of newest.values()) {
      try {
        await reread.applyAlert(connection, alert.externalId, alert, at)
      } catch (error) {
        failures.set(id, error)
      }
    }
    return failures
  }

  function tell(connection: ConnectionRow, row: DeliveryRow, settled: Settled): void {
    publishDelivery(() => ({
      phase: 'settled',
      connectionId: connection.id,
      tenantId: connection.tenant_id,
      provider: connection.provider,
      eventType: row.event_type,
      outcome: settled.status === 'pending' ? 'retried' : settled.status,
      attempts: settled.attempts
    }))
  }

  function report(connection: ConnectionRow, settled: Settled[]): void {
    const failed = settled.filter(one => one.error !== null && one.status !== 'done')
    const dead = failed.filter(one => one.status === 'dead').length
    if (dead > 0)
      core.log.error(
        { connectionId: connection.id, dead, reason: failed.at(-1)!.error },
        'deliveries were given up; they can be replayed'
      )
    else if (failed.length > 0)
      core.log.info(
        { connectionId: connection.id, deliveries: failed.length, reason: failed[0]!.error },
        'deliveries are worked on again later'
      )
  }

  return {
    start() {
      started = true
    },
    kick,
    received(connectionId, id, event, receivedAt) {
      if (!started || core.signal.aborted) return
      if (event.alert !== undefined)
        show(connectionId, { id, alert: event.alert, occurredAt: event.occurredAt, receivedAt })
      kick(connectionId)
    },
    async drain() {
      for (const id of await connectionsWithDeliveries(database, connectionsAtOnce))
        if (!kicked.has(id) && !busy.has(id)) await run(id)
    },
    async stop() {
      started = false
      for (const { timer } of [...kicked.values(), ...shown.values()]) clearTimeout(timer)
      kicked.clear()
      shown.clear()
      await Promise.allSettled(busy.values())
    }
  }
}

function toTold(row: DeliveryRow): Told {
  const { startedAt, resolvedAt, ...alert } = row.alert!
  return {
    id: row.id,
    alert: { ...alert, startedAt: new Date(startedAt), resolvedAt: resolvedAt ? new Date(resolvedAt) : null },
    occurredAt: row.occurred_at === null ? null : new Date(row.occurred_at as string),
    receivedAt: new Date(row.received_at as string)
  }
}

/** A delivery that meant nothing when it came, and was replayed: a newer version may know its type. */
function readAgain(core: Core, connection: ConnectionRow, row: DeliveryRow): DeliveryRow {
  if (row.hints.length > 0 || row.alert !== null) return row
  try {
    const provider = core.registry.get(connection.provider)!
    const event = usable(
      provider.webhook!.parse({ headers: {}, rawBody: Buffer.from(JSON.stringify(row.body)) }),
      provider
    )
    return { ...row, hints: event.hints }
  } catch {
    return row
  }
}

/**
 * Repeats with growing distance, never before the platform said; after the last attempt it is dead, and stays
 * visible.
 */
function settle(row: DeliveryRow, error: unknown, stopping: boolean, jitter: number): Settled {
  const attempts = Number(row.attempts)
  const base = { id: row.id, attempts }
  if (error === undefined)
    return {
      ...base,
      status: row.hints.length === 0 && row.alert === null ? 'ignored' : 'done',
      error: null,
      retryMs: 0
    }
  // Neither waiting nor a shutdown is an attempt that failed.
  if (stopping) return { ...base, attempts: attempts - 1, status: 'pending', error: null, retryMs: 0 }
  const reason = messageOf(error)
  if (error instanceof Deferred)
    return { ...base, attempts: attempts - 1, status: 'pending', error: reason, retryMs: error.retryMs }
  const platform = error instanceof ProviderError
  // The same wait for a whole batch: what came together is worked on together again, each device once.
  const backoff = Math.min(firstRetryMs * 2 ** attempts, slowestRetryMs) * jitter
  const retryMs = Math.max(backoff, platform ? (error.retryAfterMs ?? 0) : 0)
  return {
    ...base,
    status: attempts >= (platform ? maxPlatformAttempts : maxAttempts) ? 'dead' : 'pending',
    error: reason,
    retryMs
  }
}
