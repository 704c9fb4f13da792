/**
 * A record as one text: what is hashed and what travels to the database are the same, so a row is spelled out once.
 * `store/row-set` splits it again, in PostgreSQL.
 */

export const fieldEnd = '\x1f'
const rowEnd = '\x1e'
const nothing = '\x1d'

/**
 * Control characters that mean something here. JSON never holds one unescaped; the normalizer keeps them out of texts
 * and ids.
 */
export const reserved: readonly string[] = [fieldEnd, rowEnd, nothing]

/** A value as a field: null stays null, dates are ISO 8601, other objects JSON. */
export function fieldOf(value: unknown): string {
  if (typeof value === 'string') return value
  if (value === null || value === undefined) return nothing
  if (value instanceof Date) return value.toISOString()
  return typeof value === 'object' ? JSON.stringify(value) : String(value)
}

export function joinFields(fields: readonly string[]): string {
  return fields.join(fieldEnd)
}

export function joinRows(rows: readonly string[]): string {
  return rows.join(rowEnd)
}
