import type { Outcome, UsableHint } from '../model/index.ts'
import type { DeliveryRow } from '../store/index.ts'

/** A delivery of which everything is known. */
export interface Known {
  row: DeliveryRow
  parts: Map<string, Outcome>
}

/** Deliveries that are worked on together, by what they are about. Each is known when its last part is. */
export interface Batch {
  /** Subjects of which nothing is known yet. */
  open(): string[]
  hints(subject: string): UsableHint[]
  /** What came of a subject; the deliveries that are known with it. */
  tell(subject: string, outcome: Outcome): Known[]
  /** The same for everything that is open. */
  rest(outcome: Outcome): Known[]
  /** Deliveries about nothing. */
  empty(): Known[]
}

export function createBatch(
  rows: readonly DeliveryRow[],
  subjectsOf: ReadonlyMap<string, ReadonlyMap<string, UsableHint[]>>
): Batch {
  const open = new Map<string, { rows: DeliveryRow[]; hints: UsableHint[] }>()
  const known = new Map<string, Map<string, Outcome>>()
  const parts = new Map<string, number>()
  for (const row of rows) {
    const all = [...(subjectsOf.get(row.id) ?? [])]
    const left = all.filter(([subject]) => row.open === null || row.open.includes(subject))
    // What is one subject may have changed since with the provider: then all of it is done again.
    const own = left.length === 0 ? all : left
    known.set(row.id, new Map())
    parts.set(row.id, own.length)
    for (const [subject, hints] of own) {
      const one = open.get(subject) ?? { rows: [], hints: [] }
      one.rows.push(row)
      one.hints.push(...hints)
      open.set(subject, one)
    }
  }

  function tell(subject: string, outcome: Outcome): Known[] {
    const { rows: about = [] } = open.get(subject) ?? {}
    open.delete(subject)
    return about.flatMap(row => {
      const own = known.get(row.id)!.set(subject, outcome)
      return own.size === parts.get(row.id) ? [{ row, parts: own }] : []
    })
  }

  return {
    open: () => [...open.keys()],
    hints: subject => open.get(subject)?.hints ?? [],
    tell,
    rest: outcome => [...open.keys()].flatMap(subject => tell(subject, outcome)),
    empty: () => rows.filter(row => parts.get(row.id) === 0).map(row => ({ row, parts: new Map() }))
  }
}
