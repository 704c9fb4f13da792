import { Readable } from 'node:stream'
import { type FastifyPluginAsyncTypebox, Type } from '@fastify/type-provider-typebox'
import type { FastifyInstance, FastifyReply } from 'fastify'
import type { Run } from '../types.ts'
import { safeLog } from '../log.ts'
import { stillAllowed, tenantOf } from './guard.ts'
import type { RouteOptions } from './options.ts'
import { ConnectionParams, errors, Input, ListOf, ref, tags } from './schemas/atoms.ts'
import { CountedQuerySchema } from './schemas/organizations.ts'
import {
  ApplySchema,
  BegunSchema,
  DeviceSyncSchema,
  ExternalDeviceParams,
  HandOverSchema,
  RunItemQuery,
  RunItemSchema,
  RunParams,
  RunQuery,
  RunSchema,
  StartedSchema,
  SyncRequestSchema
} from './schemas/sync.ts'
import { runEvents } from './sse.ts'
import { createStreams, withRights } from './streams.ts'

/**
 * A host's `handlerTimeout` is meant for answers, not for streams. A route cannot switch it off, so a day stands for
 * never; where the host has none, none is armed.
 */
const streamTimeout = (app: Pick<FastifyInstance, 'initialConfig'>) =>
  (app.initialConfig as { handlerTimeout?: number }).handlerTimeout ? { handlerTimeout: 24 * 60 * 60 * 1000 } : {}

export const syncRoutes: FastifyPluginAsyncTypebox<RouteOptions> = async (app, options) => {
  const {
    rmm: { sync },
    signal,
    streams: limits
  } = options
  const streams = createStreams(limits)

  app.post(
    '/connections/:connectionId/sync',
    {
      config: { rmmAction: 'sync:run', rmmPlanAction: 'sync:plan' },
      schema: {
        operationId: 'rmmStartSync',
        summary: 'Start a sync, or find the active one',
        tags,
        params: ConnectionParams,
        querystring: Input({}),
        body: SyncRequestSchema,
        response: { 202: StartedSchema, ...errors(404, 409, 413, 415, 422, 503) }
      }
    },
    async (request, reply) => {
      reply.code(202)
      return sync.start(tenantOf(request), request.params.connectionId, request.body)
    }
  )

  app.post(
    '/runs/:runId/apply',
    {
      config: { rmmAction: 'sync:run' },
      schema: {
        operationId: 'rmmApplyPlan',
        summary: 'Do what a plan found, as far as it is still true',
        tags,
        params: RunParams,
        querystring: Input({}),
        body: ApplySchema,
        response: { 202: BegunSchema, ...errors(404, 409, 413, 415, 422, 503) }
      }
    },
    async (request, reply) => {
      reply.code(202)
      return sync.apply(tenantOf(request), request.params.runId, request.body)
    }
  )

  app.post(
    '/connections/:connectionId/handover',
    {
      config: { rmmAction: 'sync:run' },
      schema: {
        operationId: 'rmmHandOver',
        summary: 'Give known devices to the host again',
        tags,
        params: ConnectionParams,
        querystring: Input({}),
        body: HandOverSchema,
        response: { 202: BegunSchema, ...errors(404, 409, 413, 415, 422, 503) }
      }
    },
    async (request, reply) => {
      reply.code(202)
      return sync.handOver(tenantOf(request), request.params.connectionId, request.body)
    }
  )

  app.post(
    '/connections/:connectionId/devices/:externalId/sync',
    {
      config: { rmmAction: 'sync:run' },
      schema: {
        operationId: 'rmmSyncDevice',
        summary: 'Read one device again, now',
        tags,
        params: ExternalDeviceParams,
        querystring: Input({}),
        response: { 200: DeviceSyncSchema, ...errors(404, 409, 415, 422, 502, 503) }
      }
    },
    request => sync.device(tenantOf(request), request.params.connectionId, request.params.externalId)
  )

  app.get(
    '/connections/:connectionId/runs',
    {
      config: { rmmAction: 'sync:read' },
      schema: {
        operationId: 'rmmListRuns',
        summary: 'The runs of a connection, newest first',
        tags,
        params: ConnectionParams,
        querystring: CountedQuerySchema,
        response: { 200: ListOf(ref(RunSchema), 'Runs'), ...errors(404) }
      }
    },
    request => sync.runs(tenantOf(request), request.params.connectionId, request.query)
  )

  app.get(
    '/runs',
    {
      config: { rmmAction: 'sync:read' },
      schema: {
        operationId: 'rmmListAllRuns',
        summary: 'The runs of all connections, newest first',
        tags,
        querystring: RunQuery,
        response: { 200: ListOf(ref(RunSchema), 'Runs'), ...errors() }
      }
    },
    request => sync.allRuns(tenantOf(request), request.query)
  )

  app.get(
    '/runs/:runId',
    {
      config: { rmmAction: 'sync:read' },
      schema: {
        operationId: 'rmmGetRun',
        summary: 'One run',
        tags,
        params: RunParams,
        querystring: Input({}),
        response: { 200: ref(RunSchema), ...errors(404) }
      }
    },
    request => sync.get(tenantOf(request), request.params.runId)
  )

  app.get(
    '/runs/:runId/items',
    {
      config: { rmmAction: 'sync:read' },
      schema: {
        operationId: 'rmmListRunItems',
        summary: 'What of a run failed, was held or was ambiguous, and why',
        tags,
        params: RunParams,
        querystring: RunItemQuery,
        response: { 200: ListOf(ref(RunItemSchema), 'Records that were not simply taken'), ...errors(404) }
      }
    },
    request => sync.items(tenantOf(request), request.params.runId, request.query)
  )

  app.get(
    '/runs/:runId/events',
    {
      exposeHeadRoute: false,
      ...streamTimeout(app),
      config: { rmmAction: 'sync:read' },
      schema: {
        operationId: 'rmmWatchRun',
        summary: 'A run as Server-Sent Events',
        description:
          'progress with the run as data whenever it changed, then done with its final state; close the EventSource on done. Ends without done where the right to look at it is gone.',
        tags,
        params: RunParams,
        querystring: Input({}),
        response: {
          200: {
            description: 'The events',
            content: {
              'text/event-stream': {
                // Without a type: there is no agreed word for a stream of events before OpenAPI 3.2.
                schema: Type.Unsafe<string>({ description: 'Events progress and done, each with a run as JSON.' })
              }
            }
          },
          ...errors(404, 429)
        }
      }
    },
    async (request, reply) => {
      const tenantId = tenantOf(request)
      const { runId } = request.params
      streams.take(tenantId, reply)
      const run = await sync.get(tenantId, runId) // also the 404, while there still is a status to set
      const open = AbortSignal.any([signal, disconnected(reply)])
      const ends = withRights(open, limits.rightsMs, () => stillAllowed(request, options))
      const serialize = (state: Run) => reply.serializeInput(state as never, RunSchema as never) as string
      const stream = Readable.from(runEvents(run, sync.watch(tenantId, runId, ends), { serialize, signal: ends }))
      stream.once('error', error => safeLog(request.log).error({ err: error }, 'the event stream of a run broke off'))
      reply.header('content-type', 'text/event-stream').header('x-accel-buffering', 'no')
      return reply.send(stream as never)
    }
  )

  app.post(
    '/runs/:runId/cancel',
    {
      config: { rmmAction: 'sync:run' },
      schema: {
        operationId: 'rmmCancelRun',
        summary: 'Ask a run to end; what it committed stays',
        tags,
        params: RunParams,
        querystring: Input({}),
        response: { 202: ref(RunSchema), ...errors(404, 409, 415) }
      }
    },
    async (request, reply) => {
      reply.code(202)
      return sync.cancel(tenantOf(request), request.params.runId)
    }
  )
}

/** Aborted once the client is gone. The response tells; the stream cannot, as it waits for its next event. */
function disconnected(reply: FastifyReply): AbortSignal {
  const gone = new AbortController()
  reply.raw.once('close', () => gone.abort())
  return gone.signal
}
