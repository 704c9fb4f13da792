import { deviceColumns } from './columns.ts'

/** What differs between two states of a device row, as SQL: `[{ field, from, to }]`, null where nothing does. */

/** Independent of the session's time zone and date style. */
function asJson(column: string, type: string, table: string): string {
  const value = `${table}.${column}`
  return type === 'timestamptz'
    ? `to_jsonb(to_char(${value} at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"'))`
    : `to_jsonb(${value})`
}

/** Of the details only the entries that differ. */
const differingDetails = (of: string, other: string): string =>
  `(select jsonb_object_agg(e.key, e.value) from jsonb_each(${of}.details) e where ${other}.details -> e.key is distinct from e.value)`

const pairs = deviceColumns.map(([field, column, type]) =>
  column === 'details'
    ? `('details', case when n.details is distinct from o.details then coalesce(${differingDetails('o', 'n')}, '{}') end, case when n.details is distinct from o.details then coalesce(${differingDetails('n', 'o')}, '{}') end)`
    : `('${field}', ${asJson(column, type, 'o')}, ${asJson(column, type, 'n')})`
)

/** Between the rows `o` and `n`, and the client of `o` and `client`. */
export function differenceTo(client: string): string {
  return `(select jsonb_agg(jsonb_build_object('field', v.field, 'from', v.a, 'to', v.b)) from (values
    ('clientRef', to_jsonb(o.client_ref), to_jsonb(${client})), ${pairs.join(', ')}) v(field, a, b) where v.a is distinct from v.b)`
}
