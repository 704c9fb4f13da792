import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox'
import { tenantOf } from './guard.ts'
import type { RouteOptions } from './options.ts'
import { ConnectionParams, errors, Input, ListOf, ref, tags } from './schemas/atoms.ts'
import { WebhookSecretSchema } from './schemas/connections.ts'
import { CountedQuerySchema } from './schemas/organizations.ts'
import { DeliveryParams, DeliverySchema, RotateSchema, WebhookInfoSchema } from './schemas/webhooks.ts'

export const webhookRoutes: FastifyPluginAsyncTypebox<RouteOptions> = async (app, { rmm: { webhooks } }) => {
  app.get(
    '/connections/:connectionId/webhook',
    {
      config: { rmmAction: 'connection:read' },
      schema: {
        operationId: 'rmmGetWebhook',
        summary: 'How to set the webhook up on the platform',
        tags,
        params: ConnectionParams,
        querystring: Input({}),
        response: { 200: WebhookInfoSchema, ...errors(404, 409) }
      }
    },
    request => webhooks.info(tenantOf(request), request.params.connectionId)
  )

  app.post(
    '/connections/:connectionId/webhook/rotate',
    {
      config: { rmmAction: 'connection:write' },
      schema: {
        operationId: 'rmmRotateWebhookSecret',
        summary: 'A new signing secret; the old one stays valid for a while',
        tags,
        params: ConnectionParams,
        querystring: Input({}),
        body: RotateSchema,
        response: { 200: WebhookSecretSchema, ...errors(404, 409, 413, 415) }
      }
    },
    request => webhooks.rotate(tenantOf(request), request.params.connectionId, request.body)
  )

  app.get(
    '/connections/:connectionId/deliveries',
    {
      config: { rmmAction: 'connection:read' },
      schema: {
        operationId: 'rmmListDeliveries',
        summary: 'Stored inbound requests, newest first',
        tags,
        params: ConnectionParams,
        querystring: CountedQuerySchema,
        response: { 200: ListOf(ref(DeliverySchema), 'Deliveries'), ...errors(404, 409) }
      }
    },
    request => webhooks.deliveries(tenantOf(request), request.params.connectionId, request.query)
  )

  app.post(
    '/deliveries/:deliveryId/replay',
    {
      config: { rmmAction: 'sync:run' },
      schema: {
        operationId: 'rmmReplayDelivery',
        summary: 'Work on a stored delivery again',
        tags,
        params: DeliveryParams,
        querystring: Input({}),
        response: { 200: ref(DeliverySchema), ...errors(404, 409, 415) }
      }
    },
    request => webhooks.replay(tenantOf(request), request.params.deliveryId)
  )
}
