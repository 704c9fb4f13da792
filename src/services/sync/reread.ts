import { withTimeLimit } from '../../waits.ts'
import { NotFoundError, NotSupportedError } from '../../errors.ts'
import type { AlertRecord, DeviceRecord } from '../../providers/define.ts'
import type { DeviceSyncResult, NewEvent } from '../../types.ts'
import { applyChanges, noChanges } from './changes.ts'
import { type ClientFactory, toRouteError } from '../platform/index.ts'
import type { Core } from '../core.ts'
import { normalizeAlert, normalizeDevice } from '../model/index.ts'
import { readOne } from './read-one.ts'
import {
  closeAlerts,
  type ConnectionRow,
  deviceByExternalId,
  holdConnection,
  mergeAlerts,
  type MergeContext,
  mergeDevices,
  removeDevices,
  touchAlerts
} from '../store/index.ts'

/** Small reads beside the runs: one device, one alert. The freshness gate makes them safe next to a running sync. */
export interface ReRead {
  /** Reads one device now, for a person who waits. */
  device(row: ConnectionRow, externalId: string): Promise<DeviceSyncResult>
  applyDevice(
    row: ConnectionRow,
    externalId: string,
    record: DeviceRecord | null,
    observedAt: Date
  ): Promise<DeviceSyncResult['outcome'] | null>
  applyAlert(
    row: ConnectionRow,
    externalId: string,
    record: AlertRecord | null,
    observedAt: Date,
    more?: NewEvent[]
  ): Promise<void>
}

/** A process that executes nothing has no duty that looks at the database's clock. */
const trustClockMs = 60_000

export function contextOf(row: ConnectionRow): MergeContext {
  return { tenantId: row.tenant_id, connectionId: row.id, provider: row.provider, movePolicy: row.move_policy }
}

export function createReRead(core: Core, clients: ClientFactory): ReRead {
  const { database } = core
  const { t } = database

  async function applyDevice(
    row: ConnectionRow,
    externalId: string,
    record: DeviceRecord | null,
    observedAt: Date
  ): Promise<DeviceSyncResult['outcome'] | null> {
    const context = contextOf(row)
    return await database.transaction(async trx => {
      await holdConnection(trx, t, row.id)
      const changes = noChanges()
      let outcome: DeviceSyncResult['outcome'] | null = null
      if (record === null) {
        const removed = await removeDevices(trx, t, context, [externalId], observedAt)
        changes.deviceEvents = removed
        changes.devices = removed.filter(({ device }) => device.clientRef !== null)
        outcome = removed.length > 0 ? 'removed' : null
      } else {
        const normal = normalizeDevice(record, observedAt)
        const merged = await mergeDevices(trx, t, context, [normal], {
          touch: true,
          forHost: core.onChanges !== undefined
        })
        changes.deviceEvents = merged.events
        changes.devices = merged.changes
        outcome = merged.outcomes.get(normal.externalId) ?? 'unchanged'
      }
      await applyChanges(core, trx, context, changes)
      return outcome
    })
  }

  async function read(
    row: ConnectionRow,
    externalId: string
  ): Promise<{ record: DeviceRecord | null; observedAt: Date }> {
    return await withTimeLimit(core.settings.interactiveMs, [core.signal], async signal => {
      try {
        const open = await clients.open(row, signal)
        try {
          await core.clock.measure(trustClockMs)
          const observedAt = core.now()
          return { record: await readOne(open, 'devices', externalId, observedAt, signal), observedAt }
        } finally {
          await open.close()
        }
      } catch (error) {
        throw toRouteError(error, 'action')
      }
    })
  }

  return {
    applyDevice,
    async device(row, externalId) {
      const provider = core.registry.get(row.provider)
      if (provider?.resources.devices?.fetchOne === undefined)
        throw new NotSupportedError(
          `${provider?.name ?? row.provider} cannot read a single device; start a sync instead`
        )
      const { record, observedAt } = await read(row, externalId)
      const outcome = await applyDevice(row, externalId, record, observedAt)
      const stored = record === null ? externalId : String(record.externalId)
      const device = await deviceByExternalId(database, row.tenant_id, row.id, stored)
      if (device === null) throw new NotFoundError('Device')
      return { outcome: outcome ?? 'removed', device }
    },
    async applyAlert(row, externalId, record, observedAt, more = []) {
      const context = contextOf(row)
      await database.transaction(async trx => {
        await holdConnection(trx, t, row.id)
        const changes = noChanges()
        if (record === null) {
          changes.alerts = await closeAlerts(trx, t, context, [externalId], observedAt)
        } else {
          const alert = normalizeAlert(record, observedAt)
          changes.alerts = await mergeAlerts(trx, t, context, [alert])
          await touchAlerts(trx, t, context, [alert.externalId], observedAt)
        }
        await applyChanges(core, trx, context, changes, more)
      })
    }
  }
}
