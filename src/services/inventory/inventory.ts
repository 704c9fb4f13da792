import { NotFoundError, NotSupportedError } from '../../errors.ts'
import type { Consent, RmmProvider } from '../../providers/define.ts'
import type { Rmm } from '../../rmm.ts'
import type { NewEvent } from '../../types.ts'
import { act, type ClientFactory, linkOf } from '../platform/index.ts'
import type { Core } from '../core.ts'
import { erase } from './erase.ts'
import {
  type ConnectionRow,
  type Db,
  findDevice,
  listDevices,
  type NewActivity,
  releaseAssets,
  requireConnection,
  writeActivity,
  writeEvents
} from '../store/index.ts'

export const defaultSessionMinutes = 60
/** What the person at the device reads where the host names nobody. */
const nobody = 'PSA'

export function createInventory(core: Core, clients: ClientFactory): Rmm['inventory'] {
  const { database } = core

  async function get(tenantId: string, deviceId: string) {
    const device = await findDevice(database, tenantId, deviceId)
    if (device === null) throw new NotFoundError('Device')
    return device
  }

  return {
    get,
    list: (tenantId, query) => listDevices(database, tenantId, query),
    erase: (tenantId, target) => erase(core, tenantId, target),
    async release(tenantId, assetRefs, { em } = {}) {
      const by = { cause: 'operator', runId: null, actor: core.actors.current() } as const
      const release = (trx: Db) => releaseAssets(trx, database.t, tenantId, assetRefs, { by })
      const theirs = em?.getTransactionContext<Db>()
      return theirs === undefined ? await database.transaction(release) : await release(theirs)
    },
    async remoteSession(tenantId, deviceId, { minutes = defaultSessionMinutes, viewOnly = false, consent } = {}) {
      const device = await get(tenantId, deviceId)
      const row = await requireConnection(database, tenantId, device.connectionId)
      const provider = core.registry.get(row.provider)
      if (provider?.remoteSession === undefined)
        throw new NotSupportedError(`${provider?.name ?? row.provider} has no remote sessions`)
      requireOffered(provider, viewOnly, consent)
      const actor = core.actors.current()
      const guestName = actor?.name ?? actor?.id ?? nobody
      const session = linkOf(
        provider,
        'remoteSession',
        await act(core, clients, row, 'remoteSession', (open, signal) =>
          open.provider.remoteSession!(
            open.client,
            device.externalId,
            { minutes, viewOnly, consent, guestName },
            signal
          )
        )
      )
      const expiresAt = session.expiresAt.toISOString()
      await audit(
        core,
        row,
        {
          type: 'RMM_REMOTE_SESSION_STARTED',
          payload: { deviceId, externalId: device.externalId, viewOnly, consent: consent ?? null, expiresAt }
        },
        {
          target: { deviceId, ...(device.clientRef === null ? {} : { clientRef: device.clientRef }) },
          summary: `Made a link to the screen of ${device.displayName}${viewOnly ? ', to watch only' : ''}, good until ${expiresAt}`
        }
      )
      return { url: session.url, expiresAt }
    }
  }
}

/** What the platform cannot do is refused: a session that only seemed to be watched would be worse than none. */
function requireOffered(provider: RmmProvider, viewOnly: boolean, consent: Consent | undefined): void {
  const { viewOnly: watching = false, consent: ways = [] } = provider.remoteSessionOptions ?? {}
  if (viewOnly && !watching) throw new NotSupportedError(`${provider.name} has no remote sessions that only watch`)
  if (consent === undefined || ways.includes(consent)) return
  const offer =
    ways.length === 0 ? 'its own settings decide what the person at the device is asked' : `it has ${ways.join(', ')}`
  throw new NotSupportedError(`${provider.name} cannot promise the consent "${consent}": ${offer}`)
}

/** Tells and notes what was done on the platform for a person. */
export async function audit(
  core: Core,
  row: ConnectionRow,
  event: NewEvent,
  { target, summary }: Omit<NewActivity, 'type'>
): Promise<void> {
  const { t } = core.database
  await core.database.transaction(async trx => {
    const source = { tenantId: row.tenant_id, connectionId: row.id, provider: row.provider }
    await writeEvents(trx, t, source, [event], core.sinks)
    await writeActivity(trx, t, row.tenant_id, {
      type: event.type,
      target: { connectionId: row.id, ...target },
      summary
    })
  })
}
