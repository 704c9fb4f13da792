import type { AlertSeverity, DeviceKind, ResourceName } from '../words.ts'

/**
 * What providers hand over: pages of records in our terms. A field has three answers. A value; `null`: the platform
 * told that there is none; missing or `undefined`: the platform did not tell, and what is stored stays. What a null
 * may do to a stored value is said once, in `nullErases`.
 */

/** Opaque JSON that a resource resumes from. The engine stores it, only the provider reads it. */
export type Checkpoint = string | number | boolean | { [key: string]: Checkpoint | null } | Array<Checkpoint | null>

/**
 * A platform's own id. Numbers (whole and exact) and bigints are stored as text, in records, rejects, hints,
 * `deletedIds` and references alike: 4711 and "4711" are the same id, and `fetchOne` is asked with the text.
 */
export type RecordId = string | number | bigint

/** A record that could not be mapped to our model. It becomes one `run_item`; the rest of its page lands. */
export interface RejectedRecord {
  /** Null where not even the id can be told: then nobody knows which record is missing. */
  externalId: RecordId | null
  reason: string
}

/** A field that the platform told in a form that cannot be read: taken as not told, and said once per run. */
export interface Misread {
  /** The platform's own name of it. */
  field: string
  /** Records it was told in so. */
  count: number
  /** One of the values, shortened. */
  example: string
  /** The record that the example is of. */
  externalId?: RecordId | null | undefined
}

/** Notes that a field came in a form that cannot be read. */
export type Note = (field: string, value: unknown) => void

/** Whether an account sees everything there is, or only what it was given rights to. */
export type Visibility = 'all' | 'partial'

export interface Page<R> {
  /** Clock read *before* the request that produced this page; decides which of two writes is newer. */
  observedAt: Date
  records: R[]
  rejected?: RejectedRecord[] | undefined
  /** Fields that could not be read, as `mapRecords` gathers them. */
  misread?: Misread[] | undefined
  /** Ids the platform itself says are gone: the list of what it shows need not be complete for that. */
  deletedIds?: RecordId[] | undefined
  /**
   * `partial`: the account does not see everything, so that what this list does not show may be out of its sight.
   * Absence then removes and moves nothing, only `deletedIds` do. One such page makes the whole read partial.
   * Default `all`.
   */
  visibility?: Visibility | undefined
  /**
   * Identifies the installation the records are of, where the platform has such an id: what is gone with another one is
   * no loss. Read with organizations.
   */
  server?: string | null | undefined
  /** Committed together with the records; absent or null = start over next time. */
  checkpoint?: Checkpoint | null | undefined
}

/**
 * What `inventory.revision` is stored for each of these devices, by the id as text; those that are new, removed or
 * without inventory are missing.
 */
export type KnownRevisions = (externalIds: RecordId[]) => Promise<Map<string, string>>

export interface Resource<Client, R> {
  /**
   * How removal is told. `snapshot`: what a full read does not show is asked for with `fetchOne`, or has to be missing
   * from two complete reads in a row, and is tombstoned then; `deletedIds` are believed as well. `explicit`: only
   * `deletedIds`; `none`: never. An empty last page after one that had records is taken for a list that broke off.
   */
  deletes: 'snapshot' | 'explicit' | 'none'
  /**
   * Reads page by page. Returning means "that was everything", throwing means "incomplete". `known` comes with
   * devices, for providers that mark their inventory; ask it once per page. Without it everything is read.
   */
  pull(client: Client, from: Checkpoint | null, signal: AbortSignal, known?: KnownRevisions): AsyncIterable<Page<R>>
  /**
   * One record, or null where the platform does not know it (any more). Anything thrown that is no `ProviderError`
   * means that the record is there and cannot be mapped: it becomes an item with that sentence, like a reject of
   * `pull`.
   */
  fetchOne?(client: Client, externalId: string, signal: AbortSignal): Promise<R | null>
}

/** A platform's organization: Level group, MeshCentral device group. */
export interface OrganizationRecord {
  externalId: RecordId
  name: string
  /** Null: it is a root. */
  parentExternalId?: RecordId | null | undefined
  deviceCount?: number | null | undefined
  descendantDeviceCount?: number | null | undefined
}

/** A network adapter of a device, as the platform tells it. */
export interface NetworkInterface {
  /** Its name in the operating system: `Ethernet 2`, `eth0`, `vEthernet (LAN)`. */
  name?: string | null | undefined
  /** What its driver calls it: `Intel(R) Ethernet Connection I219-LM`, `WireGuard Tunnel`. */
  description?: string | null | undefined
  macAddress?: string | null | undefined
  /** IPv4 and IPv6; prefix lengths (`/24`) and zones (`%4`) are cut off. */
  addresses?: readonly string[] | null | undefined
  /** The gateway's address, or whether it has one. */
  gateway?: string | boolean | null | undefined
  /** False where it is known to be down: its addresses do not count. */
  up?: boolean | null | undefined
}

/** What a device tells about itself. */
export interface DeviceFacts {
  /** Default: made from `kind`. */
  assetType?: 'workstation' | 'server' | null | undefined
  /** What it is, where that is more than a workstation or server. Default: `assetType`. */
  kind?: DeviceKind | null | undefined
  hostname?: string | null | undefined
  /** As the platform tells it: fillers such as "To be filled by O.E.M." are left out for all providers alike. */
  serialNumber?: string | null | undefined
  manufacturer?: string | null | undefined
  /** Fillers are left out. */
  model?: string | null | undefined
  /** What else the platform tells of these, best first: counts where the field itself is missing or a filler. */
  alternatives?: { serialNumber?: string[]; manufacturer?: string[]; model?: string[] } | null | undefined
  osType?: string | null | undefined
  osVersion?: string | null | undefined
  /** One in the future counts as not told; one that differs by two minutes or less is the same. */
  lastRebootAt?: Date | null | undefined
  /** Null: nobody is logged in. */
  currentUser?: string | null | undefined
  /** Null erases only where other addresses of the device are told. Give `interfaces` instead where there are some. */
  lanIp?: string | null | undefined
  wanIp?: string | null | undefined
  /** Any spelling. What identifies no machine is left out: local, virtual, multicast and docks' addresses. */
  macAddresses?: string[] | null | undefined
  /** Where told, LAN and MAC addresses are chosen from them by one rule for all providers. */
  interfaces?: NetworkInterface[] | null | undefined
  cpuModel?: string | null | undefined
  cpuCores?: number | null | undefined
  /** 0 counts as not told. */
  ramBytes?: number | null | undefined
  /** `freeBytes` is volatile: it is stored with the heartbeat. Those of 0 bytes are left out. */
  volumes?: Array<{ name: string; totalBytes: number | null; freeBytes: number | null }> | null | undefined
  antivirus?: { provider: string | null; status: string | null } | null | undefined
  location?: string | null | undefined
  /** An empty list and null: none. */
  tags?: string[] | null | undefined
  /** Null: it is not in maintenance. */
  maintenanceMode?: boolean | null | undefined
  /** Platform facts without a column of their own; JSON, stable key order not required. */
  details?: Record<string, unknown> | null | undefined
}

/**
 * What a null does to a stored value. It erases where the field can end in the life of a device, and says nothing
 * where it cannot: a serial number that is told no more is still the serial number. An empty list of MAC addresses
 * or volumes and 0 bytes of memory are such a null; an empty list of tags is one that erases. `lanIp` erases only
 * beside other addresses of the device: a platform that lost sight of all of them lost sight of that one, too.
 */
export const nullErases = {
  assetType: false,
  kind: false,
  hostname: false,
  serialNumber: false,
  manufacturer: false,
  model: false,
  osType: false,
  osVersion: false,
  lastRebootAt: false,
  currentUser: true,
  lanIp: true,
  wanIp: false,
  macAddresses: false,
  cpuModel: false,
  cpuCores: false,
  ramBytes: false,
  volumes: false,
  antivirus: false,
  location: false,
  tags: true,
  maintenanceMode: true,
  details: false
} as const satisfies Record<keyof Omit<DeviceFacts, 'interfaces' | 'alternatives'>, boolean>

/**
 * Facts that cost requests of their own, such as hardware. A field told here is told here only: the record's own
 * fields are read every time.
 */
export interface DeviceInventory {
  /** Opaque mark of the state the facts were read at. The same mark means the same facts. */
  revision: string
  /** Null where they were not read, because `revision` is the known one: what is stored stays. */
  facts: DeviceFacts | null
}

/** A device in our terms. Volatile values are kept apart and never count as a change of the device. */
export interface DeviceRecord extends DeviceFacts {
  externalId: RecordId
  displayName: string
  /** Null: it is in no organization. What is neither an id nor null is not told: the device stays where it is. */
  organizationExternalId?: RecordId | null | undefined
  /** Only for platforms where some facts are too expensive to be read with every list. */
  inventory?: DeviceInventory | null | undefined
  /** Volatile. */
  online?: boolean | null | undefined
  /** Volatile. One in the future is read as now. */
  lastSeenAt?: Date | null | undefined
  /** Volatile. */
  uptimeSeconds?: number | null | undefined
}

/** An update that waits for a device. It counts either way; what it is called is shown with the device. */
export interface UpdateRecord {
  externalId: RecordId
  deviceExternalId: RecordId
  title?: string | null | undefined
  /** Number of Microsoft's article about it, e.g. `KB5068861`. */
  kb?: string | null | undefined
  /** The platform's own word. */
  severity?: string | null | undefined
  /** The platform's own word. */
  category?: string | null | undefined
  publishedAt?: Date | null | undefined
}

export interface AlertRecord {
  externalId: RecordId
  /** Null: it is about no device. A stored one stays either way. */
  deviceExternalId?: RecordId | null | undefined
  name: string
  description?: string | null | undefined
  severity: AlertSeverity
  /** The platform's own word. */
  providerSeverity?: string | null | undefined
  status: 'active' | 'resolved'
  startedAt: Date
  resolvedAt?: Date | null | undefined
  details?: Record<string, unknown> | null | undefined
  /**
   * The platform did not tell the alert's id: `externalId` stands for device and condition. Such an alert is never
   * asked for on the platform; it ends with a resolved event, by hand, or by becoming the platform's own alert of the
   * same device and name.
   */
  derived?: boolean | undefined
}

/** "Look at this again": never data to write, always a reason to read. */
export interface Hint {
  /** One that the provider has. */
  resource: ResourceName
  externalId: RecordId
  /** `heartbeat`: the platform pushed an online/offline change. */
  kind?: 'changed' | 'deleted' | 'heartbeat'
}
