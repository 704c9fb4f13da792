import type { FastifyInstance } from 'fastify'
import { activityRoutes } from './activity.ts'
import { alertRoutes } from './alerts.ts'
import { protectAnswers, tellPathLimits } from './answers.ts'
import { changeRoutes } from './changes.ts'
import { pinCompilers } from './compilers.ts'
import { connectionRoutes } from './connections.ts'
import { refuseCrossSite } from './cross-site.ts'
import { deviceGroupRoutes } from './device-groups.ts'
import { answerError, validationError } from './error-handler.ts'
import { guard, guardBodies, markHandling, settleBodies } from './guard.ts'
import { healthRoutes } from './health.ts'
import { hookRoutes } from './hooks.ts'
import { inventoryRoutes } from './inventory.ts'
import type { RouteOptions } from './options.ts'
import { organizationRoutes } from './organizations.ts'
import { providerRoutes } from './providers.ts'
import { ActivitySchema } from './schemas/activity.ts'
import { AlertSchema } from './schemas/alerts.ts'
import { ErrorSchema, RefusalSchema } from './schemas/atoms.ts'
import { ChangeSchema } from './schemas/changes.ts'
import { ConnectionSchema } from './schemas/connections.ts'
import { DeviceDetailSchema, DeviceSchema } from './schemas/inventory.ts'
import { ClientSchema, OrganizationSchema, SuggestionSchema } from './schemas/organizations.ts'
import { ProviderSchema } from './schemas/providers.ts'
import { RunItemSchema, RunSchema } from './schemas/sync.ts'
import { DeliverySchema } from './schemas/webhooks.ts'
import { syncRoutes } from './sync.ts'
import { webhookRoutes } from './webhooks.ts'

const sharedSchemas = [
  ErrorSchema,
  RefusalSchema,
  ProviderSchema,
  ConnectionSchema,
  OrganizationSchema,
  SuggestionSchema,
  ClientSchema,
  RunSchema,
  RunItemSchema,
  DeviceSchema,
  DeviceDetailSchema,
  AlertSchema,
  DeliverySchema,
  ActivitySchema,
  ChangeSchema
]

const groups = [
  providerRoutes,
  connectionRoutes,
  organizationRoutes,
  syncRoutes,
  changeRoutes,
  inventoryRoutes,
  alertRoutes,
  deviceGroupRoutes,
  webhookRoutes,
  activityRoutes,
  healthRoutes
]

/**
 * Bytes a body of the API may have, whatever the host allows elsewhere: `PUT …/mappings` names up to 5000
 * organizations.
 */
const apiBodyLimit = 1024 * 1024

/**
 * Every route, in a scope of its own: compilers, parsers, hooks, error handler and shared schemas do not reach the
 * host. Register it with a `prefix`, not wrapped by fastify-plugin.
 */
export async function routes(app: FastifyInstance, given: RouteOptions): Promise<void> {
  // Without Fastify's own, such as the prefix.
  const { rmm, tenant, authorize, locate, actor, actors, trustedOrigins, streams, webhooks, signal } = given
  const options = { rmm, tenant, authorize, locate, actor, actors, trustedOrigins, streams, webhooks, signal }
  pinCompilers(app)
  app.setSchemaErrorFormatter(validationError)
  app.setErrorHandler(answerError)
  for (const schema of sharedSchemas) app.addSchema(schema)
  protectAnswers(app)
  tellPathLimits(app)
  markHandling(app)

  await app.register(async api => {
    parseJson(api)
    refuseCrossSite(api, trustedOrigins)
    guard(api, options)
    settleBodies(api)
    guardBodies(api, options)
    for (const group of groups) await api.register(group, options)
  })
  await app.register(hookRoutes, options)
}

/**
 * JSON and nothing else; an empty body is none, so that `POST` without fields works for clients that always send the
 * type.
 */
function parseJson(app: FastifyInstance): void {
  const parse = app.getDefaultJsonParser('error', 'error')
  app.removeAllContentTypeParsers()
  app.addContentTypeParser<string>(
    'application/json',
    { parseAs: 'string', bodyLimit: apiBodyLimit },
    (request, body, done) => {
      if (body.length === 0) done(null, undefined)
      else parse(request, body, done)
    }
  )
}
