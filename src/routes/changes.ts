import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox'
import { tenantOf } from './guard.ts'
import type { RouteOptions } from './options.ts'
import { ConnectionParams, errors, ListOf, ref, tags } from './schemas/atoms.ts'
import { ChangeQuery, ChangeSchema } from './schemas/changes.ts'
import { DeviceParams } from './schemas/inventory.ts'
import { CountedQuerySchema } from './schemas/organizations.ts'
import { RunParams } from './schemas/sync.ts'

export const changeRoutes: FastifyPluginAsyncTypebox<RouteOptions> = async (app, { rmm: { changes } }) => {
  app.get(
    '/runs/:runId/changes',
    {
      config: { rmmAction: 'sync:read' },
      schema: {
        operationId: 'rmmListRunChanges',
        summary: 'What a run changed, or a plan would',
        tags,
        params: RunParams,
        querystring: ChangeQuery,
        response: { 200: ListOf(ref(ChangeSchema), 'Changes, what was made first'), ...errors(404) }
      }
    },
    request => changes.ofRun(tenantOf(request), request.params.runId, request.query)
  )

  app.get(
    '/connections/:connectionId/changes',
    {
      config: { rmmAction: 'sync:read' },
      schema: {
        operationId: 'rmmListChanges',
        summary: 'What changed on a connection, or waits for a person (state=held)',
        tags,
        params: ConnectionParams,
        querystring: ChangeQuery,
        response: { 200: ListOf(ref(ChangeSchema), 'Changes, newest first'), ...errors(404) }
      }
    },
    request => changes.list(tenantOf(request), request.params.connectionId, request.query)
  )

  app.get(
    '/devices/:deviceId/changes',
    {
      config: { rmmAction: 'device:read' },
      schema: {
        operationId: 'rmmListDeviceChanges',
        summary: "A device's time line, down to its making",
        tags,
        params: DeviceParams,
        querystring: CountedQuerySchema,
        response: { 200: ListOf(ref(ChangeSchema), 'Changes, newest first'), ...errors(404) }
      }
    },
    request => changes.ofDevice(tenantOf(request), request.params.deviceId, request.query)
  )
}
