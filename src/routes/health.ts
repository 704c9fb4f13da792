import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox'
import { tenantOf } from './guard.ts'
import type { RouteOptions } from './options.ts'
import { errors, Input, tags } from './schemas/atoms.ts'
import { HealthSchema } from './schemas/health.ts'

export const healthRoutes: FastifyPluginAsyncTypebox<RouteOptions> = async (app, { rmm }) => {
  app.get(
    '/health',
    {
      config: { rmmAction: 'health:read' },
      schema: {
        operationId: 'rmmGetHealth',
        summary: "What of the tenant's waits, is late or failed",
        tags,
        querystring: Input({}),
        response: { 200: HealthSchema, ...errors() }
      }
    },
    request => rmm.health(tenantOf(request))
  )
}
