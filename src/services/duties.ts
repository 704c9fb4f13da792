import type { RunTrigger } from '../types.ts'
import { type Core, severalFail } from './core.ts'
import type { Provisioning } from './device-groups/index.ts'
import type { Inbox, Listeners } from './inbound/index.ts'
import type { EventsService } from './outbound/index.ts'
import {
  adoptableRuns,
  clearExpiredHookSecrets,
  leaveRuns,
  pruneOld,
  type Retention,
  type RunsOf,
  scheduleNext,
  takeDue
} from './store/index.ts'
import type { SyncService, SyncTransport } from './sync/index.ts'
import type { Duty } from './ticker.ts'

export interface DutyParts {
  sync: SyncService
  events: EventsService
  inbox: Inbox
  listeners: Listeners
  transports: ReadonlyMap<string, SyncTransport>
  transportOf(provider: string): SyncTransport
  retention: Retention
  /** Whether this process starts the syncs that are due. */
  schedules: boolean
  /** What comes before a scheduled sync, and calls `start` afterwards; false where nothing does. */
  before?: Provisioning['before']
}

const pruneEveryMs = 60_000

/**
 * Everything this process does by itself, a line each. Two things that may keep each other waiting are two duties:
 * hence one per transport, whose engine may not answer, and one per sink.
 */
export function createDuties(core: Core, parts: DutyParts): Duty[] {
  const { events, inbox, listeners, transports, transportOf } = parts
  const byTransport = Map.groupBy(core.registry.ids(), id => transportOf(id).kind)
  const kinds = [...transports.keys()]
  return [
    ...(parts.schedules
      ? [...byTransport].map(
          ([kind, providers]): Duty => ({ name: `schedules:${kind}`, turn: () => startDue(core, parts, providers) })
        )
      : []),
    ...kinds.map((kind): Duty => ({ name: `adoption:${kind}`, turn: () => adopt(core, parts.sync, { kind }) })),
    { name: 'adoption:other', turn: () => adopt(core, parts.sync, { others: kinds }) },
    { name: 'clock', turn: () => core.clock.measure() },
    { name: 'presence', everyMs: events.presenceMs, turn: events.look },
    ...events.relays.map(({ name, relay }): Duty => ({ name: `relay:${name}`, turn: relay })),
    { name: 'inbox', turn: inbox.drain },
    { name: 'listeners', turn: listeners.tend },
    { name: 'pruning', everyMs: pruneEveryMs, turn: () => prune(core, events, parts.retention) }
  ]
}

const dueAtOnce = 100
const adoptAtOnce = 50
/** After this an engine is asked again whether it still has a run that nobody executes. */
const ownedForMs = 30_000

async function startDue(core: Core, { sync, before }: DutyParts, providers: string[]): Promise<boolean> {
  const due = await takeDue(core.database, providers, dueAtOnce)
  let failed = 0
  for (const row of due) {
    const start = async (): Promise<void> => {
      // Switched off by the host: not started, and not late either.
      if (!(await isAvailable(core, row))) return await scheduleNext(core.database, row.id, row.due_at)
      await sync.request(row, { mode: row.full_due ? 'full' : 'incremental' }, 'schedule' satisfies RunTrigger)
      await scheduleNext(core.database, row.id, row.due_at)
    }
    if (before?.(row, start) === true) continue
    try {
      await start()
      failed = 0
    } catch (error) {
      core.log.warn({ err: error, connectionId: row.id }, 'a scheduled sync could not be started; it is tried again')
      // An engine that is down is not waited for once per connection. The others are due again soon.
      if (++failed === severalFail) return false
    }
  }
  return due.length === dueAtOnce
}

async function isAvailable({ registry }: Core, row: { provider: string; tenant_id: string }): Promise<boolean> {
  return await registry.require(row.provider, row.tenant_id).then(
    () => true,
    () => false
  )
}

async function adopt(core: Core, sync: SyncService, of: RunsOf): Promise<boolean> {
  const owned: string[] = []
  const waiting = await adoptableRuns(core.database, core.registry.ids(), of, adoptAtOnce)
  let failed = 0
  for (const run of waiting) {
    const handle = { runId: run.id, tenantId: run.tenant_id, connectionId: run.connection_id, provider: run.provider }
    try {
      if ((await sync.dispatch({ ...handle, transport: run.transport })) === 'owned') owned.push(run.id)
      failed = 0
    } catch (error) {
      core.log.warn({ err: error, runId: run.id, transport: run.transport }, 'a waiting run could not be dispatched')
      if (++failed === severalFail) break
    }
  }
  await leaveRuns(core.database, owned, ownedForMs)
  // What is left to its engine hides nobody any more; what was dispatched stays adoptable until it begins.
  return owned.length === adoptAtOnce
}

async function prune(core: Core, events: EventsService, keep: Retention): Promise<boolean> {
  await events.prune()
  await clearExpiredHookSecrets(core.database)
  return await pruneOld(core.database, keep)
}
