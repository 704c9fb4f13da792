import { type AlertRecord, ProviderError } from '../providers/define.ts'
import type { Core } from './core.ts'
import { hintKey, type Hints } from './hints.ts'
import type { ReRead } from './reread.ts'
import { type ConnectionRow, connectionById } from './store/connections.ts'
import { claimDeliveries, connectionsWithDeliveries, type DeliveryRow, type Settled, settleDeliveries } from './store/deliveries.ts'

export interface Inbox {
  /** A delivery was stored: process this connection's soon, together with what else comes in until then. */
  kick (connectionId: string): void
  /** Processes every due delivery: those of other processes that died, and repetitions. */
  drain (): Promise<void>
  stop (): Promise<void>
}

/** Quiet time that ends a burst, and the longest a first delivery waits for the end of one. */
const quietMs = 600
const longestMs = 2_500
const batchSize = 2_000
const maxAttempts = 8
const connectionsAtOnce = 20

/** Works off stored deliveries after they were answered. A storm about few devices becomes few re-reads. */
export function createInbox (core: Core, hints: Hints, reread: ReRead): Inbox {
  const kicked = new Map<string, { since: number, timer: NodeJS.Timeout }>()
  const busy = new Map<string, Promise<void>>()
  const { database } = core

  function kick (connectionId: string): void {
    if (core.signal.aborted) return
    const waiting = kicked.get(connectionId)
    const since = waiting?.since ?? Date.now()
    clearTimeout(waiting?.timer)
    const wait = Math.max(0, Math.min(quietMs, since + longestMs - Date.now()))
    kicked.set(connectionId, { since, timer: setTimeout(() => { kicked.delete(connectionId); void run(connectionId) }, wait).unref() })
  }

  /** One batch of a connection at a time; what came in meanwhile waits for the next. */
  async function run (connectionId: string): Promise<void> {
    const before = busy.get(connectionId)
    const now = (async () => {
      await before
      try {
        while (!core.signal.aborted && await processBatch(connectionId)) { /* until nothing is due */ }
      } catch (error) {
        if (!core.signal.aborted) core.log.warn({ err: error, connectionId }, 'processing deliveries failed; they are taken up again')
      }
    })()
    busy.set(connectionId, now)
    await now
    if (busy.get(connectionId) === now) busy.delete(connectionId)
  }

  async function processBatch (connectionId: string): Promise<boolean> {
    const rows = await claimDeliveries(database, connectionId, batchSize)
    if (rows.length === 0) return false
    const connection = await connectionById(database, connectionId)
    if (connection === null) return false
    const alertFailures = await applyAlerts(connection, rows)
    const failures = await hints.follow(connection, rows.flatMap(row => row.hints), core.signal)
    await settleDeliveries(database, rows.map(row => settle(row, alertFailures.get(row.id) ?? row.hints.map(hint => failures.get(hintKey(hint))).find(error => error !== undefined))))
    return rows.length === batchSize
  }

  /** What the payload alone says about an alert, at once; the re-read corrects it. Only the newest word on each alert counts. */
  async function applyAlerts (connection: ConnectionRow, rows: DeliveryRow[]): Promise<Map<string, unknown>> {
    const failures = new Map<string, unknown>()
    const newest = new Map<string, { row: DeliveryRow, record: AlertRecord, at: Date }>()
    for (const row of rows) {
      if (row.alert === null) continue
      const received = new Date(row.received_at as string)
      const occurred = row.occurred_at === null ? received : new Date(row.occurred_at as string)
      // A platform whose clock is ahead must not make later reads look old.
      const at = occurred < received ? occurred : received
      const other = newest.get(row.alert.externalId)
      if (other === undefined || other.at <= at) newest.set(row.alert.externalId, { row, record: revive(row.alert), at })
    }
    for (const { row, record, at } of newest.values()) {
      try {
        await reread.applyAlert(connection, record.externalId, record, at)
      } catch (error) {
        failures.set(row.id, error)
      }
    }
    return failures
  }

  return {
    kick,
    async drain () {
      for (const row of await connectionsWithDeliveries(database, connectionsAtOnce)) if (!kicked.has(row.id)) await run(row.id)
    },
    async stop () {
      for (const { timer } of kicked.values()) clearTimeout(timer)
      kicked.clear()
      await Promise.allSettled(busy.values())
    }
  }
}

function revive (alert: NonNullable<DeliveryRow['alert']>): AlertRecord {
  return { ...alert, startedAt: new Date(alert.startedAt), resolvedAt: alert.resolvedAt ? new Date(alert.resolvedAt) : null }
}

/** Repeats with growing distance, never before the platform said; after the last attempt it is dead, and stays visible. */
function settle (row: DeliveryRow, error: unknown): Settled {
  if (error === undefined) return { id: row.id, status: 'done', error: null, retryMs: 0 }
  const attempts = Number(row.attempts)
  const backoff = Math.min(2_000 * 2 ** attempts, 900_000) * (0.75 + Math.random() / 2)
  const retryMs = Math.max(backoff, error instanceof ProviderError ? error.retryAfterMs ?? 0 : 0)
  return { id: row.id, status: attempts >= maxAttempts ? 'dead' : 'pending', error: (error as Error).message.slice(0, 1000), retryMs }
}
