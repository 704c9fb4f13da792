import { sql } from 'kysely'
import type { RecordId } from '../../../providers/define.ts'
import { deviceRow, idText, type NormalDevice } from '../../model/index.ts'
import type { Database, Db, Tables } from '../database.ts'
import { textArray } from '../row-set.ts'
import { iso } from '../values.ts'

/**
 * Facts that cost a platform requests of their own are not read with every list. They are a second register of the
 * same row, as old as their own reading: neither does a list without them make them old, nor does a newer list
 * without them keep out what was read before it.
 */

/** What a stored hash has behind its first part. */
const partsOf = (hash: string): [string, string | undefined] => hash.split('.', 2) as [string, string | undefined]

/** The state that a record's inventory was read at; null where it was not read. */
export function revisionOf({ inventory }: NormalDevice): string | null {
  return inventory?.facts ? inventory.revision : null
}

/**
 * The hash of the row after `record` was written over one with the hash `stored`: what was not read again keeps its
 * part.
 */
export function hashToStore(record: NormalDevice, stored: string | null): string {
  const [, kept] = stored === null || !record.inventory || record.inventory.facts ? [] : partsOf(stored)
  return kept === undefined ? record.hash : `${record.hash}.${kept}`
}

/** The stored row, as far as a late record has to know it. */
export interface InventoryRow {
  id: string | null
  display_name: string | null
  hash: string | null
  rebooted: boolean | null
  observed_at: Date | string | null
  newer_inventory: boolean | null
  removed: boolean
}

export interface LateInventory {
  id: string
  revision: string
  observedAt: Date
  freeBytes: Array<number | null> | null
  /** Its facts are others than the stored ones, which `record` has in the shape of a record that tells nothing else. */
  differs: boolean
  record: NormalDevice
}

/** The inventory in a record whose own fields came too late, where it is nevertheless the newest; null otherwise. */
export function lateInventory(record: NormalDevice, row: InventoryRow): LateInventory | null {
  const { id, display_name: displayName, hash, removed } = row
  const facts = record.inventory?.facts
  if (!facts || removed || row.newer_inventory || id === null || displayName === null || hash === null) return null
  const [own, stored] = partsOf(hash)
  const [, read] = partsOf(record.hash)
  const { revision, freeBytes } = record.inventory!
  // As old as the row it is written to: the row's own fields must not become older.
  const late: NormalDevice = {
    ...record,
    organizationExternalId: null,
    organizationTold: false,
    displayName,
    facts,
    detailsPartial: true,
    observedAt: new Date(iso(row.observed_at)),
    hash: `${own}.${read}`,
    row: deviceRow(null, displayName, facts)
  }
  return {
    id,
    revision,
    freeBytes,
    observedAt: record.observedAt,
    differs: stored !== read || (row.rebooted === true && facts.lastRebootAt !== null),
    record: late
  }
}

/** Marks and free space of inventory that came late; the rest of the heartbeat is newer. */
export async function writeLateInventory(
  trx: Db,
  t: Tables,
  connectionId: string,
  lates: LateInventory[]
): Promise<void> {
  const json = JSON.stringify(
    lates.map(({ id, revision, observedAt, freeBytes }) => ({ id, revision, observedAt, freeBytes }))
  )
  await sql`update ${t.device_status} s set inventory_revision = x.revision, inventory_observed_at = x."observedAt", free_bytes = coalesce(x."freeBytes", s.free_bytes)
    from json_to_recordset(${json}::json) as x(id uuid, revision text, "observedAt" timestamptz, "freeBytes" jsonb)
    where s.device_id = x.id and s.connection_id = ${connectionId}`.execute(trx)
}

/** Which state the inventory of these devices was read at; nothing for those that are not there or were removed. */
export async function knownRevisions(
  { db, t }: Database,
  connectionId: string,
  externalIds: RecordId[]
): Promise<Map<string, string>> {
  // Whatever a platform uses for ids: what cannot be stored is not there.
  const ids = externalIds.map(idText).filter(id => id !== null)
  const { rows } = await sql<{ external_id: string; inventory_revision: string }>`
    select d.external_id, s.inventory_revision from ${t.device} d join ${t.device_status} s on s.device_id = d.id
    where d.connection_id = ${connectionId} and d.external_id = any(${textArray(ids)}) and d.removed_at is null and s.inventory_revision is not null`.execute(
    db
  )
  return new Map(rows.map(row => [row.external_id, row.inventory_revision]))
}
