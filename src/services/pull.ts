import type { Checkpoint, Page, RejectedRecord, Resource } from '../providers/define.ts'

/** Pages read but not committed yet. Bounded: a slow database slows the reading down, it does not fill the memory. */
const maxAheadPages = 8

export interface Batch<R> {
  pages: Array<Page<R>>
  checkpoint: Checkpoint | null
}

/**
 * Reads ahead while the caller commits: everything that arrived meanwhile comes as one batch, up to `maxRecords`.
 * A failing read surfaces only after what came before it was handed out, so that it can be committed. Ends when the provider returned.
 */
export async function * readAhead<R> (pages: AsyncIterable<Page<R>>, maxRecords: number, signal: AbortSignal): AsyncGenerator<Batch<R>> {
  const buffer: Array<Page<R>> = []
  let ended = false
  let failure: { error: unknown } | undefined
  let wake = (): void => {}
  let changed = new Promise<void>(resolve => { wake = resolve })
  const signalChange = (): void => {
    wake()
    changed = new Promise(resolve => { wake = resolve })
  }
  const iterator = pages[Symbol.asyncIterator]()
  const reading = (async () => {
    for (;;) {
      while (!ended && records(buffer) >= maxRecords * 2 || buffer.length >= maxAheadPages) {
        if (ended) return
        await changed
      }
      if (ended) return
      const next = await iterator.next()
      if (next.done) break
      buffer.push(next.value)
      signalChange()
    }
  })().catch(error => { failure = { error } }).finally(() => { ended = true; signalChange() })
  try {
    for (;;) {
      while (buffer.length === 0 && !ended) await changed
      signal.throwIfAborted()
      if (buffer.length > 0) {
        const batch = take(buffer, maxRecords)
        signalChange()
        yield { pages: batch, checkpoint: batch.at(-1)?.checkpoint ?? null }
      } else if (failure !== undefined) throw failure.error
      else return
    }
  } finally {
    ended = true
    signalChange()
    // The provider's generator may be in the middle of a request; its own signal ends that.
    void Promise.resolve(iterator.return?.()).catch(() => {})
    if (signal.aborted) await reading
  }
}

function records<R> (pages: Array<Page<R>>): number {
  return pages.reduce((sum, page) => sum + page.records.length, 0)
}

function take<R> (buffer: Array<Page<R>>, maxRecords: number): Array<Page<R>> {
  const taken: Array<Page<R>> = [buffer.shift()!]
  let count = taken[0]!.records.length
  while (buffer.length > 0 && count + buffer[0]!.records.length <= maxRecords) {
    const page = buffer.shift()!
    count += page.records.length
    taken.push(page)
  }
  return taken
}

/** What a provider must not hand us: caught here, so that one wrong page cannot be committed half. */
export function checkPage<R> (page: Page<R>, resource: Resource<unknown, R>): void {
  if (!(page?.observedAt instanceof Date) || Number.isNaN(page.observedAt.getTime())) throw new TypeError('a page needs observedAt, the Date read before its request')
  if (!Array.isArray(page.records)) throw new TypeError('a page needs records')
  if (page.deletedIds !== undefined && resource.deletes !== 'explicit') throw new TypeError("deletedIds need a resource with deletes: 'explicit'")
}

export function rejectedOf<R> (page: Page<R>): RejectedRecord[] {
  return page.rejected ?? []
}
