/*
 * The inbox: when a subject (a device, an alert, a whole list) has failed on its own, when the platform is down, and
 * what becomes of a delivery that tells of several subjects.
 */

/**
 * What an attempt at a subject says.
 * `wait`: nothing failed, it is only not the time for it. `account`: whatever is asked next would be answered the same
 * way. `silent`: no usable answer; about this subject or about the platform, that is not known yet. `answered`: the
 * platform answered, and it is about this subject. `ours`: the platform is not part of it.
 */
export type Fault = 'wait' | 'account' | 'silent' | 'answered' | 'ours'

export interface Setback {
  fault: Fault
  reason: string
  /** Not before this time, in milliseconds: as the platform told, or as is known here. */
  retryMs: number
}

/** What is known of a part of a delivery after a round. */
export type Outcome =
  | { kind: 'done' }
  /** Its subject failed before; that is tried again alone, and this waits for it. */
  | { kind: 'parked'; reason: string | null }
  | { kind: 'wait'; reason: string | null; retryMs: number }
  /** The platform is down, and the whole connection waits. */
  | { kind: 'down'; reason: string }
  | { kind: 'failed'; reason: string; fault: 'silent' | 'answered' | 'ours' }

/** Different subjects that gave no answer, without one that did in between, after which the platform is down. */
export const severalSilent = 3

export interface Judge {
  /** Takes in what an attempt came to, and returns the subjects of which it is known now that they failed alone. */
  tell(subject: string, trouble: Setback | null): Array<{ subject: string; trouble: Setback }>
  /** No more attempts: those not told of yet failed alone, or with the platform. */
  end(): Array<{ subject: string; trouble: Setback }>
  /** Why nothing more is to be asked in this round. */
  down(): Setback | null
}

/** Tells a subject that fails from a platform that does. `failing`: it was down before, so that one silence says so. */
export function createJudge(failing: boolean): Judge {
  const suspects = new Map<string, Setback>()
  let down: Setback | null = null
  const clear = (): Array<{ subject: string; trouble: Setback }> => {
    const alone = [...suspects].map(([subject, trouble]) => ({ subject, trouble }))
    suspects.clear()
    return alone
  }
  return {
    tell(subject, trouble) {
      if (trouble === null) return clear()
      if (trouble.fault === 'account') down ??= trouble
      if (trouble.fault !== 'silent') return []
      suspects.set(subject, trouble)
      if (failing || suspects.size >= severalSilent) down ??= trouble
      return []
    },
    end: clear,
    down: () => down
  }
}

const firstRetryMs = 2_000
const slowestRetryMs = 900_000
const slowestProbeMs = 60_000

/** Milliseconds until a subject, or the platform, is tried again after so many failures in a row; before jitter. */
export function retryAfter(failures: number, { fault, retryMs }: Setback, whole: boolean): number {
  // Refused secrets count towards a lock-out; silence costs a request a minute.
  const slowest = whole && fault === 'silent' ? slowestProbeMs : slowestRetryMs
  return Math.max(Math.min(firstRetryMs * 2 ** Math.min(failures, 20), slowest), retryMs)
}

/** Failures of a delivery's own subjects until it is dead: of ours after some minutes, of the platform's after hours. */
export const mostFailures = { ours: 8, silent: 24, answered: 24 } as const
/** However little it was tried: by then a sync has read what it tells of, or nobody can. */
export const oldestMs = 24 * 3_600_000

export interface Waiting {
  /** Failures of its own subjects so far. */
  failures: number
  /** Since when it waits, in milliseconds. */
  ageMs: number
}

export interface Verdict {
  status: 'pending' | 'done' | 'dead'
  /** Subjects that are not done. */
  open: string[]
  /** Those of them that are tried again alone. The others are tried with the next round. */
  waitsFor: string[]
  reason: string | null
  /** Whether it was tried. */
  tried: boolean
  /** Whether it failed by its own subjects. */
  failed: boolean
  /** When the next round for it is, where it needs one. */
  retryMs: number
}

/** What becomes of a delivery whose parts came to this. */
export function judgeDelivery(parts: ReadonlyMap<string, Outcome>, { failures, ageMs }: Waiting): Verdict {
  const left = [...parts].filter(([, { kind }]) => kind !== 'done')
  const failed = left.flatMap(([subject, part]) => (part.kind === 'failed' ? [{ subject, ...part }] : []))
  const down = left.flatMap(([, part]) => (part.kind === 'down' ? [part] : []))[0]
  const waits = left.flatMap(([, part]) => (part.kind === 'wait' ? [part] : []))
  const parked = left.flatMap(([subject, part]) =>
    part.kind === 'parked' && part.reason !== null ? [`${nameOf(subject)}: ${part.reason}`] : []
  )
  const isDead =
    failed.some(({ fault }) => failures + 1 >= mostFailures[fault]) ||
    ((failed.length > 0 || down !== undefined) && ageMs >= oldestMs)
  return {
    status: left.length === 0 ? 'done' : isDead ? 'dead' : 'pending',
    open: left.map(([subject]) => subject),
    waitsFor: left.flatMap(([subject, { kind }]) => (kind === 'failed' || kind === 'parked' ? [subject] : [])),
    reason:
      failed.length > 0
        ? `${nameOf(failed[0]!.subject)}: ${failed[0]!.reason}`
        : (down?.reason ?? parked[0] ?? waits[0]?.reason ?? null),
    tried: left.length < parts.size || failed.length > 0 || down !== undefined,
    failed: failed.length > 0,
    retryMs: waits.length === 0 ? 0 : Math.min(...waits.map(({ retryMs }) => retryMs))
  }
}

/** A resource and an id; without an id the whole list. */
export const subjectOf = (resource: string, externalId = ''): string => `${resource}|${externalId}`

/** Whether a subject is a whole list. */
export const isList = (subject: string): boolean => subject.indexOf('|') === subject.length - 1

/** As a person reads it. */
function nameOf(subject: string): string {
  const at = subject.indexOf('|')
  const id = subject.slice(at + 1)
  return id === '' ? subject.slice(0, at) : `${subject.slice(0, at)} ${id}`
}
