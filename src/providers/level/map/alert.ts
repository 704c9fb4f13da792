import type { AlertSeverity } from '../../../words.ts'
import type { AlertRecord, Note } from '../../define.ts'
import * as values from '../../values.ts'
import { pick } from './details.ts'
import { recordOf } from './record.ts'

const severities: Record<string, AlertSeverity> = {
  emergency: 'critical',
  critical: 'major',
  warning: 'moderate',
  information: 'minor'
}

/** Level's four words in ours; unknown ones are moderate. */
export function toSeverity(word: unknown, wrong?: values.Wrong): AlertSeverity {
  return values.oneOf(word, severities, wrong) ?? 'moderate'
}

const longestPayload = 10_000

/** An alert. `observedAt` stands in for a missing start. */
export function toAlert(raw: unknown, observedAt: Date, note?: Note): AlertRecord {
  const { read, externalId } = recordOf(raw, note)
  const resolvedAt = read.time('resolved_at') ?? null
  const description = read.text('description') ?? null
  const payload = read.text('payload')?.slice(0, longestPayload).toWellFormed()
  const status = (read.boolean('is_resolved') ?? resolvedAt !== null) ? 'resolved' : 'active'
  return {
    externalId,
    deviceExternalId: read.id('device_id'),
    name: read.text('name') ?? description ?? 'Alert without a name',
    description,
    severity: toSeverity(read.raw['severity'], value => note?.('severity', value)),
    providerSeverity: values.text(read.raw['severity']) ?? null,
    status,
    startedAt: read.time('started_at') ?? resolvedAt ?? observedAt,
    resolvedAt: status === 'resolved' ? resolvedAt : null,
    details: { ...pick(read, ['device_hostname']), ...(payload ? { payload } : {}) }
  }
}
