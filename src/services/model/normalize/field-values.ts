import { hash } from 'node:crypto'
import type { Note } from '../../../providers/define.ts'
import { isPlain, storable } from '../stable-json.ts'
import { reserved } from '../row-text.ts'

/** Readers of single values: what a provider says in, what PostgreSQL takes out. */

export const maxIdLength = 500
export const maxNameLength = 255
const maxTextLength = 4000
const maxSafe = Number.MAX_SAFE_INTEGER
export const maxInt = 2_147_483_647
const firstOf10000 = 253_402_300_800_000

/** Without what PostgreSQL's text does not have, and without what separates fields on the way there. */
export function clean(value: string): string {
  if (isPlain(value)) return value
  return reserved.reduce(
    (text, character) => (text.includes(character) ? text.replaceAll(character, '') : text),
    storable(value)
  )
}

/** For who does not want to know what could not be read. */
export const ignored: Note = () => {}

/** A text that says that there is none; no other normalized text is empty. */
export const none = ''

export const isObject = (value: unknown): value is Record<string, unknown> =>
  typeof value === 'object' && value !== null && !Array.isArray(value)

/** Of every reader here: not told, which nobody needs to hear of. */
const untold = (value: unknown): value is null | undefined => value === null || value === undefined

export function text(value: unknown, max: number = maxTextLength, field = '', note: Note = ignored): string | null {
  if (typeof value !== 'string') {
    if (!untold(value)) note(field, value)
    return null
  }
  const cleaned = clean(value).trim()
  if (cleaned === '') return null
  return cleaned.length > max ? cleaned.slice(0, max).toWellFormed() : cleaned
}

/**
 * An id as text; platforms number theirs, too. Null for what is none: nothing, blanks, a number that is not exact, another
 * type, or text that cannot be stored.
 */
export function idText(value: unknown): string | null {
  const told =
    typeof value === 'bigint' || (typeof value === 'number' && Number.isSafeInteger(value)) ? String(value) : value
  return typeof told === 'string' && told.trim() !== '' && told.length <= maxIdLength && clean(told) === told
    ? told
    : null
}

/** Ids are taken as they are or not at all. Throws with the reason. */
export function id(value: unknown, what: string): string {
  const told = idText(value)
  if (told !== null) return told
  if (typeof value === 'number') throw new Error(`${what} is ${value}, which is no exact whole number`)
  if (typeof value !== 'string' || value.trim() === '') throw new Error(`${what} is missing or not text`)
  if (value.length > maxIdLength) throw new Error(`${what} is longer than ${maxIdLength} characters`)
  throw new Error(`${what} has characters that cannot be stored`)
}

/**
 * What a record says of another one by its id: null where it is told that there is none, undefined where it is not
 * told. What is no id is not told, and noted.
 */
export function reference(value: unknown, field: string, note: Note): string | null | undefined {
  if (value === null || value === undefined) return value
  const told = idText(value)
  if (told !== null) return told
  note(field, value)
  return undefined
}

export function whole(value: unknown, max: number = maxSafe, field = '', note: Note = ignored): number | null {
  if (typeof value === 'number' && Number.isFinite(value) && value >= 0) return Math.min(Math.round(value), max)
  if (!untold(value)) note(field, value)
  return null
}

export function truth(value: unknown, field: string, note: Note): boolean | null {
  if (typeof value === 'boolean') return value
  if (!untold(value)) note(field, value)
  return null
}

/** A time between 1970 and 9999. */
export function moment(value: unknown, field = '', note: Note = ignored): Date | null {
  const ms = value instanceof Date ? value.getTime() : Number.NaN
  if (ms >= 0 && ms < firstOf10000) return value as Date
  if (!untold(value)) note(field, value)
  return null
}

/** A time that has been: one in the future, by whichever clock, is now. */
export function pastMoment(value: unknown, now: Date, field = '', note: Note = ignored): Date | null {
  const told = moment(value, field, note)
  return told !== null && told > now ? now : told
}

export function texts(value: unknown, field = '', note: Note = ignored): string[] | null {
  if (Array.isArray(value))
    return value.map(item => text(item, maxNameLength, field, note)).filter(item => item !== null)
  if (!untold(value)) note(field, value)
  return null
}

/** Short enough to be stored with every row; equal texts, equal hash. */
export function hashText(text: string): string {
  return hash('md5', text, 'base64url')
}
