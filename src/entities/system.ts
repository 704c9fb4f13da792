import { defineEntity, type EntitySchema } from '@mikro-orm/core'
import { type Columns, text, time } from './columns.ts'

/** Who does what only one process may do at a time. */
export class RmmLease {
  declare name: string
  declare worker: string
  declare leaseUntil: Date
}

export const RmmLeaseSchema: EntitySchema<RmmLease> = defineEntity({
  class: RmmLease,
  tableName: 'rmm_lease',
  schema: '*',
  properties: {
    name: text('name').primary(),
    worker: text('worker'),
    leaseUntil: time('lease_until')
  } satisfies Columns<RmmLease>
})

/** The migrations applied to this schema. */
export class RmmMigration {
  declare name: string
  declare appliedAt: Date
}

export const RmmMigrationSchema: EntitySchema<RmmMigration> = defineEntity({
  class: RmmMigration,
  tableName: 'rmm_migration',
  schema: '*',
  properties: {
    name: text('name').primary(),
    appliedAt: time('applied_at').defaultRaw('now()')
  } satisfies Columns<RmmMigration>
})
