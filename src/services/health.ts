import type { Rmm } from '../rmm.ts'
import type { DutyHealth, Health, ProcessHealth } from '../types.ts'
import type { Core, Settings } from './core.ts'
import { keysInUse } from './platform/index.ts'
import { type Allowances, readHealth } from './store/index.ts'
import type { Ticker } from './ticker.ts'

/** A run that waits for longer, though its time has come, is waited for by nobody. */
const queueMs = 15 * 60_000
/** Ticks and processes are not in step: what is overdue by less is on its way. */
const leastLateMs = 10_000
/** A duty that is overdue by more hangs. */
const hangsMs = 5 * 60_000
/** Health is asked often, and every stored value looked at is a row. */
const keysKeptMs = 60_000

/** From when on something is late or stuck, with these settings. */
export function allowancesOf({ tickMs, leaseMs }: Pick<Settings, 'tickMs' | 'leaseMs'>): Allowances {
  return { schedulesMs: Math.max(2 * tickMs, leastLateMs), leaseMs: Math.max(leaseMs, 4 * tickMs), queueMs }
}

export function createHealth(core: Core, ticker: Ticker): Rmm['health'] {
  const allowances = allowancesOf(core.settings)
  let known: { at: number; missingKeys: Promise<Health['keys']['missing']> } | null = null

  async function missingKeys(tenantId: string | null) {
    return (await keysInUse(core, tenantId))
      .filter(({ opens }) => !opens)
      .map(({ keyId, values }) => ({ keyId, values }))
  }

  function missingKeysOfAll() {
    if (known === null || performance.now() - known.at > keysKeptMs) {
      const asked = { at: performance.now(), missingKeys: missingKeys(null) }
      known = asked
      asked.missingKeys.catch(() => {
        if (known === asked) known = null
      })
    }
    return known.missingKeys
  }

  function health(tenantId: string): Promise<Health>
  function health(): Promise<ProcessHealth>
  async function health(tenantId?: string): Promise<Health> {
    const found = {
      ...(await readHealth(core.database, tenantId ?? null, allowances)),
      keys: { missing: await (tenantId === undefined ? missingKeysOfAll() : missingKeys(tenantId)) }
    }
    if (tenantId !== undefined) return { ok: isWell(found), ...found }
    const duties = ticker.duties()
    const process: ProcessHealth = { ok: isWell(found) && duties.every(works), ...found, duties }
    return process
  }
  return health
}

function isWell({ schedules, runs, deliveries, sinks, connections, keys }: Omit<Health, 'ok'>): boolean {
  return (
    schedules.late + runs.stuck + deliveries.dead + connections.error + keys.missing.length === 0 &&
    sinks.every(({ failures, served, pending }) => failures === 0 && (served || pending === 0))
  )
}

const works = ({ failures, lateMs }: DutyHealth): boolean => failures === 0 && lateMs < hangsMs
