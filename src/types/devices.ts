/** The inventory. */

import type { DeviceKind } from '../words.ts'

export interface DeviceVolume {
  name: string
  totalBytes: number | null
  freeBytes: number | null
  /** Used share of the volume, 0 to 1. */
  utilization: number | null
}

export interface Device {
  id: string
  connectionId: string
  provider: string
  externalId: string
  organizationExternalId: string | null
  clientRef: string | null
  assetRef: string | null
  assetType: 'workstation' | 'server'
  kind: DeviceKind
  displayName: string
  hostname: string | null
  serialNumber: string | null
  manufacturer: string | null
  model: string | null
  osType: string | null
  osVersion: string | null
  online: boolean
  agentStatus: 'online' | 'offline'
  lastSeenAt: string | null
  lastRebootAt: string | null
  uptimeSeconds: number | null
  currentUser: string | null
  lanIp: string | null
  wanIp: string | null
  macAddresses: string[]
  cpuModel: string | null
  cpuCores: number | null
  ramBytes: number | null
  volumes: DeviceVolume[]
  antivirus: { provider: string | null; status: string | null }
  pendingOsPatches: number | null
  location: string | null
  tags: string[]
  maintenanceMode: boolean
  removedAt: string | null
  /** Since when the account does not see it any more, which says nothing about whether it is gone; null: it is seen. */
  outOfSightSince: string | null
  observedAt: string
  updatedAt: string
}

/** An update that waits for a device, as the platform calls it. */
export interface DevicePatch {
  externalId: string
  title: string | null
  kb: string | null
  severity: string | null
  category: string | null
  publishedAt: string | null
}

export interface DeviceDetail extends Device {
  details: Record<string, unknown>
  /** Null: the platform does not tell which they are. */
  patches: DevicePatch[] | null
}

export const deviceSorts = ['name', 'lastSeenAt', 'updatedAt'] as const
export type DeviceSort = (typeof deviceSorts)[number]

export interface DeviceFilter {
  connectionId?: string
  clientRef?: string
  online?: boolean
  mapped?: boolean
  /** `true`: only those the platform no longer has; `'any'`: those as well. Default: living devices only. */
  removed?: boolean | 'any'
  provider?: string
  /** The platform's own id, exactly. */
  externalId?: string
  assetRef?: string
  serialNumber?: string
  organizationExternalId?: string
  /** With `organizationExternalId`: devices of the organizations below it too. Default false. */
  descendants?: boolean
  /** Only those whose record changed at or after this time (ISO 8601). */
  updatedSince?: string
  /** `name` (default) from A to Z; the times newest first, what has none last. */
  sort?: DeviceSort
  /** Matches names, serial number, addresses and user, case-insensitively. */
  q?: string
}

/** What was erased. */
export interface Erased {
  devices: number
  alerts: number
}
