import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox'
import { tenantOf } from './guard.ts'
import type { RouteOptions } from './options.ts'
import { errors, Input, ListOf, ref, tags } from './schemas/atoms.ts'
import {
  DeviceDetailSchema,
  DeviceParams,
  DeviceQuery,
  DeviceSchema,
  LinkSchema,
  RemoteSessionSchema
} from './schemas/inventory.ts'

export const inventoryRoutes: FastifyPluginAsyncTypebox<RouteOptions> = async (app, { rmm: { inventory } }) => {
  app.get(
    '/devices',
    {
      config: { rmmAction: 'device:read' },
      schema: {
        operationId: 'rmmListDevices',
        summary: 'The inventory, from our tables',
        tags,
        querystring: DeviceQuery,
        response: { 200: ListOf(ref(DeviceSchema), 'Devices'), ...errors() }
      }
    },
    request => {
      const { removed, ...filter } = request.query
      const asked = removed === undefined ? {} : { removed: removed === 'any' ? removed : removed === 'true' }
      return inventory.list(tenantOf(request), { ...filter, ...asked })
    }
  )

  app.get(
    '/devices/:deviceId',
    {
      config: { rmmAction: 'device:read' },
      schema: {
        operationId: 'rmmGetDevice',
        summary: 'One device with its details',
        tags,
        params: DeviceParams,
        querystring: Input({}),
        response: { 200: ref(DeviceDetailSchema), ...errors(404) }
      }
    },
    request => inventory.get(tenantOf(request), request.params.deviceId)
  )

  app.post(
    '/devices/:deviceId/remote-session',
    {
      config: { rmmAction: 'device:remote' },
      schema: {
        operationId: 'rmmOpenRemoteSession',
        summary: "A short-lived link to the device's screen",
        tags,
        params: DeviceParams,
        querystring: Input({}),
        body: RemoteSessionSchema,
        response: { 201: LinkSchema, ...errors(404, 409, 413, 415, 422, 502, 503) }
      }
    },
    async (request, reply) => {
      reply.code(201)
      return inventory.remoteSession(tenantOf(request), request.params.deviceId, request.body)
    }
  )
}
