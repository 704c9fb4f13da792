import type { Source } from './types.ts'

/** Changes laid over a source. Positions never shift, so a cursor stays good while records come and go. */
export interface Collection<T extends { id: string }> {
  /** Records that exist now. */
  readonly size: number
  get(id: string): T | undefined
  has(id: string): boolean
  /** Replaces the record or appends it. */
  set(record: T): void
  /** False where there was nothing to delete. */
  delete(id: string): boolean
  /** Where the id is or was in the list, -1 for an id that was never there. */
  positionOf(id: string): number
  records(): Generator<T>
  ids(): Generator<string>
  page(query: PageQuery<T>): { data: T[]; has_more: boolean }
  /** Group of every existing record, made without the records where the source can. */
  groupIds(): Generator<string | null>
}

export interface PageQuery<T> {
  limit: number
  /** Position after which to read forwards; -1 = from the start. */
  after?: number | undefined
  /** Position before which to read backwards; wins over `after`. */
  before?: number | undefined
  where?: ((record: T) => boolean) | undefined
}

export function sourceOf<T extends { id: string }>(records: Source<T> | T[]): Source<T> {
  if (!Array.isArray(records)) return records
  const indexes = new Map(records.map((record, index) => [record.id, index]))
  return { count: records.length, at: index => records[index]!, indexOf: id => indexes.get(id) ?? -1 }
}

export function collection<T extends { id: string; group_id?: string | null }>(source: Source<T>): Collection<T> {
  const changed = new Map<string, T | null>()
  const changedAt = new Map<number, string>()
  const appended: string[] = []
  const appendedAt = new Map<string, number>()
  let size = source.count

  const positionOf = (id: string) => {
    const index = source.indexOf(id)
    return index >= 0 ? index : (appendedAt.get(id) ?? -1)
  }
  const at = (position: number): T | null => {
    const id = position < source.count ? changedAt.get(position) : appended[position - source.count]
    return id === undefined ? source.at(position) : (changed.get(id) ?? null)
  }
  const get = (id: string) => {
    const position = positionOf(id)
    return position < 0 ? undefined : (at(position) ?? undefined)
  }
  const put = (id: string, record: T | null) => {
    changed.set(id, record)
    const index = source.indexOf(id)
    if (index >= 0) changedAt.set(index, id)
  }
  const end = () => source.count + appended.length

  function* records() {
    for (let position = 0; position < end(); position++) {
      const record = at(position)
      if (record) yield record
    }
  }

  return {
    get size() {
      return size
    },
    get,
    has: id => get(id) !== undefined,
    positionOf,
    records,
    *ids() {
      for (const record of records()) yield record.id
    },
    set(record) {
      if (positionOf(record.id) < 0) {
        appendedAt.set(record.id, end())
        appended.push(record.id)
        size++
      } else if (!get(record.id)) size++
      put(record.id, record)
    },
    delete(id) {
      if (!get(id)) return false
      put(id, null)
      size--
      return true
    },
    page({ limit, after = -1, before, where }) {
      const step = before === undefined ? 1 : -1
      const data: T[] = []
      // One record more than asked for tells whether there is a next page.
      for (
        let position = before === undefined ? after + 1 : before - 1;
        position >= 0 && position < end() && data.length <= limit;
        position += step
      ) {
        const record = at(position)
        if (record && (!where || where(record))) data.push(record)
      }
      const has_more = data.length > limit
      if (has_more) data.pop()
      return { data: step === 1 ? data : data.reverse(), has_more }
    },
    *groupIds() {
      for (let position = 0; position < end(); position++) {
        if (source.groupIdOf && position < source.count && !changedAt.has(position)) yield source.groupIdOf(position)
        else {
          const record = at(position)
          if (record) yield record.group_id ?? null
        }
      }
    }
  }
}
