import { NotFoundError, NotSupportedError, ProviderFaultError } from '../../errors.ts'
import type { AlertRecord, RmmProvider } from '../../providers/define.ts'
import type { Rmm } from '../../rmm.ts'
import { act, type ClientFactory } from '../platform/index.ts'
import type { Core } from '../core.ts'
import { normalizeAlert } from '../model/index.ts'
import type { ReRead } from '../sync/index.ts'
import { findAlert, listAlerts, requireConnection, writeActivity } from '../store/index.ts'

/** What the provider says of the alert it has just resolved. */
function checked({ name }: RmmProvider, record: AlertRecord): AlertRecord {
  try {
    normalizeAlert(record, new Date())
    return record
  } catch (error) {
    throw new ProviderFaultError(`The provider ${name} broke a rule in resolveAlert: ${(error as Error).message}`)
  }
}

export function createAlerts(core: Core, clients: ClientFactory, reread: ReRead): Rmm['alerts'] {
  const { database } = core

  async function require(tenantId: string, alertId: string) {
    const alert = await findAlert(database, tenantId, alertId)
    if (alert === null) throw new NotFoundError('Alert')
    return alert
  }

  return {
    list: (tenantId, query) => listAlerts(database, tenantId, query),
    async resolve(tenantId, alertId) {
      const alert = await require(tenantId, alertId)
      if (alert.status === 'resolved') return alert
      const row = await requireConnection(database, tenantId, alert.connectionId)
      const provider = core.registry.get(row.provider)
      if (provider?.resolveAlert === undefined)
        throw new NotSupportedError(`${provider?.name ?? row.provider} cannot resolve alerts`)
      // The platform first: an alert that is open there must not be closed here.
      const resolved = await act(core, clients, row, 'resolveAlert', (open, signal) =>
        open.provider.resolveAlert!(open.client, alert.externalId, signal)
      )
      const observedAt = core.now()
      const record = resolved?.status === 'resolved' ? checked(provider, resolved) : null
      await reread.applyAlert(row, alert.externalId, record, observedAt)
      await database.transaction(trx =>
        writeActivity(trx, database.t, tenantId, {
          type: 'RMM_ALERT_RESOLVED',
          target: { connectionId: row.id, alertId, ...(alert.deviceId === null ? {} : { deviceId: alert.deviceId }) },
          summary: `Resolved the alert "${alert.name}"${alert.deviceName ? ` of ${alert.deviceName}` : ''}`
        })
      )
      return await require(tenantId, alertId)
    }
  }
}
