import type { Hint, WebhookEvent } from '../../providers/define.ts'
import { clean, maxIdLength } from './normalize/field-values.ts'
import { normalizeAlert } from './normalize/records.ts'

const maxEventId = 300
const maxEventType = 200
const maxHints = 100

const isExternalId = (id: unknown): id is string =>
  typeof id === 'string' && id !== '' && id.length <= maxIdLength && clean(id) === id

/**
 * An event as the database takes it. What it points at but nobody could look up is left out: the event is stored all
 * the same. Throws where not even the event itself can be told from others.
 */
export function usable(event: WebhookEvent): WebhookEvent {
  if (typeof event.id !== 'string' || event.id === '' || event.id.length > maxEventId || clean(event.id) !== event.id)
    throw new Error('the event has no usable id')
  if (typeof event.type !== 'string' || event.type.length > maxEventType)
    throw new Error('the event has no usable type')
  const year = event.occurredAt?.getUTCFullYear() ?? Number.NaN
  const { alert, ...rest } = event
  const hints = event.hints.filter((hint: Hint) => isExternalId(hint.externalId)).slice(0, maxHints)
  return {
    ...rest,
    type: clean(event.type),
    occurredAt: year >= 1970 && year <= 9999 ? event.occurredAt : null,
    hints,
    ...(alert !== undefined && fits(alert) ? { alert } : {})
  }
}

function fits(alert: NonNullable<WebhookEvent['alert']>): boolean {
  try {
    normalizeAlert(alert, new Date())
    return true
  } catch {
    return false
  }
}
