import { sql } from 'kysely'
import { logColumns, logValues } from '../changes.ts'
import type { Database, Db, Tables } from '../database.ts'
import { isId } from '../values.ts'
import { type DeviceRow, deviceFrom, deviceSelect, toDevice } from './rows.ts'
import type { HostedChange, MergeContext } from './shapes.ts'

/** Devices of which the host has yet to hear. */

/** What of a connection's devices is handed over. */
export interface HandOver {
  clientRef?: string
  deviceIds?: string[]
  onlyWithoutAsset?: boolean
}

/** Not told, or told and refused: the next full sync tells it again. */
export async function oweDevices(trx: Db, t: Tables, connectionId: string, changes: HostedChange[]): Promise<void> {
  if (changes.length === 0) return
  const kinds = changes.map(({ change }) => (change === 'created' || change === 'removed' ? change : 'handover'))
  await sql`update ${t.device} d set owed = case when d.owed = 'created' and x.owed = 'handover' then d.owed else x.owed end from unnest(${changes.map(({ device }) => device.id)}::uuid[], ${kinds}::text[]) as x(id, owed)
    where d.id = x.id and d.connection_id = ${connectionId}`.execute(trx)
}

/** The host has taken them. */
export async function settleOwed(trx: Db, t: Tables, connectionId: string, ids: string[]): Promise<void> {
  if (ids.length === 0) return
  await sql`update ${t.device} set owed = null where connection_id = ${connectionId} and id = any(${ids}::uuid[]) and owed is not null`.execute(
    trx
  )
}

/** New devices that the host named no asset for although it names them: asked for once more. */
export async function oweAssets(trx: Db, t: Tables, connectionId: string, ids: string[]): Promise<void> {
  if (ids.length === 0) return
  await sql`update ${t.device} d set owed = 'handover' where d.connection_id = ${connectionId} and d.id = any(${ids}::uuid[]) and d.asset_ref is null
    and exists (select 1 from ${t.device} e where e.connection_id = ${connectionId} and e.asset_ref is not null)`.execute(
    trx
  )
}

/** Whether the host has taken a device of the connection in an earlier transaction. */
export async function hasToldDevices(trx: Db, t: Tables, connectionId: string): Promise<boolean> {
  const { rows } = await sql<{ told: boolean }>`select exists (select 1 from ${t.device}
    where connection_id = ${connectionId} and assignment = 'mapped' and owed is null and created_at < now()::timestamptz(3)) as told`.execute(
    trx
  )
  return rows[0]!.told
}

const mapped = sql`d.removed_at is null and d.assignment = 'mapped' and d.client_ref is not null`

/** The next devices to be handed over, in order of their ids. */
export async function nextHandOver(
  trx: Db,
  t: Tables,
  connectionId: string,
  { clientRef, deviceIds, onlyWithoutAsset = false }: HandOver,
  after: string | null,
  limit: number
): Promise<HostedChange[]> {
  const { rows } =
    await sql<DeviceRow>`select ${deviceSelect} from ${deviceFrom(t)} where d.connection_id = ${connectionId} and ${mapped}
      ${clientRef === undefined ? sql`` : sql`and d.client_ref = ${clientRef}`}
      ${deviceIds === undefined ? sql`` : sql`and d.id = any(${deviceIds.filter(isId)}::uuid[])`}
      ${onlyWithoutAsset ? sql`and d.asset_ref is null` : sql``} ${after === null ? sql`` : sql`and d.id > ${after}::uuid`}
    order by d.id limit ${limit}`.execute(trx)
  return rows.map(row => ({ change: 'handover', device: toDevice(row) }))
}

/** The next devices that the host is owed. */
export async function nextOwed(
  trx: Db,
  t: Tables,
  connectionId: string,
  after: string | null,
  limit: number
): Promise<HostedChange[]> {
  const { rows } = await sql<
    DeviceRow & { owed: 'created' | 'removed' | 'handover' }
  >`select ${deviceSelect}, d.owed from ${deviceFrom(t)}
    where d.connection_id = ${connectionId} and d.owed is not null and ((${mapped} and d.owed <> 'removed') or (d.owed = 'removed' and d.removed_at is not null))
      ${after === null ? sql`` : sql`and d.id > ${after}::uuid`} order by d.id limit ${limit}`.execute(trx)
  return rows.map(row => ({ change: row.owed, device: toDevice(row) }))
}

/** Takes the links to assets that the host no longer has. Returns how many there were. */
export async function releaseAssets(
  trx: Db,
  t: Tables,
  tenantId: string,
  assetRefs: string[],
  context: Pick<MergeContext, 'by'>
): Promise<number> {
  const { rows } = await sql<{
    id: string
  }>`with gone as (select id, asset_ref from ${t.device} where tenant_id = ${tenantId} and asset_ref = any(${assetRefs}::text[]) for update
    ), released as (update ${t.device} d set asset_ref = null, owed = case when d.removed_at is null then 'handover' end, updated_at = now() from gone g where d.id = g.id
      returning d.id, d.connection_id, d.external_id, d.display_name, d.client_ref, g.asset_ref
    ), logged as (insert into ${t.change} (${logColumns}, entity, entity_id, external_id, display_name, client_ref, kind, changed, reason)
      select v.tenant_id, r.connection_id, v.run_id, v.cause, v.actor, 'device', r.id, r.external_id, r.display_name, r.client_ref, 'unlink',
        jsonb_build_array(jsonb_build_object('field', 'assetRef', 'from', r.asset_ref, 'to', null)), 'asset-gone'
      from released r, (select ${logValues(trx, { tenantId, connectionId: null, ...context })}) as v(tenant_id, connection_id, run_id, cause, actor))
    select id from released`.execute(trx)
  return rows.length
}

/** Which of these ids are devices of the connection. */
export async function knownDeviceIds({ db, t }: Database, connectionId: string, ids: string[]): Promise<Set<string>> {
  const { rows } = await sql<{
    id: string
  }>`select id from ${t.device} where connection_id = ${connectionId} and id = any(${ids.filter(isId)}::uuid[])`.execute(
    db
  )
  return new Set(rows.map(row => row.id))
}
