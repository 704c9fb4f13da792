import { sql } from 'kysely'
import type { FieldChange } from '../../../types.ts'
import { logColumns, logValues } from '../changes.ts'
import type { Database, Db, Tables } from '../database.ts'
import { textArray } from '../row-set.ts'
import { forgetPatches } from './patch-rows.ts'
import type { Pass } from './passes.ts'
import { type DeviceRow, deviceFrom, deviceSelect, toDevice } from './rows.ts'
import type { DeviceChange, MergeContext } from './shapes.ts'

/** An open update and its device. */
export interface OpenUpdate {
  externalId: string
  deviceExternalId: string
}

/** The updates of the last complete read that this one did not show. */
export async function unseenUpdates({ db, t }: Database, pass: Pass): Promise<OpenUpdate[]> {
  if (pass.knownIds.length === 0) return []
  const { rows } = await sql<{ id: string; ref: string }>`
    select distinct on (u.id) u.id, u.ref from ${t.page} p, unnest(p.seen, p.refs) as u(id, ref) where p.pass_id = any(${pass.knownIds}::uuid[])
      and not exists (select 1 from (select unnest(q.seen) as id from ${t.page} q where q.pass_id = ${pass.id}) now where now.id = u.id)
    order by u.id`.execute(db)
  return rows.map(({ id, ref }) => ({ externalId: id, deviceExternalId: ref }))
}

/** Lets updates that were not shown, but are not known to be gone, count as if they had been. */
export async function keepUpdates(
  trx: Db,
  t: Tables,
  { tenantId, connectionId }: MergeContext,
  pass: Pass,
  updates: OpenUpdate[]
): Promise<void> {
  if (updates.length === 0) return
  await sql`insert into ${t.page} (tenant_id, connection_id, pass_id, resource, observed_at, seen, refs)
    values (${tenantId}, ${connectionId}::uuid, ${pass.id}::uuid, 'updates', ${pass.startedAt.toISOString()}::timestamptz,
      ${textArray(updates.map(update => update.externalId))}, ${textArray(updates.map(update => update.deviceExternalId))})`.execute(
    trx
  )
}

/**
 * Counts the open updates of a complete pass, per device, and writes the counts that changed. Each update counts once,
 * however often a page showed it. Only now are pending patches known: before, they are null, not 0. Of a device that is
 * out of sight nothing is known. `first`: ids of devices that were made in this run and counted for the first time.
 */
export async function applyPatchCounts(
  trx: Db,
  t: Tables,
  context: MergeContext,
  pass: Pass,
  runId: string,
  skip?: { has(entity: 'device', externalId: string): boolean }
): Promise<{ changes: DeviceChange[]; first: Set<string> }> {
  const left = skip === undefined ? [] : await leftAlone(trx, t, context.connectionId, skip)
  const changed = await sql<{ id: string; first: boolean; fields: FieldChange[] }>`
    with counts as materialized (
      select u.ref, count(distinct u.id)::int as patches from ${t.page} p, unnest(p.seen, p.refs) as u(id, ref) where p.pass_id = ${pass.id} group by u.ref
    ), changed as (
    update ${t.device} d set pending_os_patches = coalesce(c.patches, 0), updated_at = now()
    from ${t.device} e left join counts c on c.ref = e.external_id
    where e.id = d.id and d.connection_id = ${context.connectionId} and d.removed_at is null and d.out_of_sight_since is null
      and d.external_id <> all(${left}::text[]) and d.pending_os_patches is distinct from coalesce(c.patches, 0)
    returning d.id, e.pending_os_patches is null and d.created_at >= (select r.started_at from ${t.run} r where r.id = ${runId}) as first, d.external_id, d.display_name, d.client_ref,
      jsonb_build_array(jsonb_build_object('field', 'pendingOsPatches', 'from', e.pending_os_patches, 'to', d.pending_os_patches)) as fields
    ), logged as (insert into ${t.change} (${logColumns}, entity, entity_id, external_id, display_name, client_ref, kind, changed)
      select ${logValues(trx, context)}, 'device', c.id, c.external_id, c.display_name, c.client_ref, 'update', c.fields from changed c where not coalesce(c.first, false))
    select id, first, fields from changed`.execute(trx)
  await forgetPatches(trx, t, pass)
  const first = new Set(changed.rows.flatMap(row => (row.first ? row.id : [])))
  if (changed.rows.length === 0) return { changes: [], first }
  const { rows } =
    await sql<DeviceRow>`select ${deviceSelect} from ${deviceFrom(t)} where d.id = any(${changed.rows.map(row => row.id)}::uuid[]) order by d.external_id`.execute(
      trx
    )
  const fields = new Map(changed.rows.map(row => [row.id, row.fields]))
  return {
    changes: rows.map(row => ({ change: 'updated', device: toDevice(row), changed: fields.get(row.id)! })),
    first
  }
}

async function leftAlone(
  trx: Db,
  t: Tables,
  connectionId: string,
  skip: { has(entity: 'device', externalId: string): boolean }
): Promise<string[]> {
  const { rows } = await sql<{
    id: string
  }>`select external_id as id from ${t.device} where connection_id = ${connectionId}`.execute(trx)
  return rows.flatMap(({ id }) => (skip.has('device', id) ? id : []))
}
