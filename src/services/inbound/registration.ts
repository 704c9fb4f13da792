import { act, type ClientFactory } from '../platform/index.ts'
import type { WebhookRegistered } from '../../types.ts'
import type { Core } from '../core.ts'
import type { ConnectionRow } from '../store/index.ts'

/** Setting the webhook up on platforms whose API can. */
export interface Registration {
  /**
   * Never throws: the connection stays as it is, the operator reads why. Null where there is nothing to set up: the
   * provider cannot, or platforms cannot reach us.
   */
  register(row: ConnectionRow, secret: string): Promise<WebhookRegistered | null>
  /** Never throws: a platform that is away must not keep anybody from disconnecting. */
  unregister(row: ConnectionRow): Promise<void>
}

export function createRegistration(core: Core, clients: ClientFactory): Registration {
  return {
    async register(row, secret) {
      const { hooksUrl } = core
      if (hooksUrl === null || core.registry.get(row.provider)?.webhook?.register === undefined) return null
      const url = hooksUrl + row.hook_key
      try {
        await act(core, clients, row, 'webhook.register', (open, signal) =>
          open.provider.webhook!.register!(open.client, { url, secret }, signal)
        )
        return { registered: true, message: null }
      } catch (error) {
        const { message } = error as Error
        core.log.warn({ err: error, connectionId: row.id }, 'the webhook could not be set up on the platform')
        return { registered: false, message: `The webhook could not be set up on the platform: ${message}` }
      }
    },
    async unregister(row) {
      if (row.sealed_secrets === null) return
      if (core.registry.get(row.provider)?.webhook?.unregister === undefined) return
      try {
        await act(core, clients, row, 'webhook.unregister', (open, signal) =>
          open.provider.webhook!.unregister!(open.client, signal)
        )
      } catch (error) {
        core.log.warn({ err: error, connectionId: row.id }, 'the webhook could not be taken away on the platform')
      }
    }
  }
}
