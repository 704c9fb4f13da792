import { setTimeout as delay } from 'node:timers/promises'
import { OnChangesError } from '../../errors.ts'
import type { NewEvent } from '../../types.ts'
import type { Core } from '../core.ts'
import { type CallHost, type Heard, type Isolation, tellApart } from './host.ts'
import { assetRefsOf, onChangesFailure, refusedOf } from './host-answer.ts'
import {
  type AlertChange,
  type Db,
  type DeviceChange,
  type DeviceEvent,
  type HostedChange,
  type MergeContext,
  requireOpen,
  storeAssetRefs,
  type NewChange,
  hasToldDevices,
  oweAssets,
  oweDevices,
  settleOwed,
  writeChanges,
  writeEvents
} from '../store/index.ts'

export interface Changes {
  /** Every change of the inventory, for the outbox. */
  deviceEvents: DeviceEvent[]
  /** Those that concern the host. */
  devices: HostedChange[]
  alerts: AlertChange[]
}

export const noChanges = (): Changes => ({ deviceEvents: [], devices: [], alerts: [] })

/** Devices that belong elsewhere now. To the host one of them may be new; the inventory has known it. */
export function addMoves(changes: Changes, moves: DeviceChange[]): void {
  changes.devices.push(...moves)
  changes.deviceEvents.push(
    ...moves.map((move): DeviceEvent => ({ ...move, change: move.change === 'updated' ? 'updated' : 'moved' }))
  )
}

/**
 * Ends the work on one committed step, inside its transaction: the host hears of it through `onChanges`, its asset
 * refs are stored, the outbox gets the events. When the host throws, the step is rolled back with everything in it.
 */
export async function applyChanges(
  core: Core,
  trx: Db,
  context: MergeContext,
  changes: Changes,
  more: NewEvent[] = [],
  isolation: Isolation | null = null
): Promise<Heard['refused']> {
  const { t } = core.database
  // Those of excluded devices are kept and shown, and nobody's business.
  changes.alerts = changes.alerts.filter(({ alert }) => alert.assignment !== 'excluded')
  const refused: Heard['refused'] = []
  const before = new Set(isolation?.failed)
  if (core.onChanges !== undefined && (changes.devices.length > 0 || changes.alerts.length > 0)) {
    const refs: Record<string, string> = {}
    for (const portion of portions(changes, core.settings.batchRecords)) {
      const heard = await tellPortion(core, trx, context, portion, isolation)
      Object.assign(refs, heard.refs)
      refused.push(...heard.refused)
    }
    for (const change of [...changes.devices, ...changes.deviceEvents])
      change.device.assetRef = refs[change.device.id] ?? change.device.assetRef
    await storeAssetRefs(trx, t, context.connectionId, refs)
    const told = changes.devices.filter(({ device }) => !before.has(device.id))
    await settle(core, trx, context, told, refs, refused)
  }
  await writeChanges(trx, t, context, changes.alerts.filter(told).map(alertLog))
  await writeEvents(
    trx,
    t,
    context,
    [...changes.deviceEvents.map(deviceEvent), ...changes.alerts.filter(told).map(alertEvent), ...more],
    core.sinks
  )
  return refused
}

/** Keeps in mind what the host did not take, or named no asset for although it names assets. */
async function settle(
  core: Core,
  trx: Db,
  { connectionId }: MergeContext,
  devices: HostedChange[],
  refs: Record<string, string>,
  refused: Heard['refused']
): Promise<void> {
  const { t } = core.database
  const failed = refused.flatMap(({ change, final }) => ('device' in change && !final ? change.device : []))
  const open = new Set(failed.map(({ device }) => device.id))
  const taken = devices.filter(({ device }) => !open.has(device.id))
  const idsOf = (changes: HostedChange[]): string[] => changes.map(({ device }) => device.id)
  // What is new is owed nothing yet.
  await settleOwed(trx, t, connectionId, idsOf(taken.filter(({ change }) => change !== 'created')))
  await oweDevices(trx, t, connectionId, failed)
  const nameless = taken.filter(({ change, device }) => change === 'created' && device.assetRef === null)
  if (Object.keys(refs).length > 0) await oweAssets(trx, t, connectionId, idsOf(nameless))
}

async function tellPortion(
  core: Core,
  trx: Db,
  context: MergeContext,
  portion: Portion,
  isolation: Isolation | null
): Promise<Heard> {
  const call: CallHost = (devices, alerts) => callHost(core, trx, context, { devices, alerts })
  if (isolation === null) return await call(portion.devices, portion.alerts)
  const changes = [...portion.devices.map(device => ({ device })), ...portion.alerts.map(alert => ({ alert }))]
  const hasTaken = () => hasToldDevices(trx, core.database.t, context.connectionId)
  return await tellApart(trx, changes, isolation, call, hasTaken)
}

type Portion = Pick<Changes, 'devices' | 'alerts'>

/** A mapping may move every device at once; the host, its statements and its time limit are made for pages. */
function portions({ devices, alerts }: Portion, size: number): Portion[] {
  const count = Math.ceil(Math.max(devices.length, alerts.length) / size)
  return Array.from({ length: count }, (_, at) => ({
    devices: devices.slice(at * size, (at + 1) * size),
    alerts: alerts.slice(at * size, (at + 1) * size)
  }))
}

async function callHost(core: Core, trx: Db, context: MergeContext, { devices, alerts }: Portion): Promise<Heard> {
  const { tenantId, connectionId, provider } = context
  const timer = new AbortController()
  const tooLong = delay(core.settings.onChangesMs, undefined, { signal: timer.signal }).then(() => {
    throw Object.assign(
      new OnChangesError(
        `onChanges took longer than ${core.settings.onChangesMs} ms; does it use the em it is given, and only that?`
      ),
      { tooLong: true }
    )
  })
  try {
    const batch = { tenantId, connectionId, provider, devices, alerts }
    const result = await core.database.asHost(trx, async em => {
      const told = await Promise.race([
        (async () => {
          const returned = await core.onChanges?.(batch, em)
          await em.flush()
          return returned
        })(),
        tooLong
      ])
      await requireOpen(trx)
      return told
    })
    const byId = new Map(devices.map(change => [change.device.id, change]))
    const refused = Object.entries(refusedOf(result, byId)).map(([id, reason]) => ({
      change: { device: byId.get(id)! },
      reason: `the host refused it: ${reason}`,
      final: true
    }))
    return { refs: assetRefsOf(result, byId), refused }
  } catch (error) {
    throw onChangesFailure(error)
  } finally {
    timer.abort()
    tooLong.catch(() => {})
  }
}

const deviceEventTypes = {
  created: 'RMM_DEVICE_CREATED',
  removed: 'RMM_DEVICE_REMOVED'
} as const

function deviceEvent({ change, device, changed = [] }: DeviceEvent): NewEvent {
  const { id, externalId, displayName, clientRef, assetRef } = device
  const payload = { deviceId: id, externalId, displayName, clientRef, assetRef, change }
  if (change === 'created' || change === 'removed') return { type: deviceEventTypes[change], payload }
  return { type: 'RMM_DEVICE_UPDATED', payload: { ...payload, changedFields: changed.map(({ field }) => field) } }
}

function told(change: AlertChange): boolean {
  return change.change !== 'updated' && change.change !== 'handover'
}

function alertLog({ change, alert: { id, externalId, name } }: AlertChange): NewChange {
  const record = { entity: 'alert' as const, entityId: id, externalId, displayName: name }
  return change === 'resolved'
    ? { ...record, kind: 'update', changed: [{ field: 'status', from: 'active', to: 'resolved' }] }
    : { ...record, kind: 'create', changed: [] }
}

function alertEvent({ change, alert }: AlertChange): NewEvent {
  const { id: alertId, externalId, deviceId, deviceExternalId, deviceName, clientRef, assetRef, assignment } = alert
  const { name, description, severity, status, startedAt, origin } = alert
  const device = { deviceId, deviceExternalId, deviceName, clientRef, assetRef, assignment }
  return {
    type: change === 'resolved' ? 'RMM_ALERT_RESOLVED' : 'RMM_ALERT_TRIGGERED',
    payload: { alertId, externalId, ...device, name, description, severity, status, startedAt, origin }
  }
}
