/**
 * `fastify-rmm-sync/provider`: all that the author of a provider needs, and nothing that needs a database or Fastify.
 * A package that brings a provider depends on this entry alone; `fastify-rmm-sync/testing` proves it.
 */
export { type Static, type TObject, type TSchema, Type } from '@sinclair/typebox'
export * from './providers/define.ts'
export * from './providers/hmac.ts'
export * from './providers/oauth2.ts'
export * as paging from './providers/paging.ts'
export * as values from './providers/values.ts'
export type { AlertSeverity, ResourceName } from './words.ts'
