import { setTimeout } from 'node:timers/promises'
import type { Run } from '../types.ts'

export interface RunEventOptions {
  /** Writes a run as JSON, by its schema. */
  serialize: (run: Run) => string
  /** Ends the stream without `done`: the client went away, or we shut down. */
  signal: AbortSignal
  /** A comment is sent after this many quiet milliseconds, so that proxies keep the connection open. Default 15 000. */
  heartbeatMs?: number
}

/**
 * A run as Server-Sent Events: `progress` with the run, at once and whenever what a client sees of it changed, `done`
 * with its final state at the end. Throws what `runs` throws: the stream then breaks off, and an EventSource connects
 * again.
 */
export async function* runEvents(
  first: Run,
  runs: AsyncIterable<Run>,
  { serialize, signal, heartbeatMs = 15_000 }: RunEventOptions
): AsyncGenerator<string> {
  const iterator = runs[Symbol.asyncIterator]()
  let sent = serialize(first)
  try {
    yield progress(sent)
    let next = iterator.next()
    while (!signal.aborted) {
      const step = await nextOrBeat(next, heartbeatMs, signal)
      if (step === null) {
        if (!signal.aborted) yield ': heartbeat\n\n'
      } else if (step.done) {
        if (!signal.aborted) yield `event: done\ndata: ${sent}\n\n`
        return
      } else {
        const data = serialize(step.value)
        if (data !== sent) yield progress(data)
        sent = data
        next = iterator.next()
      }
    }
  } catch (error) {
    if (!signal.aborted) throw error
  } finally {
    // Not awaited: an iterator that waits for its next change would hold the connection until then.
    iterator.return?.().catch(() => {})
  }
}

const progress = (data: string) => `event: progress\ndata: ${data}\n\n`

/** The iterator's next step, or null after a quiet interval or an abort. */
async function nextOrBeat(
  next: Promise<IteratorResult<Run>>,
  heartbeatMs: number,
  signal: AbortSignal
): Promise<IteratorResult<Run> | null> {
  const settled = new AbortController()
  const quiet = setTimeout(heartbeatMs, null, { signal: AbortSignal.any([signal, settled.signal]) }).catch(() => null)
  try {
    return await Promise.race([next, quiet])
  } finally {
    settled.abort()
  }
}
