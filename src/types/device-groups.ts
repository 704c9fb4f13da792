/** Groups on a platform for the host's clients. */

export interface DeviceGroupResult {
  clientRef: string
  clientName: string
  /** The group's name, as it is or would be after this; null where there is none. */
  groupName: string | null
  /** The group's name where there is one, else the client's. */
  name: string
  groupId: string | null
  outcome: 'created' | 'linked' | 'existing' | 'renamed' | 'conflict' | 'failed'
  error?: string
}

export interface DeviceGroupSync {
  success: boolean
  message: string
  totalClients: number
  created: number
  linked: number
  existing: number
  renamed: number
  conflicts: number
  failed: number
  results: DeviceGroupResult[]
}

export interface DeviceGroupEnsured {
  success: boolean
  clientRef: string
  name: string
  groupId: string
  created: boolean
  linked: boolean
  message: string
}

export interface DeviceGroupStatus {
  success: boolean
  /** `stored`: the platform did not answer, and this is what is known from before. */
  source: 'platform' | 'stored'
  /** Why the platform was not asked or did not answer. */
  message: string | null
  totalClients: number
  needsSync: number
  clients: Array<{
    clientRef: string
    clientName: string
    /** The client's name. */
    name: string
    hasGroup: boolean
    groupId: string | null
    groupName: string | null
    groupExists: boolean
    setupComplete: boolean
    linkedDevices: number
    needsSync: boolean
    drift: string | null
  }>
  /** Groups that are held by clients which the directory no longer knows. */
  orphans: Array<{ groupId: string; groupName: string; clientRef: string; reason: string }>
}
