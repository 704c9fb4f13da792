import type { FastifyInstance } from 'fastify'
import { CrossSiteError } from '../errors.ts'

const harmless: ReadonlySet<string> = new Set(['GET', 'HEAD', 'OPTIONS'])

/**
 * Refuses what a page of another origin has a browser send with the cookies of whoever looks at it. Browsers say where
 * a request comes from and let no page change that; what is no browser says nothing and has no such cookies. `same-site`
 * is refused like `cross-site`: a customer's page on a sibling name is another party.
 */
export function refuseCrossSite(app: FastifyInstance, trustedOrigins: readonly string[]): void {
  const trusted: ReadonlySet<string> = new Set(trustedOrigins)
  app.addHook('onRequest', async ({ method, headers }) => {
    const site = headers['sec-fetch-site']
    if (harmless.has(method) || site === undefined || site === 'same-origin' || site === 'none') return
    if (headers.origin !== undefined && trusted.has(headers.origin)) return
    throw new CrossSiteError()
  })
}
