import type { FastifyRequest } from 'fastify'
import type { Rmm } from '../rmm.ts'
import type { Actors } from '../services/actors.ts'
import type { Action, ActionTarget } from '../types.ts'
import type { StreamLimits } from './streams.ts'

/** What every route file is registered with. */
export interface RouteOptions {
  rmm: Rmm
  /** Whose request it is. Null, an empty string or a throw refuses it; what it throws is answered by the host. */
  tenant: (request: FastifyRequest) => string | null | Promise<string | null>
  /**
   * Throws to refuse; what it throws is answered by the host. `target` holds the ids of the URL, if it has any. Some
   * actions are asked about again with the body: `guard.ts` has them.
   */
  authorize: (request: FastifyRequest, action: Action, target?: ActionTarget) => void | Promise<void>
  /**
   * What a URL names, completed by what is stored; null where the tenant has no such thing.
   */
  locate: (tenantId: string, named: ActionTarget & { externalId?: string }) => Promise<ActionTarget | null>
  /** Who is behind the request; what it throws is answered by the host. */
  actor: (request: FastifyRequest) => unknown
  /** Binds the actor to the call of a handler. */
  actors: Actors
  /** Origins whose pages may send what changes something; the own one may. */
  trustedOrigins: readonly string[]
  streams: StreamLimits
  /** `bodyLimit` in bytes. */
  webhooks: { bodyLimit: number }
  /** Aborted at shutdown, in `preClose`: ends the event streams, which would hold the server open. */
  signal: AbortSignal
}
