import { hash } from 'node:crypto'
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

export function text(value: unknown, max: number = maxTextLength): string | null {
  if (typeof value !== 'string') return null
  const cleaned = clean(value).trim()
  if (cleaned === '') return null
  return cleaned.length > max ? cleaned.slice(0, max).toWellFormed() : cleaned
}

/** Ids are taken as they are or not at all. Throws with the reason. */
export function id(value: unknown, what: string): string {
  if (typeof value !== 'string' || value === '') throw new Error(`${what} is missing or not text`)
  if (value.length > maxIdLength) throw new Error(`${what} is longer than ${maxIdLength} characters`)
  if (clean(value) !== value) throw new Error(`${what} has characters that cannot be stored`)
  return value
}

export function optionalId(value: unknown, what: string): string | null {
  return value === null || value === undefined ? null : id(value, what)
}

export function whole(value: unknown, max: number = maxSafe): number | null {
  if (typeof value !== 'number' || !Number.isFinite(value) || value < 0) return null
  return Math.min(Math.round(value), max)
}

/** A time between 1970 and 9999. */
export function moment(value: unknown): Date | null {
  if (!(value instanceof Date)) return null
  const ms = value.getTime()
  return ms >= 0 && ms < firstOf10000 ? value : null
}

export function time(value: unknown): string | null {
  return moment(value)?.toISOString() ?? null
}

export function texts(value: unknown): string[] | null {
  if (!Array.isArray(value)) return null
  return value.map(item => text(item, maxNameLength)).filter(item => item !== null)
}

/** Short enough to be stored with every row; equal texts, equal hash. */
export function hashText(text: string): string {
  return hash('md5', text, 'base64url')
}
