import type { FastifyInstance } from 'fastify'
import { ErrorSchema, ref } from './schemas/atoms.ts'

/**
 * What every answer of this scope carries, refusals of the host and errors included: nothing of it is kept by a cache
 * or taken for something else than it says.
 */
export function protectAnswers(app: FastifyInstance): void {
  app.addHook('onSend', async (_request, reply, payload) => {
    reply.headers({ 'cache-control': 'no-store', 'x-content-type-options': 'nosniff' })
    return payload
  })
}

/**
 * An id in a path can be no longer than the host's router takes (`routerOptions.maxParamLength`); beyond that Fastify
 * answers 414 before any route is found. The schemas of the routes tell that length, not a longer one.
 */
export function tellPathLimits(app: FastifyInstance): void {
  const { maxParamLength, routerOptions } = app.initialConfig as {
    maxParamLength?: number
    routerOptions?: { maxParamLength?: number }
  }
  const most = routerOptions?.maxParamLength ?? maxParamLength ?? 100
  app.addHook('onRoute', route => {
    const params = route.schema?.params as { properties?: Record<string, { maxLength?: number }> } | undefined
    if (params?.properties === undefined) return
    const properties = Object.entries(params.properties).map(([name, schema]) => [
      name,
      { ...schema, maxLength: Math.min(schema.maxLength ?? most, most) }
    ])
    route.schema = {
      ...route.schema,
      params: { ...params, properties: Object.fromEntries(properties) },
      response: {
        ...(route.schema?.response as object | undefined),
        414: ref(
          ErrorSchema,
          `An id in the path is longer than ${most} characters, which is what this server's router takes`
        )
      }
    }
  })
}
