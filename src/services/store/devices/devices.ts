import { sql } from 'kysely'
import type { Device, DeviceDetail, DeviceFilter, List, PageQuery } from '../../../types.ts'
import { limitOf, readCursor, toList } from '../cursor.ts'
import type { Database, Db, Tables } from '../database.ts'
import { type DeviceRow, deviceFrom, deviceSelect, toDevice, toDeviceDetail } from './rows.ts'
import { isId } from '../values.ts'

/** Columns that a search looks at. */
const searched = ['display_name', 'hostname', 'serial_number', 'lan_ip', 'wan_ip', 'current_user_name', 'model']

export async function listDevices(
  { db, t }: Database,
  tenantId: string,
  query: PageQuery & DeviceFilter = {}
): Promise<List<Device>> {
  const limit = limitOf(query)
  const after = readCursor(query.cursor, ['text', 'id'])
  const conditions = [sql`d.tenant_id = ${tenantId}`]
  if (query.connectionId !== undefined)
    conditions.push(isId(query.connectionId) ? sql`d.connection_id = ${query.connectionId}` : sql`false`)
  if (query.clientRef !== undefined) conditions.push(sql`d.client_ref = ${query.clientRef}`)
  if (query.online !== undefined)
    conditions.push(sql`(d.removed_at is null and coalesce(s.online, false)) = ${query.online}`)
  if (query.mapped !== undefined) conditions.push(sql`(d.client_ref is not null) = ${query.mapped}`)
  if (query.removed !== undefined) conditions.push(sql`(d.removed_at is not null) = ${query.removed}`)
  if (query.q !== undefined && query.q.trim() !== '') {
    const pattern = `%${query.q
      .trim()
      .toWellFormed()
      .replaceAll('\0', '')
      .replace(/[\\%_]/g, '\\$&')}%`
    conditions.push(
      sql`(${sql.join(
        searched.map(column => sql`${sql.ref(`d.${column}`)} ilike ${pattern}`),
        sql` or `
      )})`
    )
  }
  if (after !== null) conditions.push(sql`(d.display_name, d.id) > (${after[0]}, ${after[1]}::uuid)`)
  const { rows } =
    await sql<DeviceRow>`select ${deviceSelect} from ${deviceFrom(t)} where ${sql.join(conditions, sql` and `)}
    order by d.display_name, d.id limit ${limit + 1}`.execute(db)
  return toList(rows, limit, toDevice, row => [row.display_name, row.id])
}

export async function findDevice({ db, t }: Database, tenantId: string, id: string): Promise<DeviceDetail | null> {
  if (!isId(id)) return null
  const { rows } =
    await sql<DeviceRow>`select ${deviceSelect}, d.details from ${deviceFrom(t)} where d.id = ${id} and d.tenant_id = ${tenantId}`.execute(
      db
    )
  return rows[0] ? toDeviceDetail(rows[0]) : null
}

export async function deviceByExternalId(
  { db, t }: Database,
  tenantId: string,
  connectionId: string,
  externalId: string
): Promise<DeviceDetail | null> {
  const { rows } = await sql<DeviceRow>`select ${deviceSelect}, d.details from ${deviceFrom(t)}
    where d.connection_id = ${connectionId} and d.external_id = ${externalId} and d.tenant_id = ${tenantId}`.execute(db)
  return rows[0] ? toDeviceDetail(rows[0]) : null
}

/** What the host answered in `onChanges`: its asset for each device. */
export async function storeAssetRefs(
  trx: Db,
  t: Tables,
  connectionId: string,
  refs: Record<string, string>
): Promise<void> {
  const pairs = Object.entries(refs)
  if (pairs.length === 0) return
  await sql`update ${t.device} d set asset_ref = x.ref from unnest(${pairs.map(([id]) => id)}::uuid[], ${pairs.map(([, ref]) => String(ref))}::text[]) as x(id, ref)
    where d.id = x.id and d.connection_id = ${connectionId} and d.asset_ref is distinct from x.ref`.execute(trx)
}
