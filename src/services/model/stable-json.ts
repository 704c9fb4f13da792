/**
 * JSON that PostgreSQL takes, keys in order: the same facts give the same text whatever order the platform told them
 * in, and that text is both what is hashed and what is stored.
 */

const maxDepth = 20
const firstPrintable = 0x20
const firstSurrogate = 0xd800
const lastSurrogate = 0xdfff

/**
 * Whether a text has neither control characters nor surrogates: nothing that PostgreSQL does not take, or that means
 * something between fields.
 */
export function isPlain(text: string): boolean {
  for (let at = 0; at < text.length; at++) {
    const code = text.charCodeAt(at)
    if (code < firstPrintable || (code >= firstSurrogate && code <= lastSurrogate)) return false
  }
  return true
}

/** PostgreSQL's text knows neither NUL nor half a surrogate pair. */
export function storable(text: string): string {
  if (isPlain(text)) return text
  return (text.includes('\0') ? text.replaceAll('\0', '') : text).toWellFormed()
}

/** What JSON does not have becomes null, and so does what is nested deeper than any platform's record. */
export function stableJson(value: unknown): string {
  return JSON.stringify(ordered(value, 0))
}

/** A copy for `JSON.stringify`, which is faster on it than any other way to the same text. */
function ordered(value: unknown, depth: number): unknown {
  if (typeof value === 'string') return storable(value)
  if (typeof value === 'number' || typeof value === 'boolean') return value
  if (typeof value !== 'object' || value === null || depth > maxDepth) return null
  if (Array.isArray(value)) return value.map(item => ordered(item, depth + 1))
  if (value instanceof Date) return Number.isNaN(value.getTime()) ? null : value.toISOString()
  const copy: Record<string, unknown> = {}
  for (const key of sortedKeys(value)) {
    const item = (value as Record<string, unknown>)[key]
    // A platform's `__proto__` is a field like any other, and must not become one of ours.
    if (item !== undefined && key !== '__proto__') copy[storable(key)] = ordered(item, depth + 1)
  }
  return copy
}

/** By insertion: records have few keys, often in order already. */
function sortedKeys(object: object): string[] {
  const keys = Object.keys(object)
  for (let next = 1; next < keys.length; next++) {
    const key = keys[next]!
    let at = next
    while (at > 0 && keys[at - 1]! > key) keys[at] = keys[--at]!
    keys[at] = key
  }
  return keys
}
