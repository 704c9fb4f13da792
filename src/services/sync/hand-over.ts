import {
  activeAlertsOf,
  type Db,
  type HostedChange,
  type HandOver,
  holdRun,
  insertRunItems,
  nextHandOver,
  nextOwed,
  type PageProgress,
  type RunEnd,
  type RunRow,
  settleOwed,
  writeProgress,
  writeRequest
} from '../store/index.ts'
import { applyChanges, noChanges } from './changes.ts'
import { type Isolation, newIsolation, refusedItems } from './host.ts'
import { count, withProgress } from './progress.ts'
import { type Reading, step } from './reading.ts'

/** Where a hand-over is, in the run's row: what it is to give, and up to which device it has. */
interface Place extends HandOver {
  after?: string
}

type Work = Pick<Reading, 'core' | 'attempt' | 'context' | 'signal' | 'heartbeat'> & { state: PageProgress }

/**
 * Gives known devices and their active alerts to the host again, a portion a transaction; the place is committed with
 * each, so that a device is given once however often the process dies.
 */
export async function handOverRun(work: Work, run: RunRow): Promise<RunEnd> {
  const { core, attempt } = work
  const place: Place = { ...(run.request as Place | null) }
  if (core.onChanges === undefined)
    return { status: 'succeeded', summary: 'Nothing to do: this host has no onChanges.', error: null }
  const isolation = newIsolation(core)
  await inPortions(work, place.after ?? null, isolation, {
    next: (trx, after, limit) => nextHandOver(trx, core.database.t, work.context.connectionId, place, after, limit),
    keep: (trx, after) => writeRequest(trx, core.database.t, attempt, { ...place, after }),
    alerts: true
  })
  work.state = withProgress(work.state, 'devices', { complete: true, status: 'complete' })
  await core.database.transaction(async trx => {
    await holdRun(trx, core.database.t, attempt)
    await writeProgress(trx, core.database.t, attempt, work.state)
  })
  const { handedOver = 0, failed } = work.state.totals
  const summary = `${handedOver} device${handedOver === 1 ? ' was' : 's were'} handed over.`
  return failed > 0 ? notTaken(failed, summary) : { status: 'succeeded', summary, error: null }
}

/** How a run ends in which the host did not take everything. */
export function notTaken(count: number, summary: string): RunEnd {
  const message = `The host did not take ${count} record${count === 1 ? '' : 's'}; the items of this run name them with its words`
  return { status: 'partial', summary: `${summary} ${message}.`, error: { code: 'RMM_ERR_ON_CHANGES', message } }
}

/** What the host is owed, after a full read of the devices: once per loss. */
export async function handOverOwed(reading: Reading): Promise<void> {
  if (reading.core.onChanges === undefined) return
  // Whom it failed on before it may fail on again: that ends no run.
  const isolation = reading.isolation === null ? null : Object.assign(reading.isolation, { heard: true })
  await inPortions(reading, null, isolation, {
    next: (trx, after, limit) => nextOwed(trx, reading.core.database.t, reading.context.connectionId, after, limit),
    keep: async () => {},
    alerts: false
  })
}

interface Portions {
  next(trx: Db, after: string | null, limit: number): Promise<HostedChange[]>
  keep(trx: Db, after: string): Promise<void>
  alerts: boolean
}

async function inPortions(
  work: Work & { isolation?: Isolation | null },
  after: string | null,
  isolation: Isolation | null,
  { next, keep, alerts }: Portions
): Promise<void> {
  const { core, attempt, context } = work
  const { t } = core.database
  for (let at = after; ; ) {
    work.signal.throwIfAborted()
    const done = await step(work as Reading, async trx => {
      const all = await next(trx, at, core.settings.batchRecords)
      if (all.length === 0) return null
      // What this run has failed to tell is left to the next.
      const devices = all.filter(({ device }) => isolation?.failed.has(device.id) !== true)
      const changes = { ...noChanges(), devices }
      if (alerts)
        changes.alerts = await activeAlertsOf(
          trx,
          t,
          context,
          devices.map(({ device }) => device.externalId)
        )
      const state = withProgress(work.state, 'devices', {})
      const refused = await applyChanges(core, trx, context, changes, [], isolation)
      const items = refusedItems(refused)
      const taken = devices.length - items.filter(({ resource }) => resource === 'devices').length
      state.totals.handedOver = (state.totals.handedOver ?? 0) + taken
      state.totals.failed += items.length
      count(state, 'devices', 'refused', items.length)
      if (alerts) {
        const so = state.progress.find(({ resource }) => resource === 'devices')
        if (so !== undefined)
          Object.assign(so, { pages: so.pages + 1, processed: so.processed + devices.length, status: 'reading' })
      }
      await insertRunItems(trx, t, { id: attempt.runId, ...context }, items)
      const open = new Set(refused.flatMap(({ change }) => ('device' in change ? change.device.device.id : [])))
      const ids = devices.flatMap(({ device }) => (open.has(device.id) ? [] : device.id))
      await settleOwed(trx, t, context.connectionId, ids)
      const last = all.at(-1)!.device.id
      await keep(trx, last)
      await writeProgress(trx, t, attempt, state)
      return { state, last }
    })
    if (done === null) return
    work.state = done.state
    at = done.last
    work.heartbeat()
  }
}
