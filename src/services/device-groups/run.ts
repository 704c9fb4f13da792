import { randomUUID } from 'node:crypto'
import { type DeviceGroup, type DeviceGroups, ProviderError, type ProviderErrorKind } from '../../providers/define.ts'
import type { Client, DeviceGroupResult, NewEvent } from '../../types.ts'
import { addMoves, applyChanges, contextOf, noChanges } from '../sync/index.ts'
import type { Core } from '../core.ts'
import { describe, type GroupStep, inTheWayOf, marker, markOf, storable, unmarked } from '../model/index.ts'
import {
  type ConnectionRow,
  holdConnection,
  markMissing,
  type NewActivity,
  type NewLink,
  placementsOf,
  placeTree,
  reassignDevices,
  writeActivity,
  writeLinks
} from '../store/index.ts'

/** Requests under way at once; a platform tells every session about every new group, so more is not faster. */
const inFlight = 8
/** Links stored in one transaction: a run that dies repeats at most these, and finds them by their marks. */
const chunkSize = 40

/** A plan and the open session it is carried out in. */
export interface GroupSession {
  row: ConnectionRow
  groups: DeviceGroups<unknown>
  client: unknown
  signal: AbortSignal
  server: string | null
  steps: GroupStep[]
  rename: boolean
  /** After this no step is begun any more. */
  deadline: number
}

export interface StepResult {
  result: DeviceGroupResult
  link?: NewLink
  cause?: unknown
}

/** Failures that concern every client: the next step would only fail again. */
const general: readonly ProviderErrorKind[] = ['auth', 'unreachable', 'rate_limited']

/**
 * Works through the steps on the platform and stores what was done, some at a time. Throws only where the database or
 * the host does.
 */
export async function execute(core: Core, session: GroupSession, steps: GroupStep[]): Promise<StepResult[]> {
  const { row, rename } = session
  const results = steps
    .filter(step => !writes(step, rename))
    .map((step): StepResult => ({ result: foresee(step, rename) }))
  const missing = steps.flatMap(step =>
    step.kind === 'missing' && step.link.missingSince === null ? step.client.id : []
  )
  const seen = steps.flatMap(step =>
    step.kind === 'existing' && step.link.missingSince !== null ? step.client.id : []
  )
  await markMissing(core.database, row.id, missing, seen, core.now())
  const { ready: busy, stuck } = await clearTheWay(
    session,
    steps.filter(step => writes(step, rename))
  )
  results.push(...stuck)
  let ended: string | null = null
  for (let at = 0; at < busy.length; at += chunkSize) {
    const done = await pooled(busy.slice(at, at + chunkSize), async step => {
      if (ended === null && Date.now() >= session.deadline)
        ended = 'not reached in the time there is for one call; call again to go on'
      if (ended !== null) return notReached(step, ended)
      const performed = await perform(session, step)
      if (
        session.signal.aborted ||
        (performed.cause instanceof ProviderError && general.includes(performed.cause.kind))
      )
        ended ??= `not reached: ${performed.result.error ?? 'the platform did not answer in time'}`
      return performed
    })
    await store(core, session, done)
    results.push(...done)
  }
  const order = new Map(steps.map((step, n) => [step.client.id, n]))
  return results.sort((a, b) => order.get(a.result.clientRef)! - order.get(b.result.clientRef)!)
}

/**
 * Names that groups exchange are left first: each of those groups is called something of its own until all have theirs.
 * A crash in between leaves it so called, and the next call goes on. Where one cannot leave its name, nothing is renamed
 * onto it.
 */
async function clearTheWay(
  session: GroupSession,
  steps: GroupStep[]
): Promise<{ ready: GroupStep[]; stuck: StepResult[] }> {
  const renames = steps.flatMap(step => {
    const to = newName(step, session.rename)
    return step.kind === 'existing' && to !== null ? [{ group: step.group, to }] : []
  })
  const leaving = inTheWayOf(renames)
  const failed = new Map<string, unknown>()
  await pooled(leaving, async ({ id, name }) => {
    const between = session.groups.sanitizeName(`(${id.slice(-6)}) ${name}`)
    await session.groups.rename(session.client, id, { name: between }, session.signal).catch(cause => {
      failed.set(id, cause)
    })
  })
  if (failed.size === 0) return { ready: steps, stuck: [] }
  // Whose way is not clear waits, and so does whoever waits for that.
  const stuck = steps.filter(step => newName(step, session.rename) !== null)
  const [cause] = failed.values()
  return {
    ready: steps.filter(step => !stuck.includes(step)),
    stuck: stuck.map(step => ({
      ...notReached(step, `names could not be exchanged: ${(cause as Error).message}`),
      cause
    }))
  }
}

async function store(core: Core, { row }: GroupSession, done: StepResult[], more: NewActivity[] = []): Promise<void> {
  const { database } = core
  const links = done.flatMap(({ link }) => link ?? [])
  if (links.length === 0) return
  const context = contextOf(core, row, { cause: 'mapping', runId: randomUUID() })
  await database.transaction(async trx => {
    await holdConnection(trx, database.t, row.id)
    const before = await placementsOf(trx, database.t, row.id)
    await writeLinks(trx, database.t, context, links, core.now())
    const changes = noChanges()
    const organizations = await placeTree(trx, database.t, row.id, {
      since: before,
      decided: new Set(links.map(({ externalId }) => externalId))
    })
    addMoves(changes, await reassignDevices(trx, database.t, context, organizations))
    await applyChanges(
      core,
      trx,
      context,
      changes,
      done.flatMap(({ result }) => eventOf(result))
    )
    const entries = activities(
      row,
      done.map(({ result }) => result)
    )
    for (const entry of [...entries, ...more]) await writeActivity(trx, database.t, row.tenant_id, entry)
  })
}

/** Stores the name that the group has on the platform as the one its client goes with. */
export async function acceptStored(
  core: Core,
  session: GroupSession,
  { client, group }: Extract<GroupStep, { kind: 'existing' }>
): Promise<void> {
  const { row, server } = session
  const name = storable(group.name)
  const link = { clientRef: client.id, externalId: group.id, server, name, clientName: client.name, confirmed: name }
  const result = { ...unknownGroup(client), ...named(name), groupId: group.id, outcome: 'existing' as const }
  const entry: NewActivity = {
    type: 'RMM_DEVICE_GROUP_LINKED',
    target: { connectionId: row.id, clientRef: client.id },
    summary: `Accepted the name "${name}" of a device group on "${row.name}"`
  }
  await store(core, session, [{ result, link }], [entry])
}

/** The name a step gives to a group that has another one; null where it gives none. */
function newName(step: GroupStep, rename: boolean): string | null {
  return rename && step.kind === 'existing' && step.rename !== null && step.rename.blocked === null
    ? step.rename.to
    : null
}

function writes(step: GroupStep, rename: boolean): boolean {
  return (
    step.kind === 'create' ||
    step.kind === 'link' ||
    (step.kind === 'existing' && (!step.marked || newName(step, rename) !== null))
  )
}

/** One step on the platform; its failure is its own. */
async function perform(session: GroupSession, step: GroupStep): Promise<StepResult> {
  const { rename, server } = session
  try {
    const { id, name } = await change(session, step)
    if (step.kind === 'link' && step.release !== undefined) await release(session, step.release)
    const confirmed = storable(name)
    const result = { ...foresee(step, rename), name: confirmed, groupName: confirmed, groupId: id }
    // A name that was not changed keeps telling what it drifted from.
    const names =
      step.kind === 'existing' && newName(step, rename) === null
        ? { name: step.link.name, clientName: step.link.clientName }
        : { name: confirmed, clientName: step.client.name }
    return { result, link: { clientRef: step.client.id, externalId: id, server, ...names, confirmed } }
  } catch (cause) {
    const error = session.signal.aborted ? 'the platform did not answer in time' : (cause as Error).message
    return { ...notReached(step, error), cause }
  }
}

function notReached({ client }: GroupStep, error: string): StepResult {
  return { result: { ...unknownGroup(client), groupId: null, outcome: 'failed', error } }
}

const unknownGroup = ({ id, name }: Client) => ({ clientRef: id, clientName: name, groupName: null, name })

/** The mark is taken off a group that is the client's no more, or it would be found by it. Its devices stay in it. */
async function release({ groups, client, signal }: GroupSession, group: DeviceGroup): Promise<void> {
  if (markOf(group) !== null)
    await groups.rename(client, group.id, { description: unmarked(group.description) }, signal)
}

async function change(session: GroupSession, step: GroupStep): Promise<DeviceGroup> {
  const { groups, client, signal, row, rename } = session
  const mark = marker(row.tenant_id, step.client.id)
  if (step.kind === 'create')
    return await groups.create(client, { name: step.name, description: describe(null, mark) }, signal)
  if (step.kind !== 'link' && step.kind !== 'existing') throw new TypeError(`nothing to do for ${step.kind}`)
  const to = newName(step, rename)
  const name = to === null ? {} : { name: to }
  const description = markOf(step.group) === mark ? {} : { description: describe(step.group.description, mark) }
  if (!('name' in name) && !('description' in description)) return step.group
  return await groups.rename(client, step.group.id, { ...name, ...description }, signal)
}

/** What a step would do, or why it does nothing. */
export function foresee(step: GroupStep, rename: boolean): DeviceGroupResult {
  const base = unknownGroup(step.client)
  switch (step.kind) {
    case 'existing': {
      const found = { ...base, ...named(step.group.name), groupId: step.group.id }
      if (rename && step.rename?.blocked) return { ...found, outcome: 'conflict', error: step.rename.blocked }
      const to = newName(step, rename)
      return to === null ? { ...found, outcome: 'existing' } : { ...found, ...named(to), outcome: 'renamed' }
    }
    case 'link':
      return {
        ...base,
        ...named(step.group.name),
        groupId: step.group.id,
        outcome: 'linked',
        ...(step.note === null ? {} : { error: step.note })
      }
    case 'create':
      return { ...base, ...named(step.name), groupId: null, outcome: 'created' }
    case 'conflict':
      return { ...base, groupId: null, outcome: 'conflict', error: step.reason }
    case 'missing':
      return {
        ...base,
        groupName: step.link.name,
        groupId: step.link.externalId,
        outcome: 'failed',
        error: step.reason
      }
    case 'failed':
      return { ...base, groupId: null, outcome: 'failed', error: step.reason }
  }
}

/** `name` is the group's where there is one, and was the client's otherwise: kept for whoever reads it so. */
const named = (name: string) => ({ name, groupName: name })

const changes = {
  created: { type: 'RMM_DEVICE_GROUP_CREATED', did: 'Made' },
  linked: { type: 'RMM_DEVICE_GROUP_LINKED', did: 'Linked' },
  renamed: { type: 'RMM_DEVICE_GROUP_RENAMED', did: 'Renamed' }
} as const

function eventOf({ outcome, clientRef, groupId, name }: DeviceGroupResult): NewEvent[] {
  const change = changes[outcome as keyof typeof changes]
  return change === undefined ? [] : [{ type: change.type, payload: { clientRef, groupId, name } }]
}

/** Groups named in one sentence at most. */
const namedAtMost = 5

/** One entry per kind of change, however many groups it was. */
function activities(row: ConnectionRow, results: DeviceGroupResult[]): NewActivity[] {
  return Object.entries(changes).flatMap(([outcome, { type, did }]) => {
    const groups = results.filter(result => result.outcome === outcome)
    const [first, ...others] = groups
    if (first === undefined) return []
    const names = groups.slice(0, namedAtMost).map(({ name }) => `"${name}"`)
    const rest = groups.length - names.length
    return {
      type,
      target: { connectionId: row.id, ...(others.length === 0 ? { clientRef: first.clientRef } : {}) },
      summary: `${did} the device group${others.length === 0 ? '' : 's'} ${names.join(', ')}${rest > 0 ? ` and ${rest} more` : ''} on "${row.name}"`
    }
  })
}

/** Works through items a few at a time, results in order. */
async function pooled<T, R>(items: T[], work: (item: T) => Promise<R>): Promise<R[]> {
  const results = new Array<R>(items.length)
  let next = 0
  await Promise.all(
    Array.from({ length: Math.min(inFlight, items.length) }, async () => {
      for (let at = next++; at < items.length; at = next++) results[at] = await work(items[at]!)
    })
  )
  return results
}
