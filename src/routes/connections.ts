import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox'
import { tenantOf } from './guard.ts'
import type { RouteOptions } from './options.ts'
import { ConnectionParams, errors, Input, ListOf, Nothing, ref, tags } from './schemas/atoms.ts'
import {
  ConnectionQuery,
  ConnectionSchema,
  ConnectionTestSchema,
  CreateConnectionSchema,
  CreatedConnectionSchema,
  RemoveQuery,
  UpdateConnectionSchema
} from './schemas/connections.ts'

export const connectionRoutes: FastifyPluginAsyncTypebox<RouteOptions> = async (app, { rmm: { connections } }) => {
  app.get(
    '/connections',
    {
      config: { rmmAction: 'connection:read' },
      schema: {
        operationId: 'rmmListConnections',
        summary: "The tenant's connections",
        tags,
        querystring: ConnectionQuery,
        response: { 200: ListOf(ref(ConnectionSchema), 'Connections'), ...errors() }
      }
    },
    request => connections.list(tenantOf(request), request.query)
  )

  app.post(
    '/connections',
    {
      config: { rmmAction: 'connection:write' },
      schema: {
        operationId: 'rmmCreateConnection',
        summary: 'Connect an account; checked live before anything is stored',
        tags,
        querystring: Input({}),
        body: CreateConnectionSchema,
        response: { 201: CreatedConnectionSchema, ...errors(404, 409, 413, 415, 422, 503) }
      }
    },
    async (request, reply) => {
      reply.code(201)
      return connections.create(tenantOf(request), request.body)
    }
  )

  app.get(
    '/connections/:connectionId',
    {
      config: { rmmAction: 'connection:read' },
      schema: {
        operationId: 'rmmGetConnection',
        summary: 'One connection',
        tags,
        params: ConnectionParams,
        querystring: Input({}),
        response: { 200: ref(ConnectionSchema), ...errors(404) }
      }
    },
    request => connections.get(tenantOf(request), request.params.connectionId)
  )

  app.patch(
    '/connections/:connectionId',
    {
      config: { rmmAction: 'connection:write' },
      schema: {
        operationId: 'rmmUpdateConnection',
        summary: 'Change a connection; checked live again when config or secrets change',
        tags,
        params: ConnectionParams,
        querystring: Input({}),
        body: UpdateConnectionSchema,
        response: { 200: ref(ConnectionSchema), ...errors(404, 409, 413, 415, 422, 503) }
      }
    },
    request => connections.update(tenantOf(request), request.params.connectionId, request.body)
  )

  app.post(
    '/connections/:connectionId/test',
    {
      config: { rmmAction: 'connection:write' },
      schema: {
        operationId: 'rmmTestConnection',
        summary: 'Check the stored secrets against the platform',
        tags,
        params: ConnectionParams,
        querystring: Input({}),
        response: { 200: ConnectionTestSchema, ...errors(404, 409, 415, 422, 503) }
      }
    },
    request => connections.test(tenantOf(request), request.params.connectionId)
  )

  app.delete(
    '/connections/:connectionId',
    {
      config: { rmmAction: 'connection:write' },
      schema: {
        operationId: 'rmmRemoveConnection',
        summary: 'Disconnect an account, or remove everything of it',
        tags,
        params: ConnectionParams,
        querystring: RemoveQuery,
        response: { 204: Nothing('Disconnected'), ...errors(404, 409, 415) }
      }
    },
    async (request, reply) => {
      await connections.remove(tenantOf(request), request.params.connectionId, request.query.mode)
      return reply.code(204).send(null)
    }
  )
}
