import { sql } from 'kysely'
import type { Db, Tables } from '../database.ts'
import { observed } from '../observed.ts'
import type { MergeContext } from './shapes.ts'

/** What went out of the account's sight just now. */
export interface OutOfSight {
  organizations: Array<{ externalId: string; name: string /** Living devices in it. */; devices: number }>
  devices: Array<{
    deviceId: string
    externalId: string
    displayName: string
    clientRef: string | null
    /** Name of its organization. */
    group: string | null
  }>
}

/**
 * Marks what a read that does not see everything did not show. Nothing else of it changes: it keeps its client, its
 * asset and its links until somebody says that it is gone, or it is seen again. Devices of organizations that are out of
 * sight go with them, unless they were seen since `before`.
 */
export async function loseSight(
  trx: Db,
  t: Tables,
  { connectionId }: MergeContext,
  lost: { organizations: string[]; devices: string[] },
  before: Date
): Promise<OutOfSight> {
  const since = before.toISOString()
  const organizations = await sql<{ external_id: string; name: string; devices: string | number }>`
    update ${t.organization} o set out_of_sight_since = now(), updated_at = now()
    where o.connection_id = ${connectionId} and o.external_id = any(${lost.organizations}::text[]) and o.removed_at is null and o.out_of_sight_since is null
      and ${observed(sql`o.observed_at`)} <= ${since}::timestamptz
    returning o.external_id, o.name, (select count(*) from ${t.device} d where d.connection_id = o.connection_id and d.organization_external_id = o.external_id and d.removed_at is null) as devices`.execute(
    trx
  )
  const devices = await sql<{
    id: string
    external_id: string
    display_name: string
    client_ref: string | null
    group: string | null
  }>`
    update ${t.device} d set out_of_sight_since = now(), updated_at = now()
    where d.connection_id = ${connectionId} and (d.external_id = any(${lost.devices}::text[]) or d.organization_external_id = any(${organizations.rows.map(row => row.external_id)}::text[]))
      and d.removed_at is null and d.out_of_sight_since is null
      and greatest(${observed(sql`d.observed_at`)}, (select ${observed(sql`s.observed_at`)} from ${t.device_status} s where s.device_id = d.id)) <= ${since}::timestamptz
    returning d.id, d.external_id, d.display_name, d.client_ref,
      (select o.name from ${t.organization} o where o.connection_id = d.connection_id and o.external_id = d.organization_external_id) as group`.execute(
    trx
  )
  return {
    organizations: organizations.rows
      .map(({ external_id: externalId, name, devices }) => ({ externalId, name, devices: Number(devices) }))
      .sort((a, b) => (a.name < b.name ? -1 : 1)),
    devices: devices.rows
      .map(({ id, external_id: externalId, display_name: displayName, client_ref: clientRef, group }) => ({
        deviceId: id,
        externalId,
        displayName,
        clientRef,
        group
      }))
      .sort((a, b) => (a.externalId < b.externalId ? -1 : 1))
  }
}

/** Of devices that a read did not show: those whose organization the platform has called deleted. They went with it. */
export async function ofDeletedOrganizations(
  db: Db,
  t: Tables,
  connectionId: string,
  externalIds: string[]
): Promise<Set<string>> {
  if (externalIds.length === 0) return new Set()
  const { rows } = await sql<{ external_id: string }>`select d.external_id from ${t.device} d
    join ${t.organization} o on o.connection_id = d.connection_id and o.external_id = d.organization_external_id and o.removed_at is not null
    where d.connection_id = ${connectionId} and d.external_id = any(${externalIds}::text[])`.execute(db)
  return new Set(rows.map(row => row.external_id))
}
