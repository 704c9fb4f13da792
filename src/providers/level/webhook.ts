import { createHash } from 'node:crypto'
import type { AlertRecord, Hint, ProviderWebhook, WebhookEvent, WebhookRequest } from '../define.ts'
import { verifyHmacSha256, verifySharedSecret } from '../hmac.ts'
import * as values from '../values.ts'
import { toAlert, toSeverity } from './map/index.ts'
import { conditionPrefix } from './resources.ts'

type Raw = Record<string, unknown>
const text = (value: unknown) => values.text(value) ?? null
const textOrNumber = (value: unknown) => values.text(value, undefined, { numbers: true }) ?? null
const idOf = (value: unknown) => values.id(value)?.trim() ?? null
const time = (value: unknown) => values.time(value) ?? null

/**
 * Two ways in. Level's own webhooks carry a signature over the raw body and a stable event id. An automation's HTTP
 * action carries a shared secret in a header and a hand-made body without any event id.
 */

const nativeHints: Record<string, Pick<Hint, 'resource' | 'kind'>> = {
  alert_active: { resource: 'alerts', kind: 'changed' },
  alert_resolved: { resource: 'alerts', kind: 'changed' },
  device_created: { resource: 'devices', kind: 'changed' },
  device_updated: { resource: 'devices', kind: 'changed' },
  device_deleted: { resource: 'devices', kind: 'deleted' },
  group_created: { resource: 'organizations', kind: 'changed' },
  group_updated: { resource: 'organizations', kind: 'changed' },
  group_deleted: { resource: 'organizations', kind: 'deleted' }
}

/**
 * Deliveries of one automation event within this time are one event; after it the same condition counts as new, and
 * before it where the opposite event came in between (`derivedId`). Nothing in the body tells a repeated delivery
 * from the same condition coming back. Too short costs a second harmless re-read, too long hides an alert that came
 * back until the next sync.
 */
const sameEventMs = 5 * 60_000

const hash = (...parts: Array<string | null>) =>
  createHash('sha256').update(JSON.stringify(parts)).digest('hex').slice(0, 32)

function verify(request: WebhookRequest, secrets: string[]): boolean {
  const signature = /^sha256=([0-9a-f]{64})$/i.exec(request.headers['x-level-signature']?.trim() ?? '')?.[1]
  const signed = verifyHmacSha256(request.rawBody, signature, secrets)
  const shared = verifySharedSecret(request.headers['x-rmm-webhook-secret'], secrets)
  return signed || shared
}

/** The alert of a native event, where its payload is more than an id. */
function nativeAlert(type: string, data: Raw, occurredAt: Date | null): AlertRecord | null {
  const startedAt = time(data['started_at']) ?? occurredAt
  if (!text(data['name']) || !startedAt) return null
  try {
    const alert = toAlert(data, startedAt)
    // A late delivery may carry the newer state, but "resolved" is never the older one.
    if (type !== 'alert_resolved' && alert.status !== 'resolved') return alert
    return { ...alert, status: 'resolved', resolvedAt: alert.resolvedAt ?? occurredAt }
  } catch {
    return null
  }
}

function parseNative(body: Raw, type: string): WebhookEvent {
  const data = values.isObject(body['data']) ? body['data'] : {}
  const occurredAt = time(body['occurred_at'])
  const subject = idOf(data['id'])
  const id = textOrNumber(body['event_id'])
  if (!id && !(subject && occurredAt)) throw new Error('The event has neither an event_id nor a subject and a time')
  const hint = Object.hasOwn(nativeHints, type) ? nativeHints[type]! : null
  const hints: Hint[] = []
  if (hint && subject) hints.push({ ...hint, externalId: subject })
  const isAlert = hint?.resource === 'alerts'
  const device = isAlert ? idOf(data['device_id']) : null
  if (device) hints.push({ resource: 'devices', externalId: device, kind: 'changed' })
  const alert = isAlert ? nativeAlert(type, data, occurredAt) : null
  return {
    id: id ?? `derived:${hash(type, subject, occurredAt!.toISOString())}`,
    type,
    occurredAt,
    hints,
    ...(alert ? { alert } : {})
  }
}

/** A template variable that the automation did not expand arrives literally, and says nothing. */
function filled(value: unknown): string | null {
  const found = textOrNumber(value)
  return found && !(found.includes('{{') && found.includes('}}')) ? found : null
}

/** Level's four words, ours, and what somebody may write by hand, in any case. */
const written: Record<string, string> = {
  major: 'critical',
  moderate: 'warning',
  minor: 'information',
  notfall: 'emergency',
  kritisch: 'critical',
  warnung: 'warning',
  hinweis: 'information',
  info: 'information'
}

interface AutomationBody {
  type: string
  alertId: string | null
  device: string | null
  hostname: string | null
  name: string | null
  description: string | null
  severity: string | null
}

/**
 * Level has no variables for an alert: the body names a device, and a name and severity that somebody typed. One that
 * names neither device nor alert is refused, so that Level shows the failure.
 */
function parseAutomation(body: Raw, type: string): WebhookEvent {
  const field = (name: string) => filled(body[name])?.normalize('NFC') ?? null
  const told: AutomationBody = {
    type,
    alertId: filled(body['alert_id']),
    device: filled(body['device_id']),
    hostname: filled(body['hostname']),
    name: field('name'),
    description: field('description'),
    severity: field('severity')
  }
  if (told.alertId !== null || told.device !== null) return automationEvent(told)
  const { hostname } = told
  if (hostname === null)
    throw new Error(
      'It names neither a device nor an alert: device_id and hostname are missing, blank or not filled in'
    )
  return { ...automationEvent(told), locate: { hostname, as: device => automationEvent({ ...told, device }) } }
}

/**
 * Without an event id on the wire the id is derived: from the kind of event and the alert's id, or device and name
 * where that is missing; plus the time of arrival in steps of `sameEventMs`, so that nothing is swallowed for ever.
 */
function automationEvent({
  type,
  alertId,
  device,
  hostname,
  name,
  description,
  severity
}: AutomationBody): WebhookEvent {
  const now = new Date()
  const externalId = alertId ?? `${conditionPrefix}${hash(device ?? hostname, name)}`
  const id = `automation:${hash(type, externalId, String(Math.floor(now.getTime() / sameEventMs)))}`
  if (type !== 'alert.triggered' && type !== 'alert.resolved') return { id, type, occurredAt: null, hints: [] }
  const hints: Hint[] = []
  if (alertId) hints.push({ resource: 'alerts', externalId: alertId, kind: 'changed' })
  if (device) hints.push({ resource: 'devices', externalId: device, kind: 'changed' })
  // Nothing that could be told apart from any other alert.
  if (!alertId && !name) return { id, type, occurredAt: null, hints }
  const resolved = type === 'alert.resolved'
  const word = severity?.trim().toLowerCase() ?? ''
  const alert: AlertRecord = {
    externalId,
    deviceExternalId: device,
    name: name ?? description ?? 'Alert without a name',
    description,
    severity: toSeverity(written[word] ?? word),
    providerSeverity: severity,
    status: resolved ? 'resolved' : 'active',
    startedAt: now,
    resolvedAt: resolved ? now : null,
    details: { source: 'automation', ...(hostname ? { deviceHostname: hostname } : {}) },
    ...(alertId ? {} : { derived: true })
  }
  return { id, type, occurredAt: null, hints, alert, derivedId: true }
}

function parse(request: WebhookRequest): WebhookEvent {
  const body: unknown = JSON.parse(request.rawBody.toString('utf8'))
  if (!values.isObject(body)) throw new Error('The body is not a JSON object')
  const native = text(body['event_type'])
  if (native) return parseNative(body, native)
  const automation = text(body['event'])
  if (automation) return parseAutomation(body, automation)
  throw new Error('The body has neither event_type nor event')
}

export const webhook: ProviderWebhook = {
  verify,
  parse,
  setup: {
    signatureHeader: 'X-Level-Signature',
    secretHeader: 'X-RMM-Webhook-Secret',
    events: Object.keys(nativeHints),
    // Only variables that Level documents (help article 11321970); it has none for an alert.
    payloadTemplate: {
      event: 'alert.triggered',
      device_id: '{{level_device_id}}',
      hostname: '{{level_device_hostname}}',
      name: 'Name of the monitor',
      severity: 'warning'
    },
    templateInputs: [
      { field: 'name', label: 'Name of the alert, as the monitor is called in Level', choices: null },
      { field: 'severity', label: 'Severity', choices: ['emergency', 'critical', 'warning', 'information'] }
    ],
    instructions: [
      "Recommended: Level's own webhooks. As an administrator open Level → Settings → Webhooks and add a webhook.",
      'Paste the URL and the secret that was shown with it, enable it, and select the alert, device and group events (or all events). Without the secret every delivery is refused. A secret that was lost is replaced by a new one with "Rotate", which shows it once.',
      'Level tries a delivery three times within about five minutes. What is missed is caught up by the next sync; the Requests tab of the webhook shows and repeats deliveries.',
      'Only where webhooks are not available in your Level: create one automation per monitor with an "HTTP request" action: method POST, this URL, the header X-RMM-Webhook-Secret with the secret, content type application/json, and the payload template as its body, with the name and severity of that monitor written in.',
      'Name the automation as the remediation of its monitor: it runs when the alert opens. Level has no variables for an alert and no trigger for its end: such an alert ends with the next sync after Level ended it.'
    ]
  }
}
