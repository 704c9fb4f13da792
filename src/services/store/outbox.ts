import { sql } from 'kysely'
import type { NewEvent } from '../../types.ts'
import { fieldOf, joinFields, joinRows, stableJson } from '../model/index.ts'
import { actorBehind, type Db, type Tables, tellAfterCommit } from './database.ts'
import { rowSet } from './row-set.ts'

export interface EventSource {
  tenantId: string
  connectionId: string
  provider: string
}

/**
 * Writes events in the caller's transaction. Callers hold the connection's row lock, so that the order of `seq` is
 * the order of commits. `sinks` are the names that have to receive them; with none the event counts as published.
 */
export async function writeEvents(
  trx: Db,
  t: Tables,
  source: EventSource,
  events: NewEvent[],
  sinks: string[]
): Promise<void> {
  if (events.length === 0) return
  tellAfterCommit(trx)
  for (let at = 0; at < events.length; at += eventsAtOnce)
    await writePortion(trx, t, source, events.slice(at, at + eventsAtOnce), sinks)
}

/** The text of a statement is made in one piece. */
const eventsAtOnce = 500

async function writePortion(
  trx: Db,
  t: Tables,
  source: EventSource,
  events: NewEvent[],
  sinks: string[]
): Promise<void> {
  const by = actorBehind(trx)
  const rows = joinRows(
    events.map(({ type, payload, key, actor = by }) =>
      joinFields([type, stableJson(payload), fieldOf(key), fieldOf(actor)])
    )
  )
  await sql`insert into ${t.outbox} (tenant_id, connection_id, provider, type, payload, pending, event_key, actor, published_at)
    select ${source.tenantId}, ${source.connectionId}::uuid, ${source.provider}, x.type, x.payload, ${sinks}::text[], x.key, x.actor, ${sinks.length === 0 ? sql`now()` : sql`null`}
    from ${rowSet(rows, [
      ['type', 'text'],
      ['payload', 'jsonb'],
      ['key', 'text'],
      ['actor', 'jsonb']
    ])} order by x.n
    on conflict (event_key) where event_key is not null do nothing`.execute(trx)
}
