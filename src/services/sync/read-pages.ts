import { ProviderError, type RecordId } from '../../providers/define.ts'
import type { ResourceName, RunTotals } from '../../types.ts'
import { publishPage } from '../diagnostics.ts'
import { mergeMisread, type Missed } from '../model/index.ts'
import {
  type Beginning,
  beginPass,
  closeAlerts,
  type Db,
  insertRunItems,
  knownRevisions,
  markPages,
  mergeAlerts,
  mergeOrganizations,
  type MovingDevice,
  noteMisread,
  type PageProgress,
  type Pass,
  type PassNotes,
  placeTree,
  removeDevices,
  stillThere,
  writePatches
} from '../store/index.ts'
import { type Changes, noChanges } from './changes.ts'
import { tellHost } from './tell-host.ts'
import { pagesOf } from './pages.ts'
import { type Moves, movesOf, type Outcome, writeDevices } from './moves.ts'
import { newestOf, type Normal, type PreparedPage, preparePages } from './prepare.ts'
import { count, withProgress } from './progress.ts'
import { readAhead } from './read-ahead.ts'
import { type Reading, step } from './reading.ts'

/** Reads one resource to the end of its list, a batch of pages a transaction. */
export async function readPages(
  reading: Reading,
  name: ResourceName,
  moves: Moves,
  beginning: Beginning = { from: reading.ownOnly ? 'own' : 'any' }
): Promise<Pass> {
  const { core, attempt, provider, client, signal } = reading
  const pass = await beginPass(core.database, attempt, name, reading.mode, core.now(), reading.state, beginning)
  const known =
    name === 'devices'
      ? (ids: RecordId[]) => knownRevisions(core.database, reading.context.connectionId, ids)
      : undefined
  let taken = false
  try {
    for await (const batch of readAhead(
      preparePages(
        pagesOf({ provider, client, name, known, signal, clock: core.clock }, pass.checkpoint),
        name,
        !core.database.inThread
      ),
      core.settings.batchRecords,
      signal
    )) {
      taken = true
      await commitBatch(reading, pass, batch, moves)
      reading.heartbeat()
    }
    return pass
  } catch (error) {
    // The platform no longer takes the place where an earlier attempt stopped: from the beginning, once.
    const refused = error instanceof ProviderError && error.kind === 'gone'
    if (beginning.from === 'start' || taken || pass.checkpoint === null || !refused) throw error
    return await readPages(reading, name, moves, { from: 'start' })
  }
}

/** A second read of a doubted list is further than any first. */
const secondRead = 1_000_000

function advance(state: PageProgress, pass: Pass, pages: number, processed: number): PageProgress {
  const so = state.progress.find(item => item.resource === pass.resource)
  const place = pass.pages + pages + (pass.doubtedId === null ? 0 : secondRead)
  return withProgress(state, pass.resource, {
    pages: (so?.pages ?? 0) + pages,
    processed: (so?.processed ?? 0) + processed,
    furthest: Math.max(so?.furthest ?? 0, place)
  })
}

async function commitBatch(reading: Reading, pass: Pass, pages: PreparedPage[], moves: Moves): Promise<void> {
  const { core, attempt, context } = reading
  const { t } = core.database
  const unusable = pages.flatMap(page => page.items)
  const misread = mergeMisread(pages.flatMap(page => page.misread))
  const processed = pages.reduce((sum, page) => sum + page.records.length, unusable.length)
  const notes = noteOf(pass, pages)
  const missed = stillMissed(pass.missed, pages)
  const last = pages.at(-1)!.checkpoint
  const how = movesOf(moves)
  const began = performance.now()
  const { state, moving } = await step(reading, async trx => {
    const state = advance(reading.state, pass, pages.length, processed)
    state.totals.failed += unusable.length
    count(state, pass.resource, 'failed', unusable.length)
    const changes = noChanges()
    const items = [...unusable]
    const out = { state, changes, items }
    const moving = await merge(reading, trx, pass.resource, newestOf(pages), { ...out, how, server: notes.server })
    notes.deleted = await takeDeleted(reading, trx, pass, pages, out)
    count(state, 'alerts', 'changed', changes.alerts.length)
    await tellHost(reading, trx, out)
    await insertRunItems(trx, t, { id: attempt.runId, ...context }, items)
    await noteMisread(trx, t, { id: attempt.runId, ...context }, pass.resource, misread)
    const quiet = changes.devices.length + changes.deviceEvents.length + changes.alerts.length === 0
    // What was set aside is only here: an attempt that dies has to read it again.
    const checkpoint = how === 'later' && moves.devices.size + moving.length > 0 ? null : last
    const marks = pages.map(page => page.mark)
    await markPages(trx, t, attempt, pass, marks, { checkpoint, notes, missed }, state, quiet)
    return { state, moving }
  })
  tellPage(reading, pass, pages.length, processed, state.totals, performance.now() - began)
  setAside(moves, moving, how)
  reading.state = state
  pass.pages += pages.length
  pass.checkpoint = last
  pass.notes = notes
  pass.missed = missed
}

function setAside(moves: Moves, moving: MovingDevice[], how: 'later' | 'never'): void {
  if (how === 'later') for (const one of moving) moves.devices.set(one.externalId, one)
  else if (moving.length > 0) moves.spilled = true
}

function noteOf({ notes, pages: before }: Pass, pages: PreparedPage[]): PassNotes {
  const last = pages.at(-1)!
  return {
    ...notes,
    unidentified: pages.reduce((sum, page) => sum + page.unidentified, notes.unidentified),
    endedEmpty: last.isEmpty && before + pages.length > 1,
    partial: notes.partial || pages.some(page => page.visibility === 'partial'),
    server: last.server ?? notes.server
  }
}

/** A record that is shown again has not been missed by every read in a row. */
function stillMissed(missed: Missed, pages: PreparedPage[]): Missed {
  if (missed.size === 0) return missed
  const shown = pages.flatMap(page => page.mark.seen).filter(id => missed.has(id))
  if (shown.length === 0) return missed
  const left = new Map(missed)
  for (const id of shown) left.delete(id)
  return left
}

function tellPage(
  reading: Reading,
  pass: Pass,
  pages: number,
  records: number,
  totals: RunTotals,
  durationMs: number
): void {
  publishPage(() => {
    const before = reading.state.totals
    const outcomes = Object.fromEntries(
      Object.entries(totals).map(([outcome, count]) => [
        outcome,
        (count ?? 0) - (before[outcome as keyof RunTotals] ?? 0)
      ])
    ) as unknown as RunTotals
    const { tenantId, connectionId, provider } = reading.context
    const { runId } = reading.attempt
    return { runId, tenantId, connectionId, provider, resource: pass.resource, pages, records, outcomes, durationMs }
  })
}

/** Writes records of one resource; returns the devices that would leave their client. */
export async function merge(
  reading: Reading,
  trx: Db,
  name: ResourceName,
  all: Normal[],
  { how, server, ...out }: Outcome & { how: 'later' | 'never'; server: string | null }
): Promise<MovingDevice[]> {
  const { core, context } = reading
  const { t } = core.database
  const kept = new Set(
    leaveOut(
      reading,
      name,
      all.map(({ externalId }) => externalId)
    )
  )
  const records = all.filter(({ externalId }) => kept.has(externalId))
  if (records.length === 0) return []
  if (name === 'devices') return await writeDevices(reading, trx, records as never, how, out)
  if (name === 'organizations') {
    const { created, updated, older } = await mergeOrganizations(trx, t, context, records as never, server)
    count(out.state, name, 'changed', created + updated)
    count(out.state, name, 'older', older)
    // What changed for others waits for the end of the list, as do the devices: a parent that is on a later page must
    // not make them look as if they had left their client.
    await placeTree(trx, t, context.connectionId, { onlyNew: true })
  } else if (name === 'alerts') {
    const counted = { older: 0 }
    out.changes.alerts.push(...(await mergeAlerts(trx, t, context, records as never, counted)))
    count(out.state, name, 'older', counted.older)
  } else await writePatches(trx, t, context, records as never)
  return []
}

/**
 * Deletes that the platform itself reports. Those of devices and organizations are kept until the list has come to its
 * end: only then it is known how many they are. Returns what is kept now.
 */
async function takeDeleted(
  reading: Reading,
  trx: Db,
  { resource, notes }: Pass,
  pages: PreparedPage[],
  { changes }: Pick<Outcome, 'changes'>
): Promise<PassNotes['deleted']> {
  const { core, context } = reading
  const { t } = core.database
  if (resource === 'alerts')
    for (const { deletedIds, observedAt } of pages)
      if (deletedIds.length > 0) changes.alerts.push(...(await closeAlerts(trx, t, context, deletedIds, observedAt)))
  if (resource !== 'devices' && resource !== 'organizations') return []
  const seen = new Set(notes.deleted.length === 0 ? [] : pages.flatMap(page => page.mark.seen))
  const kept = new Map(notes.deleted.filter(([id]) => !seen.has(id)))
  const told = new Map(
    pages.flatMap(({ deletedIds, observedAt }) => deletedIds.map(id => [id, observedAt.toISOString()]))
  )
  const living = told.size === 0 ? [] : await stillThere(trx, t, context.connectionId, resource, [...told.keys()])
  for (const id of living) kept.set(id, told.get(id)!)
  return [...kept]
}

export async function removeAndTell(
  { core, context }: Reading,
  trx: Db,
  ids: string[],
  before: Date,
  { state, changes }: { state: PageProgress; changes: Changes }
): Promise<void> {
  const removed = await removeDevices(trx, core.database.t, context, ids, before)
  state.totals.removed += removed.length
  changes.deviceEvents.push(...removed)
  changes.devices.push(...removed.filter(({ device }) => device.clientRef !== null))
}

const entities = { organizations: 'organization', devices: 'device', alerts: 'alert' } as const

/** What the run does not leave alone. */
export function leaveOut({ skip }: Reading, name: ResourceName, ids: string[]): string[] {
  if (skip === undefined || name === 'updates') return ids
  return ids.filter(id => !skip.has(entities[name], id))
}
