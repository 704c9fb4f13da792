import { createHash, randomBytes } from 'node:crypto'
import type { EntityManager, MikroORM } from '@mikro-orm/core'
import type { FastifyInstance, FastifyRequest } from 'fastify'
import type { Action } from '../../src/index.ts'
import { type Role, User } from './entities.ts'

declare module 'fastify' {
  interface FastifyRequest {
    user: User | null
  }
}

/** Answered by this host's error handler, in this host's format: `{ error: { status, message } }`. */
export class Refused extends Error {
  readonly statusCode: number

  constructor(statusCode: 401 | 403, message: string) {
    super(message)
    this.statusCode = statusCode
  }
}

/** Tokens have 256 random bits, so a fast hash is enough; passwords would need a slow one. */
const hashOf = (token: string) => createHash('sha256').update(token).digest('hex')

/** Gives the user a new token and forgets the old one. The token itself is not stored anywhere. */
export function issueToken(user: User): string {
  const token = `psa_${randomBytes(32).toString('base64url')}`
  user.tokenHash = hashOf(token)
  return token
}

/** New tokens for everybody; returned by user id, to be shown once. */
export async function issueTokens(em: EntityManager): Promise<Map<string, string>> {
  const users = await em.find(User, {})
  const tokens = new Map(users.map(user => [user.id, issueToken(user)]))
  await em.flush()
  return tokens
}

/**
 * Log-in by bearer token. In `onRequest`, not in `preHandler`: the plugin asks `tenant` and `authorize` in its own
 * `onRequest`, before a body is read, and a host's hooks run first only within the same stage.
 */
export function addAuthentication(app: FastifyInstance, orm: MikroORM): void {
  app.decorateRequest('user', null)
  app.addHook('onRequest', async request => {
    const [, token] = /^Bearer (\S+)$/i.exec(request.headers.authorization ?? '') ?? []
    if (token !== undefined) request.user = await orm.em.fork().findOne(User, { tokenHash: hashOf(token) })
  })
}

/** The user of a request. Throws a 401 where there is none. */
export function userOf(request: FastifyRequest): User {
  if (request.user === null) throw new Refused(401, 'Send a token: Authorization: Bearer psa_…')
  return request.user
}

/** What a role may do beyond reading. Device groups, connections and mappings are an administrator's. */
const technician: readonly Action[] = ['sync:run', 'alert:resolve', 'device:remote']

export function mayDo(role: Role, action: Action): boolean {
  return role === 'admin' || action.endsWith(':read') || (role === 'technician' && technician.includes(action))
}

/** The plugin's `authorize`: throws a 403 where the role of the user does not reach. */
export function authorize(request: FastifyRequest, action: Action): void {
  const { role } = userOf(request)
  if (!mayDo(role, action)) throw new Refused(403, `A ${role} may not do ${action}`)
}
