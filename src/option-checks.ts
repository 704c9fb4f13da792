import type { onRequestHookHandler } from 'fastify'
import { OptionError } from './errors.ts'
import type { RmmProvider } from './providers/define.ts'

/** How the values of options are checked, and what is said of those that will not do. */

/** What a value inside an option may be: a whole number within bounds, or of this type. */
export type Rule = 'boolean' | 'function' | readonly [min: number, max: number]

export const isRecord = (value: unknown): value is Record<string, unknown> =>
  typeof value === 'object' && value !== null && !Array.isArray(value)

/** Throws `RMM_ERR_OPTION` naming the option, what it was and what to do. */
export function refuse(option: string, value: unknown, fix: string): never {
  const shown =
    typeof value === 'function'
      ? 'a function'
      : value === undefined
        ? 'missing'
        : typeof value === 'object' && value !== null
          ? 'an object'
          : JSON.stringify(value)
  throw new OptionError(`option '${option}' is ${shown}: ${fix}`)
}

/** What may name our schema: the same rule for the plugin and for `migrate`. Throws `RMM_ERR_OPTION`. */
export function requireSchemaName(schema: unknown): void {
  if (typeof schema === 'string' && /^[a-z_][a-z0-9_]{0,49}$/.test(schema) && schema !== 'public') return
  refuse('schema', schema, 'it must be a lower-case PostgreSQL name of its own (letters, digits, _), not public')
}

/** A path as routes have it, without query or parameters. */
export const plainPath = /^(\/[\w.~/-]*)?$/

/** As a browser writes it: scheme, host and port, nothing else. */
export const isOrigin = (value: unknown): boolean =>
  typeof value === 'string' && /^https?:/.test(value) && URL.canParse(value) && new URL(value).origin === value

/** An absolute http(s) address without query and fragment. */
export const isAddress = (value: unknown): boolean =>
  typeof value === 'string' && /^https?:[^?#]*$/.test(value) && URL.canParse(value)

export interface UiOptions {
  onRequest: onRequestHookHandler | onRequestHookHandler[]
  basePath?: string
  bearer?: boolean
}

/** The settings page's options: a guard has to be among them. */
export function requireUi(ui: UiOptions | undefined): void {
  if (ui === undefined) return
  if (ui?.onRequest === undefined)
    refuse('ui', ui, 'the settings page needs a guard: ui: { onRequest: (request, reply) => … }')
  const { onRequest, basePath, bearer, ...unknown } = ui
  const [name] = Object.keys(unknown)
  if (name !== undefined) refuse(`ui.${name}`, unknown[name as never], 'unknown; it knows onRequest, basePath, bearer')
  if ([onRequest].flat().some(hook => typeof hook !== 'function'))
    refuse('ui.onRequest', onRequest, 'pass a hook (request, reply) => …, or several in an array')
  if (basePath !== undefined && (typeof basePath !== 'string' || !/^\/(?!\/)/.test(basePath)))
    refuse('ui.basePath', basePath, "it must be a path on the page's own host, e.g. /psa/rmm")
  if (bearer !== undefined && typeof bearer !== 'boolean') refuse('ui.bearer', bearer, 'it must be true or false')
}

/** Objects that are providers, as far as one can see without calling them. */
export function requireProviders(providers: RmmProvider[]): void {
  for (const provider of providers as Array<Partial<RmmProvider> | null | undefined>) {
    const complete =
      typeof provider?.id === 'string' &&
      typeof provider.open === 'function' &&
      typeof provider.check === 'function' &&
      isRecord(provider.resources) &&
      isRecord(provider.configSchema) &&
      isRecord(provider.secretSchema)
    if (!complete)
      refuse('providers', providers, 'each of them must be a provider, e.g. level(), or made with defineProvider')
  }
}

/** A value inside an option against its rule. */
export function requireRule(name: string, value: unknown, rule: Rule): void {
  if (rule === 'boolean') {
    if (typeof value !== 'boolean') refuse(name, value, 'it must be true or false')
    return
  }
  if (rule === 'function') {
    if (typeof value !== 'function') refuse(name, value, 'it must be a function')
    return
  }
  const [min, max] = rule
  if (!Number.isInteger(value) || (value as number) < min || (value as number) > max)
    refuse(name, value, `it must be a whole number from ${min} to ${max}`)
}
