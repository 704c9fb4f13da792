import type { FastifyInstance, FastifyRequest } from 'fastify'
import { ForbiddenError, NotFoundError, TenantError, ValidationError } from '../errors.ts'
import type { Action, ActionTarget, Actor } from '../types.ts'
import type { RouteOptions } from './options.ts'

declare module 'fastify' {
  interface FastifyContextConfig {
    /** What `authorize` is asked before the route runs. */
    rmmAction?: Action
    /** What it is asked instead where the body says `plan: true`. */
    rmmPlanAction?: Action
  }
}

/** What our scope keeps on a request. Not merged into Fastify's types: it does not exist on the host's requests. */
type GuardedRequest = FastifyRequest & {
  rmmTenantId: string | null
  rmmActor: Actor | null
  rmmHandling: boolean
  /** Whether it was let in for a plan, and nothing else. */
  rmmPlanOnly: unknown
}

/** The tenant the request was resolved to. */
export const tenantOf = (request: FastifyRequest): string => (request as GuardedRequest).rmmTenantId as string

/** Whether the host's hooks are behind us: what fails from here on is ours to answer. */
export const isHandling = (request: FastifyRequest): boolean => (request as GuardedRequest).rmmHandling

/** Nothing deeper than this is asked for anywhere; what a parser let through must not exhaust the stack. */
const deepestBody = 100

/**
 * PostgreSQL's text knows neither NUL nor half a surrogate pair: refused here, once, before the host's `authorize` or
 * a statement meets them.
 */
const isStorable = (text: string) => !text.includes('\0') && text.isWellFormed()

function requireStorable(value: unknown, where: string, depth = 0): void {
  if (typeof value === 'string') {
    if (!isStorable(value)) throw new ValidationError(`${where} has characters that cannot be stored`)
  } else if (typeof value === 'object' && value !== null) {
    if (depth === deepestBody) throw new ValidationError(`${where} is nested more than ${deepestBody} levels deep`)
    for (const [name, item] of Object.entries(value)) {
      requireStorable(name, where, depth + 1)
      requireStorable(item, where, depth + 1)
    }
  }
}

/**
 * Marks when a request reaches our handlers. The mark is the last `preHandler` of each route, behind those a host adds
 * by an `onRoute` hook of its own (rate limits), whose refusals are the host's to answer.
 */
export function markHandling(app: FastifyInstance): void {
  app.decorateRequest('rmmHandling', false)
  app.addHook('onRoute', route => {
    const mark = async (request: FastifyRequest) => {
      ;(request as GuardedRequest).rmmHandling = true
    }
    route.preHandler = [route.preHandler ?? []].flat().concat(mark)
  })
}

const targets = ['connectionId', 'organizationId', 'runId', 'deviceId', 'alertId', 'deliveryId', 'clientRef'] as const

function targetOf(request: FastifyRequest): ActionTarget | undefined {
  const params = request.params as Record<string, string>
  const named = targets.filter(name => params[name] !== undefined)
  return named.length === 0 ? undefined : Object.fromEntries(named.map(name => [name, params[name]]))
}

/** Throws what the host throws to refuse. */
async function ask(
  request: FastifyRequest,
  authorize: RouteOptions['authorize'],
  target?: ActionTarget,
  action = request.routeOptions.config.rmmAction as Action
): Promise<void> {
  const answer: unknown = await authorize(request, action, target)
  // The type says void, but a function answering false fits it too, and its author meant "no".
  if (answer === false) throw new ForbiddenError()
}

/** Before the body is read nobody knows whether it asks for a plan: who may plan is let in, and judged by the body. */
async function askFirst(request: FastifyRequest, authorize: RouteOptions['authorize']): Promise<void> {
  const { rmmPlanAction } = request.routeOptions.config
  try {
    await ask(request, authorize, targetOf(request))
  } catch (refusal) {
    if (rmmPlanAction === undefined) throw refusal
    await ask(request, authorize, targetOf(request), rmmPlanAction).catch(() => {
      throw refusal
    })
    ;(request as GuardedRequest).rmmPlanOnly = { refusal }
  }
}

/** Asks the host again about a request that it let through and that is still being answered. */
export async function stillAllowed(
  request: FastifyRequest,
  { tenant, authorize }: Pick<RouteOptions, 'tenant' | 'authorize'>
): Promise<boolean> {
  if ((await tenant(request)) !== tenantOf(request)) return false
  await ask(request, authorize, targetOf(request))
  return true
}

/**
 * Tenant, then authorisation, then who it is, for every route of this scope, before a body is read: who may not call
 * us cannot make us parse. A route that does not say what it does (`config.rmmAction`) is refused at boot.
 */
export function guard(
  app: FastifyInstance,
  { tenant, authorize, actor, actors }: Pick<RouteOptions, 'tenant' | 'authorize' | 'actor' | 'actors'>
): void {
  app.decorateRequest('rmmTenantId', null)
  app.decorateRequest('rmmActor', null)
  app.decorateRequest('rmmPlanOnly', null)
  app.addHook('onRoute', route => {
    if (route.config?.rmmAction === undefined)
      throw new Error(`the route ${route.method} ${route.url} needs config.rmmAction`)
    const { handler } = route
    route.handler = function (request, reply) {
      return actors.run((request as GuardedRequest).rmmActor, () => handler.call(this, request, reply))
    }
  })
  app.addHook('onRequest', async request => {
    const tenantId: unknown = await tenant(request)
    if (typeof tenantId !== 'string' || tenantId === '' || !isStorable(tenantId)) throw new TenantError()
    ;(request as GuardedRequest).rmmTenantId = tenantId
    requireStorable(request.params, 'params')
    requireStorable(request.query, 'query')
    await askFirst(request, authorize)
    ;(request as GuardedRequest).rmmActor = actors.from(await actor(request))
  })
}

/**
 * Actions whose right depends on what is asked for: a sync without `force`, a session only to watch, one client's
 * devices. The host is asked about them again once the body is known.
 */
const asksAgain: ReadonlySet<string> = new Set([
  'connection:write',
  'sync:run',
  'mapping:write',
  'device:remote',
  'device:power',
  'automation:run',
  'match:write'
])

/** The second question, before anything happens. What is not there is not asked about: it is 404. */
export function guardBodies(
  app: FastifyInstance,
  { authorize, locate }: Pick<RouteOptions, 'authorize' | 'locate'>
): void {
  app.addHook('preHandler', async request => {
    if (!asksAgain.has(request.routeOptions.config.rmmAction as Action)) return
    const { externalId } = request.params as { externalId?: string }
    const named = { ...targetOf(request), ...(externalId === undefined ? {} : { externalId }) }
    const known = await onOurSide(request, () => locate(tenantOf(request), named))
    if (known === null) throw new NotFoundError(nameOf(named))
    const { rmmPlanAction } = request.routeOptions.config
    const plans = rmmPlanAction !== undefined && (request.body as { plan?: unknown } | undefined)?.plan === true
    const only = (request as GuardedRequest).rmmPlanOnly as { refusal: unknown } | null
    if (only !== null && !plans) throw only.refusal
    await ask(request, authorize, { ...known, body: request.body ?? {} }, ...(plans ? [rmmPlanAction] : []))
  })
}

/** What fails meanwhile is ours to answer. */
async function onOurSide<T>(request: FastifyRequest, work: () => Promise<T>): Promise<T> {
  const guarded = request as GuardedRequest
  guarded.rmmHandling = true
  const result = await work()
  guarded.rmmHandling = false
  return result
}

function nameOf({ deviceId, runId, deliveryId }: ActionTarget): string {
  return deviceId !== undefined
    ? 'Device'
    : runId !== undefined
      ? 'Run'
      : deliveryId !== undefined
        ? 'Delivery'
        : 'Connection'
}

const isEmpty = (body: unknown) =>
  typeof body === 'object' && body !== null && !Array.isArray(body) && Object.keys(body).length === 0

/**
 * A body that was not sent counts as empty: required fields are then missed by name, and where all are optional nothing
 * is. Routes without a body refuse one with fields, which would be ignored otherwise.
 */
export function settleBodies(app: FastifyInstance): void {
  app.addHook('preValidation', async request => {
    const takesBody = request.routeOptions.schema?.body !== undefined
    if (request.body === undefined && takesBody) request.body = {}
    // Before anything walks it or writes it out.
    requireStorable(request.body, 'body')
    if (!takesBody && request.body !== undefined && !isEmpty(request.body))
      throw new ValidationError('this route takes no body')
  })
}
