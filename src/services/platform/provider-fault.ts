import { ProviderFaultError } from '../../errors.ts'
import { ProviderError, type RemoteSession, type RmmProvider } from '../../providers/define.ts'

const longestSentence = 500

/** What was thrown, as a sentence: anything can be. */
export function sentenceOf(error: unknown): string {
  const text = error instanceof Error ? error.message || error.name : String(error)
  return text.slice(0, longestSentence).toWellFormed()
}

/**
 * What a provider throws of its own accord is about the platform (`ProviderError`), or about the work that was called
 * off. Everything else is a mistake of the provider's, and reported as such: neither the platform's nor ours.
 */
export function blamed(
  provider: Pick<RmmProvider, 'name'>,
  member: string,
  error: unknown,
  signal: AbortSignal
): unknown {
  const ours = error instanceof Error && String((error as { code?: unknown }).code).startsWith('RMM_ERR_')
  const calledOff = signal.aborted || (error instanceof DOMException && error.name === 'TimeoutError')
  if (error instanceof ProviderError || ours || calledOff) return error
  return Object.assign(
    new ProviderFaultError(
      `The provider ${provider.name} failed in ${member}: ${sentenceOf(error)}. It may only throw ProviderError; report this to whoever maintains the provider`
    ),
    { cause: error }
  )
}

/** Calls a member of a provider; its mistakes come out under its name. */
export async function callProvider<T>(
  provider: Pick<RmmProvider, 'name'>,
  member: string,
  signal: AbortSignal,
  work: () => Promise<T> | T
): Promise<T> {
  try {
    return await work()
  } catch (error) {
    throw blamed(provider, member, error, signal)
  }
}

const isText = (value: unknown): value is string => typeof value === 'string' && value !== ''

/** What `check` may answer. Throws where it is something else. */
export function accountOf(
  { name }: Pick<RmmProvider, 'name'>,
  found: { account: string; warnings: string[] } | undefined
): { account: string; warnings: string[] } {
  if (isText(found?.account) && Array.isArray(found.warnings) && found.warnings.every(text => typeof text === 'string'))
    return found
  throw new ProviderFaultError(
    `The provider ${name} broke a rule in check: it returns { account, warnings }, a text and a list of texts`
  )
}

/** What `remoteSession` and `installLink` may answer. Throws where it is something else. */
export function linkOf(
  { name }: Pick<RmmProvider, 'name'>,
  member: string,
  link: RemoteSession | undefined
): RemoteSession {
  if (isText(link?.url) && link.expiresAt instanceof Date && !Number.isNaN(link.expiresAt.getTime())) return link
  throw new ProviderFaultError(
    `The provider ${name} broke a rule in ${member}: it returns { url, expiresAt }, a text and a Date`
  )
}
