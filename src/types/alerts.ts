import type { AlertSeverity } from '../words.ts'

/** Alerts. */

export interface Alert {
  id: string
  connectionId: string
  externalId: string
  deviceId: string | null
  deviceExternalId: string | null
  /** The device's name; null where it is not in the inventory. */
  deviceName: string | null
  /** The client and the asset of its device. */
  clientRef: string | null
  assetRef: string | null
  /** Whose its device is; `none`: it is about no device that is known. Those of excluded devices are told to nobody. */
  assignment: 'mapped' | 'unmapped' | 'excluded' | 'none'
  /** `backfill`: it was there before the connection's alerts had been read completely for the first time. */
  origin: 'webhook' | 'sweep' | 'backfill'
  name: string
  description: string | null
  severity: AlertSeverity
  providerSeverity: string | null
  status: 'active' | 'resolved'
  startedAt: string
  resolvedAt: string | null
}

export interface AlertFilter {
  connectionId?: string
  deviceId?: string
  status?: 'active' | 'resolved'
  severity?: AlertSeverity
}
