/** Addresses in a connection's config: where they are, what must not be in them, and what of them readers may see. */

/** One address in a config, by the path of its field, e.g. `baseUrl` or `servers.0.url`. */
export interface Address {
  field: string
  text: string
}

/** Part of a JSON Schema, as far as it is looked at. */
interface Shape {
  format?: string
  default?: unknown
  properties?: Record<string, Shape>
  items?: Shape
}

const web = ['http:', 'https:', 'ws:', 'wss:']

/** `scheme:` with its slashes, `who@where`, and the rest; as a URL parser reads it, which takes `\` for `/`. */
const parts = /^([a-z][a-z0-9+.-]*:[\\/]*)([^\\/?#]*)([^?#]*)(.*)$/is

/** What a URL parser leaves out before it reads. */
const cleaned = (text: string): string => text.replace(/[\t\r\n]/g, '').replace(/^[\0-\x20]+|[\0-\x20]+$/g, '')

/** What a URL parser would make an address of the web of. */
const isWeb = (text: string): boolean => URL.canParse(text) && web.includes(new URL(text).protocol)

/** Every text of a config with the path of its field and the schema that describes it; defaults filled in. */
function* textsOf(value: unknown, shape: Shape | undefined, field: string): Generator<Address & { shape?: Shape }> {
  const given = value ?? shape?.default
  if (typeof given === 'string') yield { field, text: given, ...(shape === undefined ? {} : { shape }) }
  if (typeof given !== 'object' || given === null) return
  const known = Object.keys(Array.isArray(given) ? {} : (shape?.properties ?? {}))
  for (const name of new Set([...known, ...Object.keys(given)])) {
    const inner = Array.isArray(given) ? shape?.items : shape?.properties?.[name]
    yield* textsOf((given as Record<string, unknown>)[name], inner, field === '' ? name : `${field}.${name}`)
  }
}

/** The fields that the schema calls addresses (`format: 'uri'`). */
export function declaredAddresses(schema: object, config: Record<string, unknown>): Address[] {
  return [...textsOf(config, schema as Shape, '')].filter(({ shape }) => shape?.format === 'uri')
}

/** Those, and every other text that is an address of the web, whatever its field is called. */
export function addressesIn(schema: object, config: Record<string, unknown>): Address[] {
  return [...textsOf(config, schema as Shape, '')].filter(({ shape, text }) => shape?.format === 'uri' || isWeb(text))
}

/** What an address must not have in it, as everybody who may look at a connection sees it; null where it has none. */
export function secretPart(text: string): 'a user name or password' | 'a query' | 'a fragment' | null {
  const [, , authority = '', , rest = ''] = parts.exec(cleaned(text)) ?? []
  if (authority.includes('@')) return 'a user name or password'
  if (rest.startsWith('?')) return 'a query'
  return rest.startsWith('#') ? 'a fragment' : null
}

/** A config as readers may see it: addresses that were stored with secrets in them are shown without. */
export function shownConfig(config: Record<string, unknown>): Record<string, unknown> {
  return shown(config) as Record<string, unknown>
}

function shown(value: unknown): unknown {
  if (typeof value === 'string') return withoutSecrets(value)
  if (Array.isArray(value)) return value.map(shown)
  if (typeof value !== 'object' || value === null) return value
  return Object.fromEntries(Object.entries(value).map(([name, inner]) => [name, shown(inner)]))
}

function withoutSecrets(text: string): string {
  if (secretPart(text) === null || !(isWeb(text) || /^[a-z][a-z0-9+.-]*:[\\/]{2}/i.test(cleaned(text)))) return text
  const [, scheme = '', authority = '', path = ''] = parts.exec(cleaned(text)) ?? []
  return scheme + authority.slice(authority.lastIndexOf('@') + 1) + path
}
