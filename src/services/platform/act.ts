import { withTimeLimit } from '../../waits.ts'
import type { Core } from '../core.ts'
import type { ConnectionRow } from '../store/index.ts'
import { type ClientFactory, type OpenClient, toRouteError } from './clients.ts'
import { callProvider } from './provider-fault.ts'

/** Does one thing on the platform for a person who waits for it. */
export async function act<T>(
  core: Core,
  clients: ClientFactory,
  row: ConnectionRow,
  member: string,
  work: (open: OpenClient, signal: AbortSignal) => Promise<T>
): Promise<T> {
  return await withTimeLimit(core.settings.interactiveMs, [core.signal], async signal => {
    try {
      const open = await clients.open(row, signal)
      try {
        return await callProvider(open.provider, member, signal, () => work(open, signal))
      } finally {
        await open.close()
      }
    } catch (error) {
      throw toRouteError(error, 'action')
    }
  })
}
