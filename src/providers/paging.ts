import { ProviderError } from './define.ts'

/**
 * Walking a platform's list to its end. Returning means "that was everything", so a list that contradicts itself
 * throws: one that promises more and gives nothing, that comes in circles, that has no end, or that is shorter than it
 * says. Each page carries the clock read before its request.
 *
 * ```ts
 * async *pull(client, from, signal) {
 *   const pages = paging.cursorPages({ what: "Acme's list of devices", from, signal, ask: after => client.devices(after) })
 *   for await (const { observedAt, rows, next } of pages)
 *     yield { observedAt, ...mapRecords(rows, row => row.id, toDevice), checkpoint: next }
 * }
 * ```
 */

/** One page as the platform gave it. */
export interface RawPage<Raw, Next> {
  /** Clock read before the request. */
  observedAt: Date
  rows: Raw[]
  /** Where the next page begins, for the checkpoint; null on the last one. */
  next: Next | null
}

interface Walk {
  /** What the list is called in the sentence of an error, e.g. `Acme's list of devices`. */
  what: string
  signal: AbortSignal
  /** More pages than this are taken for a list without an end. Default 10,000. */
  mostPages?: number
}

/** What one request gave. */
export interface FetchedPage<Raw> {
  rows: readonly Raw[]
  /** How many there are in all, where the platform tells: a list that ends with fewer is short. */
  total?: number | null | undefined
}

const defaultMostPages = 10_000
const consequence = 'Nothing is removed; the next run reads it again'

const broken = (what: string, how: string): ProviderError =>
  new ProviderError('protocol', `${what} ${how}. ${consequence}`)

function rowsOf<Raw>(what: string, page: FetchedPage<Raw> | undefined): Raw[] {
  if (!Array.isArray(page?.rows)) throw broken(what, 'came as something that is not a list')
  return [...page.rows]
}

/** Counts what came against what the platform says there is. */
function counter(what: string, fromStart: boolean) {
  let count = 0
  return {
    add: (rows: readonly unknown[]) => {
      count += rows.length
    },
    end(total: number | null | undefined): void {
      if (fromStart && typeof total === 'number' && count < total)
        throw broken(what, `ended after ${count} of ${total} records`)
    }
  }
}

/** Walks pages that say where the next one begins; `keyOf` tells two such places apart. */
async function* walk<Raw, Next>(
  { what, signal, mostPages = defaultMostPages }: Walk,
  from: Next | null,
  keyOf: (next: Next) => string,
  ask: (at: Next | null) => Promise<{ page: FetchedPage<Raw> | undefined; next: Next | null; more: boolean | 'untold' }>
): AsyncGenerator<RawPage<Raw, Next>, void> {
  const seen = new Set<string>(from === null ? [] : [keyOf(from)])
  const counted = counter(what, from === null)
  let at = from
  for (let pages = 0; pages < mostPages; pages++) {
    signal.throwIfAborted()
    const observedAt = new Date()
    const { page, next, more } = await ask(at)
    const rows = rowsOf(what, page)
    counted.add(rows)
    if (more === 'untold' && rows.length === 0) {
      counted.end(page?.total)
      // That there is no more is no page of the list; an empty list is one.
      if (pages === 0 && from === null) yield { observedAt, rows, next: null }
      return
    }
    if (more && rows.length === 0) throw broken(what, 'says that there is more, but its page is empty')
    if (more && next === null) throw broken(what, 'says that there is more, but not where it goes on')
    if (!more) {
      counted.end(page?.total)
      yield { observedAt, rows, next: null }
      return
    }
    if (seen.has(keyOf(next!))) throw broken(what, 'runs in circles: it goes on where it was before')
    seen.add(keyOf(next!))
    yield { observedAt, rows, next }
    at = next
  }
  throw broken(what, `did not end after ${mostPages} pages`)
}

export interface CursorPages<Raw> extends Walk {
  /** The checkpoint: the cursor to go on from, null from the start. */
  from: string | null
  /**
   * Asks for the page behind `cursor`. Throw `ProviderError('gone')` where the platform does not take a cursor any more:
   * the engine then starts over.
   */
  ask(cursor: string | null): Promise<
    FetchedPage<Raw> & {
      /** The cursor of the next page, such as the last row's id; null at the end. */
      next: string | null | undefined
      /**
       * What the platform itself says of it, where it does. `untold`: it never says, the list ends with the first empty
       * page; then the last page has a `next`, too. Default: there is more where there is a `next`.
       */
      more?: boolean | 'untold' | undefined
    }
  >
}

/** Lists that go on behind a cursor: a token of the platform's, or the last id of a page. */
export function cursorPages<Raw>(options: CursorPages<Raw>): AsyncGenerator<RawPage<Raw, string>, void> {
  return walk(options, options.from, String, async cursor => {
    const page = await options.ask(cursor)
    const next = page?.next === undefined || page.next === '' ? null : page.next
    return { page, next, more: page?.more ?? next !== null }
  })
}

export interface PageNumberPages<Raw> extends Walk {
  /** The checkpoint: the number of the page to go on with, null from the start. */
  from: number | null
  /** Number of the first page. Default 1. */
  first?: number
  ask(page: number): Promise<
    FetchedPage<Raw> & {
      /** Whether there are more pages, or how many there are. Without both the list ends with the first empty page. */
      more?: boolean | undefined
      pages?: number | null | undefined
    }
  >
}

/** Lists by page numbers. A platform that ignores the number, and gives the same page for ever, is found out. */
export async function* pageNumberPages<Raw>(options: PageNumberPages<Raw>): AsyncGenerator<RawPage<Raw, number>, void> {
  const { what, first = 1, from } = options
  let last: string | undefined
  yield* walk(options, from, String, async at => {
    const number = at ?? first
    const page = await options.ask(number)
    const rows = rowsOf(what, page)
    const told = typeof page.more === 'boolean' || typeof page.pages === 'number'
    const more = page.more ?? (typeof page.pages === 'number' ? number - first + 1 < page.pages : rows.length > 0)
    const ends = JSON.stringify([rows[0], rows.at(-1), rows.length])
    if (rows.length > 0 && ends === last) throw broken(what, 'runs in circles: the same page came twice')
    last = ends
    return { page, next: more ? number + 1 : null, more: told || rows.length > 0 ? more : false }
  })
}

export interface LinkPages<Raw> extends Walk {
  /** The address of the first page. */
  url: string | URL
  /** The checkpoint: the address to go on with, null from the start. */
  from: string | null
  ask(url: URL): Promise<
    FetchedPage<Raw> & {
      /** The address of the next page, relative ones to this page's; null at the end. */
      next: string | null | undefined
    }
  >
}

/** Lists whose pages name the address of the next one, in the body or in a `Link` header (see `nextLink`). */
export function linkPages<Raw>(options: LinkPages<Raw>): AsyncGenerator<RawPage<Raw, string>, void> {
  const { what } = options
  return walk(options, options.from, String, async at => {
    const url = new URL(at ?? options.url, options.url)
    const page = await options.ask(url)
    if (!page?.next) return { page, next: null, more: false }
    if (!URL.canParse(page.next, url.href)) throw broken(what, 'names something as its next page that is no address')
    return { page, next: new URL(page.next, url).href, more: true }
  })
}

/** The address that a `Link` header (RFC 8288) calls `rel="next"`, or null. */
export function nextLink(header: string | undefined): string | null {
  for (const [, url, rest] of (header ?? '').matchAll(/<([^>]*)>((?:\s*;\s*[^,;=\s]+\s*=\s*(?:"[^"]*"|[^,;\s]*))*)/g))
    if (/;\s*rel\s*=\s*("[^"]*\bnext\b[^"]*"|next\b)/i.test(rest!)) return url!
  return null
}

export interface OneList<Raw> extends Omit<Walk, 'mostPages'> {
  ask(): Promise<FetchedPage<Raw>>
}

/** Lists that come in one answer. */
export function oneList<Raw>(options: OneList<Raw>): AsyncGenerator<RawPage<Raw, never>, void> {
  return walk<Raw, never>(options, null, String, async () => ({ page: await options.ask(), next: null, more: false }))
}
