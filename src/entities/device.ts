import { defineEntity, type EntitySchema, type PrimaryKeyProp } from '@mikro-orm/core'
import type { Device } from '../types.ts'
import { belongsTo, bigint, bool, type Columns, generatedId, int, json, oneOf, text, time, uuid } from './columns.ts'
import { RmmConnectionSchema } from './connection.ts'

/** A device as the platform last told. `removedAt` is a tombstone: the platform no longer lists it. */
export class RmmDevice {
  declare id: string
  declare tenantId: string
  declare connectionId: string
  declare provider: string
  declare externalId: string
  declare organizationExternalId: string | null
  declare clientRef: string | null
  declare assignment: 'mapped' | 'unmapped' | 'excluded' | 'held'
  declare assetRef: string | null
  declare assetType: 'workstation' | 'server'
  declare kind: Device['kind']
  declare displayName: string
  declare hostname: string | null
  declare serialNumber: string | null
  declare manufacturer: string | null
  declare model: string | null
  declare osType: string | null
  declare osVersion: string | null
  declare lastRebootAt: Date | null
  declare currentUserName: string | null
  declare lanIp: string | null
  declare wanIp: string | null
  declare macAddresses: string[]
  declare cpuModel: string | null
  declare cpuCores: number | null
  declare ramBytes: number | null
  declare volumes: Device['volumes']
  declare antivirus: NonNullable<Device['antivirus']> | null
  declare pendingOsPatches: number | null
  declare location: string | null
  declare tags: string[]
  declare maintenanceMode: boolean
  declare details: Record<string, unknown>
  declare hash: string
  declare observedAt: Date
  declare removedAt: Date | null
  /** The account no longer sees it; whether it is gone nobody has said. */
  declare outOfSightSince: Date | null
  declare createdAt: Date
  /** The run that brought it; null where a webhook or a person's request did. */
  declare createdRun: string | null
  /** What the host has yet to be told of it: `created`, `handover`, `removed`. */
  declare owed: string | null
  declare updatedAt: Date
}

export const RmmDeviceSchema: EntitySchema<RmmDevice> = defineEntity({
  class: RmmDevice,
  tableName: 'rmm_device',
  schema: '*',
  properties: {
    id: generatedId(),
    tenantId: text('tenant_id'),
    connectionId: belongsTo(RmmConnectionSchema, 'rmm_device', 'connection_id'),
    provider: text('provider'),
    externalId: text('external_id'),
    organizationExternalId: text('organization_external_id').nullable(),
    clientRef: text('client_ref').nullable(),
    assignment: oneOf('assignment', ['mapped', 'unmapped', 'excluded', 'held']).default('unmapped'),
    assetRef: text('asset_ref').nullable(),
    assetType: oneOf('asset_type', ['workstation', 'server']).default('workstation'),
    kind: oneOf('kind', ['workstation', 'server', 'printer', 'network', 'phone', 'vm-host', 'other']).default(
      'workstation'
    ),
    displayName: text('display_name'),
    hostname: text('hostname').nullable(),
    serialNumber: text('serial_number').nullable(),
    manufacturer: text('manufacturer').nullable(),
    model: text('model').nullable(),
    osType: text('os_type').nullable(),
    osVersion: text('os_version').nullable(),
    lastRebootAt: time('last_reboot_at').nullable(),
    currentUserName: text('current_user_name').nullable(),
    lanIp: text('lan_ip').nullable(),
    wanIp: text('wan_ip').nullable(),
    macAddresses: json<string[]>('mac_addresses').defaultRaw("'[]'"),
    cpuModel: text('cpu_model').nullable(),
    cpuCores: int('cpu_cores').nullable(),
    ramBytes: bigint('ram_bytes').nullable(),
    volumes: json<Device['volumes']>('volumes').defaultRaw("'[]'"),
    antivirus: json<NonNullable<Device['antivirus']>>('antivirus').nullable(),
    pendingOsPatches: int('pending_os_patches').nullable(),
    location: text('location').nullable(),
    tags: json<string[]>('tags').defaultRaw("'[]'"),
    maintenanceMode: bool('maintenance_mode').default(false),
    details: json<Record<string, unknown>>('details').defaultRaw("'{}'"),
    hash: text('hash'),
    observedAt: time('observed_at'),
    removedAt: time('removed_at').nullable(),
    outOfSightSince: time('out_of_sight_since').nullable(),
    createdAt: time('created_at').defaultRaw('now()'),
    createdRun: uuid('created_run').nullable(),
    owed: text('owed').nullable(),
    updatedAt: time('updated_at').defaultRaw('now()')
  } satisfies Columns<RmmDevice>,
  uniques: [{ name: 'rmm_device_external_unique', properties: ['connectionId', 'externalId'] }],
  indexes: [
    { name: 'rmm_device_tenant_list', properties: ['tenantId', 'displayName', 'id'] },
    { name: 'rmm_device_connection_list', properties: ['connectionId', 'displayName', 'id'] },
    { name: 'rmm_device_client_list', properties: ['tenantId', 'clientRef', 'displayName', 'id'] },
    { name: 'rmm_device_owed', properties: ['connectionId', 'id'], where: 'owed is not null' },
    { name: 'rmm_device_asset', properties: ['tenantId', 'assetRef'], where: 'asset_ref is not null' },
    {
      name: 'rmm_device_organization',
      properties: ['connectionId', 'organizationExternalId'],
      where: 'removed_at is null'
    },
    { name: 'rmm_device_old', properties: ['removedAt'], where: 'removed_at is not null' }
  ]
})

/** What changes with every heartbeat of a device; one row per device. */
export class RmmDeviceStatus {
  declare deviceId: string
  declare tenantId: string
  declare connectionId: string
  declare online: boolean | null
  declare lastSeenAt: Date | null
  declare uptimeSeconds: number | null
  declare freeBytes: Array<number | null>
  declare hash: string
  declare observedAt: Date
  /**
   * The provider's mark of the state its inventory was read at; null where there is none, or where it has to be read
   * again.
   */
  declare inventoryRevision: string | null
  declare inventoryObservedAt: Date | null
}

export const RmmDeviceStatusSchema: EntitySchema<RmmDeviceStatus> = defineEntity({
  class: RmmDeviceStatus,
  tableName: 'rmm_device_status',
  schema: '*',
  properties: {
    deviceId: uuid('device_id').primary(),
    tenantId: text('tenant_id'),
    connectionId: uuid('connection_id'),
    online: bool('online').nullable(),
    lastSeenAt: time('last_seen_at').nullable(),
    uptimeSeconds: bigint('uptime_seconds').nullable(),
    freeBytes: json<Array<number | null>>('free_bytes').defaultRaw("'[]'"),
    hash: text('hash'),
    observedAt: time('observed_at'),
    inventoryRevision: text('inventory_revision').nullable(),
    inventoryObservedAt: time('inventory_observed_at').nullable()
  } satisfies Columns<RmmDeviceStatus>
})

/** What an update is that waits for a device, where the platform tells. */
export class RmmPatch {
  declare connectionId: string
  declare externalId: string
  declare tenantId: string
  declare deviceExternalId: string
  declare title: string | null
  declare kb: string | null
  declare severity: string | null
  declare category: string | null
  declare publishedAt: Date | null
  declare [PrimaryKeyProp]?: ['connectionId', 'externalId']
}

export const RmmPatchSchema: EntitySchema<RmmPatch> = defineEntity({
  class: RmmPatch,
  tableName: 'rmm_patch',
  schema: '*',
  properties: {
    connectionId: belongsTo(RmmConnectionSchema, 'rmm_patch', 'connection_id').primary(),
    externalId: text('external_id').primary(),
    tenantId: text('tenant_id'),
    deviceExternalId: text('device_external_id'),
    title: text('title').nullable(),
    kb: text('kb').nullable(),
    severity: text('severity').nullable(),
    category: text('category').nullable(),
    publishedAt: time('published_at').nullable()
  } satisfies Columns<RmmPatch>,
  indexes: [{ name: 'rmm_patch_device', properties: ['connectionId', 'deviceExternalId'] }]
})
