import { randomBytes } from 'node:crypto'
import {
  BodyError,
  ConnectionDisconnectedError,
  NotFoundError,
  NotSupportedError,
  ProviderFaultError,
  PublicUrlError,
  WebhookRefusedError,
  WebhookUnreadableError
} from '../../errors.ts'
import type { ProviderWebhook, RmmProvider, WebhookRequest } from '../../providers/define.ts'
import { verifyHmacSha256 } from '../../providers/hmac.ts'
import type { Rmm } from '../../rmm.ts'
import { createRedact } from '../egress/index.ts'
import { cleanError, seal } from '../platform/index.ts'
import type { Core } from '../core.ts'
import { createDeliveryWriter } from './delivery-writer.ts'
import { publishDelivery } from '../diagnostics.ts'
import { deepestJson, isTooDeep, usable, type UsableEvent } from '../model/index.ts'
import { createHookCache, type OpenHook } from './hook-cache.ts'
import type { Inbox } from './inbox.ts'
import type { Registration } from './registration.ts'
import {
  type ConnectionRow,
  deliveryBacklog,
  devicesByHostname,
  fateOf,
  holdConnection,
  lastDeliveryAt,
  listDeliveries,
  replayDelivery,
  requireConnection,
  rotateHookSecret,
  toDelivery,
  writeActivity,
  writeEvents
} from '../store/index.ts'

const defaultGraceMinutes = 60
/** A secret may be replaced between the look at it and the insert; twice in a row is no accident. */
const proofs = 3

export function newHookSecret(): string {
  return randomBytes(32).toString('base64url')
}

export function createWebhooks(core: Core, inbox: Inbox, { register }: Registration): Rmm['webhooks'] {
  const { database } = core
  const { t } = database
  const cache = createHookCache(core)
  const writer = createDeliveryWriter(core)

  async function connection(tenantId: string, id: string): Promise<{ row: ConnectionRow; webhook: ProviderWebhook }> {
    const row = await requireConnection(database, tenantId, id)
    const provider = core.registry.get(row.provider)
    if (provider?.webhook === undefined)
      throw new NotSupportedError(`${provider?.name ?? row.provider} sends no webhooks`)
    return { row, webhook: provider.webhook }
  }

  function proves(open: OpenHook | null, request: WebhookRequest): RmmProvider | null {
    const provider = open === null ? undefined : core.registry.get(open.hook.provider)
    const webhook = provider?.webhook
    const secrets = open?.secrets() ?? []
    if (webhook === undefined || secrets.length === 0) {
      // The work that a signature costs: with a body of any size, this is what a known key would show by. The statement
      // that looks a key up is not evened out; a key has 128 random bits, so that trying them leads nowhere.
      verifyHmacSha256(request.rawBody, '', ['unknown'])
      return null
    }
    return isProven(provider!, request, secrets) ? provider! : null
  }

  /** Only `true` proves anything: what a provider gets wrong here must not let anybody in, nor tell anybody apart. */
  function isProven(provider: RmmProvider, request: WebhookRequest, secrets: string[]): boolean {
    try {
      const verdict: unknown = provider.webhook!.verify(request, secrets)
      if (typeof verdict === 'boolean') return verdict
      throw new Error(`it returned ${verdict instanceof Promise ? 'a promise' : typeof verdict}`)
    } catch (error) {
      const { message } = cleanError(error, createRedact(secrets))
      core.log.error(
        { provider: provider.id },
        `The provider ${provider.name} broke a rule in webhook.verify, so that the request was refused: it returns true or false at once and never throws (${message})`
      )
      return false
    }
  }

  /** The hook whose secret proves the request, or a refusal that tells nothing. */
  async function prove(hookKey: string, request: WebhookRequest): Promise<{ open: OpenHook; provider: RmmProvider }> {
    const known = await cache.get(hookKey)
    const provider = proves(known, request)
    if (provider !== null) return { open: known!, provider }
    // The secret may have been replaced by another process. Every refusal costs this one read, whatever was wrong.
    const fresh = await cache.refresh(hookKey)
    const now = proves(fresh, request)
    if (now !== null) return { open: fresh!, provider: now }
    // It may well be right: the platform is asked to come again when the key is back.
    if (fresh?.unreadable) throw new WebhookUnreadableError()
    throw new WebhookRefusedError()
  }

  /** The event about the one device that has the host name in the body; nothing is stored where there is no such device. */
  async function located(hook: OpenHook['hook'], provider: RmmProvider, read: { event: UsableEvent; body: unknown }) {
    const { locate } = read.event
    if (locate === undefined) return read
    const [device, other] = await devicesByHostname(database, hook.id, locate.hostname)
    if (device === undefined || other !== undefined)
      throw new BodyError(
        `The body names its device by the host name only, and ${device === undefined ? 'no device' : 'more than one device'} of this connection has it; send device_id`
      )
    return { ...read, event: usable(locate.as(device), provider) }
  }

  async function accept(hookKey: string, request: WebhookRequest) {
    for (let proof = 0; proof < proofs; proof++) {
      const { open, provider } = await prove(hookKey, request)
      const { hook } = open
      const { event, body } = await located(hook, provider, read(provider, request, open.secrets()))
      const stored = await writer.store({ hook, event, body })
      if (stored === 'stale') {
        await cache.refresh(hookKey)
        continue
      }
      const fate = fateOf(event)
      const nothing = fate !== 'pending'
      publishDelivery(() => ({
        phase: 'received',
        connectionId: hook.id,
        tenantId: hook.tenant_id,
        provider: hook.provider,
        eventType: event.type,
        outcome: stored === 'duplicate' ? 'duplicate' : fate === 'pending' ? 'stored' : fate
      }))
      if (stored === 'duplicate') return { duplicate: true, ignored: nothing }
      if (!nothing) inbox.received(hook.id, event, core.now())
      return { duplicate: false, ignored: nothing }
    }
    throw new WebhookRefusedError()
  }

  return {
    async accept(hookKey, request) {
      try {
        return await accept(hookKey, request)
      } catch (error) {
        if (error instanceof WebhookRefusedError) publishDelivery(() => ({ phase: 'refused' }))
        throw error
      }
    },
    async info(tenantId, connectionId) {
      const { row, webhook } = await connection(tenantId, connectionId)
      if (core.hooksUrl === null) throw new PublicUrlError()
      const {
        signatureHeader,
        secretHeader,
        events,
        payloadTemplate,
        templateInputs = [],
        instructions
      } = webhook.setup
      return {
        url: core.hooksUrl + row.hook_key,
        signatureHeader,
        secretHeader,
        events,
        payloadTemplate,
        templateInputs,
        instructions,
        hasSecret: row.hook_secret !== null,
        lastDeliveryAt: await lastDeliveryAt(database, connectionId)
      }
    },
    async rotate(tenantId, connectionId, { graceMinutes = defaultGraceMinutes } = {}) {
      const { row } = await connection(tenantId, connectionId)
      if (core.hooksUrl === null) throw new PublicUrlError()
      if (row.status === 'disconnected') throw new ConnectionDisconnectedError()
      const secret = newHookSecret()
      const sealed = await seal(core, 'hook', row, secret)
      // One that does not open any more proves nothing: there is no grace for it.
      const grace = row.hook_secret !== null && (await cache.opens(row, row.hook_secret)) ? graceMinutes : 0
      await database.transaction(async trx => {
        await holdConnection(trx, t, row.id)
        await rotateHookSecret(trx, t, row.id, sealed, grace)
        const source = { tenantId, connectionId: row.id, provider: row.provider }
        const payload = { name: row.name, changedFields: ['webhookSecret'] }
        await writeEvents(trx, t, source, [{ type: 'RMM_CONNECTION_CHANGED', payload }], core.sinks)
        await writeActivity(trx, t, tenantId, {
          type: 'RMM_CONNECTION_CHANGED',
          target: { connectionId: row.id },
          summary: `Replaced the webhook secret of "${row.name}"; ${grace === 0 ? 'the old one is not accepted any more' : `the old one is good for ${grace} minutes more`}`
        })
      })
      return { url: core.hooksUrl + row.hook_key, secret, ...(await register(row, secret)) }
    },
    async deliveries(tenantId, connectionId, query) {
      await connection(tenantId, connectionId)
      return await listDeliveries(database, tenantId, connectionId, query)
    },
    async replay(tenantId, deliveryId) {
      const row = await database.transaction(async trx => {
        const delivery = await replayDelivery(trx, t, tenantId, deliveryId)
        if (delivery !== null)
          await writeActivity(trx, t, tenantId, {
            type: 'RMM_DELIVERY_REPLAYED',
            target: { connectionId: delivery.connection_id, deliveryId },
            summary: `Had the delivery ${delivery.event_type} worked on again`
          })
        return delivery
      })
      if (row === null) throw new NotFoundError('Delivery')
      core.actors.run(null, () => inbox.kick(row.connection_id))
      return toDelivery(row)
    },
    backlog: () => deliveryBacklog(database)
  }
}

/** Only ever called with a proven request; what it cannot read has no side effects. */
function read(
  provider: RmmProvider,
  request: WebhookRequest,
  secrets: string[]
): { event: UsableEvent; body: unknown } {
  try {
    const body: unknown = JSON.parse(request.rawBody.toString('utf8'))
    if (isTooDeep(body)) throw new Error(`it is nested more than ${deepestJson} levels deep`)
    return { event: usable(provider.webhook!.parse(request), provider), body }
  } catch (error) {
    if (error instanceof ProviderFaultError) throw error
    const cause = cleanError(error, createRedact(secrets))
    throw Object.assign(new BodyError(`The body is no event of this platform: ${cause.message.slice(0, 200)}`), {
      cause
    })
  }
}
