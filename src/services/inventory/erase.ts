import type { Erased, NewEvent } from '../../types.ts'
import type { Core } from '../core.ts'
import {
  connectionById,
  connectionsToErase,
  devicesToErase,
  eraseDevices,
  type ErasureTarget,
  holdConnection,
  writeActivity
} from '../store/index.ts'
import { applyChanges, contextOf, noChanges } from '../sync/index.ts'

/** Ids in one event at most. */
const idsAtOnce = 500

/** Erases connection by connection, each in one transaction: what is interrupted goes on when it is asked for again. */
export async function erase(core: Core, tenantId: string, target: ErasureTarget): Promise<Erased> {
  const { database } = core
  const { t } = database
  const erased: Erased = { devices: 0, alerts: 0 }
  for (const connectionId of await connectionsToErase(database.db, t, tenantId, target)) {
    const row = await connectionById(database, connectionId)
    if (row === null) continue
    const of = await database.transaction(async trx => {
      await holdConnection(trx, t, connectionId)
      const devices = await devicesToErase(trx, t, connectionId, target)
      if (devices.length === 0) return { devices: 0, alerts: 0 }
      const alerts = await eraseDevices(trx, t, connectionId, devices)
      const changes = noChanges()
      // The host parts with what it has of them; what was removed before it has heard of.
      changes.devices = devices.filter(({ device }) => device.clientRef !== null && device.removedAt === null)
      const clientRef = 'clientRef' in target ? target.clientRef : null
      const ids = devices.map(({ device }) => device.id)
      const events = Array.from({ length: Math.ceil(ids.length / idsAtOnce) }, (_, at): NewEvent => {
        const deviceIds = ids.slice(at * idsAtOnce, (at + 1) * idsAtOnce)
        return { type: 'RMM_DATA_ERASED', payload: { deviceIds, clientRef } }
      })
      await applyChanges(core, trx, contextOf(core, row, { cause: 'operator' }), changes, events)
      await writeActivity(trx, t, tenantId, {
        type: 'RMM_DATA_ERASED',
        target: { connectionId, ...(clientRef === null ? {} : { clientRef }) },
        summary: `Erased the data of ${devices.length} ${devices.length === 1 ? 'device' : 'devices'} and ${alerts} ${alerts === 1 ? 'alert' : 'alerts'} of "${row.name}"`
      })
      return { devices: devices.length, alerts }
    })
    erased.devices += of.devices
    erased.alerts += of.alerts
  }
  return erased
}
