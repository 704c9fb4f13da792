import type { TObject } from '@sinclair/typebox'
import { Ajv } from 'ajv'
import addFormats from 'ajv-formats'
import { ProviderShapeError, ProviderUnavailableError, ValidationError } from '../../errors.ts'
import type { RmmProvider } from '../../providers/define.ts'
import type { Capabilities, ProviderInfo } from '../../types.ts'

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
        const { id, name, description, configSchema, secretSchema } = provider
        infos.push({ id, name, description, capabilities: capabilitiesOf(provider), configSchema, secretSchema })
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
