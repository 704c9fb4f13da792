/**
 * Reading values that may be missing, null or of the wrong type: nothing here throws, null means "not told".
 */
export type Raw = Record<string, unknown>

export const isObject = (value: unknown): value is Raw =>
  typeof value === 'object' && value !== null && !Array.isArray(value)

/** The object under a key; empty where there is none. */
export const objectOf = (value: unknown): Raw => (isObject(value) ? value : {})

/** The objects in a list, or null where it is not a list. */
export const objectsOf = (value: unknown): Raw[] | null => (Array.isArray(value) ? value.filter(isObject) : null)

/** Trimmed text without NUL and lone surrogates, which PostgreSQL stores neither in text nor in JSON. */
export function text(value: unknown): string | null {
  if (typeof value !== 'string') return null
  return value.toWellFormed().replaceAll('\0', '').trim() || null
}

/** Text, also from a number: versions come as either. */
export const textOrNumber = (value: unknown): string | null =>
  typeof value === 'number' && Number.isFinite(value) ? String(value) : text(value)

/** A whole number from 0 to `max`, rounded; also from digits in a string. */
export function whole(value: unknown, max = Number.MAX_SAFE_INTEGER): number | null {
  const number = typeof value === 'string' && /^\d+(\.\d+)?$/.test(value) ? Number(value) : value
  if (typeof number !== 'number' || !(number >= 0)) return null
  const rounded = Math.round(number)
  return rounded <= max ? rounded : null
}

const earliest = Date.UTC(1980, 0)
const latest = Date.UTC(10_000, 0)

/** A time from ISO 8601 text, UTC where no zone is given. Null for junk such as year 1. */
export function time(value: unknown): Date | null {
  if (typeof value !== 'string') return null
  const date = new Date(/^\d{4}-\d\d-\d\d[T ][\d:.]+$/.test(value) ? `${value}Z` : value)
  const at = date.getTime()
  return at >= earliest && at < latest ? date : null
}

export const truth = (value: unknown): boolean | null => (typeof value === 'boolean' ? value : null)

/** Strings of a list without repeats, or null where it is not a list. Entries with a `name` count by it. */
export function texts(value: unknown): string[] | null {
  if (!Array.isArray(value)) return null
  return [...new Set(value.map(entry => text(isObject(entry) ? entry['name'] : entry)).filter(entry => entry !== null))]
}

/** Any scalar as it came, cleaned so that it can be stored as JSON. */
export function scalar(value: unknown): string | number | boolean | null {
  if (typeof value === 'boolean') return value
  if (typeof value === 'number') return Number.isFinite(value) ? value : null
  return text(value)
}

const camel = (name: string) => name.replace(/_([a-z])/g, (_, letter: string) => letter.toUpperCase())

/** The named scalars of a record under camel-case names, absent ones left out. */
export function pick(record: Raw, names: readonly string[]): Record<string, string | number | boolean> {
  const picked: Record<string, string | number | boolean> = {}
  for (const name of names) {
    const value = scalar(record[name])
    if (value !== null) picked[camel(name)] = value
  }
  return picked
}
