import { Ajv } from 'ajv'
import formats from 'ajv-formats'
import { sql } from 'kysely'
import { eventPayloads, type RmmEventType } from '../src/events.ts'
import type { Database } from '../src/services/store/index.ts'

const ajv = (formats as unknown as { default: (ajv: Ajv) => Ajv }).default(new Ajv({ allErrors: true, strict: false }))
const checks = new Map(Object.entries(eventPayloads).map(([type, schema]) => [type, ajv.compile(schema)]))

/** What is wrong with an event, against the schemas that types and docs come from; null where nothing is. */
export function faultOf({ type, payload }: { type: string; payload: unknown }): string | null {
  const check = checks.get(type)
  if (check === undefined) return `${type} is not in src/events.ts`
  return check(payload) ? null : `${type}${ajv.errorsText(check.errors, { dataVar: '' })} in ${JSON.stringify(payload)}`
}

/**
 * Throws where the outbox holds a payload that is not as documented. The compiler sees this of events that the code
 * makes; those that SQL makes, and values that are not what their types say, show only here.
 */
export async function requireKnownPayloads({ db, t }: Database, schema: string): Promise<Set<RmmEventType>> {
  const table = await sql<{
    found: string | null
  }>`select to_regclass(${`${schema}.rmm_outbox`})::text as found`.execute(db)
  if (table.rows[0]!.found === null) return new Set()
  const { rows } = await sql<{ type: RmmEventType; payload: unknown }>`select type, payload from ${t.outbox}`.execute(
    db
  )
  const faults = rows.map(faultOf).filter(fault => fault !== null)
  if (faults.length > 0)
    throw new Error(`Events that src/events.ts does not describe:\n${faults.slice(0, 5).join('\n')}`)
  return new Set(rows.map(({ type }) => type))
}
