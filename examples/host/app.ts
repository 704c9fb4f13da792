import fastifySwagger from '@fastify/swagger'
import fastifySwaggerUi from '@fastify/swagger-ui'
import type { MikroORM } from '@mikro-orm/core'
import Fastify, { type FastifyInstance, type FastifyServerOptions } from 'fastify'
import { aesGcmSecretBox, type Directory, type RmmProvider, rmmSync } from '../../src/index.ts'
import { keepAssets } from './assets.ts'
import { addAuthentication, authorize, userOf } from './auth.ts'
import { Asset, Client } from './entities.ts'

export interface HostOptions {
  orm: MikroORM
  providers: RmmProvider[]
  /** 32 bytes in base64. */
  boxKey: string
  /** Where platforms, and the reader of the docs, reach this host. */
  publicUrl: string
  logger?: FastifyServerOptions['logger']
}

/** The whole PSA, not listening yet. Closing it leaves `orm` open. */
export async function buildHost({
  orm,
  providers,
  boxKey,
  publicUrl,
  logger = false
}: HostOptions): Promise<FastifyInstance> {
  const app = Fastify({ logger, forceCloseConnections: true })
  app.setErrorHandler((error: Error & { statusCode?: number }, request, reply) => {
    const status = error.statusCode ?? 500
    if (status >= 500) request.log.error({ err: error }, error.message)
    return reply
      .code(status)
      .send({ error: { status, message: status >= 500 ? 'Something went wrong' : error.message } })
  })
  addAuthentication(app, orm)
  await addDocs(app, publicUrl)
  await app.register(rmmSync, {
    orm,
    providers,
    publicUrl,
    secrets: aesGcmSecretBox({ keys: { k1: boxKey }, current: 'k1' }),
    tenant: request => userOf(request).tenantId,
    authorize,
    actor: request => {
      const { id, email } = userOf(request)
      return { id, name: email }
    },
    directory: directory(orm),
    onChanges: keepAssets,
    // The page's files hold no data, and a browser sends no token when it opens them: every call of the API is asked
    // for one.
    ui: { onRequest: async () => {}, bearer: true },
    migrations: 'run'
  })
  addRoutes(app, orm)
  return app
}

/** The plugin looks clients up here; a client of another tenant does not exist. */
function directory(orm: MikroORM): Directory {
  return {
    clients: (tenantId, { q } = {}) =>
      orm.em
        .fork()
        .find(
          Client,
          { tenantId, ...(q === undefined ? {} : { name: { $ilike: `%${q.replace(/[\\%_]/g, '\\$&')}%` } }) },
          { orderBy: { name: 'asc', id: 'asc' } }
        ),
    client: (tenantId, id) => orm.em.fork().findOne(Client, { tenantId, id })
  }
}

async function addDocs(app: FastifyInstance, url: string): Promise<void> {
  await app.register(fastifySwagger, {
    openapi: {
      info: {
        title: 'Example PSA',
        version: '1.0.0',
        description: 'A small PSA with fastify-rmm-sync mounted below /rmm.'
      },
      servers: [{ url }],
      components: { securitySchemes: { bearer: { type: 'http', scheme: 'bearer' } } },
      security: [{ bearer: [] }]
    },
    // The name a schema gives itself instead of def-0, def-1, …
    refResolver: {
      buildLocalReference: (json, _base, _fragment, i) => (typeof json['$id'] === 'string' ? json['$id'] : `def-${i}`)
    }
  })
  await app.register(fastifySwaggerUi, { routePrefix: '/docs', uiConfig: { persistAuthorization: true } })
}

const text = { type: 'string' } as const
const answer = (properties: object) => ({
  200: { type: 'object', properties: { items: { type: 'array', items: { type: 'object', properties } } } }
})

/** The PSA's own routes: enough to see what the plugin's work ends in. */
function addRoutes(app: FastifyInstance, orm: MikroORM): void {
  app.get('/', { schema: { hide: true } }, async () => ({
    name: 'Example PSA',
    docs: '/docs',
    rmm: '/rmm',
    settings: '/rmm/ui/'
  }))
  app.get('/me', { schema: { tags: ['PSA'], summary: 'Who I am' } }, async request => {
    const { id, tenantId, email, role } = userOf(request)
    return { id, tenantId, email, role }
  })
  app.get(
    '/clients',
    { schema: { tags: ['PSA'], summary: 'Clients', response: answer({ id: text, name: text }) } },
    async request => ({
      items: await orm.em.fork().find(Client, { tenantId: userOf(request).tenantId }, { orderBy: { name: 'asc' } })
    })
  )
  app.get<{ Querystring: { clientId?: string } }>(
    '/assets',
    {
      schema: {
        tags: ['PSA'],
        summary: 'Assets, the last changed first',
        querystring: { type: 'object', properties: { clientId: text } },
        response: answer({
          id: text,
          clientId: text,
          deviceId: text,
          name: text,
          kind: text,
          serialNumber: { ...text, nullable: true },
          os: { ...text, nullable: true },
          retired: { type: 'boolean' },
          lastChange: text,
          changedAt: text
        })
      }
    },
    async request => {
      const { clientId } = request.query
      const where = { tenantId: userOf(request).tenantId, ...(clientId === undefined ? {} : { clientId }) }
      return {
        items: await orm.em.fork().find(Asset, where, { orderBy: { changedAt: 'desc', id: 'asc' }, limit: 200 })
      }
    }
  )
}
