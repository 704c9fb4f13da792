/** Pages read but not committed yet. Bounded: a slow database slows the reading down, it does not fill the memory. */
const maxAheadPages = 8

/**
 * Reads ahead while the caller commits: everything that arrived meanwhile comes as one batch, up to `maxRecords`. A
 * failing read surfaces only after what came before it was handed out, so that it can be committed. Ends when the
 * provider returned.
 */
export async function* readAhead<P extends { records: unknown[] }>(
  pages: AsyncIterable<P>,
  maxRecords: number,
  signal: AbortSignal
): AsyncGenerator<P[]> {
  const buffer: P[] = []
  let ended = false
  let failure: { error: unknown } | undefined
  let wake = (): void => {}
  let changed = new Promise<void>(resolve => {
    wake = resolve
  })
  const signalChange = (): void => {
    wake()
    changed = new Promise(resolve => {
      wake = resolve
    })
  }
  const iterator = pages[Symbol.asyncIterator]()
  const full = (): boolean => buffer.length >= maxAheadPages || countRecords(buffer) >= maxRecords * 2
  const reading = (async () => {
    while (!ended) {
      if (full()) {
        await changed
        continue
      }
      const next = await iterator.next()
      if (next.done) break
      buffer.push(next.value)
      signalChange()
    }
  })()
    .catch(error => {
      failure = { error }
    })
    .finally(() => {
      ended = true
      signalChange()
    })
  try {
    for (;;) {
      while (buffer.length === 0 && !ended) await changed
      signal.throwIfAborted()
      if (buffer.length > 0) {
        const batch = take(buffer, maxRecords)
        signalChange()
        yield batch
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

function countRecords(pages: Array<{ records: unknown[] }>): number {
  return pages.reduce((sum, page) => sum + page.records.length, 0)
}

function take<P extends { records: unknown[] }>(buffer: P[], maxRecords: number): P[] {
  const taken: P[] = [buffer.shift()!]
  let count = taken[0]!.records.length
  while (buffer.length > 0 && count + buffer[0]!.records.length <= maxRecords) {
    const page = buffer.shift()!
    count += page.records.length
    taken.push(page)
  }
  return taken
}
