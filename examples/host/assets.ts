import { randomUUID } from 'node:crypto'
import type { EntityManager } from '@mikro-orm/core'
import type { ChangeBatch, Device } from '../../src/index.ts'
import { Asset } from './entities.ts'

type Change = ChangeBatch['devices'][number]['change']

/**
 * `onChanges`: keeps this PSA's assets in step, in the transaction of the page that brought the devices, with the em
 * of that transaction and no other. What it returns links each device to its asset.
 */
export async function keepAssets(
  { tenantId, devices }: ChangeBatch,
  em: EntityManager
): Promise<{ assetRefs: Record<string, string> }> {
  const found = await em.find(Asset, { tenantId, deviceId: { $in: devices.map(({ device }) => device.id) } })
  const assets = new Map(found.map(asset => [asset.deviceId, asset]))
  for (const { change, device } of devices) {
    const asset = assets.get(device.id)
    if (asset !== undefined) follow(asset, change, device)
    else if (device.clientRef !== null && change !== 'removed')
      assets.set(device.id, create(em, tenantId, device, device.clientRef))
  }
  return { assetRefs: Object.fromEntries([...assets].map(([deviceId, asset]) => [deviceId, asset.id])) }
}

function create(em: EntityManager, tenantId: string, device: Device, clientId: string): Asset {
  const asset = em.create(Asset, {
    id: randomUUID(),
    tenantId,
    clientId,
    deviceId: device.id,
    ...facts(device),
    retired: false,
    lastChange: 'created',
    changedAt: new Date()
  })
  em.persist(asset)
  return asset
}

function facts(device: Device) {
  return { name: device.displayName, kind: device.assetType, serialNumber: device.serialNumber, os: device.osVersion }
}

/** An asset is never deleted, as tickets and invoices point at it: a device that is gone retires it. */
function follow(asset: Asset, change: Change, device: Device): void {
  const retired = change === 'removed' || device.clientRef === null
  const lastChange = tell(asset, retired, device)
  // A heartbeat or another patch count is news for a dashboard, not for the books.
  if (lastChange === null) return
  Object.assign(asset, facts(device), {
    clientId: device.clientRef ?? asset.clientId,
    retired,
    lastChange,
    changedAt: new Date()
  })
}

function tell(asset: Asset, retired: boolean, device: Device): string | null {
  if (retired) return asset.retired ? null : 'retired: the device is gone or has no client any more'
  if (asset.retired) return 'back in service'
  if (device.clientRef !== asset.clientId) return `moved from client ${asset.clientId} to ${device.clientRef}`
  if (device.displayName !== asset.name) return `renamed from ${asset.name}`
  const { kind, serialNumber, os } = facts(device)
  return kind !== asset.kind || serialNumber !== asset.serialNumber || os !== asset.os
    ? 'hardware or system changed'
    : null
}
