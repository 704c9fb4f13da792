import type { DutyHealth } from '../types.ts'
import { waitAtMost } from '../waits.ts'
import type { Core } from './core.ts'
import { publishDuty } from './diagnostics.ts'
import { messageOf } from '../log.ts'

/** Something this process does again and again, whatever else it does. */
export interface Duty {
  /** Names it in health, metrics and logs. */
  name: string
  /** From the start of one turn to the start of the next, in milliseconds. @default `engine.tickMs` */
  everyMs?: number
  /** One turn: a bounded piece of the work. True where there is more: the next turn follows at once. */
  turn(): Promise<boolean | void>
}

export interface Ticker {
  start(): void
  /** One turn of every duty, beginning after this call; for tests and for hosts that bring their own clock. */
  tick(): Promise<void>
  /** No further turns; resolves when those under way have ended, or after `graceMs`. */
  stop(graceMs: number): Promise<void>
  /** Empty before `start`. */
  duties(): DutyHealth[]
}

/**
 * The one clock of the engine, in every process. Every duty is a loop of its own: it is started, never waited for, so
 * that one that is slow, or hangs, delays only itself. Who acts is decided in PostgreSQL: any number of processes may
 * tick.
 */
export function createTicker(core: Core, duties: readonly Duty[]): Ticker {
  const loops = duties.map(duty => createLoop(core, duty))
  let started = false
  return {
    start() {
      started = true
      for (const loop of loops) loop.start()
    },
    async tick() {
      await Promise.all(loops.map(loop => loop.once()))
    },
    async stop(graceMs) {
      const ended = Promise.all(loops.map(loop => loop.stop()))
      await waitAtMost(graceMs, ended)
    },
    duties: () => (started ? loops.map(loop => loop.state()) : [])
  }
}

interface Loop {
  start(): void
  once(): Promise<void>
  stop(): Promise<void>
  state(): DutyHealth
}

/** However long a turn took, the rest of the process gets this share of the pace before the next. */
const leastPause = 0.25

function createLoop(core: Core, { name, everyMs = core.settings.tickMs, turn }: Duty): Loop {
  let timer: NodeJS.Timeout | undefined
  let under: Promise<void> | undefined
  let stopped = false
  let dueAt = 0
  let startedAt: number | null = null
  let endedAt: number | null = null
  let failures = 0
  let lastError: string | null = null

  function failed(error: unknown): void {
    if (core.signal.aborted) return
    failures++
    lastError = messageOf(error)
    // Said once: a database that is away for an hour would fill the log, and `health` tells the rest.
    core.log[failures === 1 ? 'warn' : 'debug'](
      { err: error, duty: name, failures },
      `${name} failed; it is tried again`
    )
  }

  /** Resolves with the pause until the next turn. */
  async function takeTurn(): Promise<number> {
    startedAt = Date.now()
    const lateMs = dueAt === 0 ? 0 : Math.max(0, startedAt - dueAt)
    // Jitter, so that processes started together do not tick together.
    dueAt = startedAt + everyMs * (0.75 + Math.random() / 2)
    const tell = (phase: 'started' | 'ended', error: string | null): void =>
      publishDuty(() => ({ duty: name, phase, lateMs, durationMs: Date.now() - startedAt!, error }))
    tell('started', null)
    let more: boolean | void = false
    let error: string | null = null
    try {
      more = await turn()
      failures = 0
      lastError = null
    } catch (thrown) {
      failed(thrown)
      error = messageOf(thrown)
    }
    endedAt = Date.now()
    tell('ended', error)
    if (more !== true) return Math.max(dueAt - endedAt, everyMs * leastPause)
    dueAt = endedAt
    return 0
  }

  function run(): Promise<void> {
    clearTimeout(timer)
    under = takeTurn().then(pause => {
      under = undefined
      if (armed) arm(pause)
    })
    return under
  }

  let armed = false
  function arm(ms: number): void {
    if (stopped || core.signal.aborted) return
    timer = setTimeout(() => void run(), ms).unref()
  }

  return {
    start() {
      armed = true
      if (under === undefined) void run()
    },
    async once() {
      await under
      if (!stopped && !core.signal.aborted) await (under ?? run())
    },
    async stop() {
      stopped = true
      clearTimeout(timer)
      await under
    },
    state: () => ({
      name,
      lastStartAt: startedAt === null ? null : new Date(startedAt).toISOString(),
      lastEndAt: endedAt === null ? null : new Date(endedAt).toISOString(),
      running: under !== undefined,
      lateMs: dueAt === 0 || stopped ? 0 : Math.max(0, Date.now() - dueAt),
      failures,
      lastError
    })
  }
}
