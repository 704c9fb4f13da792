/**
 * The records of the fake Level server, in the platform's own words. Only `id` is sure to be there and every other
 * value may be missing, null or of a new kind, so tests may store anything the platform might send.
 */

export interface LevelGroup {
  id: string
  name: string
  /** Null = a root group. */
  parent_id: string | null
  /** The group's own custom field values by field id; shown on single reads only. */
  custom_fields?: Record<string, string | null>
}

export interface LevelDevice {
  id: string
  hostname?: unknown
  nickname?: string | null
  /** Null = ungrouped. */
  group_id?: string | null
  /** Tag names, not ids. */
  tags?: unknown
  online?: boolean
  /** ISO 8601 UTC. */
  last_seen_at?: string | null
  [field: string]: unknown
}

export interface LevelAlert {
  id: string
  device_id: string
  device_hostname?: string | null
  name: string
  description?: string | null
  payload?: string | null
  severity: string
  is_resolved: boolean
  /** ISO 8601 UTC. */
  started_at: string
  resolved_at: string | null
  [field: string]: unknown
}

export interface LevelUpdate {
  id: string
  device_id: string
  name?: string | null
  category?: string | null
  is_available: boolean
  installed_on?: string | null
  [field: string]: unknown
}

export interface LevelTag {
  id: string
  name: string
}
export interface LevelCustomField {
  id: string
  name: string
  reference: string
  admin_only: boolean
}
/** `assigned_to_id` null = account-wide. */
export interface LevelCustomFieldValue {
  custom_field_id: string
  assigned_to_id: string | null
  value: string | null
}
export interface LevelAutomation {
  id: string
  name: string
  description: string | null
  group_id: string | null
}
export interface LevelAutomationRun {
  id: string
  automation_id: string
  device_id: string | null
  status: string
  [field: string]: unknown
}

/** A list whose records may be made on demand. `at` gives a fresh, equal record for every index below `count`. */
export interface Source<T> {
  count: number
  at(index: number): T
  /** -1 where the id is not of this source. */
  indexOf(id: string): number
  /** `at(index).group_id` without making the whole record. */
  groupIdOf?(index: number): string | null
}

/** What an account holds at the start; a plain array will do for everything. */
export interface LevelWorld {
  groups?: Source<LevelGroup> | LevelGroup[]
  devices?: Source<LevelDevice> | LevelDevice[]
  alerts?: Source<LevelAlert> | LevelAlert[]
  updates?: Source<LevelUpdate> | LevelUpdate[]
  tags?: LevelTag[]
  customFields?: LevelCustomField[]
  customFieldValues?: LevelCustomFieldValue[]
  automations?: LevelAutomation[]
}

/** Level API: observed ids are base64 of a `gid://level/…` string; padded ones need encoding in a path. */
export function levelId(type: string, number: number): string {
  return Buffer.from(`gid://level/${type}/${number}`).toString('base64')
}

/** The number in an id made by `levelId`, or -1. */
export function levelNumber(type: string, id: string): number {
  const match = /^gid:\/\/level\/(\w+)\/(\d+)$/.exec(Buffer.from(id, 'base64').toString())
  return match?.[1] === type && levelId(type, Number(match[2])) === id ? Number(match[2]) : -1
}
