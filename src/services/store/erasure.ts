import { sql } from 'kysely'
import type { Db, Tables } from './database.ts'
import type { DeviceChange } from './devices/shapes.ts'
import { type DeviceRow, deviceFrom, deviceSelect, toDevice } from './devices/rows.ts'
import { isId } from './values.ts'

/** Whose data: of one device, or of all devices of one client, removed ones too. */
export type ErasureTarget = { deviceId: string } | { clientRef: string }

const whose = (target: ErasureTarget) =>
  'deviceId' in target ? sql`d.id = ${target.deviceId}` : sql`d.client_ref = ${target.clientRef}`

export async function connectionsToErase(
  db: Db,
  t: Tables,
  tenantId: string,
  target: ErasureTarget
): Promise<string[]> {
  if ('deviceId' in target && !isId(target.deviceId)) return []
  const { rows } = await sql<{ connection_id: string }>`select distinct connection_id from ${t.device} d
    where d.tenant_id = ${tenantId} and ${whose(target)} order by connection_id`.execute(db)
  return rows.map(row => row.connection_id)
}

/** What will be erased of one connection, as the host would be told of its removal. */
export async function devicesToErase(
  trx: Db,
  t: Tables,
  connectionId: string,
  target: ErasureTarget
): Promise<DeviceChange[]> {
  const { rows } = await sql<DeviceRow>`select ${deviceSelect} from ${deviceFrom(t)}
    where d.connection_id = ${connectionId} and ${whose(target)} order by d.external_id`.execute(trx)
  return rows.map(row => ({ change: 'removed', device: toDevice(row) }))
}

/**
 * Deletes devices with everything that tells of them: alerts, patches, changes, deliveries, items of runs, entries of the
 * activity log and events, sent or not. Returns how many alerts there were.
 */
export async function eraseDevices(trx: Db, t: Tables, connectionId: string, devices: DeviceChange[]): Promise<number> {
  const ids = sql`${devices.map(({ device }) => device.id)}::text[]`
  const externalIds = sql`${devices.map(({ device }) => device.externalId)}::text[]`
  const { rows } = await sql<{ id: string; external_id: string }>`delete from ${t.alert}
    where connection_id = ${connectionId} and device_external_id = any(${externalIds}) returning id, external_id`.execute(
    trx
  )
  const alertIds = sql`${rows.map(row => row.id)}::text[]`
  const alertExternalIds = sql`${rows.map(row => row.external_id)}::text[]`
  const hinted = (list: ReturnType<typeof sql>) => sql`exists (select 1 from jsonb_array_elements(${list}) x
    where (x->>'resource' = 'devices' and x->>'externalId' = any(${externalIds})) or (x->>'resource' = 'alerts' and x->>'externalId' = any(${alertExternalIds})))`
  await sql`delete from ${t.outbox} o where o.connection_id = ${connectionId} and (o.payload->>'deviceId' = any(${ids}) or o.payload->>'deviceExternalId' = any(${externalIds})
    or o.payload->>'alertId' = any(${alertIds}) or ${hinted(sql`coalesce(o.payload->'hints', '[]')`)}
    or exists (select 1 from jsonb_array_elements(coalesce(o.payload->'sample', '[]')) x where x->>'deviceId' = any(${ids})))`.execute(
    trx
  )
  await sql`delete from ${t.delivery} d where d.connection_id = ${connectionId}
    and (d.alert->>'deviceExternalId' = any(${externalIds}) or ${hinted(sql`d.hints`)})`.execute(trx)
  await sql`delete from ${t.change} where connection_id = ${connectionId} and (entity_id = any(${ids}::uuid[]) or entity_id = any(${alertIds}::uuid[]))`.execute(
    trx
  )
  // What is only planned has no id of ours yet; and what the platform said for a plan cannot be taken apart.
  await sql`delete from ${t.change} where connection_id = ${connectionId} and entity_id is null and entity = 'device' and external_id = any(${externalIds})`.execute(
    trx
  )
  await sql`with planned as (delete from ${t.recording} using ${t.run} r where run_id = r.id and r.connection_id = ${connectionId} returning run_id)
    update ${t.run} set result = jsonb_set(result, '{plan,expiresAt}', to_jsonb('1970-01-01T00:00:00.000Z'::text))
    where id in (select run_id from planned) and jsonb_exists(result, 'plan')`.execute(trx)
  await sql`delete from ${t.run_item} where connection_id = ${connectionId} and resource = 'devices' and external_id = any(${externalIds})`.execute(
    trx
  )
  await sql`delete from ${t.activity} where target->>'connectionId' = ${connectionId} and (target->>'deviceId' = any(${ids}) or target->>'alertId' = any(${alertIds}))`.execute(
    trx
  )
  await sql`delete from ${t.patch} where connection_id = ${connectionId} and device_external_id = any(${externalIds})`.execute(
    trx
  )
  await sql`delete from ${t.device_status} where device_id = any(${ids}::uuid[])`.execute(trx)
  await sql`delete from ${t.device} where id = any(${ids}::uuid[])`.execute(trx)
  return rows.length
}
