import { defineEntity, type EntitySchema } from '@mikro-orm/core'
import { belongsTo, type Columns, sequence, text, time } from './columns.ts'
import { RmmRunSchema } from './run.ts'

/** One answer of a platform that a plan was made from, packed. Goes a day later. */
export class RmmRecording {
  declare id: number
  declare tenantId: string
  declare runId: string
  /** A read of a resource (`devices:0`), `one` for single records, `sees`. */
  declare part: string
  declare key: string | null
  declare data: string
  declare createdAt: Date
}

export const RmmRecordingSchema: EntitySchema<RmmRecording> = defineEntity({
  class: RmmRecording,
  tableName: 'rmm_recording',
  schema: '*',
  properties: {
    id: sequence('id').primary(),
    tenantId: text('tenant_id'),
    runId: belongsTo(RmmRunSchema, 'rmm_recording', 'run_id'),
    part: text('part'),
    key: text('key').nullable(),
    data: text('data'),
    createdAt: time('created_at').defaultRaw('now()')
  } satisfies Columns<RmmRecording>,
  indexes: [
    { name: 'rmm_recording_part', properties: ['runId', 'part', 'id'] },
    { name: 'rmm_recording_old', properties: ['createdAt'] }
  ]
})
