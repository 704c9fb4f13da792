import { sql } from 'kysely'
import type { ChangeEntity, ChangeKind, FieldChange, RunItem } from '../../types.ts'
import { stableJson } from '../model/index.ts'
import type { Database, Db, Tables } from './database.ts'
import type { MergeContext } from './devices/shapes.ts'

/** A change that a plan has found. */
export interface PlannedChange {
  entity: ChangeEntity
  entityId: string | null
  externalId: string | null
  displayName: string | null
  clientRef: string | null
  kind: ChangeKind
  changed: FieldChange[]
}

/** What the run has logged and made in this transaction, which will be rolled back. */
export async function simulated(
  trx: Db,
  t: Tables,
  connectionId: string,
  runId: string
): Promise<{ changes: PlannedChange[]; items: RunItem[] }> {
  const { rows } = await sql<PlannedChange>`
    select 'device' as entity, null::uuid as "entityId", d.external_id as "externalId", d.display_name as "displayName", d.client_ref as "clientRef", 'create' as kind, '[]'::jsonb as changed, 0 as n
      from ${t.device} d where d.connection_id = ${connectionId} and d.created_run = ${runId}
    union all select c.entity, case when c.kind = 'create' then null else c.entity_id end, c.external_id, c.display_name, c.client_ref, c.kind, c.changed, c.id
      from ${t.change} c where c.run_id = ${runId} and c.state = 'applied' order by n, "externalId"`.execute(trx)
  const items =
    await sql<RunItem>`select resource, external_id as "externalId", outcome, reason from ${t.run_item} where run_id = ${runId} and field is null order by id`.execute(
      trx
    )
  return { changes: rows, items: items.rows }
}

export async function insertPlanned(
  trx: Db,
  t: Tables,
  { tenantId, connectionId, by }: MergeContext,
  changes: PlannedChange[]
): Promise<void> {
  const actor = by.actor === null ? null : JSON.stringify(by.actor)
  for (let at = 0; at < changes.length; at += 1000)
    await sql`insert into ${t.change} (tenant_id, connection_id, run_id, cause, actor, entity, entity_id, external_id, display_name, client_ref, kind, changed, state)
      select ${tenantId}, ${connectionId}::uuid, ${by.runId}::uuid, ${by.cause}, ${actor}::jsonb, x.entity, x."entityId", x."externalId", x."displayName", x."clientRef", x.kind, x.changed, 'planned'
      from jsonb_to_recordset(${stableJson(changes.slice(at, at + 1000))}::jsonb) as x(entity text, "entityId" uuid, "externalId" text, "displayName" text, "clientRef" text, kind text, changed jsonb)`.execute(
      trx
    )
}

export interface PlannedRow {
  id: string
  entity: ChangeEntity
  kind: ChangeKind
  externalId: string | null
}

/** What of a plan still waits. */
export async function plannedChanges({ db, t }: Database, planId: string): Promise<PlannedRow[]> {
  const { rows } =
    await sql<PlannedRow>`select id::text as id, entity, kind, external_id as "externalId" from ${t.change}
    where run_id = ${planId} and state = 'planned'`.execute(db)
  return rows
}

/** After a plan was applied: what was done, and what is not true any more, which the applying run lists as well. */
export async function settlePlanned(trx: Db, t: Tables, planId: string, runId: string, ids: string[]): Promise<number> {
  const { rows } = await sql<{ stale: number | string }>`
    with done as (select entity, external_id from ${t.change} where run_id = ${runId} and state = 'applied'
      union select 'device', external_id from ${t.device} where created_run = ${runId} and connection_id = (select connection_id from ${t.run} where id = ${runId})
    ), settled as (update ${t.change} c set state = case when exists (select 1 from done d where d.entity = c.entity and d.external_id is not distinct from c.external_id) then 'applied' else 'stale' end,
        reason = case when exists (select 1 from done d where d.entity = c.entity and d.external_id is not distinct from c.external_id) then null else 'the record was observed later than the plan; the next sync decides' end
      where c.run_id = ${planId} and c.state = 'planned' and c.id = any(${ids}::bigint[]) returning c.*
    ), told as (insert into ${t.change} (tenant_id, connection_id, run_id, cause, entity, entity_id, external_id, display_name, client_ref, kind, changed, state, reason, actor)
      select tenant_id, connection_id, ${runId}::uuid, cause, entity, entity_id, external_id, display_name, client_ref, kind, changed, state, reason, actor from settled where state = 'stale')
    select count(*) as stale from settled where state = 'stale'`.execute(trx)
  return Number(rows[0]!.stale)
}

export async function writeResult(trx: Db, t: Tables, runId: string, result: object): Promise<void> {
  await sql`update ${t.run} set result = coalesce(result, '{}') || ${JSON.stringify(result)}::jsonb where id = ${runId}`.execute(
    trx
  )
}
