import { type RawBuilder, sql } from 'kysely'
import { fieldEnd } from '../model/index.ts'

/**
 * Many rows in one text parameter. PostgreSQL splits it with `string_to_array` for about two thirds of what
 * `json_to_recordset` costs, whose work per row is a hash table of its fields (measured with 27 columns, PostgreSQL
 * 15), and JSON columns need no second quoting.
 */

/** Columns of a row set, in the order of its fields. */
export type RowColumns = ReadonlyArray<readonly [name: string, type: string]>

/**
 * `rows` (of `joinRows` over `joinFields`) as a table `x` with these columns and `n`, the place of the row from 1.
 * Empty text is no row.
 */
export function rowSet(rows: string, columns: RowColumns): RawBuilder<unknown> {
  const fields = columns
    .map(([name, type], at) => `r.a[${at + 1}]${type === 'text' ? '' : `::${type}`} as "${name}"`)
    .join(', ')
  // `offset 0` keeps the planner from splitting the row anew for every column.
  return sql`(select ${sql.raw(fields)}, r.n from (select string_to_array(l.line, E'\\x1f', E'\\x1d') as a, l.n
    from unnest(string_to_array(${rows}, E'\\x1e')) with ordinality as l(line, n) offset 0) r) as x`
}

/** Texts as one `text[]` parameter. */
export function textArray(texts: readonly string[]): RawBuilder<string[]> {
  return sql`string_to_array(${texts.join(fieldEnd)}, E'\\x1f')`
}
