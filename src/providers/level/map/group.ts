import type { Note, OrganizationRecord } from '../../define.ts'
import { recordOf } from './record.ts'

/** A group at any depth of Level's tree. */
export function toOrganization(raw: unknown, note?: Note): OrganizationRecord {
  const { read, externalId } = recordOf(raw, note)
  return {
    externalId,
    name: read.text('name') ?? externalId,
    parentExternalId: read.id('parent_id'),
    deviceCount: read.integer('device_count'),
    descendantDeviceCount: read.integer('descendent_device_count') // the vendor's spelling
  }
}
