import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox'
import { tenantOf } from './guard.ts'
import type { RouteOptions } from './options.ts'
import { AlertParams, AlertQuery, AlertSchema } from './schemas/alerts.ts'
import { errors, Input, ListOf, ref, tags } from './schemas/atoms.ts'

export const alertRoutes: FastifyPluginAsyncTypebox<RouteOptions> = async (app, { rmm: { alerts } }) => {
  app.get(
    '/alerts',
    {
      config: { rmmAction: 'alert:read' },
      schema: {
        operationId: 'rmmListAlerts',
        summary: 'Alerts, from our tables',
        tags,
        querystring: AlertQuery,
        response: { 200: ListOf(ref(AlertSchema), 'Alerts'), ...errors() }
      }
    },
    request => alerts.list(tenantOf(request), request.query)
  )

  app.post(
    '/alerts/:alertId/resolve',
    {
      config: { rmmAction: 'alert:resolve' },
      schema: {
        operationId: 'rmmResolveAlert',
        summary: 'Resolve an alert, on the platform first',
        tags,
        params: AlertParams,
        querystring: Input({}),
        response: { 200: ref(AlertSchema), ...errors(404, 409, 415, 422, 502, 503) }
      }
    },
    request => alerts.resolve(tenantOf(request), request.params.alertId)
  )
}
