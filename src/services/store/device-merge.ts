import { randomUUID } from 'node:crypto'
import { sql } from 'kysely'
import type { ChangeBatch, Device, MovePolicy } from '../../types.ts'
import { type Assigned, assign } from '../assign.ts'
import type { NormalDevice } from '../normalize.ts'
import type { Assignment } from '../tree.ts'
import type { Db, Tables } from './database.ts'
import { hashToStore, type LateInventory, lateInventory, revisionOf, writeLateInventory } from './device-inventory.ts'
import { type DeviceRow, deviceFrom, deviceSelect, toDevice } from './device-rows.ts'

export interface MergeContext {
  tenantId: string
  connectionId: string
  provider: string
  movePolicy: MovePolicy
}

export type DeviceChange = ChangeBatch['devices'][number]
/** As much of a change as its event tells. */
export interface DeviceEvent {
  change: DeviceChange['change']
  device: Pick<Device, 'id' | 'externalId' | 'displayName' | 'clientRef' | 'assetRef'>
}
export type MergeOutcome = 'created' | 'updated' | 'unchanged' | 'unmapped' | 'stale'

export interface DeviceMerge {
  outcomes: Map<string, MergeOutcome>
  /** Every device whose row changed, for the outbox. */
  events: DeviceEvent[]
  /** Those of them that concern the host. */
  changes: DeviceChange[]
  held: Array<{ externalId: string, reason: string }>
}

/** Record fields and their columns, in one place: the record set, the insert and the update are made from it. */
const columns = [
  ['organizationExternalId', 'organization_external_id', 'text'], ['displayName', 'display_name', 'text'], ['assetType', 'asset_type', 'text'],
  ['hostname', 'hostname', 'text'], ['serialNumber', 'serial_number', 'text'], ['manufacturer', 'manufacturer', 'text'], ['model', 'model', 'text'],
  ['osType', 'os_type', 'text'], ['osVersion', 'os_version', 'text'], ['lastRebootAt', 'last_reboot_at', 'timestamptz'],
  ['currentUser', 'current_user_name', 'text'], ['lanIp', 'lan_ip', 'text'], ['wanIp', 'wan_ip', 'text'], ['macAddresses', 'mac_addresses', 'jsonb'],
  ['cpuModel', 'cpu_model', 'text'], ['cpuCores', 'cpu_cores', 'int'], ['ramBytes', 'ram_bytes', 'bigint'], ['volumes', 'volumes', 'jsonb'],
  ['antivirus', 'antivirus', 'jsonb'], ['location', 'location', 'text'], ['tags', 'tags', 'jsonb'], ['maintenanceMode', 'maintenance_mode', 'boolean'],
  ['details', 'details', 'jsonb']
] as const

/** What a column that must not be null starts with when the platform did not tell. */
const initial: Record<string, unknown> = {
  asset_type: 'workstation', mac_addresses: [], volumes: [], tags: [], maintenance_mode: false, details: {}
}
const literal = (value: unknown): string => `'${typeof value === 'string' ? value : JSON.stringify(value)}'`

const names = columns.map(([, column]) => column)
const recordDefinition = sql.raw(`x(id uuid, "externalId" text, "observedAt" timestamptz, hash text, "clientRef" text, assignment text, "organizationTold" boolean, "detailsPartial" boolean, ${columns.map(([field, , type]) => `"${field}" ${type}`).join(', ')})`)
const insertColumns = sql.raw(names.join(', '))
const insertValues = sql.raw(columns.map(([field, column]) => initial[column] === undefined ? `x."${field}"` : `coalesce(x."${field}", ${literal(initial[column])})`).join(', '))
/** A null means "not told" and never erases; only where a device belongs can be told to be nowhere. */
const updates = sql.raw(columns.map(([field, column]) => column === 'organization_external_id'
  ? 'organization_external_id = case when x."organizationTold" then x."organizationExternalId" else d.organization_external_id end'
  : column === 'details'
    ? `details = case when x."detailsPartial" then d.details || coalesce(x.details, '{}') else coalesce(x.details, d.details) end`
    : `${column} = coalesce(x."${field}", d.${column})`).join(', '))

interface Compared {
  external_id: string
  id: string | null
  display_name: string | null
  hash: string | null
  observed_at: Date | string | null
  inventory_observed_at: Date | string | null
  same_revision: boolean
  same: boolean | null
  same_status: boolean | null
  stale: boolean | null
  removed: boolean
  client_ref: string | null
  assignment: Assignment | null
  asset_ref: string | null
  target_client: string | null
  target: Assignment
}

interface Beat {
  id: string
  record: NormalDevice
}

interface Write extends Beat {
  row: Compared
  to: Assigned
}

/**
 * Merges one page of devices: reads what differs, writes only that. Three to five statements whatever the number of records;
 * none of them writes where nothing changed. Records must be distinct by `externalId`.
 * `touch` is for reads beside the runs: no page remembers what they saw unchanged, so the heartbeat has to.
 */
export async function mergeDevices (trx: Db, t: Tables, context: MergeContext, records: NormalDevice[], touch = false): Promise<DeviceMerge> {
  const merge: DeviceMerge = { outcomes: new Map(), events: [], changes: [], held: [] }
  const differing = new Map((await compare(trx, t, context.connectionId, records, touch)).map(row => [row.external_id, row]))
  const writes: Write[] = []
  const beats: Beat[] = []
  const lates: LateInventory[] = []
  for (const record of records) {
    const row = differing.get(record.externalId)
    const late = row?.stale ? lateInventory(record, row) : null
    if (late !== null) lates.push(late)
    if (row === undefined || (row.stale && !late?.differs)) {
      merge.outcomes.set(record.externalId, row === undefined ? 'unchanged' : 'stale')
      continue
    }
    const to = late === null ? place(row, context) : stay(row)
    if (to.held !== null) merge.held.push({ externalId: record.externalId, reason: to.held })
    const rewrite = late !== null || !row.same || row.removed || row.client_ref !== to.clientRef || row.assignment !== to.assignment
    const id = row.id ?? randomUUID()
    if (rewrite) writes.push({ id, record: late?.record ?? record, row, to })
    if (late === null && (touch || !row.same_status || !row.same_revision || rewrite)) beats.push({ id, record })
    merge.outcomes.set(record.externalId, to.clientRef === null && to.assignment !== 'held' ? 'unmapped' : !rewrite ? 'unchanged' : row.id === null ? 'created' : 'updated')
  }
  const fresh = writes.filter(write => write.row.id === null)
  const known = writes.filter(write => write.row.id !== null)
  if (fresh.length > 0) await insertDevices(trx, t, context, fresh)
  if (known.length > 0) await updateDevices(trx, t, context, known)
  if (beats.length > 0) await writeStatus(trx, t, context, beats)
  if (lates.length > 0) await writeLateInventory(trx, t, context.connectionId, lates)
  const stored = known.length > 0 ? new Map((await readBack(trx, t, context, known)).map(row => [row.id, row])) : new Map<string, DeviceRow>()
  for (const write of writes) tell(merge, context, write, stored.get(write.id))
  return merge
}

function place (row: Compared, { movePolicy }: MergeContext): Assigned {
  return assign({ clientRef: row.client_ref, assignment: row.assignment ?? 'unmapped', assetRef: row.asset_ref }, { clientRef: row.target_client, assignment: row.target }, movePolicy)
}

/** What came late tells nothing of where a device belongs. */
function stay ({ client_ref: clientRef, assignment }: Compared): Assigned {
  return { clientRef, assignment: assignment ?? 'unmapped', change: null, held: null }
}

/** One row for every record that is new, differs or has no client; what is stored and seen the same way does not come back. */
async function compare (trx: Db, t: Tables, connectionId: string, records: NormalDevice[], touch: boolean): Promise<Compared[]> {
  const oldest = records.reduce((min, record) => record.observedAt < min ? record.observedAt : min, records[0]!.observedAt)
  // `unnest` fills up what is shorter: where no record has inventory, this costs nothing.
  const revisions = records.some(({ inventory }) => inventory !== null) ? records.map(revisionOf) : []
  const result = await sql<Compared>`
    with later as (
      select seen_id, max(p.observed_at) as observed_at from ${t.page} p, unnest(p.seen) seen_id
      where p.connection_id = ${connectionId} and p.resource = 'devices' and p.observed_at > ${oldest.toISOString()}::timestamptz group by seen_id
    )
    select r.external_id, d.id, d.display_name, d.hash, d.observed_at, s.inventory_observed_at,
      -- A record whose inventory was not read again has only the first part of a stored hash.
      starts_with(d.hash, r.hash) as same, s.hash is not distinct from r.status_hash as same_status,
      (r.revision is null or s.inventory_revision is not distinct from r.revision) as same_revision,
      greatest(d.observed_at, s.observed_at, later.observed_at) > r.observed_at as stale,
      d.removed_at is not null as removed, d.client_ref, d.assignment, d.asset_ref,
      o.effective_client_ref as target_client, coalesce(o.assignment, 'unmapped') as target
    from unnest(${records.map(r => r.externalId)}::text[], ${records.map(r => r.organizationExternalId)}::text[], ${records.map(r => r.organizationTold)}::boolean[],
      ${records.map(r => r.hash)}::text[], ${records.map(r => r.status.hash)}::text[], ${records.map(r => r.observedAt.toISOString())}::timestamptz[],
      ${revisions}::text[])
      as r(external_id, organization, told, hash, status_hash, observed_at, revision)
    -- One index look-up per record, whatever the statistics make the planner believe about the size of a page.
    left join lateral (select * from ${t.device} d where d.connection_id = ${connectionId} and d.external_id = r.external_id limit 1) d on true
    left join lateral (select s.hash, s.observed_at, s.inventory_revision, s.inventory_observed_at from ${t.device_status} s where s.device_id = d.id limit 1) s on true
    left join ${t.organization} o on o.connection_id = ${connectionId} and o.removed_at is null
      and o.external_id = case when r.told then r.organization else d.organization_external_id end
    left join later on later.seen_id = r.external_id
    where ${touch} or d.id is null or d.client_ref is null or not starts_with(d.hash, r.hash) or s.hash is distinct from r.status_hash or d.removed_at is not null
      or s.inventory_revision is distinct from coalesce(r.revision, s.inventory_revision)
      or d.assignment <> coalesce(o.assignment, 'unmapped')
      or (coalesce(o.assignment, 'unmapped') <> 'held' and d.client_ref is distinct from o.effective_client_ref)`.execute(trx)
  return result.rows.map(row => ({ ...row, target_client: row.target === 'mapped' ? row.target_client : null }))
}

/** A record as `json_to_recordset` takes it. */
function toRecord ({ id, record, row, to }: Write): object {
  const { status: _, inventory: _inventory, ...fields } = record
  return { ...fields, id, clientRef: to.clientRef, assignment: to.assignment, hash: hashToStore(record, row.hash) }
}

async function insertDevices (trx: Db, t: Tables, context: MergeContext, writes: Write[]): Promise<void> {
  await sql`
    insert into ${t.device} (id, tenant_id, connection_id, provider, external_id, client_ref, assignment, hash, observed_at, ${insertColumns})
    select x.id, ${context.tenantId}, ${context.connectionId}::uuid, ${context.provider}, x."externalId", x."clientRef", x.assignment, x.hash, x."observedAt", ${insertValues}
    from json_to_recordset(${JSON.stringify(writes.map(toRecord))}::json) as ${recordDefinition}`.execute(trx)
}

async function updateDevices (trx: Db, t: Tables, context: MergeContext, writes: Write[]): Promise<void> {
  await sql`
    update ${t.device} d set ${updates}, client_ref = x."clientRef", assignment = x.assignment, hash = x.hash, observed_at = x."observedAt",
      removed_at = null, updated_at = now()
    from json_to_recordset(${JSON.stringify(writes.map(toRecord))}::json) as ${recordDefinition}
    where d.id = x.id and d.connection_id = ${context.connectionId} and d.observed_at <= x."observedAt"`.execute(trx)
}

/** The heartbeat of these devices, in the narrow table. A null keeps what is known, as everywhere. */
async function writeStatus (trx: Db, t: Tables, context: MergeContext, beats: Beat[]): Promise<void> {
  const json = JSON.stringify(beats.map(({ id, record }) => ({ id, observedAt: record.observedAt, ...record.status, revision: revisionOf(record) })))
  await sql`
    insert into ${t.device_status} as s (device_id, tenant_id, connection_id, online, last_seen_at, uptime_seconds, free_bytes, hash, observed_at, inventory_revision, inventory_observed_at)
    select x.id, ${context.tenantId}, ${context.connectionId}::uuid, x.online, x."lastSeenAt", x."uptimeSeconds", coalesce(x."freeBytes", '[]'), x.hash, x."observedAt",
      x.revision, case when x.revision is not null then x."observedAt" end
    from json_to_recordset(${json}::json) as x(id uuid, "observedAt" timestamptz, online boolean, "lastSeenAt" timestamptz, "uptimeSeconds" bigint, "freeBytes" jsonb, hash text, revision text)
    on conflict (device_id) do update set hash = excluded.hash, observed_at = excluded.observed_at,
      online = coalesce(excluded.online, s.online), last_seen_at = coalesce(excluded.last_seen_at, s.last_seen_at), uptime_seconds = coalesce(excluded.uptime_seconds, s.uptime_seconds),
      free_bytes = case when excluded.free_bytes = '[]'::jsonb then s.free_bytes else excluded.free_bytes end,
      inventory_revision = coalesce(excluded.inventory_revision, s.inventory_revision), inventory_observed_at = coalesce(excluded.inventory_observed_at, s.inventory_observed_at)
    where s.observed_at <= excluded.observed_at`.execute(trx)
}

async function readBack (trx: Db, t: Tables, context: MergeContext, writes: Write[]): Promise<DeviceRow[]> {
  const { rows } = await sql<DeviceRow>`select ${deviceSelect} from ${deviceFrom(t)}
    where d.connection_id = ${context.connectionId} and d.id = any(${writes.map(write => write.id)}::uuid[])`.execute(trx)
  return rows
}

/** A new row is what its record says: no need to read it back. */
function freshRow (context: MergeContext, { id, record, to }: Write): DeviceRow {
  const row: Record<string, unknown> = {
    id, tenant_id: context.tenantId, connection_id: context.connectionId, provider: context.provider, external_id: record.externalId,
    client_ref: to.clientRef, assignment: to.assignment, asset_ref: null, pending_os_patches: null, removed_at: null,
    observed_at: record.observedAt, updated_at: record.observedAt,
    online: record.status.online, last_seen_at: record.status.lastSeenAt, uptime_seconds: record.status.uptimeSeconds, free_bytes: record.status.freeBytes
  }
  for (const [field, column] of columns) row[column] = record[field] ?? initial[column] ?? null
  return row as DeviceRow
}

/** The host hears of devices that have, or had, a client; an outgoing event tells of every one. */
function tell (merge: DeviceMerge, context: MergeContext, write: Write, stored: DeviceRow | undefined): void {
  const { id, row, to, record: { externalId, displayName } } = write
  if (row.id !== null && stored === undefined) return
  const appeared = row.id === null || row.removed
  merge.events.push({ change: appeared ? 'created' : 'updated', device: { id, externalId, displayName, clientRef: to.clientRef, assetRef: row.asset_ref } })
  const concernsHost = to.assignment !== 'held' && (to.clientRef !== null || row.client_ref !== null)
  if (concernsHost) merge.changes.push({ change: to.change ?? (appeared ? 'created' : 'updated'), device: toDevice(stored ?? freshRow(context, write)) })
}
