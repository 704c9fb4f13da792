import { setTimeout as delay } from 'node:timers/promises'
import type { Core } from '../core.ts'
import { subjectOf, usable, type UsableAlert, type UsableEvent } from '../model/index.ts'
import { connectionById, type ConnectionRow, type DeliveryRow } from '../store/index.ts'
import type { ReRead } from '../sync/index.ts'

/** What is needed of a delivery to show its alert: a row, or one that was just stored. */
export interface Told {
  alert: UsableAlert
  occurredAt: Date | null
  receivedAt: Date
}

export interface ShownAlerts {
  /**
   * The payload's word on an alert without waiting for the burst to end. Lost with the process it does no harm: the
   * delivery tells it again.
   */
  soon(connectionId: string, told: Told): void
  /**
   * What the payloads alone say about alerts; the re-read corrects it. Only the newest word on each alert counts. The
   * subjects for which that failed, with why.
   */
  apply(connection: ConnectionRow, told: readonly Told[]): Promise<Map<string, unknown>>
  stop(): Promise<void>
}

/** Alerts in the payload are shown sooner than the rest of it is read; those of this time together. */
const showMs = 20
const showAtOnce = 500

export function createShownAlerts(core: Core, reread: ReRead): ShownAlerts {
  const waiting = new Map<string, Told[]>()
  const under = new Set<Promise<void>>()

  async function apply(connection: ConnectionRow, told: readonly Told[]): Promise<Map<string, unknown>> {
    const failures = new Map<string, unknown>()
    for (const { alert, at } of newestOfEach(told)) {
      try {
        await reread.applyAlert(connection, alert.externalId, alert, at)
      } catch (error) {
        failures.set(subjectOf('alerts', alert.externalId), error)
      }
    }
    return failures
  }

  async function show(connectionId: string): Promise<void> {
    await delay(showMs, undefined, { signal: core.signal })
    // One after the other: what comes in while some are shown is shown together after them.
    for (let told = waiting.get(connectionId)!; told.length > 0; told = waiting.get(connectionId)!) {
      waiting.set(connectionId, [])
      const connection = await connectionById(core.database, connectionId)
      if (connection === null || core.signal.aborted) return
      for (const error of (await apply(connection, told)).values())
        core.log.debug({ err: error, connectionId }, 'an alert could not be shown yet')
    }
  }

  return {
    apply,
    soon(connectionId, told) {
      const others = waiting.get(connectionId)
      if (others !== undefined) {
        if (others.length < showAtOnce) others.push(told)
        return
      }
      waiting.set(connectionId, [told])
      const shown = show(connectionId)
        .catch(error => {
          if (!core.signal.aborted)
            core.log.warn(
              { err: error, connectionId },
              'alerts could not be shown at once; they are with their re-read'
            )
        })
        .finally(() => {
          waiting.delete(connectionId)
          under.delete(shown)
        })
      under.add(shown)
    },
    stop: async () => {
      await Promise.all(under)
    }
  }
}

function newestOfEach(told: readonly Told[]): Array<Told & { at: Date }> {
  const newest = new Map<string, Told & { at: Date }>()
  for (const one of told) {
    // A platform whose clock is ahead must not make later reads look old.
    const at = one.occurredAt !== null && one.occurredAt < one.receivedAt ? one.occurredAt : one.receivedAt
    const other = newest.get(one.alert.externalId)
    // Of two that happened in the same millisecond the end is the later one.
    const isLater =
      other === undefined ||
      other.at < at ||
      (other.at.getTime() === at.getTime() && (one.alert.status === 'resolved' || other.alert.status === 'active'))
    if (isLater) newest.set(one.alert.externalId, { ...one, at })
  }
  return [...newest.values()]
}

export function toTold(row: DeliveryRow): Told {
  const { startedAt, resolvedAt, ...alert } = row.alert!
  return {
    alert: { ...alert, startedAt: new Date(startedAt), resolvedAt: resolvedAt ? new Date(resolvedAt) : null },
    occurredAt: row.occurred_at === null ? null : new Date(row.occurred_at as string),
    receivedAt: new Date(row.received_at as string)
  }
}

/** A delivery that meant nothing when it came, and was replayed: a newer version may know its type. */
export function readAgain(core: Core, connection: ConnectionRow, row: DeliveryRow): DeliveryRow {
  if (row.hints.length > 0 || row.alert !== null) return row
  try {
    const provider = core.registry.get(connection.provider)!
    const event: UsableEvent = usable(
      provider.webhook!.parse({ headers: {}, rawBody: Buffer.from(JSON.stringify(row.body)) }),
      provider
    )
    return { ...row, hints: event.hints, refused: event.refused.length === 0 ? null : event.refused.join('; ') }
  } catch {
    return row
  }
}
