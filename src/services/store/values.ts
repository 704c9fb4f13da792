/** Drivers differ in what they make of timestamps and bigints; these settle it. */

export function iso(value: unknown): string
export function iso(value: unknown | null): string | null
export function iso(value: unknown): string | null {
  if (value === null || value === undefined) return null
  return (value instanceof Date ? value : new Date(value as string)).toISOString()
}

export function isoOrNull(value: unknown): string | null {
  return value === null || value === undefined ? null : iso(value)
}

export function numberOrNull(value: unknown): number | null {
  return value === null || value === undefined ? null : Number(value)
}

const uuid = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/i

/** Ids are opaque to callers; what cannot be one of ours is simply not there. */
export function isId(value: string): boolean {
  return uuid.test(value)
}
