/** The published shapes (OpenAPI 2.0.9-draft), as far as they are used; times are seconds since 1970, with fractions. */

export interface NinjaOrganization {
  id: number
  name: string
  locations: NinjaLocation[]
}

export interface NinjaLocation {
  id: number
  name: string
  address?: string
}

export interface NinjaDevice {
  id: number
  uid: string
  organizationId: number
  locationId: number
  nodeClass: string
  approvalStatus: 'PENDING' | 'APPROVED'
  offline: boolean
  displayName?: string
  systemName?: string
  dnsName?: string
  created: number
  lastContact: number
  lastUpdate: number
  ipAddresses?: string[]
  macAddresses?: string[]
  publicIP?: string
  tags?: string[]
  fields?: Record<string, unknown>
  maintenance?: { status: string; start?: number; end?: number }
  parentDeviceId?: number
  os?: Record<string, unknown>
  system?: Record<string, unknown>
  memory?: { capacity: number }
  processors?: Array<{ name: string; numCores: number; numLogicalCores: number }>
  volumes?: Array<{ name: string; driveLetter?: string; capacity: number; freeSpace: number }>
  lastLoggedInUser?: string
}

export interface NinjaPatch {
  id: string
  deviceId: number
  name: string
  kbNumber?: string
  severity: string
  status: 'PENDING' | 'APPROVED' | 'REJECTED' | 'INSTALLED'
  type: string
}

/** No severity: that is on the activity that raised it. */
export interface NinjaAlert {
  uid: string
  deviceId: number
  message: string
  subject: string
  createTime: number
  updateTime: number
  sourceType: string
}

export interface NinjaActivity {
  id: number
  activityTime: number
  deviceId?: number
  activityType: string
  statusCode: string
  severity?: 'NONE' | 'MINOR' | 'MODERATE' | 'MAJOR' | 'CRITICAL'
  priority?: string
  seriesUid?: string
  subject?: string
  message?: string
}
