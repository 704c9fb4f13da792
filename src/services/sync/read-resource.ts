import { MassRemovalError, ProviderRecordError } from '../../errors.ts'
import { ProviderError, type RecordId, type RmmProvider } from '../../providers/define.ts'
import type { ResourceName, RunItem, SyncMode, RunTotals } from '../../types.ts'
import { count, tellProgress, withProgress } from './progress.ts'
import { addMoves, applyChanges, type Changes, noChanges } from './changes.ts'
import type { Core } from '../core.ts'
import { publishPage } from '../diagnostics.ts'
import { type AnyResource, newestOf, type Normal, normalizers, type PreparedPage, preparePages } from './prepare.ts'
import { mergeMisread } from '../model/index.ts'
import { pagesOf } from './pages.ts'
import { readAhead } from './read-ahead.ts'
import { readOne, type SingleName } from './read-one.ts'
import {
  applyPatchCounts,
  type Attempt,
  beginPass,
  closeAlerts,
  completePass,
  type Db,
  type DeviceMerge,
  holdRun,
  insertRunItems,
  knownRevisions,
  markPages,
  mergeAlerts,
  type MergeContext,
  mergeDevices,
  mergeOrganizations,
  noteMisread,
  type PageProgress,
  type Pass,
  placeTree,
  reassignDevices,
  removeDevices,
  removeOrganizations,
  unseen,
  unseenAlerts,
  writeProgress
} from '../store/index.ts'

/** One attempt at one run, while it reads. */
export interface Reading {
  core: Core
  attempt: Attempt
  context: MergeContext
  provider: RmmProvider
  client: unknown
  signal: AbortSignal
  mode: SyncMode
  force: boolean
  state: PageProgress
  heartbeat(): void
}

/** Above both, a removal needs a person. */
const brakeRows = 10
const brakeShare = 0.2
/**
 * As many vanished records are asked for one by one before they are believed; a longer list has only itself for a
 * witness.
 */
const confirmAtMost = 25
/** Open alerts asked for in one run; what is left is asked for in the next. */
const confirmAlertsAtMost = 200

/** Seen inside a page's transaction, which is rolled back by it. */
class Cancelled extends Error {
  readonly cancelled = true
}

/**
 * Reads one resource to its end: pages, then what only a complete read can tell. Throws where the read was not
 * complete.
 */
export async function readResource(reading: Reading, name: ResourceName): Promise<void> {
  const resource = reading.provider.resources[name] as AnyResource
  reading.state = withProgress(reading.state, name, { status: 'reading', error: null })
  try {
    const pass = await readPages(reading, resource, name)
    await complete(reading, resource, pass)
  } catch (error) {
    if (!(error instanceof ProviderError && error.kind === 'not_in_plan')) throw error
    // The account's plan lacks it: said in the run's items, the rest of the run goes on.
    const { message } = error
    const items: RunItem[] = [{ resource: name, externalId: null, outcome: 'skipped', reason: message }]
    await tellProgress(reading, name, { status: 'skipped', error: { code: 'RMM_ERR_NOT_IN_PLAN', message } }, items)
  }
}

async function readPages(reading: Reading, resource: AnyResource, name: ResourceName, fresh = false): Promise<Pass> {
  const { core, attempt, provider, client, signal } = reading
  const pass = await beginPass(core.database, attempt, name, reading.mode, core.now(), reading.state, fresh)
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
      await commitBatch(reading, pass, batch)
      reading.heartbeat()
    }
    return pass
  } catch (error) {
    // The platform no longer takes the place where an earlier attempt stopped: from the beginning, once.
    const refused = error instanceof ProviderError && error.kind === 'gone'
    if (fresh || taken || pass.checkpoint === null || !refused) throw error
    return await readPages(reading, resource, name, true)
  }
}

function advance(state: PageProgress, name: ResourceName, pages: number, processed: number): PageProgress {
  const so = state.progress.find(item => item.resource === name)
  return withProgress(state, name, { pages: (so?.pages ?? 0) + pages, processed: (so?.processed ?? 0) + processed })
}

async function commitBatch(reading: Reading, pass: Pass, pages: PreparedPage[]): Promise<void> {
  const { core, attempt, context } = reading
  const { t } = core.database
  const items = pages.flatMap(page => page.items)
  const misread = mergeMisread(pages.flatMap(page => page.misread))
  const processed = pages.reduce((sum, page) => sum + page.records.length, items.length)
  const state = advance(reading.state, pass.resource, pages.length, processed)
  state.totals.failed += items.length
  count(state, pass.resource, 'failed', items.length)
  const began = performance.now()
  await core.database.transaction(async trx => {
    if ((await holdRun(trx, t, attempt)).cancelled) throw new Cancelled('the run was cancelled')
    const changes = await merge(reading, trx, pass.resource, newestOf(pages), state, items)
    await removeDeleted(reading, trx, pass.resource, pages, state, changes)
    count(state, 'alerts', 'changed', changes.alerts.length)
    await insertRunItems(trx, t, { id: attempt.runId, ...context }, items)
    await noteMisread(trx, t, { id: attempt.runId, ...context }, pass.resource, misread)
    await applyChanges(core, trx, context, changes)
    const quiet = changes.devices.length + changes.deviceEvents.length + changes.alerts.length === 0
    await markPages(
      trx,
      t,
      attempt,
      pass,
      pages.map(page => page.mark),
      pages.at(-1)!.checkpoint,
      state,
      quiet
    )
  })
  publishPage(() => {
    const outcomes = Object.fromEntries(
      Object.entries(state.totals).map(([outcome, count]) => [
        outcome,
        count - reading.state.totals[outcome as keyof RunTotals]
      ])
    ) as unknown as RunTotals
    const { tenantId, connectionId, provider } = context
    return {
      runId: attempt.runId,
      tenantId,
      connectionId,
      provider,
      resource: pass.resource,
      pages: pages.length,
      records: processed,
      outcomes,
      durationMs: performance.now() - began
    }
  })
  reading.state = state
  pass.pages += pages.length
}

async function merge(
  reading: Reading,
  trx: Db,
  name: ResourceName,
  records: Normal[],
  state: PageProgress,
  items: RunItem[]
): Promise<Changes> {
  const { t } = reading.core.database
  const changes = noChanges()
  if (records.length === 0) return changes
  if (name === 'organizations') {
    const { created, updated, older } = await mergeOrganizations(trx, t, reading.context, records as never)
    count(state, name, 'changed', created + updated)
    count(state, name, 'older', older)
    // The devices wait for the end of the list: a parent that is on a later page must not make them look as if they
    // had left their client.
    await placeTree(trx, t, reading.context.connectionId)
  } else if (name === 'devices') {
    const merged = await mergeDevices(trx, t, reading.context, records as never, {
      forHost: reading.core.onChanges !== undefined
    })
    changes.devices = merged.changes
    changes.deviceEvents = merged.events
    for (const outcome of merged.outcomes.values()) state.totals[outcome]++
    count(state, name, 'older', merged.older)
    countUnmapped(state, merged)
    items.push(
      ...merged.held.map(
        ({ externalId, reason }): RunItem => ({ resource: 'devices', externalId, outcome: 'held', reason })
      )
    )
  } else if (name === 'alerts') {
    const counted = { older: 0 }
    changes.alerts = await mergeAlerts(trx, t, reading.context, records as never, counted)
    count(state, name, 'older', counted.older)
  }
  return changes
}

/** The totals count them as unmapped only; the summary tells what is new about them. */
function countUnmapped(state: PageProgress, { events, outcomes }: DeviceMerge): void {
  const unmapped = events.filter(({ device }) => outcomes.get(device.externalId) === 'unmapped')
  const appeared = unmapped.filter(({ change }) => change === 'created').length
  count(state, 'devices', 'appeared', appeared)
  count(state, 'devices', 'altered', unmapped.length - appeared)
}

/** Deletes that the platform itself reports, page by page. */
async function removeDeleted(
  reading: Reading,
  trx: Db,
  name: ResourceName,
  pages: PreparedPage[],
  state: PageProgress,
  changes: Changes
): Promise<void> {
  const {
    core: {
      database: { t }
    },
    context
  } = reading
  for (const page of pages) {
    if (page.deletedIds.length === 0) continue
    if (name === 'devices') await removeAndTell(trx, reading, page.deletedIds, page.observedAt, state, changes)
    if (name === 'organizations') {
      const removed = await removeOrganizations(trx, t, context, page.deletedIds, page.observedAt)
      count(state, name, 'changed', removed)
    }
    if (name === 'alerts')
      changes.alerts = [...changes.alerts, ...(await closeAlerts(trx, t, context, page.deletedIds, page.observedAt))]
  }
}

async function removeAndTell(
  trx: Db,
  { core, context }: Reading,
  ids: string[],
  before: Date,
  state: PageProgress,
  changes: Changes
): Promise<void> {
  const removed = await removeDevices(trx, core.database.t, context, ids, before)
  state.totals.removed += removed.length
  changes.deviceEvents = [...changes.deviceEvents, ...removed]
  changes.devices = [...changes.devices, ...removed.filter(({ device }) => device.clientRef !== null)]
}

/** What only a complete read can tell: who is gone, which alerts are over, how many patches wait. */
async function complete(reading: Reading, resource: AnyResource, pass: Pass): Promise<void> {
  const { core, attempt, context } = reading
  const { t } = core.database
  const snapshot =
    resource.deletes === 'snapshot' &&
    pass.mode === 'full' &&
    (pass.resource === 'organizations' || pass.resource === 'devices')
  const vanished = snapshot ? await findVanished(reading, resource, pass) : none
  // A list of what changed says nothing about the rest: without a question to the platform only a full one closes an
  // alert.
  const telling = pass.resource === 'alerts' && (pass.mode === 'full' || resource.fetchOne !== undefined)
  const closed = telling
    ? await confirm(
        reading,
        resource,
        'alerts',
        await unseenAlerts(core.database, context.connectionId, pass),
        confirmAlertsAtMost
      )
    : none
  const state = withProgress(reading.state, pass.resource, { complete: true, status: 'complete', error: null })
  const items: RunItem[] = [...vanished.unsure, ...closed.unsure]
  await core.database.transaction(async trx => {
    if ((await holdRun(trx, t, attempt)).cancelled) throw new Cancelled('the run was cancelled')
    const alive = [...vanished.alive, ...closed.alive]
    const changes = await merge(reading, trx, pass.resource, alive, state, items)
    if (pass.resource === 'devices' && vanished.gone.length > 0)
      await removeAndTell(trx, reading, vanished.gone, vanished.askedAt, state, changes)
    if (pass.resource === 'organizations') {
      if (vanished.gone.length > 0) {
        const removed = await removeOrganizations(trx, t, context, vanished.gone, vanished.askedAt)
        count(state, 'organizations', 'changed', removed)
      }
      await placeTree(trx, t, context.connectionId)
      const moves = await reassignDevices(trx, t, context)
      count(state, 'organizations', 'moved', moves.length)
      addMoves(changes, moves)
    }
    if (closed.gone.length > 0)
      changes.alerts = [...changes.alerts, ...(await closeAlerts(trx, t, context, closed.gone, closed.askedAt))]
    if (pass.resource === 'updates') await countPatches(trx, reading, pass, state, changes)
    count(state, 'alerts', 'changed', changes.alerts.length)
    await insertRunItems(trx, t, { id: attempt.runId, ...context }, items)
    await applyChanges(core, trx, context, changes)
    await completePass(trx, t, attempt, pass)
    await writeProgress(trx, t, attempt, state)
  })
  reading.state = state
}

async function countPatches(
  trx: Db,
  { core, context, attempt }: Reading,
  pass: Pass,
  state: PageProgress,
  changes: Changes
): Promise<void> {
  const counted = await applyPatchCounts(trx, core.database.t, context, pass, attempt.runId)
  count(state, 'updates', 'changed', counted.changes.length)
  // The first count of a device that this run has made belongs to its creation: one event. The host has to have it.
  changes.deviceEvents = counted.changes.filter(({ device }) => !counted.first.has(device.id))
  changes.devices = counted.changes.filter(({ device }) => device.clientRef !== null)
}

interface Confirmed {
  gone: string[]
  /** Missing from the list, but the platform still has them: the list was short, not they. */
  alive: Normal[]
  unsure: RunItem[]
  askedAt: Date
}
const none: Confirmed = { gone: [], alive: [], unsure: [], askedAt: new Date(0) }

async function findVanished(reading: Reading, resource: AnyResource, pass: Pass): Promise<Confirmed> {
  const { core, context } = reading
  const { known, seen, gone } = await unseen(
    core.database,
    context.connectionId,
    pass,
    pass.resource as 'organizations' | 'devices'
  )
  if (gone.length === 0) return none
  const tooMany = (gone.length > brakeRows && gone.length > known * brakeShare) || seen === 0
  if (tooMany && !reading.force) {
    throw new MassRemovalError(
      `${gone.length} of ${known} ${pass.resource} would be removed because the platform no longer lists them; if that is right, confirm it by starting a sync with force: true`
    )
  }
  return gone.length <= confirmAtMost
    ? await confirm(reading, resource, pass.resource as SingleName, gone, confirmAtMost)
    : { ...none, gone, askedAt: pass.startedAt }
}

/** Asks the platform for each record that a complete list did not show. */
async function confirm(
  reading: Reading,
  resource: AnyResource,
  name: SingleName,
  ids: string[],
  limit: number
): Promise<Confirmed> {
  const askedAt = reading.core.now()
  const confirmed: Confirmed = { gone: [], alive: [], unsure: [], askedAt }
  for (const externalId of ids.slice(0, limit)) {
    reading.signal.throwIfAborted()
    const record = resource.fetchOne === undefined ? null : await ask(reading, name, externalId, confirmed)
    if (record === null) confirmed.gone.push(externalId)
    else if (record !== undefined) confirmed.alive.push(record)
    reading.heartbeat()
  }
  return confirmed
}

/** Undefined where the platform would not say, or what it said cannot be used: then nothing is concluded. */
async function ask(
  reading: Reading,
  name: SingleName,
  externalId: string,
  confirmed: Confirmed
): Promise<Normal | null | undefined> {
  try {
    const record = await readOne(reading, name, externalId, confirmed.askedAt, reading.signal)
    return record === null ? null : normalizers[name](record, confirmed.askedAt)
  } catch (error) {
    const refused = error instanceof ProviderError && (error.kind === 'forbidden' || error.kind === 'not_in_plan')
    if (!refused && !(error instanceof ProviderRecordError)) throw error
    const why = refused ? 'the platform does not say whether it is gone' : 'it is there'
    confirmed.unsure.push({
      resource: name,
      externalId,
      outcome: 'ambiguous',
      reason: `not in the list any more, but ${why}: ${(error as Error).message}`
    })
    return undefined
  }
}
