import type { RunTrigger } from '../types.ts'
import type { Core } from './core.ts'
import type { EventsService } from './outbound/index.ts'
import type { Provisioning } from './device-groups/index.ts'
import { adoptableRuns, leaveRuns, pruneDeliveries, pruneRuns, scheduleNext, takeDue } from './store/index.ts'
import type { SyncService } from './sync/index.ts'

export interface TickerOptions {
  schedules: boolean
  /** What comes before a scheduled sync, and calls `start` afterwards; false where nothing does. */
  before?: Provisioning['before']
  duties: Array<() => Promise<void>>
}

export interface Ticker {
  start(): void
  /** One round, for tests and for hosts that bring their own clock. */
  tick(): Promise<void>
  stop(): Promise<void>
}

const dueAtOnce = 100
const adoptAtOnce = 50
/** After this an engine is asked again whether it still has a run that nobody executes. */
const ownedForMs = 30_000
const pruneEveryTicks = 200

/**
 * The one clock of the engine, in every process: due schedules, runs nobody works on, events nobody took, deliveries
 * to process. Who acts is decided in PostgreSQL, so any number of processes may tick.
 */
export function createTicker(
  core: Core,
  sync: SyncService,
  events: EventsService,
  { schedules, before, duties }: TickerOptions
): Ticker {
  let timer: NodeJS.Timeout | undefined
  let round: Promise<void> = Promise.resolve()
  let rounds = 0

  async function safely(what: string, work: () => Promise<void>): Promise<void> {
    if (core.signal.aborted) return
    try {
      await work()
    } catch (error) {
      if (!core.signal.aborted) core.log.warn({ err: error }, `${what} failed; it is tried again with the next tick`)
    }
  }

  async function tick(): Promise<void> {
    if (schedules) await safely('starting due syncs', () => startDue(core, sync, before))
    await safely('adopting waiting runs', () => adopt(core, sync))
    await Promise.all([safely('relaying events', events.relay), ...duties.map(duty => safely('background work', duty))])
    if (rounds++ % pruneEveryTicks === 0) await safely('pruning', () => prune(core, events))
  }

  function arm(): void {
    if (core.signal.aborted) return
    // Jitter, so that processes started together do not tick together.
    timer = setTimeout(
      () => {
        round = tick().finally(arm)
      },
      core.settings.tickMs * (0.75 + Math.random() / 2)
    ).unref()
  }

  return {
    tick,
    start() {
      round = tick().finally(arm)
    },
    async stop() {
      clearTimeout(timer)
      await round
      clearTimeout(timer)
    }
  }
}

async function startDue(core: Core, sync: SyncService, before: TickerOptions['before']): Promise<void> {
  for (const row of await takeDue(core.database, core.registry.ids(), dueAtOnce)) {
    const start = (): Promise<void> =>
      sync
        .request(row, { mode: row.full_due ? 'full' : 'incremental' }, 'schedule' satisfies RunTrigger)
        .then(() => scheduleNext(core.database, row.id, row.due_at))
        .catch(error => core.log.warn({ err: error, connectionId: row.id }, 'a scheduled sync could not be started'))
    if (before?.(row, start) !== true) await start()
  }
}

async function adopt(core: Core, sync: SyncService): Promise<void> {
  const owned: string[] = []
  // An engine that is down is asked once per tick, not once per run.
  const down = new Set<string>()
  for (const run of await adoptableRuns(core.database, core.registry.ids(), adoptAtOnce)) {
    if (down.has(run.transport)) continue
    try {
      const taken = await sync.dispatch({
        runId: run.id,
        tenantId: run.tenant_id,
        connectionId: run.connection_id,
        provider: run.provider,
        transport: run.transport
      })
      if (taken === 'owned') owned.push(run.id)
    } catch (error) {
      down.add(run.transport)
      core.log.warn({ err: error, runId: run.id, transport: run.transport }, 'a waiting run could not be dispatched')
    }
  }
  await leaveRuns(core.database, owned, ownedForMs)
}

const keepRunsDays = 30
const keepDeliveriesDays = 14

async function prune(core: Core, events: EventsService): Promise<void> {
  await events.prune()
  await pruneRuns(core.database, keepRunsDays)
  await pruneDeliveries(core.database, keepDeliveriesDays)
}
