import { defineEntity, type EntitySchema } from '@mikro-orm/core'
import type { Alert, AlertSeverity } from '../types.ts'
import { belongsTo, type Columns, generatedId, json, oneOf, text, time } from './columns.ts'
import { RmmConnectionSchema } from './connection.ts'

/** An alert of the platform. */
export class RmmAlert {
  declare id: string
  declare tenantId: string
  declare connectionId: string
  declare externalId: string
  declare deviceExternalId: string | null
  declare name: string
  declare description: string | null
  declare severity: AlertSeverity
  declare providerSeverity: string | null
  declare status: 'active' | 'resolved'
  declare startedAt: Date
  declare resolvedAt: Date | null
  declare details: Record<string, unknown>
  declare origin: Alert['origin']
  declare hash: string
  declare observedAt: Date
  declare createdAt: Date
  declare updatedAt: Date
}

export const RmmAlertSchema: EntitySchema<RmmAlert> = defineEntity({
  class: RmmAlert,
  tableName: 'rmm_alert',
  schema: '*',
  properties: {
    id: generatedId(),
    tenantId: text('tenant_id'),
    connectionId: belongsTo(RmmConnectionSchema, 'rmm_alert', 'connection_id'),
    externalId: text('external_id'),
    deviceExternalId: text('device_external_id').nullable(),
    name: text('name'),
    description: text('description').nullable(),
    severity: oneOf('severity', ['critical', 'major', 'moderate', 'minor']),
    providerSeverity: text('provider_severity').nullable(),
    status: oneOf('status', ['active', 'resolved']),
    startedAt: time('started_at'),
    resolvedAt: time('resolved_at').nullable(),
    details: json<Record<string, unknown>>('details').defaultRaw("'{}'"),
    origin: oneOf('origin', ['webhook', 'sweep', 'backfill']).default('sweep'),
    hash: text('hash'),
    observedAt: time('observed_at'),
    createdAt: time('created_at').defaultRaw('now()'),
    updatedAt: time('updated_at').defaultRaw('now()')
  } satisfies Columns<RmmAlert>,
  uniques: [{ name: 'rmm_alert_external_unique', properties: ['connectionId', 'externalId'] }],
  indexes: [
    { name: 'rmm_alert_tenant_list', properties: ['tenantId', 'startedAt', 'id'] },
    { name: 'rmm_alert_device', properties: ['connectionId', 'deviceExternalId', 'startedAt', 'id'] },
    { name: 'rmm_alert_active', properties: ['connectionId'], where: "status = 'active'" },
    { name: 'rmm_alert_old', properties: ['resolvedAt'], where: "status = 'resolved'" }
  ]
})
