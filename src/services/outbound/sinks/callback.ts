import type { EventSink, RmmEvent, Taken } from '../../../types.ts'

/**
 * A sink that calls a function of the host with events in order. When it throws, the same events come again later,
 * so it has to tolerate an event it has seen (by `id`).
 *
 * @param callback up to 500 events at once; may return what it took where that is not all
 * @param options.name identifies the sink across restarts @default 'callback'
 */
export function callbackSink(
  callback: (events: RmmEvent[], signal: AbortSignal) => void | Taken | Promise<void | Taken>,
  options: { name?: string } = {}
): EventSink {
  return { name: options.name ?? 'callback', publish: async (events, signal) => await callback(events, signal) }
}
