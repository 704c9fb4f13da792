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
import { mapRecords, ProviderError } from '../define.ts'
import * as values from '../values.ts'
import { readChanges } from './changes.ts'
import { isNumber, type NinjaClient, type NinjaPage, refusal, succeeded } from './client.ts'
import { toAlert, toDevice, toLocation, toOrganization, toUpdate } from './map.ts'

const fieldOf = (raw: unknown, field: string): unknown => (values.isObject(raw) ? raw[field] : null)
const idOf = (raw: unknown, prefix: string): string | null => {
  const id = values.id(fieldOf(raw, 'id'))
  return id ? prefix + id : null
}

interface Location {
  row: unknown
  /** The organization it was listed in. */
  of: string | null
}

/**
 * The locations of these organizations. They come with them; where one tells none in a form that can be read, they are
 * looked for in the list of all locations: what was not told is not gone.
 */
async function locationsOf(client: NinjaClient, rows: unknown[], signal: AbortSignal): Promise<Location[]> {
  const found: Location[] = []
  const untold = new Set<string>()
  for (const row of rows) {
    const of = values.id(fieldOf(row, 'id')) ?? null
    const listed = fieldOf(row, 'locations')
    if (Array.isArray(listed)) found.push(...listed.map(location => ({ row: location, of })))
    else if (of !== null) untold.add(of)
  }
  if (untold.size === 0) return found
  for await (const page of client.rows('/v2/locations', {}, null, signal))
    for (const row of page.rows) {
      const of = values.id(fieldOf(row, 'organizationId')) ?? null
      if (of !== null && untold.has(of)) found.push({ row, of })
    }
  return found
}

/** Organizations and their locations, as one page of ours. */
function organizationPage(
  { observedAt, rows }: NinjaPage,
  locations: Location[],
  checkpoint: Checkpoint | null
): Page<OrganizationRecord> {
  const roots = mapRecords(rows, row => idOf(row, 'org:'), toOrganization)
  const children = mapRecords(
    locations,
    ({ row }) => idOf(row, 'loc:'),
    ({ row, of }, note) => toLocation(row, of, note)
  )
  return {
    observedAt,
    records: [...roots.records, ...children.records],
    rejected: [...roots.rejected, ...children.rejected],
    misread: [...roots.misread, ...children.misread],
    checkpoint
  }
}

const afterOf = (from: Checkpoint | null): string | null => values.text(fieldOf(from, 'after')) ?? null

/** Each page once it is known whether another follows: only the last one says where the next read begins. */
async function* withLast(pages: AsyncIterable<NinjaPage>): AsyncGenerator<{ page: NinjaPage; last: boolean }> {
  let held: NinjaPage | null = null
  for await (const page of pages) {
    if (held !== null) yield { page: held, last: false }
    held = page
  }
  if (held !== null) yield { page: held, last: true }
}

export const organizations: Resource<NinjaClient, OrganizationRecord> = {
  deletes: 'snapshot',
  async *pull(client, from, signal) {
    const pages = client.rows('/v2/organizations-detailed', {}, afterOf(from), signal)
    for await (const { page, last } of withLast(pages))
      yield organizationPage(
        page,
        await locationsOf(client, page.rows, signal),
        last || page.next === null ? null : { after: page.next }
      )
  },
  async fetchOne(client, id, signal) {
    const [kind, number = ''] = id.split(':')
    if (!isNumber(number)) return null
    if (kind !== 'org') {
      const location = await findRow(client, '/v2/locations', number, signal)
      return location === null ? null : toLocation(location, null)
    }
    const organization = await findRow(client, '/v2/organizations-detailed', number, signal)
    return organization === null ? null : toOrganization(organization)
  }
}

/** One row of a list that is sorted by id: what is behind the id before it. */
async function findRow(client: NinjaClient, path: string, id: string, signal: AbortSignal): Promise<unknown> {
  const before = String(Math.max(0, Number(id) - 1))
  for await (const { rows } of client.rows(path, {}, before, signal)) {
    const found = rows.find(row => idOf(row, '') === id)
    if (found !== undefined) return found
    if (rows.some(row => Number(fieldOf(row, 'id')) > Number(id))) return null
  }
  return null
}

function devicePage(
  { observedAt, rows }: Pick<NinjaPage, 'observedAt' | 'rows'>,
  checkpoint: Checkpoint | null
): Page<DeviceRecord> {
  const mapped = mapRecords(
    rows,
    row => idOf(row, ''),
    (row, note) => toDevice(row, observedAt, note)
  )
  return { observedAt, ...mapped, checkpoint }
}

async function readDevice(client: NinjaClient, id: string, signal: AbortSignal): Promise<unknown> {
  return isNumber(id) ? await client.read(`/v2/device/${id}`, signal) : null
}

/**
 * A full read walks the list. Where it ended, `since` is the newest activity from before it began: an incremental read
 * asks what happened since then. Above a few hundred changes the list is cheaper.
 */
export const devices: Resource<NinjaClient, DeviceRecord> = {
  deletes: 'snapshot',
  async *pull(client, from, signal) {
    const since = values.id(fieldOf(from, 'since')) ?? null
    const after = afterOf(from)
    if (since !== null && after === null) {
      const observedAt = new Date()
      const changes = await readChanges(client, since, id => readDevice(client, id, signal), signal)
      if (changes !== null) {
        const page = devicePage({ observedAt, rows: changes.rows }, { since: changes.until })
        yield { ...page, deletedIds: changes.deletedIds }
        return
      }
    }
    const place = after === null ? await newestActivity(client, signal) : since
    for await (const { page, last } of withLast(client.rows('/v2/devices-detailed', {}, after, signal))) {
      const goOn = last || page.next === null ? {} : { after: page.next }
      yield devicePage(page, place === null && last ? null : { ...(place === null ? {} : { since: place }), ...goOn })
    }
  },
  async fetchOne(client, id, signal) {
    const observedAt = new Date()
    const found = await readDevice(client, id, signal)
    return found === null ? null : toDevice(found, observedAt)
  }
}

/** Null where the client may not read activities: every read is a full one then. */
async function newestActivity(client: NinjaClient, signal: AbortSignal): Promise<string | null> {
  try {
    const [newest] = await client.activities({ pageSize: '1' }, signal)
    return newest === undefined ? '0' : (values.id(fieldOf(newest, 'id')) ?? null)
  } catch (error) {
    if (error instanceof ProviderError && error.kind === 'forbidden') return null
    throw error
  }
}

const waiting = ['PENDING', 'APPROVED']

export const updates: Resource<NinjaClient, UpdateRecord> = {
  deletes: 'none',
  async *pull(client, _from, signal) {
    let told = 0
    for (const status of waiting)
      for await (const { observedAt, rows } of client.report('os-patches', { status }, signal)) {
        if (rows.length === 0 && (told > 0 || status !== waiting.at(-1))) continue
        told++
        const id = (row: unknown) => {
          const [device, patch] = [values.id(fieldOf(row, 'deviceId')), values.id(fieldOf(row, 'id'))]
          return device && patch ? `${device}:${patch}` : null
        }
        // Without a place to go on from: the platform forgets its cursors.
        yield { observedAt, ...mapRecords(rows, id, toUpdate), checkpoint: null }
      }
  }
}

/** Pages of activities that are looked through for the severity of alerts. */
const severityPages = 5

/** What raised each of these alerts, as far back as is worth looking. */
async function activitiesOf(
  client: NinjaClient,
  alerts: unknown[],
  signal: AbortSignal
): Promise<Map<string, unknown>> {
  const wanted = new Set(
    alerts.filter(alert => fieldOf(alert, 'severity') == null).map(alert => values.text(fieldOf(alert, 'uid')))
  )
  const found = new Map<string, unknown>()
  let before: string | null = null
  for (let page = 0; page < severityPages && wanted.size > 0; page++) {
    const place: Record<string, string> = before === null ? {} : { olderThan: before }
    const rows = await client.activities({ status: 'TRIGGERED', ...place }, signal)
    if (rows.length === 0) break
    for (const row of rows) {
      const uid = values.text(fieldOf(row, 'seriesUid'))
      if (uid && wanted.delete(uid)) found.set(uid, row)
    }
    const oldest = values.id(fieldOf(rows.at(-1), 'id')) ?? null
    if (oldest === null || oldest === before) break
    before = oldest
  }
  return found
}

async function* pullAlerts(client: NinjaClient, signal: AbortSignal): AsyncGenerator<Page<AlertRecord>> {
  for await (const { observedAt, rows } of client.list('/v2/alerts', {}, signal)) {
    const raised = await activitiesOf(client, rows, signal).catch(error => {
      // Alerts without their severity are better than none.
      if (error instanceof ProviderError && (error.kind === 'forbidden' || error.kind === 'protocol')) return new Map()
      throw error
    })
    const uid = (row: unknown) => values.text(fieldOf(row, 'uid'))
    const map = (row: unknown, note: Note) => toAlert(row, observedAt, raised.get(uid(row) ?? ''), note)
    yield { observedAt, ...mapRecords(rows, uid, map), checkpoint: null }
  }
}

export const alerts: Resource<NinjaClient, AlertRecord> = {
  deletes: 'none',
  pull: (client, _from, signal) => pullAlerts(client, signal),
  // The list has every active alert, and there is no "one alert": what it does not show is over.
  async fetchOne(client, id, signal) {
    for await (const { records } of pullAlerts(client, signal)) {
      const found = records.find(({ externalId }) => externalId === id)
      if (found !== undefined) return found
    }
    return null
  }
}

/** Null: NinjaOne says no more of it than that it is reset. */
export async function resolveAlert(client: NinjaClient, id: string, signal: AbortSignal): Promise<null> {
  const response = await client.send('POST', `/v2/alert/${encodeURIComponent(id)}/reset`, {}, signal)
  if (succeeded(response) || response.status === 404) return null
  if (response.status === 403)
    throw new ProviderError(
      'forbidden',
      'NinjaOne does not let this API client reset alerts. Give it the scope "management" in NinjaOne under Administration → Apps → API'
    )
  throw refusal(response, client.host, 'resetting an alert')
}
