import type { IncomingHttpHeaders } from 'node:http'
import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox'
import { MediaTypeError } from '../errors.ts'
import type { RouteOptions } from './options.ts'
import { errors, tags } from './schemas/atoms.ts'
import { AcceptedSchema, DuplicateSchema, HookParams } from './schemas/webhooks.ts'

/**
 * What platforms call. No tenant and no authorisation: the signature over the untouched bytes is the key, and the
 * service checks it before it looks at anything else. Unknown addresses and wrong signatures are refused alike.
 */
export const hookRoutes: FastifyPluginAsyncTypebox<RouteOptions> = async (app, { rmm, webhooks }) => {
  app.removeAllContentTypeParsers()
  for (const type of ['application/json', /^application\/[\w.+-]+\+json(?:;|$)/]) {
    app.addContentTypeParser<Buffer>(
      type,
      { parseAs: 'buffer', bodyLimit: webhooks.bodyLimit },
      (_request, body, done) => done(null, body)
    )
  }

  app.post(
    '/hooks/:hookKey',
    {
      bodyLimit: webhooks.bodyLimit,
      schema: {
        hide: true,
        operationId: 'rmmAcceptHook',
        summary: 'A platform tells us that something changed',
        tags,
        params: HookParams,
        response: { 200: DuplicateSchema, 202: AcceptedSchema, ...errors(413, 415, 502, 503) }
      }
    },
    async (request, reply) => {
      // Without a content type Fastify calls no parser when the body is empty.
      if (!Buffer.isBuffer(request.body)) throw new MediaTypeError()
      const { duplicate, ignored } = await rmm.webhooks.accept(request.params.hookKey, {
        headers: single(request.headers),
        rawBody: request.body
      })
      if (duplicate) return reply.code(200).send({ duplicate: true })
      // Stored, but nothing will come of it: it means nothing to this version, or could not be used.
      if (ignored) return reply.code(200).send({ accepted: true })
      return reply.code(202).send({ accepted: true })
    }
  )
}

/** Node lower-cases names and joins repeated headers, but for a few that it leaves as lists. */
function single(headers: IncomingHttpHeaders): Record<string, string | undefined> {
  return Object.fromEntries(
    Object.entries(headers).map(([name, value]) => [name, Array.isArray(value) ? value.join(', ') : value])
  )
}
