/**
 * A connection's way to its platform: the registry of providers, sealed secrets, opening and closing clients.
 */

export {
  type ClientFactory,
  createClientFactory,
  identityOf,
  type OpenClient,
  sealedFor,
  toRouteError
} from './clients.ts'
export { accountOf, blamed, callProvider, linkOf, sentenceOf } from './provider-fault.ts'
export { checkAgainst, checkConfig, createRegistry } from './registry.ts'
export { aesGcmSecretBox } from './secrets.ts'
