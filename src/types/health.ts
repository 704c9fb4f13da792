/** What waits, and whether what runs by itself does. */

/** What waits, is late or failed; `ok` where none of it needs a person. */
export interface Health {
  ok: boolean
  schedules: {
    /** Connections whose sync was due a while ago and was not started. */
    late: number
    /** How long the one that waits longest is overdue; null where none is late. */
    oldestMs: number | null
  }
  runs: {
    /** Queued or interrupted: somebody will take them up. */
    waiting: number
    /** Nobody works on them although somebody should. */
    stuck: number
  }
  deliveries: { pending: number; dead: number; oldestMs: number | null }
  sinks: SinkHealth[]
  /** Connections in status `error`. */
  connections: { error: number }
  keys: {
    /** Keys that stored secrets were sealed with and the secret box does not have, with how many values need each. */
    missing: Array<{ keyId: string | null; values: number }>
  }
}

export interface SinkHealth {
  name: string
  /** Events it has not taken. */
  pending: number
  /** Age of the oldest of them. */
  oldestMs: number | null
  /** Attempts that failed since the last that took something. */
  failures: number
  /** Whether a process takes events to it. */
  served: boolean
}

/** The same over all tenants, and what this process does by itself. */
export interface ProcessHealth extends Health {
  /** Empty where the process has no worker. */
  duties: DutyHealth[]
}

/** How a duty of this process is doing. */
export interface DutyHealth {
  name: string
  /** Null before the first turn. */
  lastStartAt: string | null
  lastEndAt: string | null
  /** A turn is under way. */
  running: boolean
  /** By how much the next turn, or the end of the one under way, is overdue. */
  lateMs: number
  /** Turns that failed since the last that did not. */
  failures: number
  lastError: string | null
}
