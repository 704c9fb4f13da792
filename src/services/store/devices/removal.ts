import { sql } from 'kysely'
import type { Db, Database, Tables } from '../database.ts'
import type { DeviceChange, MergeContext } from './shapes.ts'
import { type DeviceRow, deviceFrom, deviceSelect, toDevice } from './rows.ts'
import { observed } from '../observed.ts'
import { type Pass, seenSince } from './passes.ts'

export interface Unseen {
  /** Rows known before the pass began: what it brought itself must not make a loss look small. */
  known: number
  /** Records the pass saw at all. */
  seen: number
  /** External ids of rows older than the pass and not seen in it. */
  gone: string[]
}

/** What a complete full read did not see. A row written since its start (a webhook's device) is not among it. */
export async function unseen(
  { db, t }: Database,
  connectionId: string,
  pass: Pass,
  resource: 'organizations' | 'devices'
): Promise<Unseen> {
  const started = pass.startedAt.toISOString()
  const status = resource === 'devices' ? sql`left join ${t.device_status} s on s.device_id = r.id` : sql``
  const touched =
    resource === 'devices'
      ? sql`greatest(${observed(sql`r.observed_at`)}, ${observed(sql`s.observed_at`)})`
      : observed(sql`r.observed_at`)
  const table = resource === 'devices' ? t.device : t.organization
  // `except` hashes both sides whatever the planner believes; a join over arrays that it cannot estimate may go row
  // by row.
  const gone = await sql<{ external_id: string }>`
    with missing as materialized (
      select r.external_id from ${table} r where r.connection_id = ${connectionId} and r.removed_at is null
      except select unnest(p.seen) from ${t.page} p where p.pass_id = ${pass.id}
    )
    select r.external_id from missing m join ${table} r on r.connection_id = ${connectionId} and r.external_id = m.external_id ${status}
    where ${touched} < ${started}::timestamptz order by r.external_id`.execute(db)
  const counts = await sql<{
    known: string | number
    seen: string | number
  }>`select (select count(*) from ${table} r where r.connection_id = ${connectionId} and r.removed_at is null
      and r.created_at < coalesce((select min(p.created_at) from ${t.page} p where p.pass_id = ${pass.id}), now())) as known,
    (select coalesce(sum(cardinality(p.seen)), 0) from ${t.page} p where p.pass_id = ${pass.id}) as seen`.execute(db)
  return {
    known: Number(counts.rows[0]!.known),
    seen: Number(counts.rows[0]!.seen),
    gone: gone.rows.map(row => row.external_id)
  }
}

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
  }>`with removed as (update ${t.device} d set removed_at = now(), observed_at = ${before.toISOString()}::timestamptz, updated_at = now()
    where d.connection_id = ${context.connectionId} and d.external_id = any(${externalIds}::text[]) and d.removed_at is null
      and greatest(${observed(sql`d.observed_at`)}, (select ${observed(sql`s.observed_at`)} from ${t.device_status} s where s.device_id = d.id)) <= ${before.toISOString()}::timestamptz
      and not ${seenSince(t, context.connectionId, 'devices', sql`d.external_id`, before)} returning d.id
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
    await sql`update ${t.organization} o set removed_at = now(), observed_at = ${before.toISOString()}::timestamptz, updated_at = now()
    where o.connection_id = ${context.connectionId} and o.external_id = any(${externalIds}::text[]) and o.removed_at is null
      and ${observed(sql`o.observed_at`)} <= ${before.toISOString()}::timestamptz returning o.id`.execute(trx)
  return rows.length
}

/**
 * Counts the open updates a complete pass saw, per device, and writes the counts that changed. Each update counts
 * once, however often a page showed it. Only now are pending patches known: before, they are null, not 0. `first`: ids of
 * devices that were made in this run and counted for the first time.
 */
export async function applyPatchCounts(
  trx: Db,
  t: Tables,
  context: MergeContext,
  pass: Pass,
  runId: string
): Promise<{ changes: DeviceChange[]; first: Set<string> }> {
  const changed = await sql<{ id: string; first: boolean }>`
    with counts as materialized (
      select u.ref, count(distinct u.id)::int as patches from ${t.page} p, unnest(p.seen, p.refs) as u(id, ref) where p.pass_id = ${pass.id} group by u.ref
    )
    update ${t.device} d set pending_os_patches = coalesce(c.patches, 0), updated_at = now()
    from ${t.device} e left join counts c on c.ref = e.external_id
    where e.id = d.id and d.connection_id = ${context.connectionId} and d.removed_at is null and d.pending_os_patches is distinct from coalesce(c.patches, 0)
    returning d.id, e.pending_os_patches is null and d.created_at >= (select r.started_at from ${t.run} r where r.id = ${runId}) as first`.execute(
    trx
  )
  const first = new Set(changed.rows.flatMap(row => (row.first ? row.id : [])))
  if (changed.rows.length === 0) return { changes: [], first }
  const { rows } =
    await sql<DeviceRow>`select ${deviceSelect} from ${deviceFrom(t)} where d.id = any(${changed.rows.map(row => row.id)}::uuid[]) order by d.external_id`.execute(
      trx
    )
  return { changes: rows.map(row => ({ change: 'updated', device: toDevice(row) })), first }
}
