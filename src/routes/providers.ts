import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox'
import { tenantOf } from './guard.ts'
import type { RouteOptions } from './options.ts'
import { errors, Input, tags } from './schemas/atoms.ts'
import { ProvidersSchema } from './schemas/providers.ts'

export const providerRoutes: FastifyPluginAsyncTypebox<RouteOptions> = async (app, { rmm }) => {
  app.get(
    '/providers',
    {
      config: { rmmAction: 'provider:read' },
      schema: {
        operationId: 'rmmListProviders',
        summary: 'The platforms that connections can be made to',
        tags,
        querystring: Input({}),
        response: { 200: ProvidersSchema, ...errors() }
      }
    },
    async request => ({ items: await rmm.providers.list(tenantOf(request)) })
  )
}
