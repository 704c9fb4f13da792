import { ProviderFaultError } from '../../errors.ts'
import { type AlertRecord, exampleOf, type Hint, type RmmProvider, type WebhookEvent } from '../../providers/define.ts'
import { clean, idText, isObject, maxIdLength } from './normalize/field-values.ts'
import { normalizeAlert } from './normalize/records.ts'

const maxEventId = 300
const maxEventType = 200
const maxHints = 100
const mostRefused = 3

/** A hint that can be followed: ids are text. */
export type UsableHint = Hint & { externalId: string }
export type UsableAlert = AlertRecord & { externalId: string; deviceExternalId?: string | null | undefined }

/** An event that can be stored. */
export interface UsableEvent extends WebhookEvent {
  hints: UsableHint[]
  alert?: UsableAlert | undefined
  /**
   * What cannot be followed up, a sentence each that names the provider and the rule it broke. Whoever stores the event
   * has to show them: nothing will be read again because of what they are about.
   */
  refused: string[]
}

type Source = Pick<RmmProvider, 'name' | 'resources'>

/** The hint as it can be followed, or the sentence that says why it cannot. */
export function usableHint(hint: Hint, { name, resources }: Source): UsableHint | string {
  if (!isObject(hint)) return `${name} (the provider) gave a hint that is no object: { resource, externalId }`
  const has = Object.keys(resources)
  if (typeof hint.resource !== 'string' || !Object.hasOwn(resources, hint.resource))
    return `${name} (the provider) gave a hint about '${shown(hint.resource)}', which it cannot read: a hint names one of its resources (${has.join(', ') || 'none'})`
  const externalId = idText(hint.externalId)
  if (externalId === null)
    return `${name} (the provider) gave a hint about ${hint.resource} without a usable id (${shown(hint.externalId)}): an id is text of 1 to ${maxIdLength} characters, a whole number or a bigint`
  return { ...hint, externalId }
}

function shown(value: unknown): string {
  return clean(typeof value === 'string' ? value : exampleOf(value))
    .slice(0, 80)
    .toWellFormed()
}

/** What an event is by its type alone: whatever the platform sent, a provider makes such a one of it, or throws. */
function brokenRule(event: WebhookEvent): string | null {
  if (!isObject(event) || 'then' in event) return 'it returns an event, { id, type, occurredAt, hints }, at once'
  if (typeof event.id !== 'string' || typeof event.type !== 'string') return 'id and type of an event are texts'
  if (!Array.isArray(event.hints)) return 'hints of an event is a list'
  if (event.occurredAt != null && !(event.occurredAt instanceof Date))
    return 'occurredAt of an event is a Date, or null where the platform does not tell'
  return null
}

/**
 * An event as the database takes it. What it points at but nobody could look up is left out and told in `refused`: the
 * event is stored all the same. Throws where not even the event itself can be told from others, and
 * `RMM_ERR_PROVIDER_FAULT` where it is none.
 */
export function usable(event: WebhookEvent, provider: Source): UsableEvent {
  const broken = brokenRule(event)
  if (broken !== null)
    throw new ProviderFaultError(`The provider ${provider.name} broke a rule in webhook.parse: ${broken}`)
  if (event.id === '' || event.id.length > maxEventId || clean(event.id) !== event.id)
    throw new Error('the event has no usable id')
  if (event.type.length > maxEventType) throw new Error('the event has no usable type')
  const year = event.occurredAt?.getUTCFullYear() ?? Number.NaN
  const { alert: told, ...rest } = event
  const hints = event.hints.slice(0, maxHints).map(hint => usableHint(hint, provider))
  const alert = told == null ? undefined : usableAlert(told, provider)
  const refused = [...hints, alert].filter(part => typeof part === 'string')
  return {
    ...rest,
    type: clean(event.type),
    occurredAt: year >= 1970 && year <= 9999 ? event.occurredAt : null,
    hints: hints.filter(hint => typeof hint !== 'string'),
    refused: refused.slice(0, mostRefused),
    ...(typeof alert === 'object' ? { alert } : {})
  }
}

function usableAlert(alert: AlertRecord, { name }: Source): UsableAlert | string {
  try {
    const { externalId, deviceExternalId } = normalizeAlert(alert, new Date())
    return { ...alert, externalId, deviceExternalId }
  } catch (error) {
    return `${name} (the provider) gave an alert that cannot be shown: ${(error as Error).message}`
  }
}
