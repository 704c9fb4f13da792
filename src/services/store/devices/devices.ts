import { type RawBuilder, sql } from 'kysely'
import { CursorError, ValidationError } from '../../../errors.ts'
import type { CountedQuery, Device, DeviceDetail, DeviceFilter, List, PageQuery } from '../../../types.ts'
import { clean } from '../../model/index.ts'
import { all, limitOf, readCursor, toList, withTotal } from '../cursor.ts'
import type { Database, Db, Tables } from '../database.ts'
import { detailSelect, type DeviceRow, deviceFrom, deviceSelect, toDevice, toDeviceDetail } from './rows.ts'
import { isId, isoOrNull } from '../values.ts'

/** Columns that a search looks at. */
const searched = ['display_name', 'hostname', 'serial_number', 'lan_ip', 'wan_ip', 'current_user_name', 'model']

/** Time columns that a list may be sorted by. */
const timeSorts = {
  lastSeenAt: { column: sql`s.last_seen_at`, of: (row: DeviceRow) => isoOrNull(row['last_seen_at']) },
  updatedAt: { column: sql`d.updated_at`, of: (row: DeviceRow) => isoOrNull(row['updated_at']) }
}

export async function listDevices(
  { db, t }: Database,
  tenantId: string,
  query: CountedQuery & DeviceFilter = {}
): Promise<List<Device>> {
  const limit = limitOf(query)
  const conditions = conditionsOf(t, tenantId, query)
  const { after, order, key } = sorted(query)
  const { rows } = await sql<DeviceRow>`select ${deviceSelect} from ${deviceFrom(t)}
    where ${all([...conditions, ...after])} order by ${order} limit ${limit + 1}`.execute(db)
  return await withTotal(db, query, toList(rows, limit, toDevice, key), deviceFrom(t), conditions)
}

/** Name and id from A to Z, or a time from the newest on; devices without one come last. */
function sorted({ sort = 'name', cursor }: PageQuery & DeviceFilter) {
  if (sort === 'name') {
    const after = readCursor(cursor, ['text', 'id'])
    return {
      after: after === null ? [] : [sql`(d.display_name, d.id) > (${after[0]}, ${after[1]}::uuid)`],
      order: sql`d.display_name, d.id`,
      key: (row: DeviceRow) => [row.display_name, row.id]
    }
  }
  const { column, of } = timeSorts[sort]
  const after = readCursor(cursor, ['text', 'timeOrNone', 'id'])
  if (after !== null && after[0] !== sort) throw new CursorError()
  return {
    after: after === null ? [] : [olderThan(column, after[1]!, after[2]!)],
    order: sql`${column} desc nulls last, d.id desc`,
    key: (row: DeviceRow) => [sort, of(row) ?? '', row.id]
  }
}

function olderThan(column: RawBuilder<unknown>, time: string, id: string): RawBuilder<unknown> {
  return time === ''
    ? sql`(${column} is null and d.id < ${id}::uuid)`
    : sql`(${column} is null or (${column}, d.id) < (${time}::timestamptz, ${id}::uuid))`
}

function conditionsOf(t: Tables, tenantId: string, query: DeviceFilter): Array<RawBuilder<unknown>> {
  const conditions = [sql<unknown>`d.tenant_id = ${tenantId}`]
  const equal = (column: string, value: string | undefined) => {
    if (value !== undefined) conditions.push(sql`${sql.ref(`d.${column}`)} = ${value}`)
  }
  if (query.connectionId !== undefined)
    conditions.push(isId(query.connectionId) ? sql`d.connection_id = ${query.connectionId}` : sql`false`)
  equal('client_ref', query.clientRef)
  equal('provider', query.provider)
  equal('external_id', query.externalId)
  equal('asset_ref', query.assetRef)
  equal('serial_number', query.serialNumber)
  if (query.organizationExternalId !== undefined)
    conditions.push(inOrganization(t, tenantId, query.organizationExternalId, query.descendants === true))
  if (query.online !== undefined)
    conditions.push(sql`(d.removed_at is null and coalesce(s.online, false)) = ${query.online}`)
  if (query.mapped !== undefined) conditions.push(sql`(d.client_ref is not null) = ${query.mapped}`)
  if (query.removed !== 'any') conditions.push(sql`(d.removed_at is not null) = ${query.removed ?? false}`)
  if (query.updatedSince !== undefined) conditions.push(sql`d.updated_at >= ${timeOf(query.updatedSince)}::timestamptz`)
  if (query.q !== undefined && query.q.trim() !== '') conditions.push(matches(query.q))
  return conditions
}

function timeOf(text: string): string {
  const time = new Date(text)
  if (Number.isNaN(time.getTime()) || time.getUTCFullYear() < 1 || time.getUTCFullYear() > 9999)
    throw new ValidationError(`updatedSince is '${text.slice(0, 100)}'; it must be a time as ISO 8601`)
  return time.toISOString()
}

/** In this organization, or in one below it; `union` ends where the platform's tree runs in a circle. */
function inOrganization(t: Tables, tenantId: string, externalId: string, descendants: boolean): RawBuilder<unknown> {
  if (!descendants) return sql`d.organization_external_id = ${externalId}`
  return sql`(d.connection_id, d.organization_external_id) in (with recursive below as (
      select connection_id, external_id from ${t.organization} where tenant_id = ${tenantId} and external_id = ${externalId}
      union select o.connection_id, o.external_id from ${t.organization} o
        join below b on o.connection_id = b.connection_id and o.parent_external_id = b.external_id
    ) select connection_id, external_id from below)`
}

function matches(q: string): RawBuilder<unknown> {
  const pattern = `%${q
    .trim()
    .toWellFormed()
    .replaceAll('\0', '')
    .replace(/[\\%_]/g, '\\$&')}%`
  return sql`(${sql.join(
    searched.map(column => sql`${sql.ref(`d.${column}`)} ilike ${pattern}`),
    sql` or `
  )})`
}

export async function findDevice({ db, t }: Database, tenantId: string, id: string): Promise<DeviceDetail | null> {
  if (!isId(id)) return null
  const { rows } =
    await sql<DeviceRow>`select ${detailSelect(t)} from ${deviceFrom(t)} where d.id = ${id} and d.tenant_id = ${tenantId}`.execute(
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
  const { rows } = await sql<DeviceRow>`select ${detailSelect(t)} from ${deviceFrom(t)}
    where d.connection_id = ${connectionId} and d.external_id = ${externalId} and d.tenant_id = ${tenantId}`.execute(db)
  return rows[0] ? toDeviceDetail(rows[0]) : null
}

/** External ids of the connection's living devices with this host name, two at the most: more would not be told apart either. */
export async function devicesByHostname(
  { db, t }: Database,
  connectionId: string,
  hostname: string
): Promise<string[]> {
  const { rows } = await sql<{ external_id: string }>`select external_id from ${t.device}
    where connection_id = ${connectionId} and removed_at is null and lower(hostname) = lower(${clean(hostname)}) limit 2`.execute(
    db
  )
  return rows.map(row => row.external_id)
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
