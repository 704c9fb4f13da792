import { isIP } from 'node:net'
import type { TObject } from '@sinclair/typebox'
import { Ajv } from 'ajv'
import addFormats from 'ajv-formats'
import { AddressError, ProviderShapeError, ProviderUnavailableError, ValidationError } from '../../errors.ts'
import type { RmmProvider } from '../../providers/define.ts'
import type { Capabilities, ProviderInfo } from '../../types.ts'
import { isInsideAddress } from '../egress/index.ts'
import { addressesIn, secretPart } from '../model/index.ts'

export type Available = (provider: string, tenantId: string) => boolean | Promise<boolean>

export interface ProviderRegistry {
  /** The providers that this tenant may use. */
  list(tenantId: string): Promise<ProviderInfo[]>
  /** The provider, if the tenant may use it. Throws `RMM_ERR_PROVIDER_UNAVAILABLE` otherwise. */
  require(id: string, tenantId: string): Promise<RmmProvider>
  /** The provider of something that exists already, available to the tenant or not (any more). */
  get(id: string): RmmProvider | undefined
  ids(): string[]
}

/** What a provider can do is what it has: nothing repeats it by hand. */
export function capabilitiesOf(provider: RmmProvider): Capabilities {
  const { resources } = provider
  return {
    connection: true,
    scopeSync: resources.organizations !== undefined,
    deviceSync: resources.devices !== undefined,
    patchSync: resources.updates !== undefined,
    alertSync: resources.alerts !== undefined,
    alertResolve: provider.resolveAlert !== undefined,
    deviceGroups: provider.deviceGroups !== undefined,
    events: provider.webhook !== undefined || provider.listen !== undefined,
    remoteSessions: provider.remoteSession !== undefined,
    remoteActions: false
  }
}

export function createRegistry(providers: readonly RmmProvider[], available: Available): ProviderRegistry {
  const byId = new Map<string, RmmProvider>()
  for (const provider of providers) {
    if (byId.has(provider.id))
      throw new ProviderShapeError(`option 'providers' has '${provider.id}' twice; ids are unique`)
    byId.set(provider.id, provider)
  }
  return {
    async list(tenantId) {
      const infos: ProviderInfo[] = []
      for (const provider of byId.values()) {
        if (!(await available(provider.id, tenantId))) continue
        const {
          id,
          name,
          description,
          icon = null,
          homepage = null,
          docsUrl = null,
          configSchema,
          secretSchema
        } = provider
        const capabilities = capabilitiesOf(provider)
        infos.push({ id, name, description, icon, homepage, docsUrl, capabilities, configSchema, secretSchema })
      }
      return infos
    },
    async require(id, tenantId) {
      const provider = byId.get(id)
      if (provider === undefined || !(await available(id, tenantId))) throw new ProviderUnavailableError(id)
      return provider
    },
    get: id => byId.get(id),
    ids: () => [...byId.keys()]
  }
}

const entry = /^(?:(?:https?|wss?):\/\/)?[^\s@\\/?#]+$/i

/**
 * A config as it may be stored: fits the provider's schema, and its addresses carry nothing that only we should know
 * and lead nowhere in the clear but inside. Throws before anything is sent.
 */
export function checkConfig(provider: RmmProvider, value: unknown): Record<string, unknown> {
  const { configSchema: schema, allowPrivateNetwork = false } = provider
  for (const { field, text } of addressesIn(schema, (value ?? {}) as Record<string, unknown>)) {
    const part = secretPart(text)
    if (part !== null)
      throw new AddressError(
        `config.${field} must not contain ${part}: an address is shown to everybody who may look at the connection. Give the address alone; what is secret is a field of the secrets`
      )
    const url = URL.canParse(text) ? new URL(text) : null
    if ((url?.protocol === 'http:' || url?.protocol === 'ws:') && !mayBePlain(url.hostname, allowPrivateNetwork))
      throw new AddressError(
        `config.${field} must start with https://: the secrets would travel in the clear${allowPrivateNetwork ? ' over a public network' : ''}`
      )
  }
  const config = checkAgainst(schema, value, 'config')
  if (provider.hosts?.(config).some(host => !entry.test(host)))
    throw new AddressError(
      'config names a host that is none: give its name or address alone, with a port where it has one'
    )
  return config
}

/** Names are looked up, and judged, when they are connected to. */
export function mayBePlain(hostname: string, allowPrivateNetwork: boolean): boolean {
  const literal = hostname.replace(/^\[|\]$/g, '')
  return allowPrivateNetwork && (isIP(literal) === 0 || isInsideAddress(literal))
}

/**
 * Checks config or secrets against a provider's schema, defaults applied, unknown fields refused.
 * The error names the field, never its value.
 */
export function checkAgainst(schema: TObject, value: unknown, what: 'config' | 'secrets'): Record<string, unknown> {
  const filled = structuredClone(value ?? {}) as Record<string, unknown>
  const unknown = Object.keys(filled).find(key => !Object.hasOwn(schema.properties, key))
  if (unknown !== undefined)
    throw new ValidationError(
      `${what}.${unknown} is not a field of this provider; it knows ${Object.keys(schema.properties).join(', ') || 'none'}`
    )
  // Formats that a provider made up (`password`) describe a form field; they are not checked.
  const ajv = new Ajv({ strict: false, useDefaults: true, logger: false })
  addFormats.default(ajv)
  if (!ajv.validate(schema, filled)) {
    const error = ajv.errors?.[0]
    throw new ValidationError(
      `${what}${error?.instancePath.replaceAll('/', '.') ?? ''} ${error?.message ?? 'is not valid'}`
    )
  }
  return filled
}
