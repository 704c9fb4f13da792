import type { Note, UpdateRecord } from '../../define.ts'
import { recordOf } from './record.ts'

/** An update that is available for a device. */
export function toUpdate(raw: unknown, note?: Note): UpdateRecord {
  const { read, externalId } = recordOf(raw, note)
  const deviceExternalId = read.id('device_id')
  if (!deviceExternalId) throw new Error('The update names no device')
  return {
    externalId,
    deviceExternalId,
    title: read.text('name', { line: true }),
    kb: read.list('kb_ids')?.join(', '),
    category: read.text('category'),
    publishedAt: read.time('published_on')
  }
}
