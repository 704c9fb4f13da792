/** The groups of a platform, and whose they are. */

export type MappingMode = 'inherit' | 'mapped' | 'excluded'

export interface Organization {
  id: string
  externalId: string
  name: string
  parentExternalId: string | null
  path: string
  depth: number
  deviceCount: number
  descendantDeviceCount: number
  /** `by`: a person, or we when the group was linked to the client; null while it inherits. */
  mapping: {
    mode: MappingMode
    clientRef: string | null
    by: 'operator' | 'device-group' | null
    status: 'ok' | 'broken'
  }
  effectiveClientRef: string | null
  autoSync: boolean
  removedAt: string | null
  /** Since when the account does not see it any more, which says nothing about whether it is gone; null: it is seen. */
  outOfSightSince: string | null
}

export interface MappingChange {
  mode?: MappingMode
  clientRef?: string | null
  autoSync?: boolean
}

export interface MappingSuggestion {
  organizationId: string
  clientRef: string
  clientName: string
  /** 0 to 1; 1 is the same name after normalising. */
  score: number
  reason: string
}

export interface Client {
  id: string
  name: string
}
