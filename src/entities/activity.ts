import { defineEntity, type EntitySchema } from '@mikro-orm/core'
import type { ActionTarget } from '../types.ts'
import { type Columns, json, sequence, text, time } from './columns.ts'

/** Something a person did, or the engine for one. */
export class RmmActivity {
  declare id: number
  declare tenantId: string
  declare at: Date
  declare actorId: string | null
  declare actorName: string | null
  declare type: string
  declare target: ActionTarget
  declare summary: string
}

export const RmmActivitySchema: EntitySchema<RmmActivity> = defineEntity({
  class: RmmActivity,
  tableName: 'rmm_activity',
  schema: '*',
  properties: {
    id: sequence('id').primary(),
    tenantId: text('tenant_id'),
    at: time('at').defaultRaw('now()'),
    actorId: text('actor_id').nullable(),
    actorName: text('actor_name').nullable(),
    type: text('type'),
    target: json<ActionTarget>('target').defaultRaw("'{}'"),
    summary: text('summary')
  } satisfies Columns<RmmActivity>,
  indexes: [
    { name: 'rmm_activity_list', properties: ['tenantId', 'at', 'id'] },
    { name: 'rmm_activity_actor', properties: ['tenantId', 'actorId', 'at', 'id'], where: 'actor_id is not null' },
    { name: 'rmm_activity_old', properties: ['at'] }
  ]
})
