import { HostError } from '../../errors.ts'
import type { EventSink, RmmEvent, Taken } from '../../types.ts'
import { withHardLimit } from '../../waits.ts'

/** A sink that ignores the signal that ends its time gets a little longer. */
const ignoredSignalMs = 3_000

/** Offers events to a sink. One that never answers must not keep them for ever: then it took none. */
export async function publish(
  sink: EventSink,
  events: RmmEvent[],
  limitMs: number,
  shutdown: AbortSignal
): Promise<Taken> {
  try {
    const taken = await withHardLimit(limitMs, ignoredSignalMs, [shutdown], async signal =>
      sink.publish(events, signal)
    )
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
  } catch (error) {
    return { ids: [], error }
  }
}
