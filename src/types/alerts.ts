import type { AlertSeverity } from '../words.ts'

/** Alerts. */

export interface Alert {
  id: string
  connectionId: string
  externalId: string
  deviceId: string | null
  deviceExternalId: string | null
  /** The device's name; null where it is not in the inventory. */
  deviceName?: string | null
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
