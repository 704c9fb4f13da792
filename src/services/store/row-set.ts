import { type RawBuilder, sql } from 'kysely'

/**
 * Many rows in one text parameter. PostgreSQL splits it with `string_to_array` for about two thirds of what `json_to_recordset` costs,
 * whose work per row is a hash table of its fields (measured with 27 columns, PostgreSQL 15), and JSON columns need no second quoting.
 */

const fieldEnd = '\x1f'
const rowEnd = '\x1e'
const nothing = '\x1d'

/** Control characters that mean something here. JSON never holds one unescaped; the normalizer keeps them out of texts and ids. */
export const reserved: readonly string[] = [fieldEnd, rowEnd, nothing]

/** A value as a field: null stays null, dates are ISO 8601, other objects JSON. */
export function fieldOf (value: unknown): string {
  if (typeof value === 'string') return value
  if (value === null || value === undefined) return nothing
  if (value instanceof Date) return value.toISOString()
  return typeof value === 'object' ? JSON.stringify(value) : String(value)
}

export function joinFields (fields: readonly string[]): string {
  return fields.join(fieldEnd)
}

export function joinRows (rows: readonly string[]): string {
  return rows.join(rowEnd)
}

/** Columns of a row set, in the order of its fields. */
export type RowColumns = ReadonlyArray<readonly [name: string, type: string]>

/** `rows` (of `joinRows` over `joinFields`) as a table `x` with these columns and `n`, the place of the row from 1. Empty text is no row. */
export function rowSet (rows: string, columns: RowColumns): RawBuilder<unknown> {
  const fields = columns.map(([name, type], at) => `r.a[${at + 1}]${type === 'text' ? '' : `::${type}`} as "${name}"`).join(', ')
  // `offset 0` keeps the planner from splitting the row anew for every column.
  return sql`(select ${sql.raw(fields)}, r.n from (select string_to_array(l.line, E'\\x1f', E'\\x1d') as a, l.n
    from unnest(string_to_array(${rows}, E'\\x1e')) with ordinality as l(line, n) offset 0) r) as x`
}

/** Texts as one `text[]` parameter. */
export function textArray (texts: readonly string[]): RawBuilder<string[]> {
  return sql`string_to_array(${texts.join(fieldEnd)}, E'\\x1f')`
}
