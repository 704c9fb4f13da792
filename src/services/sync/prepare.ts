import { setImmediate as turn } from 'node:timers/promises'
import type {
  AlertRecord,
  Checkpoint,
  DeviceRecord,
  Misread,
  Note,
  OrganizationRecord,
  Page,
  RejectedRecord,
  Resource,
  UpdateRecord,
  Visibility
} from '../../providers/define.ts'
import type { ResourceName, RunItem } from '../../types.ts'
import {
  idText,
  mergeMisread,
  normalizeAlert,
  normalizeAll,
  normalizeDevice,
  normalizeOrganization,
  normalizeUpdate,
  type NormalUpdate,
  shownId,
  type StoredMisread
} from '../model/index.ts'
import type { PageMark } from '../store/index.ts'

export type AnyRecord = OrganizationRecord & DeviceRecord & UpdateRecord & AlertRecord
export type AnyResource = Resource<unknown, AnyRecord>
/** A record after the last gate; which fields it has depends on the resource. */
export interface Normal {
  externalId: string
  observedAt?: Date
}

/** A page ready to be committed: nothing is left to do for it but SQL. */
export interface PreparedPage {
  observedAt: Date
  records: Normal[]
  /** What could not be used, with the reason. */
  items: RunItem[]
  /** Fields that could not be read, one entry each. */
  misread: StoredMisread[]
  mark: PageMark
  /** Records that nobody can tell apart. */
  unidentified: number
  /** There was nothing on it, not even something unusable. */
  isEmpty: boolean
  visibility: Visibility
  server: string | null
  deletedIds: string[]
  checkpoint: Checkpoint | null
}

export const normalizers: Record<ResourceName, (record: AnyRecord, observedAt: Date, note?: Note) => Normal> = {
  organizations: normalizeOrganization,
  devices: normalizeDevice,
  updates: normalizeUpdate,
  alerts: normalizeAlert
}

interface NormalPage {
  records: Normal[]
  items: RunItem[]
  misread: Misread[]
}

export function normalizeRecords(name: ResourceName, records: AnyRecord[], observedAt: Date): NormalPage {
  const { records: normal, rejected, misread } = normalizeAll(records, observedAt, normalizers[name])
  return { records: normal, items: rejected.map(reject => failedItem(name, reject)), misread }
}

function failedItem(resource: ResourceName, { externalId, reason }: RejectedRecord): RunItem {
  return { resource, externalId: shownId(externalId), outcome: 'failed', reason }
}

/** Records between two turns: about half a millisecond. */
const sliceSize = 25

/**
 * In slices, with `turns` for the database's answers in between: otherwise reading ahead and committing would wait
 * for each other instead of overlapping.
 */
async function normalizeSlices(page: Page<AnyRecord>, name: ResourceName, turns: boolean): Promise<NormalPage> {
  const byId = new Map<string, Normal>()
  const items: RunItem[] = []
  const misread: Misread[] = []
  for (let at = 0; at < page.records.length; at += sliceSize) {
    const slice = normalizeRecords(name, page.records.slice(at, at + sliceSize), page.observedAt)
    for (const record of slice.records) byId.set(record.externalId, record)
    items.push(...slice.items)
    misread.push(...slice.misread)
    if (turns) await turn()
  }
  return { records: [...byId.values()], items, misread }
}

async function preparePage(page: Page<AnyRecord>, name: ResourceName, turns: boolean): Promise<PreparedPage> {
  const { records, items, misread } = await normalizeSlices(page, name, turns)
  items.unshift(...(page.rejected ?? []).map(reject => failedItem(name, reject)))
  const unidentified = items.filter(({ externalId }) => externalId === null).length
  const deleted = (page.deletedIds ?? []).map(externalId => ({ externalId, text: idText(externalId) }))
  for (const { externalId, text } of deleted)
    if (text === null) items.push(failedItem(name, { externalId, reason: 'said to be deleted, under what is no id' }))
  const seen = records.map(record => record.externalId)
  const mark =
    name === 'updates'
      ? {
          observedAt: page.observedAt,
          seen,
          refs: (records as unknown as NormalUpdate[]).map(record => record.deviceExternalId)
        }
      : // A record that could not be mapped was seen all the same: it must not look removed.
        { observedAt: page.observedAt, seen: [...seen, ...items.flatMap(({ externalId }) => externalId ?? [])] }
  return {
    observedAt: page.observedAt,
    records,
    items,
    misread: mergeMisread([...(page.misread ?? []), ...misread]),
    mark,
    unidentified,
    isEmpty: records.length + items.length + deleted.length === 0,
    visibility: page.visibility ?? 'all',
    server: page.server ?? null,
    deletedIds: deleted.flatMap(({ text }) => text ?? []),
    checkpoint: page.checkpoint ?? null
  }
}

/** Prepares pages as they arrive: while the database is busy with the last ones, this is what the process does. */
export async function* preparePages(
  pages: AsyncIterable<Page<AnyRecord>>,
  name: ResourceName,
  turns: boolean
): AsyncGenerator<PreparedPage> {
  for await (const page of pages) yield await preparePage(page, name, turns)
}

/**
 * A platform may show a record on two pages while it moves; the later observation counts, and of equal ones the later
 * page.
 */
export function newestOf(pages: PreparedPage[]): Normal[] {
  const newest = new Map<string, Normal>()
  for (const { records } of pages) {
    for (const record of records) {
      const other = newest.get(record.externalId)
      if (other?.observedAt === undefined || record.observedAt === undefined || other.observedAt <= record.observedAt)
        newest.set(record.externalId, record)
    }
  }
  return [...newest.values()]
}
