import { type Page, ProviderError, type ProviderLog, type RmmProvider } from '../../providers/define.ts'
import type { Redact } from '../egress/index.ts'

/** What comes out of a provider is somebody else's text: it may repeat what it was given to log in with. */
export interface Door {
  redact: Redact
  /** The same but for the name that the account goes by, which its owner wants to read. */
  redactNamed: Redact
  /** What the platform said last on a request that failed; null where the last one went well. */
  trouble(): string | null
  /** Told of every failure that passes, before it goes on. */
  passes(error: Error): Promise<void>
}

type AnyFunction = (client: unknown, ...args: any[]) => any

/** The functions of a provider that take a client. Those that iterate fail while they are read. */
const calls: ReadonlySet<string> = new Set([
  'check',
  'close',
  'create',
  'fetchOne',
  'installLink',
  'list',
  'register',
  'remoteSession',
  'rename',
  'resolveAlert',
  'unregister',
  'visibility'
])
const iterations: ReadonlySet<string> = new Set(['listen', 'pull'])
const containers: ReadonlySet<string> = new Set([
  'resources',
  'organizations',
  'devices',
  'updates',
  'alerts',
  'deviceGroups',
  'webhook'
])

/** Stands for a client outside of its provider: only the guarded functions know the real one. */
export const handle: object = Object.freeze({ of: 'a guarded provider' })

/**
 * The provider with `client` in it: its functions take any handle for the client, and whatever they throw is clean.
 * Members that are not there stay away, as their presence is the capability.
 */
export function guardProvider(provider: RmmProvider, client: unknown, door: Door): RmmProvider {
  const guarded = guardMembers(provider, client, door) as RmmProvider
  const { check } = guarded
  return Object.defineProperty(guarded, 'check', {
    async value(...args: Parameters<RmmProvider['check']>) {
      const found: unknown = await check(...args)
      return texts(found, door.redactNamed)
    }
  })
}

/** What is not guarded is inherited: a provider may be an instance of a class. */
function guardMembers(owner: object, client: unknown, door: Door): object {
  const guarded = Object.create(owner) as object
  for (const name of [...calls, ...iterations, ...containers]) {
    const member: unknown = owner[name as keyof typeof owner]
    if (member === undefined || member === null) continue
    const value = containers.has(name)
      ? guardMembers(member, client, door)
      : (calls.has(name) ? guardCall : guardIteration)(owner, member as AnyFunction, client, door)
    Object.defineProperty(guarded, name, { value, enumerable: true, configurable: true })
  }
  return guarded
}

function guardCall(owner: object, call: AnyFunction, client: unknown, door: Door): AnyFunction {
  return async (_handle, ...args) => {
    try {
      return await call.call(owner, client, ...args)
    } catch (error) {
      throw await outside(error, args, door)
    }
  }
}

function guardIteration(owner: object, iterate: AnyFunction, client: unknown, door: Door): AnyFunction {
  return async function* (_handle, ...args) {
    try {
      for await (const item of iterate.call(owner, client, ...args) as AsyncIterable<Page<unknown>>)
        yield Array.isArray(item?.rejected) ? { ...item, rejected: texts(item.rejected, door.redact) } : item
    } catch (error) {
      throw await outside(error, args, door)
    }
  }
}

/** The same value with every text in it clean, whatever it is: that it is right is looked at elsewhere. */
function texts(value: unknown, redact: Redact): unknown {
  if (typeof value === 'string') return cut(redact(value))
  if (Array.isArray(value)) return value.map(item => texts(item, redact))
  if (typeof value !== 'object' || value === null) return value
  return Object.fromEntries(Object.entries(value).map(([name, item]) => [name, texts(item, redact)]))
}

/** A failure as the core may have it. The reason of a signal that fired goes through as it is: others wait for it. */
export async function outside(error: unknown, args: unknown[], door: Door): Promise<Error> {
  const fired = args.find(arg => arg instanceof AbortSignal && arg.aborted && arg.reason === error)
  if (fired !== undefined && (error as Error).name !== 'TimeoutError') return error as Error
  const clean = fired === undefined ? cleanError(error, door.redact) : tooLate(door)
  await door.passes(clean)
  return clean
}

/** Time was up while the provider worked: what it met until then says more than that. */
function tooLate(door: Door): ProviderError {
  const trouble = door.trouble()
  return new ProviderError(
    'unreachable',
    trouble === null
      ? 'The platform did not answer in time; check the address and try again'
      : `The platform did not answer in time. Until then: ${trouble}`
  )
}

const longest = 2_000
const cut = (text: string): string => (text.length > longest ? `${text.slice(0, longest)}…` : text)
const deepest = 4
/** Redacting takes time with the length; nobody reads that much of a message. */
const longestRead = 20_000

/** The error without any of the secrets: a new one, as messages cannot be changed everywhere and other fields hold more. */
export function cleanError(error: unknown, redact: Redact, depth = 0): Error {
  const clean = (text: string): string => cut(redact(text.slice(0, longestRead)))
  if (!(error instanceof Error)) return new Error(clean(String(error)))
  const message = clean(error.message)
  const cause = error.cause === undefined || depth === deepest ? undefined : cleanError(error.cause, redact, depth + 1)
  const made = sameKind(error, message, cause)
  for (const [name, value] of Object.entries(error)) {
    if (name in made) continue
    if (typeof value === 'string') Object.assign(made, { [name]: clean(value) })
    else if (typeof value === 'number' || typeof value === 'boolean') Object.assign(made, { [name]: value })
  }
  const at = error.stack?.search(/\n\s+at /) ?? -1
  Object.defineProperty(made, 'stack', {
    value: `${error.name}: ${message}${at < 0 ? '' : redact(error.stack!.slice(at, at + longestRead))}`,
    configurable: true,
    writable: true
  })
  return made
}

function sameKind(error: Error, message: string, cause: Error | undefined): Error {
  if (error instanceof ProviderError)
    return new ProviderError(error.kind, message, { retryAfterMs: error.retryAfterMs, cause })
  if (error instanceof DOMException) return new DOMException(message, { name: error.name, cause })
  const made = new Error(message, cause === undefined ? undefined : { cause })
  made.name = error.name
  return made
}

/** A provider's log lines, without the secrets. */
export function guardLog(log: ProviderLog & { isLevelEnabled?(level: string): boolean }, redact: Redact): ProviderLog {
  const line =
    (level: 'debug' | 'info' | 'warn') =>
    (fields: object, message: string): void => {
      if (log.isLevelEnabled?.(level) !== false) log[level](cleanFields(fields, redact) as object, redact(message))
    }
  return { debug: line('debug'), info: line('info'), warn: line('warn') }
}

function cleanFields(value: unknown, redact: Redact, depth = 0): unknown {
  if (typeof value === 'string') return redact(value)
  if (value instanceof Error) return cleanError(value, redact)
  if (typeof value !== 'object' || value === null) return value
  if (depth === deepest) return '[…]'
  if (Array.isArray(value)) return value.map(item => cleanFields(item, redact, depth + 1))
  return Object.fromEntries(Object.entries(value).map(([name, item]) => [name, cleanFields(item, redact, depth + 1)]))
}
