import { randomUUID } from 'node:crypto'
import { sql } from 'kysely'
import { assign, type Assigned, type Move, none, type NormalDevice } from '../../model/index.ts'
import type { Db, Tables } from '../database.ts'
import { deviceColumns, initialValues } from './columns.ts'
import { type LateInventory, lateInventory, writeLateInventory } from './inventory.ts'
import { type DeviceRow, deviceFrom, deviceSelect, toDevice } from './rows.ts'
import type { Beat, ComparedRow, DeviceChange, DeviceEvent, MergeContext, Write } from './shapes.ts'
import { comeBack, compareDevices, insertDevices, updateDevices, writeStatus, type Written } from './writes.ts'

export type MergeOutcome = 'created' | 'updated' | 'unchanged' | 'unmapped'

export interface DeviceMerge {
  outcomes: Map<string, MergeOutcome>
  /** Every device whose row changed, for the outbox. */
  events: DeviceEvent[]
  /** Those of them that concern the host. */
  changes: DeviceChange[]
  held: Array<{ externalId: string; reason: string }>
  /** Records that say something else than what is stored, but are older. */
  older: number
  /** Devices that belong to another client by what the platform says and were not moved, as `moves` said. */
  moving: MovingDevice[]
}

/** A device that is to leave its client, with the record that says so. */
export interface MovingDevice extends Move {
  record: NormalDevice
  /** The organization it is in by now; null where it is in none. */
  organization: string | null
  /** Whether that organization is a living one of ours. */
  organizationKnown: boolean
}

export interface MergeOptions {
  /** For reads beside the runs: no page remembers what they saw unchanged, so the heartbeat has to. Default false. */
  touch?: boolean
  /** Whether somebody wants `changes`, whole devices. */
  forHost: boolean
  /**
   * What to do with a device that is to leave its client: move it (the default), write nothing of it yet, or write
   * everything else and let it stay.
   */
  moves?: 'now' | 'later' | 'never'
}

/**
 * Merges one page of devices: reads what differs, writes only that. One to six statements whatever the number of
 * records; none of them writes where nothing changed. Records must be distinct by `externalId`.
 */
export async function mergeDevices(
  trx: Db,
  t: Tables,
  context: MergeContext,
  records: NormalDevice[],
  { touch = false, forHost, moves = 'now' }: MergeOptions
): Promise<DeviceMerge> {
  const merge: DeviceMerge = { outcomes: new Map(), events: [], changes: [], held: [], older: 0, moving: [] }
  const differing = new Map(
    (await compareDevices(trx, t, context.connectionId, records, touch)).map(row => [row.external_id, row])
  )
  const writes: Write[] = []
  const beats: Beat[] = []
  const lates: LateInventory[] = []
  const back: string[] = []
  for (const record of records) {
    const row = differing.get(record.externalId)
    const late = row?.stale ? lateInventory(record, row) : null
    if (late !== null) lates.push(late)
    if (row?.stale && late === null) merge.older++
    if (row === undefined || (row.stale && !late?.differs)) {
      merge.outcomes.set(
        record.externalId,
        row === undefined || !isUnmapped({ clientRef: row.client_ref, assignment: row.assignment })
          ? 'unchanged'
          : 'unmapped'
      )
      continue
    }
    let to = late === null ? place(row, context) : stay(row)
    if (moves !== 'now' && leavesClient(row, to)) {
      merge.moving.push(toMoving(record, row, to))
      if (moves === 'later') continue
      to = stay(row)
    }
    if (to.held !== null) merge.held.push({ externalId: record.externalId, reason: to.held })
    const rewrite =
      late !== null || !row.same || row.removed || row.client_ref !== to.clientRef || row.assignment !== to.assignment
    const id = row.id ?? randomUUID()
    if (rewrite) writes.push({ id, record: late?.record ?? record, row, to })
    if (row.id !== null && row.out_of_sight && !rewrite) back.push(row.id)
    if (late === null && row.id !== null && (touch || !row.same_status || !row.same_revision || rewrite))
      beats.push({ id, record })
    merge.outcomes.set(
      record.externalId,
      isUnmapped(to) ? 'unmapped' : !rewrite ? 'unchanged' : row.id === null ? 'created' : 'updated'
    )
  }
  const fresh = writes.filter(write => write.row.id === null)
  const known = writes.filter(write => write.row.id !== null)
  if (fresh.length > 0) await insertDevices(trx, t, context, fresh)
  const written = known.length > 0 ? await updateDevices(trx, t, context, known) : new Map<string, Written>()
  if (beats.length > 0) await writeStatus(trx, t, context, beats)
  if (back.length > 0) await comeBack(trx, t, context.connectionId, back)
  if (lates.length > 0) await writeLateInventory(trx, t, context.connectionId, lates)
  // What only lost a field that is not told any more is the device it was.
  for (const { id, record, to } of known)
    if (written.get(id)?.changed === false && !isUnmapped(to)) merge.outcomes.set(record.externalId, 'unchanged')
  const told = writes.filter(({ id, row }) => row.id === null || written.get(id)?.changed === true)
  for (const write of told)
    merge.events.push({
      change: appeared(write) ? 'created' : 'updated',
      device: toEventDevice(write),
      ...changedOf(written, write)
    })
  if (forHost) merge.changes = await toChanges(trx, t, context, told.filter(concernsHost), written)
  return merge
}

/** Whatever else is true of a device: it belongs to no client. */
function isUnmapped({ clientRef, assignment }: { clientRef: string | null; assignment: string | null }): boolean {
  return clientRef === null && assignment !== 'held'
}

function place(row: ComparedRow, { movePolicy }: MergeContext): Assigned {
  return assign(
    { clientRef: row.client_ref, assignment: row.assignment ?? 'unmapped', assetRef: row.asset_ref },
    { clientRef: row.target_client, assignment: row.target },
    movePolicy
  )
}

/** A device that had no client, or was not there, leaves none. */
function leavesClient(row: ComparedRow, to: Assigned): boolean {
  return row.id !== null && !row.removed && row.client_ref !== null && to.clientRef !== row.client_ref
}

function toMoving(record: NormalDevice, row: ComparedRow, to: Assigned): MovingDevice {
  return {
    externalId: record.externalId,
    displayName: record.displayName,
    from: row.client_ref!,
    to: to.clientRef,
    record,
    organization: row.organization,
    organizationKnown: row.organization_known
  }
}

/** What came late, or waits for a person, tells nothing of where a device belongs. */
function stay({ client_ref: clientRef, assignment }: ComparedRow): Assigned {
  return { clientRef, assignment: assignment ?? 'unmapped', change: null, held: null }
}

function appeared({ row }: Write): boolean {
  return row.id === null || row.removed
}

function toEventDevice({ id, row, to, record: { externalId, displayName } }: Write): DeviceEvent['device'] {
  return { id, externalId, displayName, clientRef: to.clientRef, assetRef: row.asset_ref }
}

/** The host hears of devices that have, or had, a client; an outgoing event tells of every one. */
function concernsHost({ to, row }: Write): boolean {
  return to.assignment !== 'held' && (to.clientRef !== null || row.client_ref !== null)
}

function changedOf(written: Map<string, Written>, { id }: Write): Pick<DeviceEvent, 'changed'> {
  const fields = written.get(id)?.fields
  return fields == null ? {} : { changed: fields }
}

async function toChanges(
  trx: Db,
  t: Tables,
  context: MergeContext,
  writes: Write[],
  written: Map<string, Written>
): Promise<DeviceChange[]> {
  const ids = writes.flatMap(({ id, row }) => (row.id === null ? [] : id))
  const { rows } =
    ids.length === 0
      ? { rows: [] }
      : await sql<DeviceRow>`select ${deviceSelect} from ${deviceFrom(t)}
    where d.connection_id = ${context.connectionId} and d.id = any(${ids}::uuid[])`.execute(trx)
  const stored = new Map(rows.map(row => [row.id, row]))
  return writes.map((write): DeviceChange => {
    const change = write.to.change ?? (appeared(write) ? 'created' : 'updated')
    return {
      change,
      device: toDevice(stored.get(write.id) ?? freshRow(context, write)),
      ...(change === 'created' ? {} : changedOf(written, write))
    }
  })
}

function latest(a: Date, b: Date | null): Date {
  return b !== null && b > a ? b : a
}

/** A new row is what its record says: no need to read it back. */
function freshRow(context: MergeContext, { id, record, to }: Write): DeviceRow {
  const row: Record<string, unknown> = {
    id,
    tenant_id: context.tenantId,
    connection_id: context.connectionId,
    provider: context.provider,
    external_id: record.externalId,
    client_ref: to.clientRef,
    assignment: to.assignment,
    asset_ref: null,
    pending_os_patches: null,
    removed_at: null,
    observed_at: record.observedAt,
    updated_at: record.observedAt,
    read_at: latest(record.observedAt, record.status.lastSeenAt),
    online: record.status.online,
    last_seen_at: record.status.lastSeenAt,
    uptime_seconds: record.status.uptimeSeconds,
    free_bytes: record.status.freeBytes
  }
  const fields = {
    organizationExternalId: record.organizationExternalId,
    displayName: record.displayName,
    ...record.facts
  }
  for (const [field, column] of deviceColumns)
    row[column] = (fields[field] === none ? null : fields[field]) ?? initialValues[column] ?? null
  return row as DeviceRow
}
