import { mapRecords } from '../define.ts'
import type {
  AlertRecord,
  Checkpoint,
  DeviceRecord,
  Note,
  OrganizationRecord,
  Page,
  Resource,
  UpdateRecord
} from '../define.ts'
import type { LevelClient, ListName, ListPage } from './client.ts'
import { isObject } from '../values.ts'
import { toAlert, toDevice, toOrganization, toUpdate } from './map/index.ts'

/**
 * Level's lists as resources. Level sorts by no documented order and has no "changed since": every read is a full
 * walk.
 */

/**
 * All of it comes with the list, so no device has to be read one by one. `disk_partitions` is undocumented, in use,
 * and free.
 */
const includes = Object.fromEntries(
  [
    'operating_system',
    'cpus',
    'memory',
    'disks',
    'disk_partitions',
    'network_interfaces',
    'motherboard',
    'security'
  ].map(name => [`include_${name}`, 'true'])
)

type Map<R> = (raw: unknown, observedAt: Date, note?: Note) => R

function toPage<R>(page: ListPage, map: Map<R>, checkpoint: Checkpoint | null): Page<R> {
  const { observedAt, rows } = page
  return {
    observedAt,
    ...mapRecords(
      rows,
      raw => (isObject(raw) ? raw['id'] : null),
      (raw, note) => map(raw, observedAt, note)
    ),
    checkpoint
  }
}

/** Where a checkpoint says to go on; null for none, or for one that is not ours. */
function cursorOf(from: Checkpoint | null): string | null {
  const after = isObject(from) ? from['after'] : null
  return typeof after === 'string' && after !== '' ? after : null
}

async function* pullList<R>(
  client: LevelClient,
  name: ListName,
  query: Record<string, string>,
  map: Map<R>,
  from: Checkpoint | null,
  signal: AbortSignal
): AsyncIterable<Page<R>> {
  for await (const page of client.list(name, query, cursorOf(from), signal)) {
    yield toPage(page, map, page.next === null ? null : { after: page.next })
  }
}

async function readOne<R>(
  client: LevelClient,
  name: ListName,
  id: string,
  query: Record<string, string>,
  map: Map<R>,
  signal: AbortSignal
): Promise<R | null> {
  const found = await client.read(name, id, query, signal)
  // What cannot be mapped throws its sentence, and is thereby rejected like a record of a list.
  return found && map(found.row, found.observedAt)
}

export const organizations: Resource<LevelClient, OrganizationRecord> = {
  deletes: 'snapshot',
  pull: (client, from, signal) =>
    pullList(client, 'groups', {}, (raw, _, note) => toOrganization(raw, note), from, signal),
  fetchOne: (client, id, signal) => readOne(client, 'groups', id, {}, raw => toOrganization(raw), signal)
}

export const devices: Resource<LevelClient, DeviceRecord> = {
  deletes: 'snapshot',
  pull: (client, from, signal) => pullList(client, 'devices', includes, toDevice, from, signal),
  fetchOne: (client, id, signal) => readOne(client, 'devices', id, includes, toDevice, signal)
}

export const updates: Resource<LevelClient, UpdateRecord> = {
  deletes: 'none',
  async *pull(client, from, signal) {
    let told = 0
    for await (const page of client.list('updates', { status: 'available' }, cursorOf(from), signal)) {
      // Level has ignored a filter before: what says that it is not available does not count as pending.
      const rows = page.rows.filter(row => !isObject(row) || row['is_available'] !== false)
      // A page of which nothing is left is no sign that the list was cut, as an empty one from Level would be.
      if (rows.length === 0 && page.rows.length > 0 && told > 0) continue
      told++
      yield toPage(
        { ...page, rows },
        (raw, _, note) => toUpdate(raw, note),
        page.next === null ? null : { after: page.next }
      )
    }
  }
}

/** Marks an alert known only from a webhook that did not tell Level's id for it. */
export const conditionPrefix = 'condition:'
const isCondition = (id: string) => id.startsWith(conditionPrefix)

/**
 * Active alerts completely, then the newest pages of the resolved ones. Level keeps resolved alerts for an unknown time
 * and cannot be asked for recent ones, hence the bound of `resolvedPages`.
 */
export function alerts(resolvedPages: number): Resource<LevelClient, AlertRecord> {
  return {
    deletes: 'none',
    async *pull(client, from, signal) {
      const resume = isObject(from) && from['phase'] === 'resolved' ? 'resolved' : 'active'
      if (resume === 'active') {
        for await (const page of client.list('alerts', { status: 'active' }, cursorOf(from), signal)) {
          const next =
            page.next !== null ? { phase: 'active', after: page.next } : { phase: 'resolved', after: null, pages: 0 }
          yield toPage(page, toAlert, page.next === null && resolvedPages === 0 ? null : next)
        }
      }
      if (resolvedPages === 0) return
      let pages = resume === 'resolved' && isObject(from) ? Number(from['pages']) || 0 : 0
      for await (const page of client.list(
        'alerts',
        { status: 'resolved' },
        resume === 'resolved' ? cursorOf(from) : null,
        signal
      )) {
        // Nobody has resolved anything yet: no sign that the list of the active ones was cut.
        if (page.rows.length === 0 && pages === 0) return
        const last = page.next === null || ++pages >= resolvedPages
        yield toPage(page, toAlert, last ? null : { phase: 'resolved', after: page.next, pages })
        if (last) return
      }
    },
    fetchOne: async (client, id, signal) =>
      isCondition(id) ? null : await readOne(client, 'alerts', id, {}, toAlert, signal)
  }
}

/**
 * Resolves on Level. Null where Level does not know the alert, or never told its id. A read-only key is `forbidden`.
 */
export async function resolveAlert(client: LevelClient, id: string, signal: AbortSignal): Promise<AlertRecord | null> {
  if (isCondition(id)) return null
  const response = await client.resolve(id, signal)
  if (!response) return null
  try {
    const alert = toAlert(response.json(), new Date())
    if (alert.externalId === id && alert.status === 'resolved') return alert
  } catch {} // Level may answer with an empty body
  return await readOne(client, 'alerts', id, {}, toAlert, signal)
}
