import { ProviderFaultError } from '../../errors.ts'
import type { Checkpoint, KnownRevisions, Page, RmmProvider } from '../../providers/define.ts'
import type { ResourceName } from '../../types.ts'
import type { Clock } from '../clock.ts'
import { blamed } from '../platform/index.ts'
import { NotRecorded } from './not-recorded.ts'
import type { AnyRecord, AnyResource } from './prepare.ts'

/** What a list is read from. */
export interface PageSource {
  provider: RmmProvider
  client: unknown
  name: ResourceName
  /** Tells what is stored of the inventory of these devices. */
  known: KnownRevisions | undefined
  signal: AbortSignal
  clock: Clock
}

/**
 * The provider's pages, each checked for what it must never be. What the provider does wrong comes out under its name
 * and with the rule it broke; what fails on our side while it asks us comes out as it was.
 */
export async function* pagesOf(source: PageSource, from: Checkpoint | null): AsyncGenerator<Page<AnyRecord>> {
  const { provider, client, name, signal, clock } = source
  const resource = provider.resources[name] as AnyResource
  let ours: { error: unknown } | undefined
  const known: KnownRevisions | undefined =
    source.known &&
    (async ids => {
      try {
        return await source.known!(ids)
      } catch (error) {
        ours = { error }
        throw error
      }
    })
  try {
    for await (const page of resource.pull(client, from, signal, known)) {
      const broken = brokenRule(page, resource)
      if (broken !== null)
        throw new ProviderFaultError(
          `The provider ${provider.name} broke a rule in the pages of its ${name}: ${broken}`
        )
      // By the provider's clock, which is this process'.
      yield { ...page, observedAt: clock.fromProcess(page.observedAt) }
    }
  } catch (error) {
    if (error instanceof NotRecorded) throw error
    throw ours === undefined ? blamed(provider, `the reading of its ${name}`, error, signal) : ours.error
  }
}

/** One wrong page must not be committed half. */
function brokenRule(page: Page<AnyRecord>, { deletes }: AnyResource): string | null {
  if (!(page?.observedAt instanceof Date) || Number.isNaN(page.observedAt.getTime()))
    return 'a page needs observedAt, the Date read before its request'
  if (!Array.isArray(page.records)) return 'a page needs records, a list'
  for (const list of ['rejected', 'misread', 'deletedIds'] as const)
    if (page[list] != null && !Array.isArray(page[list])) return `${list} of a page is a list`
  if (page.deletedIds != null && deletes === 'none')
    return "deletedIds need a resource with deletes: 'explicit' or 'snapshot'"
  return null
}
