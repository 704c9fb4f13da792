import { defineEntity, type EntitySchema } from '@mikro-orm/core'
import type { MappingMode } from '../types.ts'
import { belongsTo, bool, type Columns, generatedId, int, oneOf, text, time } from './columns.ts'
import { RmmConnectionSchema } from './connection.ts'

/** A group or site on the platform, and whose client it is. */
export class RmmOrganization {
  declare id: string
  declare tenantId: string
  declare connectionId: string
  declare externalId: string
  declare name: string
  declare parentExternalId: string | null
  declare path: string
  declare depth: number
  declare deviceCount: number | null
  declare descendantDeviceCount: number | null
  declare mode: MappingMode
  declare clientRef: string | null
  declare mappedBy: 'operator' | 'device-group' | null
  /** Mapped to a client that the host's directory no longer has. */
  declare broken: boolean
  declare autoSync: boolean
  declare assignment: 'mapped' | 'unmapped' | 'excluded' | 'held'
  declare effectiveClientRef: string | null
  /** The installation it was read from; null where the platform does not tell. */
  declare server: string | null
  declare hash: string
  declare observedAt: Date
  declare removedAt: Date | null
  /** The account no longer sees it; whether it is gone nobody has said. */
  declare outOfSightSince: Date | null
  declare createdAt: Date
  declare updatedAt: Date
}

export const RmmOrganizationSchema: EntitySchema<RmmOrganization> = defineEntity({
  class: RmmOrganization,
  tableName: 'rmm_organization',
  schema: '*',
  properties: {
    id: generatedId(),
    tenantId: text('tenant_id'),
    connectionId: belongsTo(RmmConnectionSchema, 'rmm_organization', 'connection_id'),
    externalId: text('external_id'),
    name: text('name'),
    parentExternalId: text('parent_external_id').nullable(),
    path: text('path').default(''),
    depth: int('depth').default(0),
    deviceCount: int('device_count').nullable(),
    descendantDeviceCount: int('descendant_device_count').nullable(),
    mode: oneOf('mode', ['inherit', 'mapped', 'excluded']).default('inherit'),
    clientRef: text('client_ref').nullable(),
    mappedBy: oneOf('mapped_by', ['operator', 'device-group']).nullable(),
    broken: bool('broken').default(false),
    autoSync: bool('auto_sync').default(true),
    assignment: oneOf('assignment', ['mapped', 'unmapped', 'excluded', 'held']).default('unmapped'),
    effectiveClientRef: text('effective_client_ref').nullable(),
    server: text('server').nullable(),
    hash: text('hash'),
    observedAt: time('observed_at'),
    removedAt: time('removed_at').nullable(),
    outOfSightSince: time('out_of_sight_since').nullable(),
    createdAt: time('created_at').defaultRaw('now()'),
    updatedAt: time('updated_at').defaultRaw('now()')
  } satisfies Columns<RmmOrganization>,
  uniques: [{ name: 'rmm_organization_external_unique', properties: ['connectionId', 'externalId'] }],
  indexes: [{ name: 'rmm_organization_old', properties: ['removedAt'], where: 'removed_at is not null' }]
})

/** The device group made or linked on the platform for one client. */
export class RmmClientGroup {
  declare id: string
  declare tenantId: string
  declare connectionId: string
  declare clientRef: string
  declare externalId: string
  declare name: string
  declare clientName: string
  /** The installation the id is of; null where the platform does not tell. */
  declare server: string | null
  declare missingSince: Date | null
  declare createdAt: Date
  declare updatedAt: Date
}

export const RmmClientGroupSchema: EntitySchema<RmmClientGroup> = defineEntity({
  class: RmmClientGroup,
  tableName: 'rmm_client_group',
  schema: '*',
  properties: {
    id: generatedId(),
    tenantId: text('tenant_id'),
    connectionId: belongsTo(RmmConnectionSchema, 'rmm_client_group', 'connection_id'),
    clientRef: text('client_ref'),
    externalId: text('external_id'),
    name: text('name'),
    clientName: text('client_name'),
    server: text('server').nullable(),
    missingSince: time('missing_since').nullable(),
    createdAt: time('created_at').defaultRaw('now()'),
    updatedAt: time('updated_at').defaultRaw('now()')
  } satisfies Columns<RmmClientGroup>,
  uniques: [
    { name: 'rmm_client_group_client_unique', properties: ['connectionId', 'clientRef'] },
    { name: 'rmm_client_group_external_unique', properties: ['connectionId', 'externalId'] }
  ]
})
