import type { Rmm } from '../rmm.ts'
import type { DutyHealth, Health, ProcessHealth } from '../types.ts'
import type { Core } from './core.ts'
import { readHealth } from './store/index.ts'
import type { Ticker } from './ticker.ts'

/** A run that waits for longer, though its time has come, is waited for by nobody. */
const queueMs = 15 * 60_000
/** Ticks and processes are not in step: what is overdue by less is on its way. */
const leastLateMs = 10_000
/** A duty that is overdue by more hangs. */
const hangsMs = 5 * 60_000

export function createHealth(core: Core, ticker: Ticker): Rmm['health'] {
  const { tickMs, leaseMs } = core.settings
  const allowances = { schedulesMs: Math.max(2 * tickMs, leastLateMs), leaseMs: Math.max(leaseMs, 4 * tickMs), queueMs }

  function health(tenantId: string): Promise<Health>
  function health(): Promise<ProcessHealth>
  async function health(tenantId?: string): Promise<Health> {
    const found = await readHealth(core.database, tenantId ?? null, allowances)
    if (tenantId !== undefined) return { ok: isWell(found), ...found }
    const duties = ticker.duties()
    const process: ProcessHealth = { ok: isWell(found) && duties.every(works), ...found, duties }
    return process
  }
  return health
}

function isWell({ schedules, runs, deliveries, sinks, connections }: Omit<Health, 'ok'>): boolean {
  return (
    schedules.late + runs.stuck + deliveries.dead + connections.error === 0 &&
    sinks.every(({ failures, served, pending }) => failures === 0 && (served || pending === 0))
  )
}

const works = ({ failures, lateMs }: DutyHealth): boolean => failures === 0 && lateMs < hangsMs
