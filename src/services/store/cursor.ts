import { type RawBuilder, sql } from 'kysely'
import { CursorError } from '../../errors.ts'
import type { CountedQuery, List, PageQuery } from '../../types.ts'
import type { Db } from './database.ts'
import { isId } from './values.ts'

export const defaultLimit = 50
export const maxLimit = 200

export function limitOf(query: PageQuery | undefined): number {
  return Math.min(Math.max(Math.trunc(query?.limit ?? defaultLimit), 1), maxLimit)
}

// Exactly as `iso` writes it: a date that only one of JavaScript and PostgreSQL knows is refused here.
const isTime = (value: string) =>
  /^[1-9]\d{3}-/.test(value) && !Number.isNaN(Date.parse(value)) && new Date(value).toISOString() === value

const valid = {
  text: (value: string) => value.isWellFormed() && !value.includes('\0'),
  time: (value: string) => isTime(value),
  id: isId,
  /** A time, or nothing: rows without one come last. */
  timeOrNone: (value: string) => value === '' || isTime(value),
  number: (value: string) => /^\d{1,15}$/.test(value)
}

/**
 * The sort key of the last item seen, as opaque text. Throws `RMM_ERR_CURSOR` on anything that is not of these kinds.
 */
export function readCursor(cursor: string | undefined, kinds: Array<keyof typeof valid>): string[] | null {
  if (cursor === undefined) return null
  try {
    const values: unknown = JSON.parse(Buffer.from(cursor, 'base64url').toString('utf8'))
    if (
      Array.isArray(values) &&
      values.length === kinds.length &&
      values.every((value, i) => typeof value === 'string' && valid[kinds[i]!](value))
    )
      return values
  } catch {}
  throw new CursorError()
}

export function writeCursor(values: string[]): string {
  return Buffer.from(JSON.stringify(values)).toString('base64url')
}

/** `rows` were read with one more than the limit, so that the last page knows that it is the last. */
export function toList<Row, Item>(
  rows: Row[],
  limit: number,
  map: (row: Row) => Item,
  key: (row: Row) => string[]
): List<Item> {
  const last = rows.length > limit ? rows[limit - 1] : undefined
  return { items: rows.slice(0, limit).map(map), nextCursor: last === undefined ? null : writeCursor(key(last)) }
}

/** All conditions of a list, without the cursor's. */
export function all(conditions: ReadonlyArray<RawBuilder<unknown>>): RawBuilder<unknown> {
  return sql.join([...conditions], sql` and `)
}

/** Adds how many there are in all, where that was asked for. `conditions` are those of the list without the cursor's. */
export async function withTotal<Item>(
  db: Db,
  query: CountedQuery | undefined,
  list: List<Item>,
  from: RawBuilder<unknown>,
  conditions: ReadonlyArray<RawBuilder<unknown>>
): Promise<List<Item>> {
  if (query?.total !== true) return list
  const { rows } = await sql<{ total: number | string }>`select count(*) as total from ${from} where ${all(
    conditions
  )}`.execute(db)
  return { ...list, total: Number(rows[0]!.total) }
}
