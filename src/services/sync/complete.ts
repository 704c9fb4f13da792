import { IncompleteError } from '../../errors.ts'
import type { NewEvent } from '../../types.ts'
import type { Move, NormalDevice, NormalOrganization } from '../model/index.ts'
import {
  applyPatchCounts,
  applyReassignment,
  closeAlerts,
  completePass,
  type Db,
  insertRunItems,
  keepUpdates,
  loseSight,
  mergeAlerts,
  mergeOrganizations,
  type Pass,
  placeTree,
  planReassignment,
  rememberMissed,
  removeOrganizations,
  writeProgress
} from '../store/index.ts'
import type { Verdict } from './absence.ts'
import { askingWaitMs } from './asking.ts'
import { addMoves, noChanges } from './changes.ts'
import { tellHost } from './tell-host.ts'
import {
  confirmGone,
  findOrganizations,
  heldItem,
  massMove,
  type Moves,
  needsPerson,
  type Outcome,
  settleMoves,
  unknownOrganizations,
  without
} from './moves.ts'
import type { Normal } from './prepare.ts'
import { count, tellProgress, withProgress } from './progress.ts'
import { leaveOut, removeAndTell } from './read-pages.ts'
import { type Reading, step } from './reading.ts'
import { tellSight } from './sight.ts'

/** Moves that wait for a person end the transaction that would have made them. */
class Waiting extends Error {
  readonly moves: Move[]
  constructor(moves: Move[]) {
    super('moves wait for a person')
    this.moves = moves
  }
}

/**
 * Ends the read of one resource. What was shown counts in any case; what was not shown only where the verdict has no
 * doubt left and nothing waits for a person. Throws what is left open, after everything else was committed.
 */
export async function complete(reading: Reading, pass: Pass, moves: Moves, verdict: Verdict): Promise<void> {
  const groups = reading.state.progress.find(item => item.resource === 'organizations')
  const list = groups === undefined ? 'unread' : groups.complete ? 'read' : 'failed'
  const found = await findOrganizations(reading, unknownOrganizations(moves), list, askingWaitMs)
  const again = await confirmGone(reading, moves, found)
  const doubt = verdict.doubt === null ? null : incomplete(pass, verdict.doubt)
  const { core, attempt, context } = reading
  const { t } = core.database
  try {
    const { open, state } = await step(reading, async trx => {
      const state = withProgress(reading.state, pass.resource, {})
      const out = { state, changes: noChanges(), items: [...verdict.items] }
      const waiting = await writeShown(reading, trx, pass, moves, [...verdict.alive, ...again], found, out)
      const open = waiting.length > 0 ? massMove(waiting) : (doubt ?? verdict.blocked)
      // An alert is closed by a word of its own even where the list was short.
      const events = open === null || pass.resource === 'alerts' ? await conclude(reading, trx, pass, verdict, out) : []
      if (pass.resource === 'organizations') await place(reading, trx, pass, out)
      count(out.state, 'alerts', 'changed', out.changes.alerts.length)
      await tellHost(reading, trx, out, events)
      await insertRunItems(trx, t, { id: attempt.runId, ...context }, out.items)
      if (open === null) {
        out.state = withProgress(out.state, pass.resource, { complete: true, status: 'complete', error: null })
        await completePass(trx, t, attempt, pass, verdict.missed)
      } else if (doubt === null) await rememberMissed(trx, t, pass, verdict.missed)
      await writeProgress(trx, t, attempt, out.state)
      return { open, state: out.state }
    })
    reading.state = state
    if (open !== null) throw open
  } catch (error) {
    if (!(error instanceof Waiting)) throw error
    await tellProgress(reading, pass.resource, {}, error.moves.map(heldItem))
    throw massMove(error.moves)
  }
}

function incomplete({ resource }: Pass, doubt: string): Error {
  return new IncompleteError(
    `The list of ${resource} was not all there is, twice in this run: ${doubt}. Nothing was concluded from what it did not show; the next run reads it again`
  )
}

/** Writes what the pages and single reads have shown and was not written yet; returns the moves that wait for a person. */
async function writeShown(
  reading: Reading,
  trx: Db,
  pass: Pass,
  moves: Moves,
  alive: Normal[],
  found: Awaited<ReturnType<typeof findOrganizations>>,
  out: Outcome
): Promise<Move[]> {
  const { core, context } = reading
  const { t } = core.database
  if (pass.resource === 'devices')
    return await settleMoves(reading, trx, pass, moves, alive as NormalDevice[], found, out)
  if (alive.length > 0 && pass.resource === 'organizations')
    await mergeOrganizations(trx, t, context, alive as NormalOrganization[], pass.notes.server)
  if (alive.length > 0 && pass.resource === 'alerts')
    out.changes.alerts.push(...(await mergeAlerts(trx, t, context, alive as never)))
  return []
}

/** What only a complete read can tell: who is gone or out of sight, which alerts are over, how many patches wait. */
async function conclude(reading: Reading, trx: Db, pass: Pass, verdict: Verdict, out: Outcome): Promise<NewEvent[]> {
  const { core, context } = reading
  const { t } = core.database
  const { resource } = pass
  const { outOfSight, kept } = verdict
  for (const [before, all] of goneByTime(verdict)) {
    const gone = leaveOut(reading, resource, all)
    if (resource === 'alerts') out.changes.alerts.push(...(await closeAlerts(trx, t, context, gone, before)))
    if (resource === 'devices') await removeAndTell(reading, trx, gone, before, out)
    if (resource === 'organizations')
      count(out.state, resource, 'changed', await removeOrganizations(trx, t, context, gone, before))
  }
  if (resource === 'updates' && pass.notes.whole) {
    await keepUpdates(trx, t, context, pass, kept)
    const { changes, first } = await applyPatchCounts(trx, t, context, pass, reading.attempt.runId, reading.skip)
    count(out.state, resource, 'changed', changes.length)
    // The first count of a device that this run has made belongs to its creation: one event. The host has to have it.
    out.changes.deviceEvents.push(...changes.filter(({ device }) => !first.has(device.id)))
    out.changes.devices.push(...changes.filter(({ device }) => device.clientRef !== null))
  }
  if (outOfSight.length === 0) return []
  const lost = await loseSight(
    trx,
    t,
    context,
    { organizations: [], devices: [], [resource]: outOfSight },
    pass.startedAt
  )
  return tellSight(lost, resource, out.items)
}

/** What goes, by the time after which it must not have been seen. */
function goneByTime({ gone, goneBefore, deleted }: Verdict): Array<[Date, string[]]> {
  const told = Map.groupBy(deleted, ([, at]) => at)
  const byTime = [...told].map(([at, ids]): [Date, string[]] => [new Date(at), ids.map(([id]) => id)])
  return gone.length === 0 ? byTime : [[goneBefore, gone], ...byTime]
}

/**
 * Gives every organization its place, and lets the devices follow. Where devices are read next, those of an organization
 * that is gone wait for their own word: they are gone with it, or are elsewhere by now.
 */
async function place(reading: Reading, trx: Db, pass: Pass, out: Outcome): Promise<void> {
  const { core, context, state } = reading
  const { t } = core.database
  const organizations = await placeTree(trx, t, context.connectionId)
  const living = state.progress.some(item => item.resource === 'devices' && !item.complete && item.final !== true)
  const plan = without(
    reading,
    await planReassignment(trx, t, context, { among: { organizations, living }, by: 'platform' })
  )
  const waiting = await needsPerson(reading, trx, pass, plan.moves)
  if (waiting.length > 0) throw new Waiting(waiting)
  const moved = await applyReassignment(trx, t, context, plan)
  count(out.state, 'organizations', 'moved', moved.length)
  addMoves(out.changes, moved)
}
