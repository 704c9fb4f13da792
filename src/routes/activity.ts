import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox'
import { tenantOf } from './guard.ts'
import type { RouteOptions } from './options.ts'
import { ActivityQuery, ActivitySchema } from './schemas/activity.ts'
import { errors, ListOf, ref, tags } from './schemas/atoms.ts'

export const activityRoutes: FastifyPluginAsyncTypebox<RouteOptions> = async (app, { rmm: { activity } }) => {
  app.get(
    '/activity',
    {
      config: { rmmAction: 'activity:read' },
      schema: {
        operationId: 'rmmListActivity',
        summary: 'Who did what, newest first',
        tags,
        querystring: ActivityQuery,
        response: { 200: ListOf(ref(ActivitySchema), 'What was done'), ...errors() }
      }
    },
    request => activity.list(tenantOf(request), request.query)
  )
}
