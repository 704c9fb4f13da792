import type { Misread } from '../../../providers/define.ts'
import { clean } from './field-values.ts'
import { shownId } from './records.ts'

/** Fields that a page could not tell, as a run keeps them: one entry each. */
export interface StoredMisread {
  field: string
  count: number
  example: string
  externalId: string | null
}

const mostFields = 50
const longestField = 100
const longestExample = 200

const short = (value: unknown, length: number): string => clean(String(value)).slice(0, length).toWellFormed()

/** Puts together what was noted of the same field; what is no note is left out. */
export function mergeMisread(notes: readonly Misread[]): StoredMisread[] {
  const byField = new Map<string, StoredMisread>()
  for (const note of notes) {
    if (typeof note?.field !== 'string' || !Number.isSafeInteger(note.count) || note.count < 1) continue
    const field = short(note.field, longestField)
    const known = byField.get(field)
    if (known !== undefined) known.count += note.count
    else if (byField.size < mostFields)
      byField.set(field, {
        field,
        count: note.count,
        example: short(note.example, longestExample),
        externalId: shownId(note.externalId)
      })
  }
  return [...byField.values()]
}

/** What the items of a run say of it. */
export function misreadSentence(field: string, count: number, example: string): string {
  return `'${field}' came in a form that cannot be read, ${count === 1 ? 'once' : `${count} times`}, e.g. ${example}: taken as not told`
}
