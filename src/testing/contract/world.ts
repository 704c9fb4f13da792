import type { AlertRecord, DeviceRecord, Hint, OrganizationRecord, UpdateRecord } from '../../providers/define.ts'
import type { WebhookRequest } from '../../providers/define.ts'
import type { ResourceName } from '../../types.ts'

/**
 * What goes wrong. With `first` it begins with the first answer, with `later` after the first page was good; a platform
 * that answers in one list plays the `first` ones only.
 *
 * - `server-error-mid-list`: 5xx until the world is closed;
 * - `empty-page`: "there is more" with no records, for good;
 * - `repeated-cursor`: the first page again and again, each time with "there is more";
 * - `rate-limited`: one 429 with a `Retry-After` of 1 second;
 * - `redirect`: a redirect to another host;
 * - `html`: status 200 and a page of HTML, or whatever else is no answer of this platform, until the world is closed;
 * - `malformed-record`: one record of the page has its id and nothing else that is as documented;
 * - `unidentified-record`: one record of the page has no id;
 * - `expired-token`: the credentials, or what was made of them, are refused from now on;
 * - `short-list`: the list ends with this page, although there is more;
 * - `cursor-gone`: the record that the next page is asked for by is deleted behind this page;
 * - `moving-list`: a record of the page before comes once more;
 * - `fetchOne-500`: single reads are answered 5xx, or not at all.
 */
export type ContractFault =
  | 'server-error-mid-list'
  | 'empty-page'
  | 'repeated-cursor'
  | 'rate-limited'
  | 'redirect'
  | 'html'
  | 'malformed-record'
  | 'unidentified-record'
  | 'expired-token'
  | 'short-list'
  | 'cursor-gone'
  | 'moving-list'
  | 'fetchOne-500'

export type FaultPlace = 'first' | 'later'

/** What some records have to come out as; other fields may be anything. */
export interface Samples {
  organizations?: Record<string, Partial<OrganizationRecord>>
  devices?: Record<string, Partial<DeviceRecord>>
  updates?: Record<string, Partial<UpdateRecord>>
  alerts?: Record<string, Partial<AlertRecord>>
}

/** What a provider's author supplies: a platform of their own to test against, and what is in it. */
export interface ContractWorld {
  /** A fresh, running platform. Called once per case. */
  start(): Promise<RunningWorld>
  /** True, or the reason why this platform cannot fail in that way; the reason is what the skipped case shows. */
  plays(fault: ContractFault, resource: ResourceName, place: FaultPlace): true | string
  /**
   * Needed where the provider has a webhook: every way in by its name, each a request as the platform would send it,
   * proved by the secret.
   */
  webhooks?: Record<string, (secret: string) => WebhookRequest>
  /** The hints that the requests of `webhooks` have to give, by the same names. */
  hints?: Record<string, Hint[]>
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
  /** Values to compare with: without them nobody notices that two fields were mixed up. */
  samples?: Samples
  /** An id the platform does not know but would accept as one. Default: a made-up text. */
  unknownId?: string
  /** The same for a device group. Default: `unknownId`. */
  unknownGroupId?: string
  /**
   * Values that must not be seen in logs, errors and replies; looked at when the case ends, so that tokens which the
   * platform gave out meanwhile can be in it. Default: every text in `secrets` and `badSecrets`.
   */
  sensitive?: string[]
  /** An active alert that may be resolved: for `resolveAlert`. */
  activeAlert?: string
  /** A device that can be looked at: for `remoteSession`. */
  remoteDevice?: string
  /** How long a link into a device lives where the platform decides it, in ms. Default: as long as was asked for. */
  linkMs?: number
  /** A device group that agents can be installed into: for `installLink`. */
  installGroup?: string
  /** Requests (or, on a socket, questions) that arrived so far. */
  requests(): number
  /** The platform's `host:port`, one or more. */
  hosts(): string[]
  /** Called only for faults that `plays` allows. */
  fail?(fault: ContractFault, resource: ResourceName, place: FaultPlace): void
  /** Changes a device on the platform, which then pushes it: for `listen`. Gives its id. */
  push?(): string
  /** All sockets die without a word: for `listen`. */
  drop?(): void
  /** Changes one record and deletes another: for resources with `deletes: 'explicit'`. */
  change?(resource: ResourceName): { changed: string; deleted: string }
  close(): Promise<void>
}

/** One behaviour. `skip` carries the reason where it cannot be played; `run` then does nothing. */
export interface ContractCase {
  name: string
  /** Where the rule is written. */
  rule: string
  skip?: string
  /** Throws `AssertionError` where the provider breaks the rule: one sentence that says which, and where it is written. */
  run(): Promise<void>
}
