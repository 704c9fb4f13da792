import type { Misread, Note, RecordId, RejectedRecord } from './records.ts'

const longestExample = 120

/** Gathers what cannot be read, one entry per field however often it comes. */
export interface Misreadings {
  /** Notes for one record; the id is told where an example is of it. */
  of(externalId: RecordId | null): Note
  list(): Misread[]
}

/** What a value looks like in a sentence. */
export function exampleOf(value: unknown): string {
  let text: string | undefined
  try {
    text = typeof value === 'bigint' ? String(value) : JSON.stringify(value)
  } catch {}
  const shown = text ?? String(value)
  return shown.length > longestExample ? `${shown.slice(0, longestExample).toWellFormed()}…` : shown
}

export function misreadings(): Misreadings {
  const byField = new Map<string, Misread>()
  return {
    of: externalId => (field, value) => {
      const known = byField.get(field)
      if (known === undefined) byField.set(field, { field, count: 1, example: exampleOf(value), externalId })
      else known.count++
    },
    list: () => [...byField.values()]
  }
}

export function isRecordId(value: unknown): value is RecordId {
  return (typeof value === 'string' && value !== '') || typeof value === 'bigint' || Number.isSafeInteger(value)
}

/** What is called a record by an id that is none is no record. */
function requireId(record: unknown): void {
  if (typeof record === 'object' && record !== null && 'externalId' in record && !isRecordId(record.externalId))
    throw new Error(`the record has no usable id (${exampleOf(record.externalId)})`)
}

/**
 * Maps every raw record of a page; one that throws is rejected with its reason, the rest go on.
 *
 * ```ts
 * yield { observedAt, ...mapRecords(rows, row => row.id, (row, note) => toDevice(values.of(row, note))) }
 * ```
 *
 * @param id the raw record's id, a text, a whole number or a bigint; a record without one makes the read doubtful
 * @param map makes the record; `note` tells that a field could not be read, see `values`
 */
export function mapRecords<Raw, R>(
  raw: readonly Raw[],
  id: (record: Raw) => unknown,
  map: (record: Raw, note: Note) => R
): { records: R[]; rejected: RejectedRecord[]; misread: Misread[] } {
  const records: R[] = []
  const rejected: RejectedRecord[] = []
  const misread = misreadings()
  const idOf = (record: Raw): RecordId | null => {
    try {
      const externalId = id(record)
      return isRecordId(externalId) ? externalId : null
    } catch {
      return null
    }
  }
  for (const record of raw) {
    try {
      const mapped = map(record, (field, value) => misread.of(idOf(record))(field, value))
      requireId(mapped)
      records.push(mapped)
    } catch (error) {
      rejected.push({
        externalId: idOf(record),
        reason: error instanceof Error ? error.message : String(error)
      })
    }
  }
  return { records, rejected, misread: misread.list() }
}
