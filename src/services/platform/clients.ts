import {
  ConnectionCheckError,
  ConnectionDisconnectedError,
  InternalError,
  PlatformBusyError,
  PlatformError,
  PlatformForbiddenError
} from '../../errors.ts'
import { ProviderError, type RmmProvider } from '../../providers/define.ts'
import type { Core } from '../core.ts'
import { publishRequest } from '../diagnostics.ts'
import { hashText } from '../model/index.ts'
import { callProvider } from './provider-fault.ts'
import { createEgress, createRateLimiter, destinationOf, type RateLimiter } from '../egress/index.ts'
import type { ConnectionRow } from '../store/index.ts'

export interface OpenClient {
  provider: RmmProvider
  client: unknown
  close(): Promise<void>
}

export interface ClientFactory {
  /** Opens a provider's client for a stored connection; unseals its secrets only now. */
  open(row: ConnectionRow, signal: AbortSignal): Promise<OpenClient>
  /** The same for values that are not stored (yet). */
  openWith(
    provider: RmmProvider,
    connectionId: string,
    config: Record<string, unknown>,
    secrets: Record<string, unknown>,
    signal: AbortSignal
  ): Promise<OpenClient>
  /** Forgets what is kept for a connection that is gone. */
  forget(connectionId: string): void
}

export function sealedFor(row: { tenant_id: string; id: string }): string {
  return `${row.tenant_id}:${row.id}`
}

/** Other secrets or another address are another thing to try. */
export function identityOf(row: ConnectionRow): string {
  return hashText(`${row.sealed_secrets}|${JSON.stringify(row.config)}`)
}

/** Every string in the secrets is worth hiding from logs and errors. */
function secretValues(secrets: Record<string, unknown>): string[] {
  return Object.values(secrets).filter((value): value is string => typeof value === 'string' && value.length > 3)
}

/** Per connection; more were never asked at once. */
const placesKept = 8

export function createClientFactory(core: Core): ClientFactory {
  // All runs, re-reads and actions of one connection in this process share one limiter: the platform counts them
  // together. One for each place it was pointed to: neither owes a connection to the other what that one asked for,
  // nor does a look elsewhere end a pause.
  const limiters = new Map<string, Map<string, RateLimiter>>()

  function limiterOf(provider: RmmProvider, connectionId: string, origins: string): RateLimiter {
    const kept = limiters.get(connectionId) ?? new Map<string, RateLimiter>()
    const limiter = kept.get(origins) ?? createRateLimiter(provider.limits)
    limiters.set(connectionId, kept.set(origins, limiter))
    if (kept.size > placesKept) kept.delete(kept.keys().next().value!)
    return limiter
  }

  async function openWith(
    provider: RmmProvider,
    connectionId: string,
    config: Record<string, unknown>,
    secrets: Record<string, unknown>,
    signal: AbortSignal
  ): Promise<OpenClient> {
    const { origins } = destinationOf(provider, config)
    const limiter = limiterOf(provider, connectionId, origins.join())
    const log = core.log.child({ connectionId, provider: provider.id })
    const ca = provider.ca?.(config)
    const egress = createEgress({
      hosts: origins,
      allowPrivateNetwork: provider.allowPrivateNetwork === true,
      ...(ca === undefined ? {} : { ca }),
      limiter,
      log,
      signal,
      redact: secretValues(secrets),
      onRequest: info => publishRequest(() => ({ connectionId, provider: provider.id, ...info }))
    })
    try {
      const context = { config, secrets, log, signal, fetch: egress.fetch, webSocket: egress.webSocket }
      const client: unknown = await callProvider(provider, 'open', signal, () => provider.open(context))
      return {
        provider,
        client,
        async close() {
          // A client that cannot say goodbye must not fail what it was used for.
          await Promise.resolve(provider.close?.(client)).catch(error =>
            log.debug({ err: error }, 'closing the client failed')
          )
          await egress.close()
        }
      }
    } catch (error) {
      await egress.close()
      throw error
    }
  }

  return {
    openWith,
    async open(row, signal) {
      const provider = core.registry.get(row.provider)
      if (provider === undefined)
        throw new ProviderError('not_in_plan', `The provider ${row.provider} is not registered in this process`)
      if (row.sealed_secrets === null) throw new ConnectionDisconnectedError()
      const secrets = JSON.parse(await core.secrets.open(row.sealed_secrets, sealedFor(row))) as Record<string, unknown>
      return await openWith(provider, row.id, row.config, secrets, signal)
    },
    forget: connectionId => {
      limiters.delete(connectionId)
    }
  }
}

/**
 * A provider's failure as the error of a route: what the operator can mend is a 4xx, the rest says that the platform
 * failed.
 */
export function toRouteError(error: unknown, during: 'check' | 'action'): Error {
  if (error instanceof DOMException && error.name === 'TimeoutError')
    return new PlatformError('The platform did not answer in time; try again')
  if (!(error instanceof ProviderError)) return error instanceof Error ? error : new InternalError()
  if (during === 'check') return Object.assign(new ConnectionCheckError(error.message), { cause: error })
  const wrapped =
    error.kind === 'rate_limited'
      ? new PlatformBusyError(error.message)
      : error.kind === 'auth' || error.kind === 'forbidden' || error.kind === 'not_in_plan' || error.kind === 'gone'
        ? new PlatformForbiddenError(error.message)
        : new PlatformError(error.message)
  return Object.assign(wrapped, {
    cause: error,
    ...(error.retryAfterMs === undefined ? {} : { retryAfterMs: error.retryAfterMs })
  })
}
