/**
 * A connection's way to its platform: the registry of providers, sealed secrets, opening and closing clients.
 */

export { act } from './act.ts'
export {
  type ClientFactory,
  createClientFactory,
  identityOf,
  type OpenClient,
  toRouteError
} from './clients.ts'
export { cleanError } from './door.ts'
export { accountOf, blamed, callProvider, linkOf, sentenceOf } from './provider-fault.ts'
export { checkAgainst, checkConfig, createRegistry } from './registry.ts'
export { type AddressFault, addressFaults, lookOver } from './look-over.ts'
export { keysInUse, reseal, secretsUsage } from './reseal.ts'
export { aesGcmSecretBox } from './secrets.ts'
export { isAboutSecrets, openHookSecret, openSecrets, seal, sealSecrets } from './vault.ts'
export { checkedAvailable, checkedBox, checkedDirectory, thrownText } from './host-functions.ts'
