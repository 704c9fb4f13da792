import { withTimeLimit } from '../../waits.ts'
import { NotFoundError, NotSupportedError } from '../../errors.ts'
import type { AlertRecord, DeviceRecord } from '../../providers/define.ts'
import type { DeviceSyncResult, NewEvent } from '../../types.ts'
import { applyChanges, noChanges } from './changes.ts'
import { type ClientFactory, type OpenClient, toRouteError } from '../platform/index.ts'
import type { Core } from '../core.ts'
import { isMassive, type NormalDevice, normalizeAlert, normalizeDevice } from '../model/index.ts'
import { type Found, findOrganizations, isUnclear, writeFound } from './moves.ts'
import { readOne } from './read-one.ts'
import type { Source } from './reading.ts'
import { seesPart } from './sight.ts'
import {
  closeAlerts,
  type ConnectionRow,
  countMove,
  type Db,
  deviceByExternalId,
  holdConnection,
  knownOrganizations,
  mappedDevices,
  mergeAlerts,
  type MergeContext,
  type Origin,
  mergeDevices,
  removeDevices,
  removeOrganizations,
  touchAlerts
} from '../store/index.ts'

/** What a single read did; null where there was nothing to do. */
type Outcome = DeviceSyncResult['outcome'] | null

/** Small reads beside the runs: one device, one alert. The freshness gate makes them safe next to a running sync. */
export interface ReRead {
  /** Reads one device now, for a person who waits. */
  device(row: ConnectionRow, externalId: string): Promise<DeviceSyncResult>
  /**
   * Reads one device and writes what the account may conclude from the answer. `deleted`: the platform said that it is
   * gone.
   */
  followDevice(
    row: ConnectionRow,
    open: OpenClient,
    hint: { externalId: string; deleted: boolean },
    signal: AbortSignal,
    by?: Partial<Origin>
  ): Promise<{ outcome: Outcome; externalId: string }>
  followAlert(row: ConnectionRow, open: OpenClient, externalId: string, signal: AbortSignal): Promise<void>
  /**
   * For an account that does not see everything: removes the organizations that the platform said are gone and that its
   * list does not show. Any other account finds them missing by itself.
   */
  followDeleted(row: ConnectionRow, open: OpenClient, externalIds: string[], signal: AbortSignal): Promise<void>
  applyDevice(
    row: ConnectionRow,
    externalId: string,
    record: DeviceRecord | null,
    observedAt: Date,
    found?: Found,
    by?: Partial<Origin>
  ): Promise<Outcome>
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

export function contextOf(core: Core, row: ConnectionRow, by: Partial<Origin> = {}): MergeContext {
  return {
    tenantId: row.tenant_id,
    connectionId: row.id,
    provider: row.provider,
    movePolicy: row.move_policy,
    hears: core.onChanges !== undefined,
    by: { cause: 'webhook', runId: null, actor: null, ...by }
  }
}

export function createReRead(core: Core, clients: ClientFactory): ReRead {
  const { database } = core
  const { t } = database
  const sourceOf = (row: ConnectionRow, { provider, client }: OpenClient, signal: AbortSignal): Source => ({
    core,
    context: contextOf(core, row),
    provider,
    client,
    signal
  })

  async function applyDevice(
    row: ConnectionRow,
    externalId: string,
    record: DeviceRecord | null,
    observedAt: Date,
    found: Found = { organizations: [], gone: null },
    by: Partial<Origin> = {}
  ): Promise<Outcome> {
    const context = contextOf(core, row, by)
    return await database.transaction(async trx => {
      await holdConnection(trx, t, row.id)
      const changes = noChanges()
      let outcome: Outcome = null
      if (record === null) {
        const removed = await removeDevices(trx, t, context, [externalId], observedAt)
        changes.deviceEvents = removed
        changes.devices = removed.filter(({ device }) => device.clientRef !== null)
        outcome = removed.length > 0 ? 'removed' : null
      } else {
        await writeFound({ core, context }, trx, found)
        const normal = normalizeDevice(record, observedAt)
        const merged = await mergeOne(trx, context, normal, found)
        changes.deviceEvents = merged.events
        changes.devices = merged.changes
        outcome = merged.outcomes.get(normal.externalId) ?? 'unchanged'
      }
      await applyChanges(core, trx, context, changes)
      return outcome
    })
  }

  /** One device that leaves its client does; many of them, one after the other, wait for a run and a person. */
  async function mergeOne(trx: Db, context: MergeContext, record: NormalDevice, found: Found) {
    const options = { touch: true, forHost: core.onChanges !== undefined }
    const merged = await mergeDevices(trx, t, context, [record], { ...options, moves: 'later' })
    const [moving] = merged.moving
    if (moving === undefined) return merged
    const { connectionId } = context
    const stays =
      isUnclear(moving, found) ||
      isMassive(await countMove(trx, t, connectionId), await mappedDevices(trx, t, connectionId))
    if (stays)
      core.log.warn(
        { connectionId, externalId: record.externalId, from: moving.from, to: moving.to },
        'a device stays with its client although the platform says otherwise: the next sync decides'
      )
    return await mergeDevices(trx, t, context, [record], { ...options, moves: stays ? 'never' : 'now' })
  }

  /** The organization a record names, where that is not known here. */
  async function findUnknown(source: Source, record: DeviceRecord, observedAt: Date): Promise<Found> {
    const { organizationExternalId: named, organizationTold } = normalizeDevice(record, observedAt)
    const none: Found = { organizations: [], gone: null }
    if (!organizationTold || named === null) return none
    const known = await knownOrganizations(database, source.context.connectionId, [named])
    return known.has(named) ? none : await findOrganizations(source, [named], 'unread')
  }

  /** Whether the account still sees what the device was in: only then its silence about the device means something. */
  async function seesItsGroup(row: ConnectionRow, open: OpenClient, externalId: string, signal: AbortSignal) {
    const group = (await deviceByExternalId(database, row.tenant_id, row.id, externalId))?.organizationExternalId
    if (group == null || open.provider.resources.organizations?.fetchOne === undefined) return false
    const known = await knownOrganizations(database, row.id, [group])
    return !known.has(group) || (await readOne(open, 'organizations', group, core.now(), signal)) !== null
  }

  async function followDevice(
    row: ConnectionRow,
    open: OpenClient,
    { externalId, deleted }: { externalId: string; deleted: boolean },
    signal: AbortSignal,
    by: Partial<Origin> = {}
  ): Promise<{ outcome: Outcome; externalId: string }> {
    const source = sourceOf(row, open, signal)
    const observedAt = core.now()
    const record = await readOne(open, 'devices', externalId, observedAt, signal)
    if (record !== null) {
      const found = await findUnknown(source, record, observedAt)
      const outcome = await applyDevice(row, externalId, record, observedAt, found, by)
      return { outcome, externalId: String(record.externalId) }
    }
    const proves = !(await seesPart(source)) || (deleted && (await seesItsGroup(row, open, externalId, signal)))
    return {
      outcome: proves ? await applyDevice(row, externalId, null, observedAt, undefined, by) : 'unchanged',
      externalId
    }
  }

  return {
    applyDevice,
    followDevice,
    async device(row, externalId) {
      const provider = core.registry.get(row.provider)
      if (provider?.resources.devices?.fetchOne === undefined)
        throw new NotSupportedError(
          `${provider?.name ?? row.provider} cannot read a single device; start a sync instead`
        )
      const read = await withTimeLimit(core.settings.interactiveMs, [core.signal], async signal => {
        try {
          const open = await clients.open(row, signal)
          try {
            await core.clock.measure(trustClockMs)
            return await followDevice(row, open, { externalId, deleted: false }, signal, { cause: 'operator' })
          } finally {
            await open.close()
          }
        } catch (error) {
          throw toRouteError(error, 'action')
        }
      })
      const device = await deviceByExternalId(database, row.tenant_id, row.id, read.externalId)
      if (device === null) throw new NotFoundError('Device')
      return { outcome: read.outcome ?? 'removed', device }
    },
    async followAlert(row, open, externalId, signal) {
      const observedAt = core.now()
      const record = await readOne(open, 'alerts', externalId, observedAt, signal)
      if (record === null && (await seesPart(sourceOf(row, open, signal)))) return
      await this.applyAlert(row, externalId, record, observedAt)
    },
    async followDeleted(row, open, externalIds, signal) {
      const { provider } = open
      if (provider.resources.organizations?.fetchOne === undefined || !(await seesPart(sourceOf(row, open, signal))))
        return
      const observedAt = core.now()
      const gone: string[] = []
      for (const id of externalIds)
        if ((await readOne(open, 'organizations', id, observedAt, signal)) === null) gone.push(id)
      await database.transaction(async trx => {
        await holdConnection(trx, t, row.id)
        await removeOrganizations(trx, t, contextOf(core, row), gone, observedAt)
      })
    },
    async applyAlert(row, externalId, record, observedAt, more = []) {
      const context = contextOf(core, row)
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
