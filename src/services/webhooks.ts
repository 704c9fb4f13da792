import { createHmac, randomBytes } from 'node:crypto'
import { BodyError, NotFoundError, NotSupportedError, PublicUrlError, WebhookRefusedError } from '../errors.ts'
import type { ProviderWebhook, WebhookEvent } from '../providers/define.ts'
import type { Rmm } from '../rmm.ts'
import { sealedFor } from './clients.ts'
import type { Core } from './core.ts'
import type { Inbox } from './inbox.ts'
import { type ConnectionRow, connectionRow, rotateHookSecret } from './store/connections.ts'
import { connectionByHook, lastDeliveryAt, listDeliveries, replayDelivery, storeDelivery, toDelivery } from './store/deliveries.ts'

const defaultGraceMinutes = 60
const maxEventId = 300

export function newHookSecret (): string {
  return randomBytes(32).toString('base64url')
}

export function createWebhooks (core: Core, inbox: Inbox): Rmm['webhooks'] {
  const { database } = core

  async function connection (tenantId: string, id: string): Promise<{ row: ConnectionRow, webhook: ProviderWebhook }> {
    const row = await connectionRow(database, tenantId, id)
    if (row === null) throw new NotFoundError('Connection')
    const provider = core.registry.get(row.provider)
    if (provider?.webhook === undefined) throw new NotSupportedError(`${provider?.name ?? row.provider} sends no webhooks`)
    return { row, webhook: provider.webhook }
  }

  async function secretsOf (row: ConnectionRow): Promise<string[]> {
    if (row.hook_secret === null) return []
    const current = await core.secrets.open(row.hook_secret, sealedFor(row))
    const inGrace = row.hook_secret_previous !== null && new Date(row.hook_previous_until as string) > core.now()
    return inGrace ? [current, await core.secrets.open(row.hook_secret_previous!, sealedFor(row))] : [current]
  }

  return {
    async accept (hookKey, request) {
      const row = /^[\w-]{1,64}$/.test(hookKey) ? await connectionByHook(database, hookKey) : null
      const webhook = row === null ? undefined : core.registry.get(row.provider)?.webhook
      if (row === null || webhook === undefined) {
        // As much work as a wrong signature takes, so that the time does not tell whether the key exists.
        createHmac('sha256', hookKey).update(request.rawBody).digest()
        throw new WebhookRefusedError()
      }
      const secrets = await secretsOf(row)
      if (secrets.length === 0 || !webhook.verify(request, secrets)) throw new WebhookRefusedError()
      const { event, body } = read(webhook, request)
      const stored = await storeDelivery(database, row, event, body, core.sinks)
      const ignored = event.hints.length === 0 && event.alert === undefined
      if (stored && !ignored) inbox.kick(row.id)
      return { duplicate: !stored, ignored }
    },
    async info (tenantId, connectionId) {
      const { row, webhook } = await connection(tenantId, connectionId)
      if (!core.isPublic) throw new PublicUrlError()
      const { signatureHeader, secretHeader, events, payloadTemplate, instructions } = webhook.setup
      return { url: core.hooksUrl + row.hook_key, signatureHeader, secretHeader, events, payloadTemplate, instructions, hasSecret: row.hook_secret !== null, lastDeliveryAt: await lastDeliveryAt(database, connectionId) }
    },
    async rotate (tenantId, connectionId, { graceMinutes = defaultGraceMinutes } = {}) {
      const { row } = await connection(tenantId, connectionId)
      const secret = newHookSecret()
      await rotateHookSecret(database, row.id, await core.secrets.seal(secret, sealedFor(row)), graceMinutes)
      return { url: core.hooksUrl + row.hook_key, secret }
    },
    async deliveries (tenantId, connectionId, query) {
      await connection(tenantId, connectionId)
      return await listDeliveries(database, tenantId, connectionId, query)
    },
    async replay (tenantId, deliveryId) {
      const row = await replayDelivery(database, tenantId, deliveryId)
      if (row === null) throw new NotFoundError('Delivery')
      inbox.kick(row.connection_id)
      return toDelivery(row)
    }
  }
}

/** Only ever called with a proven request; what it cannot read has no side effects. */
function read (webhook: ProviderWebhook, request: Parameters<ProviderWebhook['parse']>[0]): { event: WebhookEvent, body: unknown } {
  try {
    const event = webhook.parse(request)
    if (typeof event.id !== 'string' || event.id === '' || event.id.length > maxEventId || event.id.includes('\0') || !event.id.isWellFormed()) throw new Error('the event has no usable id')
    if (typeof event.type !== 'string' || event.type.length > 200) throw new Error('the event has no usable type')
    const type = event.type.replaceAll('\0', '').toWellFormed()
    return { event: { ...event, type }, body: JSON.parse(request.rawBody.toString('utf8')) }
  } catch (error) {
    throw Object.assign(new BodyError(`The body is no event of this platform: ${(error as Error).message}`), { cause: error })
  }
}
