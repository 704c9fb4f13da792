import { type RawBuilder, sql } from 'kysely'
import type { Device, DeviceDetail, DevicePatch } from '../../../types.ts'
import type { DeviceKind } from '../../../words.ts'
import type { Tables } from '../database.ts'
import { iso, isoOrNull, numberOrNull } from '../values.ts'

export interface DeviceRow {
  id: string
  tenant_id: string
  connection_id: string
  provider: string
  external_id: string
  organization_external_id: string | null
  client_ref: string | null
  assignment: string
  asset_ref: string | null
  asset_type: 'workstation' | 'server'
  kind: DeviceKind
  display_name: string
  volumes: Array<{ name: string; totalBytes: number | null }>
  antivirus: { provider: string | null; status: string | null } | null
  free_bytes: Array<number | null> | null
  mac_addresses: string[]
  tags: string[]
  [column: string]: unknown
}

/** All columns of a device with its heartbeat, `details` left out: lists do not need it. */
export const deviceSelect: RawBuilder<unknown> = sql.raw(`
  d.id, d.tenant_id, d.connection_id, d.provider, d.external_id, d.organization_external_id, d.client_ref, d.assignment, d.asset_ref,
  d.asset_type, d.kind, d.display_name, d.hostname, d.serial_number, d.manufacturer, d.model, d.os_type, d.os_version, d.last_reboot_at,
  d.current_user_name, d.lan_ip, d.wan_ip, d.mac_addresses, d.cpu_model, d.cpu_cores, d.ram_bytes, d.volumes, d.antivirus,
  d.pending_os_patches, d.location, d.tags, d.maintenance_mode, d.removed_at, d.out_of_sight_since, d.updated_at,
  greatest(d.observed_at, s.observed_at) as observed_at, s.online, s.last_seen_at, s.uptime_seconds, s.free_bytes, clock_timestamp() as read_at`)

export function deviceFrom(t: Tables): RawBuilder<unknown> {
  return sql`${t.device} d left join ${t.device_status} s on s.device_id = d.id`
}

function used(totalBytes: number | null, freeBytes: number | null): number | null {
  if (totalBytes === null || freeBytes === null || totalBytes <= 0) return null
  return Math.round(Math.min(Math.max(1 - freeBytes / totalBytes, 0), 1) * 10_000) / 10_000
}

/** A time of the past: one that lies ahead comes from a clock that was wrong and is read as now. */
function pastOf(row: DeviceRow, column: string): string | null {
  const told = isoOrNull(row[column])
  const now = iso(row['read_at'])
  return told !== null && told > now ? now : told
}

/** Counted from the last reboot where that is known: it goes on between two reads. Null where that is to come. */
function uptimeOf(row: DeviceRow): number | null {
  const rebooted = isoOrNull(row['last_reboot_at'])
  if (rebooted === null) return numberOrNull(row['uptime_seconds'])
  const seconds = Math.round((Date.parse(iso(row['read_at'])) - Date.parse(rebooted)) / 1000)
  return seconds < 0 ? null : seconds
}

export function toDevice(row: DeviceRow): Device {
  const online = row['online'] === true && row['removed_at'] === null
  return {
    id: row.id,
    connectionId: row.connection_id,
    provider: row.provider,
    externalId: row.external_id,
    organizationExternalId: row.organization_external_id,
    clientRef: row.client_ref,
    assetRef: row.asset_ref,
    assetType: row.asset_type,
    kind: row.kind,
    displayName: row.display_name,
    hostname: row['hostname'] as string | null,
    serialNumber: row['serial_number'] as string | null,
    manufacturer: row['manufacturer'] as string | null,
    model: row['model'] as string | null,
    osType: row['os_type'] as string | null,
    osVersion: row['os_version'] as string | null,
    online,
    agentStatus: online ? 'online' : 'offline',
    lastSeenAt: pastOf(row, 'last_seen_at'),
    lastRebootAt: pastOf(row, 'last_reboot_at'),
    uptimeSeconds: online ? uptimeOf(row) : null,
    currentUser: row['current_user_name'] as string | null,
    lanIp: row['lan_ip'] as string | null,
    wanIp: row['wan_ip'] as string | null,
    macAddresses: row.mac_addresses,
    cpuModel: row['cpu_model'] as string | null,
    cpuCores: numberOrNull(row['cpu_cores']),
    ramBytes: numberOrNull(row['ram_bytes']),
    volumes: row.volumes.map((volume, i) => {
      const freeBytes = row.free_bytes?.[i] ?? null
      return {
        name: volume.name,
        totalBytes: volume.totalBytes,
        freeBytes,
        utilization: used(volume.totalBytes, freeBytes)
      }
    }),
    antivirus: row.antivirus ?? { provider: null, status: null },
    pendingOsPatches: numberOrNull(row['pending_os_patches']),
    location: row['location'] as string | null,
    tags: row.tags,
    maintenanceMode: row['maintenance_mode'] as boolean,
    removedAt: isoOrNull(row['removed_at']),
    outOfSightSince: isoOrNull(row['out_of_sight_since']),
    observedAt: pastOf(row, 'observed_at')!,
    updatedAt: iso(row['updated_at'])
  }
}

/** With what a list does not need. */
export function detailSelect(t: Tables): RawBuilder<unknown> {
  return sql`${deviceSelect}, d.details, (select jsonb_agg(jsonb_build_object('externalId', p.external_id, 'title', p.title, 'kb', p.kb,
      'severity', p.severity, 'category', p.category, 'publishedAt', to_json(p.published_at)) order by p.published_at desc nulls last, p.external_id)
    from ${t.patch} p where p.connection_id = d.connection_id and p.device_external_id = d.external_id) as patches`
}

/** Null: the platform tells no more than how many there are, or not even that. */
function patchesOf(row: DeviceRow): DevicePatch[] | null {
  const told = row['patches'] as DevicePatch[] | null
  if (told === null) return row['pending_os_patches'] === 0 ? [] : null
  return told.map(patch => ({ ...patch, publishedAt: isoOrNull(patch.publishedAt) }))
}

export function toDeviceDetail(row: DeviceRow): DeviceDetail {
  return {
    ...toDevice(row),
    details: (row['details'] ?? {}) as Record<string, unknown>,
    patches: patchesOf(row)
  }
}
