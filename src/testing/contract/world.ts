import type { WebhookRequest } from '../../providers/define.ts'
import type { ResourceName } from '../../types.ts'

/**
 * - `server-error-mid-list`: the first page is good, then 5xx until the world is closed;
 * - `empty-page`: after the first page, "there is more" with no records, for good;
 * - `repeated-cursor`: after the first page the same page again and again, each time with "there is more";
 * - `rate-limited`: after the first page one 429 with a `Retry-After` of 1 second;
 * - `redirect`: after the first page, a redirect to another host.
 */
export type ContractFault = 'server-error-mid-list' | 'empty-page' | 'repeated-cursor' | 'rate-limited' | 'redirect'

/** What a provider's author supplies: a platform of their own to test against, and what is in it. */
export interface ContractWorld {
  /** A fresh, running platform. Called once per case. */
  start(): Promise<RunningWorld>
  /** True, or the reason why this platform cannot fail in that way; the reason is what the skipped case shows. */
  plays(fault: ContractFault, resource: ResourceName): true | string
  /**
   * Needed where the provider has a webhook: every way in by its name, each a request as the platform would send it,
   * proved by the secret.
   */
  webhooks?: Record<string, (secret: string) => WebhookRequest>
}

export interface RunningWorld {
  /** Connects to the running platform; must pass the provider's `configSchema`. */
  config: Record<string, unknown>
  secrets: Record<string, unknown>
  /** Well-formed, and refused by the platform. */
  badSecrets: Record<string, unknown>
  /**
   * Every external id by resource, for each resource the provider has. Enough for at least two pages where the
   * platform has pages.
   */
  expected: Partial<Record<ResourceName, string[]>>
  /** An id the platform does not know but would accept as one. Default: a made-up text. */
  unknownId?: string
  /** Values that must not be seen in logs, errors and replies. Default: every text in `secrets` and `badSecrets`. */
  sensitive?: string[]
  /** Requests (or, on a socket, questions) that arrived so far. */
  requests(): number
  /** The platform's `host:port`, one or more. */
  hosts(): string[]
  /** Called only for faults that `plays` allows. */
  fail?(fault: ContractFault, resource: ResourceName): void
  close(): Promise<void>
}

/** One behaviour. `skip` carries the reason where it cannot be played; `run` then does nothing. */
export interface ContractCase {
  name: string
  skip?: string
  /** Throws `AssertionError` where the provider breaks the rule. */
  run(): Promise<void>
}
