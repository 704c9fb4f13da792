import type { Note } from './records.ts'

/**
 * Reading what a platform tells, without believing it: what is documented is read, everything else counts as not
 * told. Nothing here throws. The three answers of a field come out as they are meant: a value; `null`, told that there
 * is none (null and blank text); `undefined`, not told, or told in a form that cannot be read.
 *
 * ```ts
 * mapRecords(rows, row => row.id, (row, note) => {
 *   const read = values.of(row, note)
 *   return { externalId: row.id, displayName: read.text('name') ?? row.id, ramBytes: read.integer('memory') }
 * })
 * ```
 */

/** Hears of a value that cannot be read. */
export type Wrong = (value: unknown) => void
type Told<T> = T | null | undefined

const quiet: Wrong = () => {}
const refuse = (value: unknown, wrong: Wrong): undefined => {
  wrong(value)
  return undefined
}

export const isObject = (value: unknown): value is Record<string, unknown> =>
  typeof value === 'object' && value !== null && !Array.isArray(value)

export interface TextOptions {
  /** Numbers are read as well: of what platforms tell in both types, such as versions. Default false. */
  numbers?: boolean
  /** One line of at most 255 characters, control characters are blanks: for names. Default false. */
  line?: boolean
}

const longestLine = 255

/** Trimmed text that can be stored. */
export function text(
  value: unknown,
  wrong: Wrong = quiet,
  { numbers = false, line = false }: TextOptions = {}
): Told<string> {
  if (value === null || value === undefined) return value
  if (numbers && typeof value === 'number' && Number.isFinite(value)) return String(value)
  if (typeof value !== 'string') return refuse(value, wrong)
  const clean = value.toWellFormed().replaceAll('\0', '')
  if (!line) return clean.trim() || null
  const short = clean.slice(0, 4 * longestLine).replace(/\p{Cc}+/gu, ' ')
  return short.trim().slice(0, longestLine).toWellFormed().trim() || null
}

/** An id, of the record itself or of another one: text, whole numbers and bigints. Blank text is none of them. */
export function id(value: unknown, wrong: Wrong = quiet): Told<string> {
  if (value === null || value === undefined) return value
  if (typeof value === 'bigint' || Number.isSafeInteger(value)) return String(value)
  return typeof value === 'string' && value.trim() !== '' ? value : refuse(value, wrong)
}

const numberOf = (value: unknown): unknown =>
  typeof value === 'string' && /^\d{1,18}(\.\d+)?$/.test(value.trim()) ? Number(value) : value

/** A whole number from 0 to `max`, also from digits in a text; fractions are rounded. */
export function integer(
  value: unknown,
  wrong: Wrong = quiet,
  { max = Number.MAX_SAFE_INTEGER }: { max?: number } = {}
): Told<number> {
  if (value === null || value === undefined) return value
  const number = numberOf(value)
  return typeof number === 'number' && number >= 0 && Math.round(number) <= max
    ? Math.round(number)
    : refuse(value, wrong)
}

/** A duration in whole seconds. */
export function seconds(value: unknown, wrong: Wrong = quiet): Told<number> {
  if (value === null || value === undefined) return value
  const number = numberOf(value)
  return typeof number === 'number' && number >= 0 && number <= Number.MAX_SAFE_INTEGER
    ? Math.floor(number)
    : refuse(value, wrong)
}

export function boolean(value: unknown, wrong: Wrong = quiet): Told<boolean> {
  return value === null || value === undefined || typeof value === 'boolean' ? value : refuse(value, wrong)
}

export interface TimeOptions {
  /** The platform tells seconds or milliseconds since 1970. Default: text with a date. */
  epoch?: 's' | 'ms'
}

const msPerUnit = { s: 1000, ms: 1 } as const
/** Earlier ones say "never": year 1, or 1970. */
const earliest = Date.UTC(1980, 0)
const latest = Date.UTC(10_000, 0)

const dateTime =
  /^(\d{4})([-/])(\d\d?)\2(\d\d?)(?:[T ]+(\d\d?):(\d\d)(?::(\d\d)(?:[.,](\d+))?)?\s*(Z|UTC|GMT|[+-]\d\d(?::?\d\d)?)?)?$/i
/** As mail headers and HTTP have it; only with a zone. */
const withZone = /^([a-z]{3},? )?\d{1,2} [a-z]{3} \d{4} \d\d:\d\d(:\d\d)? (gmt|utc|z|[+-]\d{4})$/i

/** Minutes that a zone is ahead of UTC; without one the time is UTC, never the process's. */
function offsetOf(zone: string | undefined): number {
  const [, sign, hours, minutes = '0'] = /^([+-])(\d\d):?(\d\d)?$/.exec(zone ?? '') ?? []
  return sign === undefined ? 0 : (sign === '-' ? -1 : 1) * (Number(hours) * 60 + Number(minutes))
}

/** Milliseconds since 1970, or NaN for what is no time, such as 30 February. */
function parse(value: string): number {
  const [, year, , month, day, hour = '0', minute = '0', second = '0', fraction = '0', zone] =
    dateTime.exec(value) ?? []
  if (year === undefined) return withZone.test(value) ? Date.parse(value) : Number.NaN
  const parts = [Number(year), Number(month) - 1, Number(day), Number(hour), Number(minute), Number(second)] as const
  const local = new Date(Date.UTC(...parts, Math.floor(Number(`0.${fraction}`) * 1000)))
  local.setUTCFullYear(parts[0], parts[1], parts[2])
  const same =
    local.getUTCMonth() === parts[1] &&
    local.getUTCDate() === parts[2] &&
    local.getUTCHours() === parts[3] &&
    local.getUTCMinutes() === parts[4] &&
    local.getUTCSeconds() === parts[5]
  return same ? local.getTime() - offsetOf(zone) * 60_000 : Number.NaN
}

/**
 * A moment. Text has to have a year first and four digits of it, `2026-11-21T14:10:00Z`, `2026/11/21 14:10`, or be as in
 * mail headers; without a zone it is UTC.
 */
export function time(value: unknown, wrong: Wrong = quiet, { epoch }: TimeOptions = {}): Told<Date> {
  if (value === null || value === undefined || value === '') return value === '' ? null : value
  const number = numberOf(value)
  const ms =
    value instanceof Date
      ? value.getTime()
      : epoch !== undefined
        ? typeof number === 'number'
          ? number * msPerUnit[epoch]
          : Number.NaN
        : typeof value === 'string'
          ? parse(value.trim())
          : Number.NaN
  if (!(ms < latest)) return refuse(value, wrong)
  return ms < earliest ? null : new Date(ms)
}

/** The entries of a list; those that are nothing, or that `each` cannot read, are left out. */
export function list<T = string>(
  value: unknown,
  each: (entry: unknown, wrong: Wrong) => Told<T>,
  wrong: Wrong = quiet
): Told<T[]> {
  if (value === null || value === undefined) return value
  if (!Array.isArray(value)) return refuse(value, wrong)
  return value.map(entry => each(entry, wrong)).filter(entry => entry !== null && entry !== undefined) as T[]
}

/** One of the words, whatever its case; with a table, what it stands for there. */
export function oneOf<const W extends string>(value: unknown, words: readonly W[], wrong?: Wrong): Told<W>
export function oneOf<T>(value: unknown, words: Readonly<Record<string, T>>, wrong?: Wrong): Told<T>
export function oneOf(
  value: unknown,
  words: readonly string[] | Readonly<Record<string, unknown>>,
  wrong: Wrong = quiet
): unknown {
  const word = text(value, wrong)
  if (word === null || word === undefined) return word
  const table = Array.isArray(words) ? Object.fromEntries(words.map(each => [each, each])) : words
  const known = Object.keys(table).find(each => each.toLowerCase() === word.toLowerCase())
  return known === undefined ? refuse(value, wrong) : (table as Record<string, unknown>)[known]
}

/** Reads the fields of one record; what cannot be read is noted with the field's path. */
export interface Reader {
  /** The record itself; empty where there is none. */
  readonly raw: Readonly<Record<string, unknown>>
  text(field: string, options?: TextOptions): Told<string>
  id(field: string): Told<string>
  integer(field: string, options?: { max?: number }): Told<number>
  seconds(field: string): Told<number>
  time(field: string, options?: TimeOptions): Told<Date>
  boolean(field: string): Told<boolean>
  /** Texts, where `each` does not say otherwise. */
  list<T = string>(field: string, each?: (entry: unknown, wrong: Wrong) => Told<T>): Told<T[]>
  oneOf<const W extends string>(field: string, words: readonly W[]): Told<W>
  oneOf<T>(field: string, words: Readonly<Record<string, T>>): Told<T>
  /** An object within the record; one without fields where it is not told. */
  object(field: string): Reader
  /** The objects of a list within the record. */
  objects(field: string): Told<Reader[]>
}

/**
 * A reader of `record`; of what is no object it has no fields.
 * @param note gets the name of a field that could not be read, as `mapRecords` hands it out
 */
export function of(record: unknown, note?: Note): Reader {
  return readerAt(record, note, '')
}

function readerAt(record: unknown, note: Note | undefined, path: string): Reader {
  const raw = isObject(record) ? record : {}
  const pathOf = (field: string): string => (path === '' ? field : `${path}.${field}`)
  const wrong = (field: string): Wrong => (note === undefined ? quiet : value => note(pathOf(field), value))
  const told = (field: string): unknown => (Object.hasOwn(raw, field) ? raw[field] : undefined)
  const within = (value: unknown, field: string): Reader => {
    if (value !== null && value !== undefined && !isObject(value)) wrong(field)(value)
    return readerAt(value, note, pathOf(field))
  }
  return {
    raw,
    text: (field, options) => text(told(field), wrong(field), options),
    id: field => id(told(field), wrong(field)),
    integer: (field, options) => integer(told(field), wrong(field), options),
    seconds: field => seconds(told(field), wrong(field)),
    time: (field, options) => time(told(field), wrong(field), options),
    boolean: field => boolean(told(field), wrong(field)),
    list: (field: string, each: (entry: unknown, wrong: Wrong) => unknown = text) =>
      list(told(field), each as never, wrong(field)),
    oneOf: (field: string, words: never) => oneOf(told(field), words, wrong(field)),
    object: field => within(told(field), field),
    objects: field =>
      list(
        told(field),
        entry => (isObject(entry) || entry == null ? entry : refuse(entry, wrong(field))),
        wrong(field)
      )?.map(entry => within(entry, field))
  }
}
