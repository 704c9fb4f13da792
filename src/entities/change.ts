import { defineEntity, type EntitySchema } from '@mikro-orm/core'
import type { Actor, ChangeCause, ChangeEntity, ChangeKind, ChangeState, FieldChange } from '../types.ts'
import { belongsTo, type Columns, json, sequence, text, time, uuid } from './columns.ts'
import { RmmConnectionSchema } from './connection.ts'

/** One thing that happened to one record. That a run made a device is told by the device's row. */
export class RmmChange {
  declare id: number
  declare tenantId: string
  declare connectionId: string
  /** The run, or what stands for one: a mapping change has an id of its own. */
  declare runId: string | null
  declare cause: ChangeCause
  declare entity: ChangeEntity
  declare entityId: string | null
  declare externalId: string | null
  declare displayName: string | null
  declare clientRef: string | null
  declare kind: ChangeKind
  declare changed: FieldChange[]
  declare state: ChangeState
  declare reason: string | null
  declare actor: Actor | null
  declare at: Date
}

export const RmmChangeSchema: EntitySchema<RmmChange> = defineEntity({
  class: RmmChange,
  tableName: 'rmm_change',
  schema: '*',
  properties: {
    id: sequence('id').primary(),
    tenantId: text('tenant_id'),
    connectionId: belongsTo(RmmConnectionSchema, 'rmm_change', 'connection_id'),
    runId: uuid('run_id').nullable(),
    cause: text('cause').$type<ChangeCause>(),
    entity: text('entity').$type<ChangeEntity>(),
    entityId: uuid('entity_id').nullable(),
    externalId: text('external_id').nullable(),
    displayName: text('display_name').nullable(),
    clientRef: text('client_ref').nullable(),
    kind: text('kind').$type<ChangeKind>(),
    changed: json<FieldChange[]>('changed').defaultRaw("'[]'"),
    state: text('state').$type<ChangeState>().default('applied'),
    reason: text('reason').nullable(),
    actor: json<Actor>('actor').nullable(),
    at: time('at').defaultRaw('now()')
  } satisfies Columns<RmmChange>,
  indexes: [
    { name: 'rmm_change_run', properties: ['runId', 'id'], where: 'run_id is not null' },
    { name: 'rmm_change_entity', properties: ['entityId', 'id'], where: 'entity_id is not null' },
    { name: 'rmm_change_connection', properties: ['connectionId', 'id'] },
    { name: 'rmm_change_open', properties: ['connectionId', 'id'], where: "state in ('held', 'dismissed')" },
    { name: 'rmm_change_old', properties: ['at'] }
  ]
})
