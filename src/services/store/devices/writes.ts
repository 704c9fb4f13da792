import { type RawBuilder, sql } from 'kysely'
import { fieldOf, joinFields, joinRows, type NormalDevice } from '../../model/index.ts'
import type { FieldChange } from '../../../types.ts'
import { logColumns, logValues } from '../changes.ts'
import type { Db, Tables } from '../database.ts'
import { deviceColumns, initialValues } from './columns.ts'
import { differenceTo } from './difference.ts'
import { hashToStore, revisionOf } from './inventory.ts'
import { observed, present } from '../observed.ts'
import { type RowColumns, rowSet } from '../row-set.ts'
import type { Beat, ComparedRow, MergeContext, Write } from './shapes.ts'

/** The statements of the device merge: each takes a whole page. */

const compared: RowColumns = [
  ['external_id', 'text'],
  ['organization', 'text'],
  ['told', 'boolean'],
  ['hash', 'text'],
  ['status_hash', 'text'],
  ['observed_at', 'timestamptz'],
  ['revision', 'text'],
  ['booted', 'timestamptz']
]

/**
 * Whether the time of the last boot is another one. Windows counts it back from ticks, and it wanders by seconds:
 * measured against what is stored, so that what wanders for long becomes true all the same.
 */
const bootMoved = (told: string, stored: string): string =>
  `(${told} is not null and (${stored} is null or ${told} not between ${stored} - interval '120 s' and ${stored} + interval '120 s'))`
const rebooted = sql.raw(bootMoved('x.booted', 'd.last_reboot_at'))

/**
 * One row for every record that is new, differs or has no client; what is stored and seen the same way does not come
 * back.
 */
export async function compareDevices(
  trx: Db,
  t: Tables,
  connectionId: string,
  records: NormalDevice[],
  touch: boolean
): Promise<ComparedRow[]> {
  const oldest = records.reduce(
    (min, record) => (record.observedAt < min ? record.observedAt : min),
    records[0]!.observedAt
  )
  const rows = joinRows(
    records.map(record =>
      joinFields([
        record.externalId,
        fieldOf(record.organizationExternalId),
        fieldOf(record.organizationTold),
        record.hash,
        record.status.hash,
        fieldOf(record.observedAt),
        fieldOf(revisionOf(record)),
        fieldOf(record.facts.lastRebootAt)
      ])
    )
  )
  const result = await sql<ComparedRow>`
    with later as (
      select seen_id, max(p.observed_at) as observed_at from ${t.page} p, unnest(p.seen) seen_id
      where p.connection_id = ${connectionId} and p.resource = 'devices' and p.observed_at > ${oldest.toISOString()}::timestamptz and p.observed_at <= ${present} group by seen_id
    )
    select x.external_id, d.id, d.display_name, d.hash, least(d.observed_at, ${present}) as observed_at, ${observed(sql`s.inventory_observed_at`)} > x.observed_at as newer_inventory,
      -- A record whose inventory was not read again has only the first part of a stored hash.
      starts_with(d.hash, x.hash) and not ${rebooted} as same, ${rebooted} as rebooted, s.hash is not distinct from x.status_hash as same_status,
      (x.revision is null or s.inventory_revision is not distinct from x.revision) as same_revision,
      greatest(${observed(sql`d.observed_at`)}, ${observed(sql`s.observed_at`)}, later.observed_at) > x.observed_at as stale,
      d.removed_at is not null as removed, d.out_of_sight_since is not null as out_of_sight,
      case when x.told then x.organization else d.organization_external_id end as organization, o.assignment is not null as organization_known, d.client_ref, d.assignment, d.asset_ref,
      o.effective_client_ref as target_client, coalesce(o.assignment, 'unmapped') as target
    from ${rowSet(rows, compared)}
    -- One look-up by index per record and table, whatever the statistics make the planner believe about the size of a page or of a tree.
    left join lateral (select * from ${t.device} d where d.connection_id = ${connectionId} and d.external_id = x.external_id limit 1) d on true
    left join lateral (select s.hash, s.observed_at, s.inventory_revision, s.inventory_observed_at from ${t.device_status} s where s.device_id = d.id limit 1) s on true
    left join lateral (select o.assignment, o.effective_client_ref from ${t.organization} o where o.connection_id = ${connectionId} and o.removed_at is null
      and o.external_id = case when x.told then x.organization else d.organization_external_id end limit 1) o on true
    left join later on later.seen_id = x.external_id
    where ${touch} or d.id is null or d.client_ref is null or not starts_with(d.hash, x.hash) or ${rebooted} or s.hash is distinct from x.status_hash or d.removed_at is not null or d.out_of_sight_since is not null
      or s.inventory_revision is distinct from coalesce(x.revision, s.inventory_revision)
      or d.assignment <> coalesce(o.assignment, 'unmapped')
      or (coalesce(o.assignment, 'unmapped') <> 'held' and d.client_ref is distinct from o.effective_client_ref)`.execute(
    trx
  )
  return result.rows.map(row => ({ ...row, target_client: row.target === 'mapped' ? row.target_client : null }))
}

const statusColumns: RowColumns = [
  ['online', 'boolean'],
  ['lastSeenAt', 'timestamptz'],
  ['uptimeSeconds', 'bigint'],
  ['freeBytes', 'jsonb'],
  ['statusHash', 'text'],
  ['revision', 'text']
]

function statusFields(record: NormalDevice): string {
  const { online, lastSeenAt, uptimeSeconds, freeBytes, hash } = record.status
  return joinFields([
    fieldOf(online),
    fieldOf(lastSeenAt),
    fieldOf(uptimeSeconds),
    fieldOf(freeBytes),
    hash,
    fieldOf(revisionOf(record))
  ])
}

/** Inserts the heartbeats of `x`, which has `id`, `observedAt` and the columns above. */
function insertStatus(t: Tables, context: MergeContext, x: RawBuilder<unknown>): RawBuilder<unknown> {
  return sql`insert into ${t.device_status} as s (device_id, tenant_id, connection_id, online, last_seen_at, uptime_seconds, free_bytes, hash, observed_at, inventory_revision, inventory_observed_at)
    select x.id, ${context.tenantId}, ${context.connectionId}::uuid, x.online, x."lastSeenAt", x."uptimeSeconds", coalesce(x."freeBytes", '[]'), x."statusHash", x."observedAt",
      x.revision, case when x.revision is not null then x."observedAt" end from ${x}`
}

const deviceFields: RowColumns = deviceColumns.map(([field, , type]) => [field, type])
const written: RowColumns = [
  ['id', 'uuid'],
  ['hash', 'text'],
  ['observedAt', 'timestamptz'],
  ['clientRef', 'text'],
  ['assignment', 'text']
]

function writtenFields({ id, record, row, to }: Write): string {
  return joinFields([
    id,
    hashToStore(record, row.hash),
    fieldOf(record.observedAt),
    fieldOf(to.clientRef),
    to.assignment
  ])
}

const literal = (value: unknown): string => `'${typeof value === 'string' ? value : JSON.stringify(value)}'`
const insertColumns = sql.raw(deviceColumns.map(([, column]) => column).join(', '))
/** A text that is `none` says that there is none. */
const stored = (column: string, type: string, value: string): string =>
  initialValues[column] !== undefined
    ? `coalesce(${value}, ${literal(initialValues[column])})`
    : type === 'text'
      ? `nullif(${value}, '')`
      : value
const insertValues = sql.raw(
  deviceColumns.map(([field, column, type]) => stored(column, type, `x."${field}"`)).join(', ')
)
const freshColumns: RowColumns = [...written, ['externalId', 'text'], ...statusColumns, ...deviceFields]

/** New devices with their heartbeats. */
export async function insertDevices(trx: Db, t: Tables, context: MergeContext, writes: Write[]): Promise<void> {
  const rows = joinRows(
    writes.map(write =>
      joinFields([writtenFields(write), write.record.externalId, statusFields(write.record), write.record.row])
    )
  )
  await sql`
    with x as materialized (select * from ${rowSet(rows, freshColumns)}), inserted as (
      insert into ${t.device} (id, tenant_id, connection_id, provider, external_id, client_ref, assignment, hash, observed_at, created_run, owed, ${insertColumns})
      select x.id, ${context.tenantId}, ${context.connectionId}::uuid, ${context.provider}, x."externalId", x."clientRef", x.assignment, x.hash, x."observedAt", ${context.by.runId}::uuid, case when ${!context.hears}::boolean and x.assignment = 'mapped' then 'created' end, ${insertValues} from x
    ) ${insertStatus(t, context, sql`x`)}`.execute(trx)
}

/** What becomes of a column of the row `o`: a null was not told, and what is stored stays. */
function merged(field: string, column: string, type: string): string {
  if (column === 'organization_external_id')
    return 'case when x."organizationTold" then x."organizationExternalId" else o.organization_external_id end'
  if (column === 'details')
    return `case when x."detailsPartial" then o.details || coalesce(x.details, '{}') else coalesce(x.details, o.details) end`
  if (column === 'last_reboot_at')
    return `case when ${bootMoved('x."lastRebootAt"', 'o.last_reboot_at')} then x."lastRebootAt" else o.last_reboot_at end`
  return stored(column, type, `coalesce(x."${field}", o.${column})`)
}

const columnNames = deviceColumns.map(([, column]) => column)
const of = (table: string): string => columnNames.map(column => `${table}.${column}`).join(', ')
const mergedRow = sql.raw(
  deviceColumns.map(([field, column, type]) => `${merged(field, column, type)} as ${column}`).join(', ')
)
const updates = sql.raw(columnNames.map(column => `${column} = w.${column}`).join(', '))
const differs = sql.raw(`(${of('n')}) is distinct from (${of('o')})`)
const updatedColumns: RowColumns = [
  ...written,
  ['organizationTold', 'boolean'],
  ['detailsPartial', 'boolean'],
  ...deviceFields
]

/** What became of a row that was written. */
export interface Written {
  /** Whether it is another one now: a field that is not told any more changes the hash and nothing else. */
  changed: boolean
  /** Which fields are others; null where only its state is. */
  fields: FieldChange[] | null
}

const fieldsThatDiffer = sql.raw(differenceTo('x."clientRef"'))

/** Returns those that were written by id, not what has become newer meanwhile, and logs what changed. */
export async function updateDevices(
  trx: Db,
  t: Tables,
  context: MergeContext,
  writes: Write[]
): Promise<Map<string, Written>> {
  const rows = joinRows(
    writes.map(write =>
      joinFields([
        writtenFields(write),
        fieldOf(write.record.organizationTold),
        fieldOf(write.record.detailsPartial),
        write.record.row
      ])
    )
  )
  const updated = await sql<{ id: string } & Written>`
    with updated as (update ${t.device} d set ${updates}, client_ref = w."clientRef", assignment = w.assignment, hash = w.hash, observed_at = w."observedAt",
      owed = case when ${!context.hears}::boolean and w.assignment = 'mapped' and (d.client_ref is null or d.removed_at is not null) then 'created' when d.owed = 'removed' then 'handover' else d.owed end,
      removed_at = null, out_of_sight_since = null, updated_at = case when w.changed or d.out_of_sight_since is not null then now() else d.updated_at end
    from (select x.id, x."clientRef", x.assignment, x.hash, x."observedAt", n.*, c.changed, case when c.changed then ${fieldsThatDiffer} end as fields,
        case when o.removed_at is not null then 'revive' when o.client_ref is distinct from x."clientRef" then 'move' else 'update' end as change_kind
      from ${rowSet(rows, updatedColumns)} join ${t.device} o on o.id = x.id, lateral (select ${mergedRow}) n,
        lateral (select ${differs} or o.client_ref is distinct from x."clientRef" or o.assignment <> x.assignment or o.removed_at is not null as changed) c) w
    where d.id = w.id and d.connection_id = ${context.connectionId} and ${observed(sql`d.observed_at`)} <= w."observedAt"
    returning d.id, d.external_id, d.display_name, d.client_ref, w.changed, w.fields, w.change_kind
    ), logged as (insert into ${t.change} (${logColumns}, entity, entity_id, external_id, display_name, client_ref, kind, changed)
      select ${logValues(trx, context)}, 'device', u.id, u.external_id, u.display_name, u.client_ref, u.change_kind, coalesce(u.fields, '[]') from updated u
      where u.changed and (u.fields is not null or u.change_kind = 'revive'))
    select id, changed, fields from updated`.execute(trx)
  return new Map(updated.rows.map(({ id, changed, fields }) => [id, { changed, fields }]))
}

const beatColumns: RowColumns = [['id', 'uuid'], ['observedAt', 'timestamptz'], ...statusColumns]

/**
 * The heartbeats of devices that are there, in the narrow table. A null keeps what is known, as everywhere. A device was
 * last seen at the latest time that anybody saw it: a platform may tell when it connected, long before our own sighting.
 */
export async function writeStatus(trx: Db, t: Tables, context: MergeContext, beats: Beat[]): Promise<void> {
  const rows = joinRows(
    beats.map(({ id, record }) => joinFields([id, fieldOf(record.observedAt), statusFields(record)]))
  )
  await sql`${insertStatus(t, context, rowSet(rows, beatColumns))}
    on conflict (device_id) do update set hash = excluded.hash, observed_at = excluded.observed_at,
      online = coalesce(excluded.online, s.online), last_seen_at = greatest(excluded.last_seen_at, case when s.last_seen_at <= now() then s.last_seen_at end), uptime_seconds = coalesce(excluded.uptime_seconds, s.uptime_seconds),
      free_bytes = case when excluded.free_bytes = '[]'::jsonb then s.free_bytes else excluded.free_bytes end,
      inventory_revision = coalesce(excluded.inventory_revision, s.inventory_revision), inventory_observed_at = coalesce(excluded.inventory_observed_at, s.inventory_observed_at)
    where ${observed(sql`s.observed_at`)} <= excluded.observed_at`.execute(trx)
}

/** Devices that are seen again as they were. */
export async function comeBack(trx: Db, t: Tables, connectionId: string, ids: string[]): Promise<void> {
  await sql`update ${t.device} set out_of_sight_since = null, updated_at = now()
    where connection_id = ${connectionId} and id = any(${ids}::uuid[])`.execute(trx)
}
