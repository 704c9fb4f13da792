import { type RawBuilder, sql } from 'kysely'
import type {
  Actor,
  Change,
  ChangeCause,
  ChangeEntity,
  ChangeFilter,
  ChangeKind,
  ChangeState,
  CountedQuery,
  FieldChange,
  List
} from '../../types.ts'
import { stableJson } from '../model/index.ts'
import { all, limitOf, readCursor, toList, withTotal } from './cursor.ts'
import { actorBehind, type Database, type Db, type Tables } from './database.ts'
import type { MergeContext } from './devices/shapes.ts'
import { isId, iso } from './values.ts'

interface ChangeRow {
  part: number
  seq: string | number
  uid: string
  key: string
  run_id: string | null
  connection_id: string
  cause: ChangeCause
  entity: ChangeEntity
  entity_id: string | null
  external_id: string | null
  display_name: string | null
  client_ref: string | null
  kind: ChangeKind
  changed: FieldChange[]
  state: ChangeState
  reason: string | null
  actor: Actor | null
  at: unknown
}

/** A change of what is no device: those are logged by the statements that write them. */
export interface NewChange {
  entity: ChangeEntity
  entityId: string
  externalId: string | null
  displayName: string
  clientRef?: string | null
  kind: ChangeKind
  changed: FieldChange[]
}

/** The columns in front of a change that a statement logs, and the values that its context gives them. */
export const logColumns = sql.raw('tenant_id, connection_id, run_id, cause, actor')
export function logValues(
  trx: Db,
  { tenantId, connectionId, by }: Pick<MergeContext, 'tenantId' | 'by'> & { connectionId: string | null }
): RawBuilder<unknown> {
  const actor = by.actor ?? actorBehind(trx)
  return sql`${tenantId}, ${connectionId}::uuid, ${by.runId}::uuid, ${by.cause}, ${actor === null ? null : JSON.stringify(actor)}::jsonb`
}

export async function writeChanges(trx: Db, t: Tables, context: MergeContext, changes: NewChange[]): Promise<void> {
  if (changes.length === 0) return
  await sql`insert into ${t.change} (${logColumns}, entity, entity_id, external_id, display_name, client_ref, kind, changed)
    select ${logValues(trx, context)}, x.entity, x."entityId", x."externalId", x."displayName", x."clientRef", x.kind, x.changed
    from jsonb_to_recordset(${stableJson(changes)}::jsonb) as x(entity text, "entityId" uuid, "externalId" text, "displayName" text, "clientRef" text, kind text, changed jsonb)`.execute(
    trx
  )
}

/** What is logged, and what device rows tell of their making. */
function log(t: Tables, rows: RawBuilder<unknown>, devices: RawBuilder<unknown> | null): RawBuilder<unknown> {
  const logged = sql`select 1 as part, c.id as seq, '00000000-0000-0000-0000-000000000000'::uuid as uid, c.id::text as key, c.run_id, c.connection_id, c.cause, c.entity, c.entity_id, c.external_id,
      c.display_name, c.client_ref, c.kind, c.changed, c.state, c.reason, c.actor, c.at from ${t.change} c where ${rows}`
  if (devices === null) return sql`(${logged}) l`
  return sql`(${logged} union all select 0, 0, d.id, 'd.' || d.id, d.created_run, d.connection_id, case when d.created_run is null then 'webhook' else 'run' end, 'device', d.id, d.external_id,
      d.display_name, d.client_ref, 'create', '[]'::jsonb, 'applied', null, null::jsonb, d.created_at from ${t.device} d
    where ${devices} and not exists (select 1 from ${t.change} e where e.entity_id = d.id and e.kind = 'create')) l`
}

async function list(
  db: Db,
  from: RawBuilder<unknown>,
  query: CountedQuery & ChangeFilter,
  newest: boolean
): Promise<List<Change>> {
  const limit = limitOf(query)
  const after = readCursor(query.cursor, ['number', 'number', 'id'])
  const conditions: Array<RawBuilder<unknown>> = [sql`true`]
  for (const field of ['kind', 'state', 'entity'] as const)
    if (query[field] !== undefined) conditions.push(sql`${sql.ref(`l.${field}`)} = ${query[field]}`)
  if (query.clientRef !== undefined) conditions.push(sql`l.client_ref = ${query.clientRef}`)
  const beyond =
    after === null
      ? []
      : [
          sql`(l.part, l.seq, l.uid) ${sql.raw(newest ? '<' : '>')} (${after[0]}::int, ${after[1]}::bigint, ${after[2]}::uuid)`
        ]
  const order = sql.raw(newest ? 'l.part desc, l.seq desc, l.uid desc' : 'l.part, l.seq, l.uid')
  const { rows } = await sql<ChangeRow>`select l.* from ${from} where ${all([...conditions, ...beyond])}
    order by ${order} limit ${limit + 1}`.execute(db)
  const page = toList(rows, limit, toChange, row => [String(row.part), String(row.seq), row.uid])
  return await withTotal(db, query, page, from, conditions)
}

export function toChange(row: ChangeRow): Change {
  return {
    id: row.key,
    runId: row.run_id,
    connectionId: row.connection_id,
    cause: row.cause,
    entity: row.entity,
    entityId: row.entity_id,
    externalId: row.external_id,
    displayName: row.display_name,
    clientRef: row.client_ref,
    kind: row.kind,
    changed: row.changed,
    state: row.state,
    reason: row.reason,
    actor: row.actor,
    at: iso(row.at)
  }
}

/** What a run did, in order: first what it made. */
export async function listRunChanges(
  { db, t }: Database,
  tenantId: string,
  runId: string,
  query: CountedQuery & ChangeFilter = {}
): Promise<List<Change>> {
  const from = log(
    t,
    sql`c.run_id = ${runId} and c.tenant_id = ${tenantId}`,
    sql`d.created_run = ${runId} and d.tenant_id = ${tenantId} and d.connection_id in (select r.connection_id from ${t.run} r where r.id = ${runId})`
  )
  return await list(db, from, query, false)
}

/** Whether the tenant has changes under this id: what stands for a run without being one. */
export async function hasChanges({ db, t }: Database, tenantId: string, runId: string): Promise<boolean> {
  if (!isId(runId)) return false
  const { rows } =
    await sql`select 1 from ${t.change} where run_id = ${runId} and tenant_id = ${tenantId} limit 1`.execute(db)
  return rows.length > 0
}

/** What happened to a device, newest first, down to its making. */
export async function listDeviceChanges(
  { db, t }: Database,
  tenantId: string,
  deviceId: string,
  query: CountedQuery = {}
): Promise<List<Change>> {
  const from = log(
    t,
    sql`c.entity_id = ${deviceId} and c.tenant_id = ${tenantId} and c.state <> 'planned'`,
    sql`d.id = ${deviceId} and d.tenant_id = ${tenantId}`
  )
  return await list(db, from, query, true)
}

/** The changes of a connection, newest first. */
export async function listConnectionChanges(
  { db, t }: Database,
  tenantId: string,
  connectionId: string,
  query: CountedQuery & ChangeFilter = {}
): Promise<List<Change>> {
  // In its own words, or the planner would not find the index of what is open.
  const open = query.state === 'held' ? sql`c.state in ('held', 'dismissed')` : sql`true`
  const from = log(t, sql`c.connection_id = ${connectionId} and c.tenant_id = ${tenantId} and ${open}`, null)
  return await list(db, from, query, true)
}
