import { createHash } from 'node:crypto'
import type { AlertRecord, Hint, ProviderWebhook, WebhookEvent, WebhookRequest } from '../define.ts'
import { ProviderError } from '../define.ts'
import { verifySharedSecret } from '../hmac.ts'
import * as values from '../values.ts'
import { type NinjaClient, refusal, succeeded } from './client.ts'
import { toSeverity } from './map.ts'

const header = 'x-rmm-webhook-secret'

/** What is asked to be told, by type of activity. */
const activities = {
  CONDITION: ['TRIGGERED', 'RESET'],
  SYSTEM: [
    'NODE_CREATED',
    'NODE_UPDATED',
    'NODE_DELETED',
    'CLIENT_CREATED',
    'CLIENT_UPDATED',
    'CLIENT_DELETED',
    'LOCATION_CREATED',
    'LOCATION_UPDATED',
    'LOCATION_DELETED'
  ]
}

function hintsOf(read: values.Reader, status: string): Hint[] {
  const hints: Hint[] = []
  const alert = read.text('seriesUid')
  const device = read.id('deviceId')
  if (alert) hints.push({ resource: 'alerts', externalId: alert, kind: 'changed' })
  if (device)
    hints.push({ resource: 'devices', externalId: device, kind: status === 'NODE_DELETED' ? 'deleted' : 'changed' })
  // Which organization it was the activity does not tell: the tree is read as a whole.
  if (/^(CLIENT|LOCATION)_/.test(status))
    hints.push({ resource: 'organizations', externalId: 'org:*', kind: 'changed' })
  return hints
}

/** The alert of a condition, as far as the activity tells it. */
function alertOf(read: values.Reader, status: string, occurredAt: Date): AlertRecord | undefined {
  const externalId = read.text('seriesUid')
  const about = read.text('subject', { line: true }) ?? read.text('message', { line: true })
  if (!externalId || !about || read.text('activityType') !== 'CONDITION') return undefined
  if (status !== 'TRIGGERED' && status !== 'RESET') return undefined
  const severity = read.text('severity')
  return {
    externalId,
    deviceExternalId: read.id('deviceId'),
    name: about,
    description: read.text('message'),
    severity: toSeverity(severity) ?? 'moderate',
    providerSeverity: severity,
    status: status === 'RESET' ? 'resolved' : 'active',
    startedAt: occurredAt,
    resolvedAt: status === 'RESET' ? occurredAt : null
  }
}

function parse({ rawBody }: WebhookRequest): WebhookEvent {
  const body: unknown = JSON.parse(rawBody.toString('utf8'))
  if (!values.isObject(body)) throw new Error('The body is not a JSON object')
  const read = values.of(body)
  const status = read.text('statusCode') ?? ''
  const type = read.text('activityType')
  if (!type && !status) throw new Error('The body has neither activityType nor statusCode')
  const occurredAt = read.time('activityTime', { epoch: 's' }) ?? null
  const id = read.id('id')
  if (!id && occurredAt === null) throw new Error('The activity has neither an id nor a time')
  const alert = alertOf(read, status, occurredAt ?? new Date())
  return {
    id: id ? `activity:${id}` : `derived:${createHash('sha256').update(rawBody).digest('hex').slice(0, 32)}`,
    type: [type, status].filter(Boolean).join('.'),
    occurredAt,
    hints: hintsOf(read, status),
    ...(alert ? { alert } : {})
  }
}

const administrator =
  'Only an API client whose user is a system administrator may set the webhook: give it that right in NinjaOne, then use "Rotate" here; or have an administrator send PUT /v2/webhook with this address and the header X-RMM-Webhook-Secret'

async function register(
  client: NinjaClient,
  { url, secret }: { url: string; secret: string },
  signal: AbortSignal
): Promise<void> {
  const body = { url, activities, expand: [], headers: [{ name: 'X-RMM-Webhook-Secret', value: secret }] }
  const response = await client.send('PUT', '/v2/webhook', body, signal)
  if (response.status === 403)
    throw new ProviderError('forbidden', `NinjaOne refused to set the webhook. ${administrator}`)
  if (!succeeded(response)) throw refusal(response, client.host, 'setting the webhook')
}

async function unregister(client: NinjaClient, signal: AbortSignal): Promise<void> {
  const response = await client.send('DELETE', '/v2/webhook', undefined, signal)
  if (!succeeded(response) && response.status !== 404) throw refusal(response, client.host, 'removing the webhook')
}

export const webhook: ProviderWebhook<NinjaClient> = {
  verify: (request, secrets) => verifySharedSecret(request.headers[header], secrets),
  parse,
  register,
  unregister,
  setup: {
    signatureHeader: null,
    secretHeader: 'X-RMM-Webhook-Secret',
    events: Object.entries(activities).flatMap(([type, statuses]) => statuses.map(status => `${type}.${status}`)),
    payloadTemplate: null,
    instructions: [
      'NinjaOne has one webhook per API client, and it is set by its API only: that is done when this connection is made and whenever the secret is rotated, and replaces the one that the API client had before.',
      administrator,
      'What is missed is caught up by the next sync.'
    ]
  }
}
