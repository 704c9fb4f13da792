import { ProviderError } from '../define.ts'
import * as values from '../values.ts'
import type { NinjaClient } from './client.ts'

export interface Changes {
  /** Devices as they are now. */
  rows: unknown[]
  deletedIds: string[]
  /** The newest activity that was looked at. */
  until: string
}

/** Above this many changed devices the whole list costs less. */
const mostChanges = 200
/** Pages of activities that are looked through before the whole list is read instead. */
const mostPages = 20
const atOnce = 4

/**
 * What happened to devices since an activity: activities come newest first, so the first one about a device tells its
 * state. Null where reading the whole list is the better way: too much happened, or activities cannot be read.
 */
export async function readChanges(
  client: NinjaClient,
  since: string,
  read: (id: string) => Promise<unknown>,
  signal: AbortSignal
): Promise<Changes | null> {
  const seen = await lookThrough(client, since, signal)
  if (seen === null) return null
  const changed = [...seen.states].filter(([, deleted]) => !deleted).map(([id]) => id)
  if (changed.length > mostChanges) return null
  const deletedIds = [...seen.states].filter(([, deleted]) => deleted).map(([id]) => id)
  const rows: unknown[] = []
  for (let at = 0; at < changed.length; at += atOnce) {
    const portion = changed.slice(at, at + atOnce)
    const found = await Promise.all(portion.map(read))
    // One that is gone by now: its deletion is told by an activity to come.
    rows.push(...found.filter(row => row !== null))
  }
  return { rows, deletedIds, until: seen.until }
}

async function lookThrough(
  client: NinjaClient,
  since: string,
  signal: AbortSignal
): Promise<{ states: Map<string, boolean>; until: string } | null> {
  const states = new Map<string, boolean>()
  let until = since
  let before: string | null = null
  for (let page = 0; page < mostPages; page++) {
    const place: Record<string, string> = before === null ? {} : { olderThan: before }
    const rows = await client.activities({ newerThan: since, ...place }, signal)
    let oldest: string | null = null
    let fresh = 0
    for (const row of rows) {
      const activity = values.of(row)
      const id = activity.id('id')
      if (!id || !isNewer(id, since)) continue
      fresh++
      if (isNewer(id, until)) until = id
      if (oldest === null || isNewer(oldest, id)) oldest = id
      note(states, activity)
    }
    if (fresh === 0) return { states, until }
    if (before !== null && !isNewer(before, oldest!))
      throw new ProviderError(
        'protocol',
        "NinjaOne's activities run in circles. Nothing is changed; the next run reads them again"
      )
    before = oldest
    if (states.size > mostChanges * 2) return null
  }
  return null
}

/** Ids are whole numbers that grow. */
function isNewer(id: string, than: string): boolean {
  const [a, b] = [id, than].map(text => text.padStart(20, '0'))
  return a! > b!
}

function note(states: Map<string, boolean>, activity: values.Reader): void {
  const device = activity.id('deviceId')
  const status = activity.text('statusCode') ?? ''
  if (!device || !status.startsWith('NODE_') || states.has(device)) return
  states.set(device, status === 'NODE_DELETED')
}
