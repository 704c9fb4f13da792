import { defineEntity, type EntitySchema, HiddenProps, type PrimaryKeyProp } from '@mikro-orm/core'
import type { MovePolicy } from '../types.ts'
import { belongsTo, bool, type Columns, generatedId, int, json, oneOf, text, time } from './columns.ts'

/** One tenant's account on one platform. What is sealed or grants access is neither loaded nor serialised. */
export class RmmConnection {
  declare id: string
  declare tenantId: string
  declare provider: string
  declare name: string
  declare config: Record<string, unknown>
  declare sealedSecrets: string | null
  /** Goes up whenever config or secrets are replaced. */
  declare revision: number
  declare status: 'connected' | 'error' | 'disconnected'
  declare statusReason: string | null
  declare account: string | null
  declare state: Record<string, unknown>
  declare movePolicy: MovePolicy
  declare hookKey: string
  declare hookSecret: string | null
  declare hookSecretPrevious: string | null
  declare hookPreviousUntil: Date | null
  declare scheduleEnabled: boolean
  declare everyMinutes: number
  declare fullEveryMinutes: number
  declare nextSyncAt: Date | null
  /** Since when a sync is due that could not be started yet. */
  declare dueSince: Date | null
  declare connectedAt: Date | null
  declare lastSyncAt: Date | null
  declare lastFullSyncAt: Date | null
  declare lastScheduledSyncAt: Date | null
  /** How many devices single reads have moved since then: the brake for moves counts pushes together. */
  declare movesSince: Date | null
  declare moves: number
  declare createdAt: Date
  declare updatedAt: Date
  declare [HiddenProps]?: 'sealedSecrets' | 'hookKey' | 'hookSecret' | 'hookSecretPrevious'
}

export const RmmConnectionSchema: EntitySchema<RmmConnection> = defineEntity({
  class: RmmConnection,
  tableName: 'rmm_connection',
  schema: '*',
  properties: {
    id: generatedId(),
    tenantId: text('tenant_id'),
    provider: text('provider'),
    name: text('name'),
    config: json<Record<string, unknown>>('config').defaultRaw("'{}'"),
    sealedSecrets: text('sealed_secrets').nullable().hidden().lazy(),
    revision: int('revision').default(0),
    status: oneOf('status', ['connected', 'error', 'disconnected']).default('connected'),
    statusReason: text('status_reason').nullable(),
    account: text('account').nullable(),
    state: json<Record<string, unknown>>('state').defaultRaw("'{}'"),
    movePolicy: oneOf('move_policy', ['follow', 'hold']).default('follow'),
    hookKey: text('hook_key').hidden().lazy(),
    hookSecret: text('hook_secret').nullable().hidden().lazy(),
    hookSecretPrevious: text('hook_secret_previous').nullable().hidden().lazy(),
    hookPreviousUntil: time('hook_previous_until').nullable(),
    scheduleEnabled: bool('schedule_enabled').default(false),
    everyMinutes: int('every_minutes').default(60),
    fullEveryMinutes: int('full_every_minutes').default(1440),
    nextSyncAt: time('next_sync_at').nullable(),
    dueSince: time('due_since').nullable(),
    connectedAt: time('connected_at').nullable(),
    lastSyncAt: time('last_sync_at').nullable(),
    lastFullSyncAt: time('last_full_sync_at').nullable(),
    lastScheduledSyncAt: time('last_scheduled_sync_at').nullable(),
    movesSince: time('moves_since').nullable(),
    moves: int('moves').default(0),
    createdAt: time('created_at').defaultRaw('now()'),
    updatedAt: time('updated_at').defaultRaw('now()')
  } satisfies Columns<RmmConnection>,
  uniques: [{ name: 'rmm_connection_hook_key_unique', properties: ['hookKey'] }],
  indexes: [
    { name: 'rmm_connection_list', properties: ['tenantId', 'createdAt', 'id'] },
    { name: 'rmm_connection_due', properties: ['nextSyncAt'], where: "schedule_enabled and status <> 'disconnected'" }
  ]
})

/** What logging in brought, sealed: good with the config and secrets of this revision. */
export class RmmSessionValue {
  declare connectionId: string
  declare key: string
  declare revision: number
  declare sealed: string
  declare expiresAt: Date | null
  declare [PrimaryKeyProp]?: ['connectionId', 'key']
}

export const RmmSessionValueSchema: EntitySchema<RmmSessionValue> = defineEntity({
  class: RmmSessionValue,
  tableName: 'rmm_session_value',
  schema: '*',
  properties: {
    connectionId: belongsTo(RmmConnectionSchema, 'rmm_session_value', 'connection_id').primary(),
    key: text('key').primary(),
    revision: int('revision'),
    sealed: text('sealed'),
    expiresAt: time('expires_at').nullable()
  } satisfies Columns<RmmSessionValue>
})
