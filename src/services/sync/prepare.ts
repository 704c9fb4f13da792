import { setImmediate as turn } from 'node:timers/promises'
import type {
  AlertRecord,
  Checkpoint,
  DeviceRecord,
  OrganizationRecord,
  Page,
  Resource,
  UpdateRecord
} from '../../providers/define.ts'
import type { ResourceName, RunItem } from '../../types.ts'
import {
  clean,
  normalizeAlert,
  normalizeAll,
  normalizeDevice,
  normalizeOrganization,
  normalizeUpdate,
  type NormalUpdate
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
  mark: PageMark
  deletedIds: string[]
  checkpoint: Checkpoint | null
}

const normalizers: Record<ResourceName, (record: AnyRecord, observedAt: Date) => Normal> = {
  organizations: normalizeOrganization,
  devices: normalizeDevice,
  updates: normalizeUpdate,
  alerts: normalizeAlert
}

export function normalizeRecords(
  name: ResourceName,
  records: AnyRecord[],
  observedAt: Date
): { records: Normal[]; items: RunItem[] } {
  const { records: normal, rejected } = normalizeAll(records, observedAt, normalizers[name])
  return {
    records: normal,
    items: rejected.map(({ externalId, reason }) => ({ resource: name, externalId, outcome: 'failed', reason }))
  }
}

/** Throws on what a provider must never hand over, so that one wrong page is not committed half. */
function checkPage(page: Page<AnyRecord>, resource: AnyResource): void {
  if (!(page?.observedAt instanceof Date) || Number.isNaN(page.observedAt.getTime()))
    throw new TypeError('a page needs observedAt, the Date read before its request')
  if (!Array.isArray(page.records)) throw new TypeError('a page needs records')
  if (page.deletedIds !== undefined && resource.deletes !== 'explicit')
    throw new TypeError("deletedIds need a resource with deletes: 'explicit'")
}

/** Records between two turns: about half a millisecond. */
const sliceSize = 25

/**
 * In slices, with `turns` for the database's answers in between: otherwise reading ahead and committing would wait
 * for each other instead of overlapping.
 */
async function normalizeSlices(
  page: Page<AnyRecord>,
  name: ResourceName,
  turns: boolean
): Promise<{ records: Normal[]; items: RunItem[] }> {
  const byId = new Map<string, Normal>()
  const items: RunItem[] = []
  for (let at = 0; at < page.records.length; at += sliceSize) {
    const slice = normalizeRecords(name, page.records.slice(at, at + sliceSize), page.observedAt)
    for (const record of slice.records) byId.set(record.externalId, record)
    items.push(...slice.items)
    if (turns) await turn()
  }
  return { records: [...byId.values()], items }
}

async function preparePage(
  page: Page<AnyRecord>,
  resource: AnyResource,
  name: ResourceName,
  turns: boolean
): Promise<PreparedPage> {
  checkPage(page, resource)
  const { records, items } = await normalizeSlices(page, name, turns)
  items.unshift(
    ...(page.rejected ?? []).map(
      ({ externalId, reason }): RunItem => ({ resource: name, externalId, outcome: 'failed', reason })
    )
  )
  const seen = records.map(record => record.externalId)
  const mark =
    name === 'updates'
      ? {
          observedAt: page.observedAt,
          seen,
          refs: (records as unknown as NormalUpdate[]).map(record => record.deviceExternalId)
        }
      : // A record that could not be mapped was seen all the same: it must not look removed.
        {
          observedAt: page.observedAt,
          seen: [...seen, ...items.flatMap(({ externalId }) => (externalId === null ? [] : clean(externalId)))]
        }
  return {
    observedAt: page.observedAt,
    records,
    items,
    mark,
    deletedIds: page.deletedIds ?? [],
    checkpoint: page.checkpoint ?? null
  }
}

/** Prepares pages as they arrive: while the database is busy with the last ones, this is what the process does. */
export async function* preparePages(
  pages: AsyncIterable<Page<AnyRecord>>,
  resource: AnyResource,
  name: ResourceName,
  turns: boolean
): AsyncGenerator<PreparedPage> {
  for await (const page of pages) yield await preparePage(page, resource, name, turns)
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
