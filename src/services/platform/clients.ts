import {
  ConnectionCheckError,
  InternalError,
  PlatformBusyError,
  PlatformError,
  PlatformForbiddenError
} from '../../errors.ts'
import { ProviderError, type RmmProvider } from '../../providers/define.ts'
import type { Core } from '../core.ts'
import { publishRequest } from '../diagnostics.ts'
import { hashText } from '../model/index.ts'
import {
  createEgress,
  createRateLimiter,
  createRedact,
  destinationOf,
  memorySession,
  type PendingValues,
  type RateLimiter
} from '../egress/index.ts'
import { type ConnectionRow, setStatus } from '../store/index.ts'
import { type Door, guardLog, guardProvider, handle, outside } from './door.ts'
import { createSession } from './session.ts'
import { openSecrets } from './vault.ts'
import { callProvider } from './provider-fault.ts'

export interface OpenClient {
  /** Guarded: use these functions, not those of the registry; what they throw repeats no secret. */
  provider: RmmProvider
  /** Stands for the client in calls of `provider`; nothing else can use it. */
  client: unknown
  /** Gives what logging in brought to the connection that was stored with these values. */
  keep(row: ConnectionRow): Promise<void>
  close(): Promise<void>
}

export interface Opening {
  /** The stored connection whose session is used. Default: a session of its own, that `keep` can give to one. */
  row?: ConnectionRow
  /** Told of every failure of the provider. */
  passes?(error: Error): Promise<void>
  /** A person waits: the platform is asked although it wanted to be left alone; they may know more than that. */
  atOnce?: boolean
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
    signal: AbortSignal,
    how?: Opening
  ): Promise<OpenClient>
  /** Forgets what is kept for a connection that is gone. */
  forget(connectionId: string): void
}

/** Other secrets or another address are another thing to try. */
export function identityOf(row: ConnectionRow): string {
  return hashText(`${row.revision}|${JSON.stringify(row.config)}`)
}

/** Every text in the secrets is worth hiding; but a user name that could be any word would make holes in sentences. */
function secretValues(
  secrets: unknown,
  isShown = (name: string, text: string) => name === 'username' && /^\p{L}*$/u.test(text)
): string[] {
  if (typeof secrets !== 'object' || secrets === null) return []
  return Object.entries(secrets).flatMap(([name, value]: [string, unknown]) => {
    if (typeof value !== 'string') return secretValues(value, isShown)
    return isShown(name, value) ? [] : [value]
  })
}

/** Per connection; more were never asked at once. */
const placesKept = 8

export function createClientFactory(core: Core): ClientFactory {
  // All runs, re-reads and actions of one connection in this process share one limiter: the platform counts them
  // together. One for each place it was pointed to: neither owes a connection to the other what that one asked for,
  // nor does a look elsewhere end a pause.
  const limiters = new Map<string, Map<string, RateLimiter>>()
  const pending: PendingValues = new Map()

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
    signal: AbortSignal,
    { row, passes = async () => {}, atOnce = false }: Opening = {}
  ): Promise<OpenClient> {
    const { origins } = destinationOf(provider, config)
    const limiter = limiterOf(provider, connectionId, origins.join())
    const redact = createRedact(secretValues(secrets))
    const redactNamed = createRedact(secretValues(secrets, name => name === 'username'))
    const learned = (value: string): void => {
      redact.add([value])
      redactNamed.add([value])
    }
    const memory = row === undefined ? memorySession(learned) : null
    const session = memory ?? createSession(core, row!, pending, learned)
    const log = guardLog(core.log.child({ connectionId, provider: provider.id }), redact)
    const ca = provider.ca?.(config)
    const egress = createEgress({
      hosts: origins,
      allowPrivateNetwork: provider.allowPrivateNetwork === true,
      ...(ca === undefined ? {} : { ca }),
      limiter,
      atOnce,
      log,
      signal,
      redact,
      onRequest: info => publishRequest(() => ({ connectionId, provider: provider.id, ...info }))
    })
    const door: Door = {
      redact,
      redactNamed,
      trouble: egress.trouble,
      passes
    }
    try {
      const { fetch, webSocket } = egress
      const context = { config, secrets, atOnce, log, signal, fetch, webSocket, session }
      const client: unknown = await callProvider(provider, 'open', signal, () => provider.open(context))
      const guarded = guardProvider(provider, client, door)
      return {
        provider: guarded,
        client: handle,
        async keep(stored) {
          const shared = createSession(core, stored, pending, learned)
          for (const [key, value] of memory?.entries() ?? []) await shared.set(key, value)
        },
        async close() {
          // A client that cannot say goodbye must not fail what it was used for.
          await guarded.close?.(handle).catch(error => log.debug({ err: error }, 'closing the client failed'))
          await egress.close()
        }
      }
    } catch (error) {
      await egress.close()
      throw await outside(error, [signal], door)
    }
  }

  return {
    openWith,
    async open(row, signal) {
      const provider = core.registry.get(row.provider)
      if (provider === undefined)
        throw new ProviderError('not_in_plan', `The provider ${row.provider} is not registered in this process`)
      // Whatever is done on a platform comes by here: what the host has switched off is not begun.
      await core.registry.require(row.provider, row.tenant_id)
      const secrets = await openSecrets(core, row)
      return await openWith(provider, row.id, row.config, secrets, signal, {
        row,
        passes: error => noteRefusal(core, row, error)
      })
    },
    forget: connectionId => {
      limiters.delete(connectionId)
    }
  }
}

/** Refused secrets are the connection's state, whatever they were tried for. */
async function noteRefusal(core: Core, row: ConnectionRow, error: Error): Promise<void> {
  if (!(error instanceof ProviderError) || error.kind !== 'auth') return
  await setStatus(core.database, row, 'error', error.message).catch(failure =>
    core.log.warn({ err: failure, connectionId: row.id }, 'that the platform refused the secrets could not be stored')
  )
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
