import { MassMoveError } from '../../errors.ts'
import type { RunItem } from '../../types.ts'
import {
  isMassive,
  type Move,
  type NormalDevice,
  type NormalOrganization,
  sampleSize,
  tellMove
} from '../model/index.ts'
import {
  applyReassignment,
  type Db,
  type DeviceMerge,
  knownOrganizations,
  mappedDevices,
  mergeDevices,
  mergeOrganizations,
  type MovingDevice,
  type PageProgress,
  type Pass,
  placeTree,
  planReassignment,
  type Reassignment
} from '../store/index.ts'
import { ask, askingWaitMs, noWords } from './asking.ts'
import { addMoves, type Changes } from './changes.ts'
import { count } from './progress.ts'
import type { Reading, Source } from './reading.ts'

/**
 * Devices that leave their client because of what a list says. They are set aside until the list has come to its end:
 * only then it is known how many they are, and a person may have to confirm it.
 */
export interface Moves {
  devices: Map<string, MovingDevice>
  /** There are more than are kept here: they are written as they come, and left with their client. */
  spilled: boolean
}

export const noMoves = (): Moves => ({ devices: new Map(), spilled: false })

/** Records set aside at most; each is a few kilobytes. */
const keepAtMost = 2_000

/** What a page does with devices that leave their client. */
export function movesOf({ devices, spilled }: Moves): 'later' | 'never' {
  return spilled || devices.size > keepAtMost ? 'never' : 'later'
}

/** What is known now of organizations that devices name and no list has shown. */
export interface Found {
  organizations: NormalOrganization[]
  /** The platform says that these are not there; null where it cannot be asked. */
  gone: ReadonlySet<string> | null
  /** Devices in one of those that have not repeated it since. */
  unconfirmed?: ReadonlySet<string>
}

/** Unknown organizations are asked for, at most so many in one read, and their parents up to so many levels. */
const organizationsAtMost = 25
const levelsAtMost = 10

/**
 * An organization that nobody has listed is asked for before a device loses its client over it. `list`: their list
 * has just been read to its end, or could not be, or nobody wanted it. Where it could not be, that the platform does not
 * know the organization is not believed either.
 */
export async function findOrganizations(
  source: Source,
  named: Iterable<string>,
  list: 'read' | 'failed' | 'unread',
  waitMs = 0
): Promise<Found> {
  const { core, context, provider } = source
  const resource = provider.resources.organizations
  if (resource?.fetchOne === undefined)
    return { organizations: [], gone: resource === undefined || list === 'read' ? null : new Set() }
  const words = noWords(waitMs)
  const organizations: NormalOrganization[] = []
  let level = [...new Set(named)].slice(0, organizationsAtMost)
  for (let n = 0; n < levelsAtMost && level.length > 0; n++) {
    await ask(source, 'organizations', level, words)
    const alive = level.flatMap(id => (words.alive.get(id) as NormalOrganization | undefined) ?? [])
    organizations.push(...alive)
    const parents = alive.flatMap(({ parentExternalId }) => parentExternalId ?? [])
    const known = await knownOrganizations(core.database, context.connectionId, parents)
    level = parents.filter(id => !known.has(id) && !words.alive.has(id))
  }
  return { organizations, gone: list === 'failed' ? new Set() : words.gone }
}

/**
 * A device in an organization that is gone by now may have been moved before it went, after its own page was read: it is
 * asked for again. Returns what those say that were asked.
 */
export async function confirmGone(reading: Reading, { devices }: Moves, found: Found): Promise<NormalDevice[]> {
  if (found.gone === null || reading.provider.resources.devices?.fetchOne === undefined) return []
  const { gone } = found
  const ids = [...devices.values()].flatMap(({ externalId, organization, organizationKnown }) =>
    !organizationKnown && organization !== null && gone.has(organization) ? externalId : []
  )
  const words = noWords(askingWaitMs)
  await ask(reading, 'devices', ids.slice(0, sampleSize), words)
  found.unconfirmed = new Set(ids.filter(id => !words.alive.has(id)))
  return [...words.alive.values()] as NormalDevice[]
}

/** Organizations that were asked for get their row and their place. */
export async function writeFound(
  { core, context }: Pick<Source, 'core' | 'context'>,
  trx: Db,
  { organizations }: Found
): Promise<void> {
  if (organizations.length === 0) return
  const { t } = core.database
  await mergeOrganizations(trx, t, context, organizations)
  const only = new Set(organizations.map(({ externalId }) => externalId))
  await placeTree(trx, t, context.connectionId, { only })
}

export function unknownOrganizations({ devices }: Moves): string[] {
  return [...devices.values()].flatMap(({ organization, organizationKnown }) =>
    organization === null || organizationKnown ? [] : organization
  )
}

/** What a step of the run writes beside rows. */
export interface Outcome {
  state: PageProgress
  changes: Changes
  items: RunItem[]
}

/**
 * Moves the devices that were set aside, together with others that single reads have told, or lets all of them stay:
 * then it returns what waits for a person. Everything else that the records tell is written either way.
 */
export async function settleMoves(
  reading: Reading,
  trx: Db,
  pass: Pass,
  { devices, spilled }: Moves,
  told: NormalDevice[],
  found: Found,
  out: Outcome
): Promise<Move[]> {
  const { core, context } = reading
  const { t } = core.database
  await writeFound(reading, trx, found)
  const records = new Map([...devices.values()].map(({ record }) => [record.externalId, record]))
  for (const record of told) records.set(record.externalId, record)
  const moving = await writeDevices(reading, trx, [...records.values()], 'later', out)
  const [unclear, clear] = partition(moving, one => isUnclear(one, found))
  const rest = spilled
    ? without(reading, await planReassignment(trx, t, context, { among: { pass }, by: 'platform' }))
    : { devices: [], moves: [] }
  const waiting = await needsPerson(reading, trx, pass, [...clear, ...rest.moves])
  await writeDevices(reading, trx, recordsOf(unclear), 'never', out)
  out.items.push(...unclear.map(tellUnclear))
  if (waiting.length > 0) {
    await writeDevices(reading, trx, recordsOf(clear), 'never', out)
    out.items.push(...waiting.map(heldItem))
  } else {
    await writeDevices(reading, trx, recordsOf(clear), 'now', out)
    addMoves(out.changes, await applyReassignment(trx, t, context, rest))
  }
  return waiting
}

/** It is in an organization that nobody has shown, and that the platform does not say to be gone, or said it before. */
export function isUnclear(
  { externalId, organization, organizationKnown }: MovingDevice,
  { gone, unconfirmed }: Found
): boolean {
  if (organizationKnown || organization === null || gone === null) return false
  return !gone.has(organization) || unconfirmed?.has(externalId) === true
}

const recordsOf = (moving: MovingDevice[]): NormalDevice[] => moving.map(({ record }) => record)

/** Of what follows from organizations, what the run does not leave alone. */
export function without({ skip }: Reading, { devices, moves }: Reassignment): Reassignment {
  if (skip === undefined) return { devices, moves }
  return {
    devices: devices.filter(({ row }) => !skip.has('device', row.external_id)),
    moves: moves.filter(({ externalId }) => !skip.has('device', externalId))
  }
}

/** The moves, if they are too many to be made without a person's word. */
export async function needsPerson(reading: Reading, trx: Db, pass: Pass, moves: Move[]): Promise<Move[]> {
  const { core, context, force } = reading
  if (force || moves.length === 0) return []
  const mapped = await mappedDevices(trx, core.database.t, context.connectionId, pass)
  return isMassive(moves.length, mapped) ? moves : []
}

export function heldItem(move: Move): RunItem {
  return { resource: 'devices', externalId: move.externalId, outcome: 'held', reason: tellMove(move) }
}

function tellUnclear({ externalId, organization }: MovingDevice): RunItem {
  return {
    resource: 'devices',
    externalId,
    outcome: 'ambiguous',
    reason: `it is in the organization ${organization}, which no list has shown and the platform does not tell anything about; it stays with its client`
  }
}

export function massMove(moves: Move[]): Error {
  return new MassMoveError(
    `${moves.length} devices would leave their client because of what the platform says, and none was moved; the items of this run name them. If that is right, confirm it by starting a sync with force: true`
  )
}

/** Writes records of devices, a batch at a time; returns those that would leave their client and were not moved. */
export async function writeDevices(
  { core, context, skip }: Reading,
  trx: Db,
  given: NormalDevice[],
  moves: 'now' | 'later' | 'never',
  { state, changes, items }: Outcome
): Promise<MovingDevice[]> {
  const records = skip === undefined ? given : given.filter(({ externalId }) => !skip.has('device', externalId))
  const moving: MovingDevice[] = []
  const size = core.settings.batchRecords
  for (let at = 0; at < records.length; at += size) {
    const batch = records.slice(at, at + size)
    const forHost = core.onChanges !== undefined
    const merged = await mergeDevices(trx, core.database.t, context, batch, { forHost, moves })
    changes.devices.push(...merged.changes)
    changes.deviceEvents.push(...merged.events)
    for (const outcome of merged.outcomes.values()) state.totals[outcome]++
    count(state, 'devices', 'older', merged.older)
    countUnmapped(state, merged)
    items.push(
      ...merged.held.map(
        ({ externalId, reason }): RunItem => ({ resource: 'devices', externalId, outcome: 'held', reason })
      )
    )
    moving.push(...merged.moving)
  }
  return moving
}

/** The totals count them as unmapped only; the summary tells what is new about them. */
function countUnmapped(state: PageProgress, { events, outcomes }: DeviceMerge): void {
  const unmapped = events.filter(({ device }) => outcomes.get(device.externalId) === 'unmapped')
  const appeared = unmapped.filter(({ change }) => change === 'created').length
  count(state, 'devices', 'appeared', appeared)
  count(state, 'devices', 'altered', unmapped.length - appeared)
}

function partition<T>(items: T[], test: (item: T) => boolean): [T[], T[]] {
  return [items.filter(test), items.filter(item => !test(item))]
}
