import { HostError } from '../../errors.ts'
import { setTimeout as delay } from 'node:timers/promises'
import type { EventSink, RmmEvent, Taken } from '../../types.ts'
import { withTimeLimit } from '../../waits.ts'

/** A sink that ignores the signal that ends its time gets a little longer. */
const ignoredSignalMs = 3_000

/** Offers events to a sink. One that never answers must not keep them for ever: then it took none. */
export async function publish(
  sink: EventSink,
  events: RmmEvent[],
  limitMs: number,
  shutdown: AbortSignal
): Promise<Taken> {
  const done = new AbortController()
  try {
    return await withTimeLimit(limitMs, [shutdown], async signal => {
      const taken = await Promise.race([sink.publish(events, signal), ignored(signal, done.signal, limitMs)])
      const known = new Set(events.map(event => event.id))
      if (taken === undefined || taken === null) return { ids: [...known] }
      if (!Array.isArray(taken.ids))
        throw new HostError(
          `The sink ${sink.name} broke a rule: publish resolves with nothing where it took all, or with { ids }, a list of what it took`
        )
      const ids = taken.ids.filter(id => known.has(id))
      if (ids.length === 0 && taken.error === undefined)
        return { ids, error: new Error('the sink took none of its events and did not say why') }
      return { ...taken, ids }
    })
  } catch (error) {
    return { ids: [], error }
  } finally {
    done.abort()
  }
}

/** Rejects a while after `signal` fired, if the sink is not `done` by then. */
function ignored(signal: AbortSignal, done: AbortSignal, limitMs: number): Promise<never> {
  const { promise, reject } = Promise.withResolvers<never>()
  const giveUp = (): void => {
    void delay(ignoredSignalMs, undefined, { signal: done }).then(
      () => reject(new Error(`no answer within ${limitMs} ms`)),
      () => {}
    )
  }
  if (signal.aborted) giveUp()
  else signal.addEventListener('abort', giveUp, { once: true })
  return promise
}
