import type { Note } from '../../define.ts'
import * as values from '../../values.ts'

/**
 * Opens a record of Level's. Everything but the id may be missing or of another type than documented; one without a
 * usable id throws, and is thereby rejected with that reason. Ids are opaque, but must survive a URL path and a text
 * column; Level's own help shows a number as one.
 */
export function recordOf(raw: unknown, note?: Note): { read: values.Reader; externalId: string } {
  if (!values.isObject(raw)) throw new Error('The record is not an object')
  const externalId = values.id(raw['id'])
  // biome-ignore lint/suspicious/noControlCharactersInRegex: exactly those are refused
  if (!externalId?.isWellFormed() || /[\x00-\x1f]/.test(externalId)) throw new Error('The record has no usable id')
  return { read: values.of(raw, note), externalId }
}
