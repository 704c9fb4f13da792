import { sql } from 'kysely'
import type { Db, Tables } from '../database.ts'
import { logColumns, logValues } from '../changes.ts'
import type { DeviceChange, MergeContext } from './shapes.ts'
import { type DeviceRow, deviceFrom, deviceSelect, toDevice } from './rows.ts'
import { observed } from '../observed.ts'
import { seenSince } from './passes.ts'

/**
 * Tombstones devices that nobody saw since `before`, be it changed or not; their history and links stay. The
 * tombstone is an observation like any other, and so is finding a removed device gone again: a page that was read
 * earlier and comes late does not bring it back. Its inventory counts as unread from then on.
 */
export async function removeDevices(
  trx: Db,
  t: Tables,
  context: MergeContext,
  externalIds: string[],
  before: Date
): Promise<DeviceChange[]> {
  const removed = await sql<{
    id: string
  }>`with removed as (update ${t.device} d set removed_at = now(), out_of_sight_since = null, observed_at = ${before.toISOString()}::timestamptz, updated_at = now()
    where d.connection_id = ${context.connectionId} and d.external_id = any(${externalIds}::text[]) and d.removed_at is null
      and greatest(${observed(sql`d.observed_at`)}, (select ${observed(sql`s.observed_at`)} from ${t.device_status} s where s.device_id = d.id)) <= ${before.toISOString()}::timestamptz
      and not ${seenSince(t, context.connectionId, 'devices', sql`d.external_id`, before)} returning d.id, d.external_id, d.display_name, d.client_ref
    ), logged as (insert into ${t.change} (${logColumns}, entity, entity_id, external_id, display_name, client_ref, kind)
      select ${logValues(trx, context)}, 'device', r.id, r.external_id, r.display_name, r.client_ref, 'remove' from removed r
    ), unread as (update ${t.device_status} s set inventory_revision = null from removed where s.device_id = removed.id and s.inventory_revision is not null
    ), again as (update ${t.device} d set observed_at = ${before.toISOString()}::timestamptz
      where d.connection_id = ${context.connectionId} and d.external_id = any(${externalIds}::text[]) and d.removed_at is not null and ${observed(sql`d.observed_at`)} < ${before.toISOString()}::timestamptz)
    select id from removed`.execute(trx)
  if (removed.rows.length === 0) return []
  const { rows } =
    await sql<DeviceRow>`select ${deviceSelect} from ${deviceFrom(t)} where d.id = any(${removed.rows.map(row => row.id)}::uuid[]) order by d.external_id`.execute(
      trx
    )
  return rows.map(row => ({ change: 'removed', device: toDevice(row) }))
}

export async function removeOrganizations(
  trx: Db,
  t: Tables,
  context: MergeContext,
  externalIds: string[],
  before: Date
): Promise<number> {
  const { rows } =
    await sql`with removed as (update ${t.organization} o set removed_at = now(), out_of_sight_since = null, observed_at = ${before.toISOString()}::timestamptz, updated_at = now()
    where o.connection_id = ${context.connectionId} and o.external_id = any(${externalIds}::text[]) and o.removed_at is null
      and ${observed(sql`o.observed_at`)} <= ${before.toISOString()}::timestamptz returning o.id, o.external_id, o.name, o.client_ref
    ), logged as (insert into ${t.change} (${logColumns}, entity, entity_id, external_id, display_name, client_ref, kind)
      select ${logValues(trx, context)}, 'organization', r.id, r.external_id, r.name, r.client_ref, 'remove' from removed r)
    select id from removed`.execute(trx)
  return rows.length
}
