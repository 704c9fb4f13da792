import type { EntitySchema } from '@mikro-orm/core'
import { RmmActivitySchema } from './activity.ts'
import { RmmAlertSchema } from './alert.ts'
import { RmmChangeSchema } from './change.ts'
import { RmmConnectionSchema, RmmSessionValueSchema } from './connection.ts'
import {
  RmmDeliverySchema,
  RmmInboxSubjectSchema,
  RmmListenerSchema,
  RmmOutboxSchema,
  RmmSinkConnectionSchema,
  RmmSinkSchema
} from './delivery.ts'
import { RmmDeviceSchema, RmmDeviceStatusSchema, RmmPatchSchema } from './device.ts'
import { RmmClientGroupSchema, RmmOrganizationSchema } from './organization.ts'
import { RmmRecordingSchema } from './recording.ts'
import { RmmPageSchema, RmmPassSchema, RmmRunItemSchema, RmmRunSchema } from './run.ts'
import { RmmLeaseSchema, RmmMigrationSchema } from './system.ts'

export { RmmActivity } from './activity.ts'
export { RmmAlert } from './alert.ts'
export { RmmChange } from './change.ts'
export { RmmConnection, RmmSessionValue } from './connection.ts'
export { RmmDelivery, RmmInboxSubject, RmmListener, RmmOutbox, RmmSink, RmmSinkConnection } from './delivery.ts'
export { RmmDevice, RmmDeviceStatus, RmmPatch } from './device.ts'
export { RmmClientGroup, RmmOrganization } from './organization.ts'
export { RmmRecording } from './recording.ts'
export { RmmPage, RmmPass, RmmRun, RmmRunItem } from './run.ts'
export { RmmLease, RmmMigration } from './system.ts'

/**
 * Our tables, for hosts that want to read them through their own ORM. The plugin itself does not use these: its store
 * speaks SQL.
 *
 * Add them to the host's `entities` and name our schema with each call, because they do not know it; `filters: false`
 * keeps the host's default filters off. Read only: what is written around the plugin is overwritten by the next sync.
 *
 * @example const orm = await MikroORM.init(withRmmSync({ entities: [...entities, ...rmmEntities], dbName })) const
 * devices = await em.find(RmmDevice, { tenantId }, { schema: 'rmm', filters: false })
 */
export const rmmEntities: readonly EntitySchema[] = [
  RmmConnectionSchema,
  RmmOrganizationSchema,
  RmmDeviceSchema,
  RmmDeviceStatusSchema,
  RmmPatchSchema,
  RmmAlertSchema,
  RmmRunSchema,
  RmmRunItemSchema,
  RmmRecordingSchema,
  RmmPassSchema,
  RmmPageSchema,
  RmmDeliverySchema,
  RmmInboxSubjectSchema,
  RmmListenerSchema,
  RmmClientGroupSchema,
  RmmOutboxSchema,
  RmmLeaseSchema,
  RmmSinkSchema,
  RmmSinkConnectionSchema,
  RmmSessionValueSchema,
  RmmActivitySchema,
  RmmChangeSchema,
  RmmMigrationSchema
]
