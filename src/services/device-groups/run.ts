import { type DeviceGroup, type DeviceGroups, ProviderError, type ProviderErrorKind } from '../../providers/define.ts'
import type { DeviceGroupResult, NewEvent } from '../../types.ts'
import { addMoves, applyChanges, contextOf, noChanges } from '../sync/index.ts'
import type { Core } from '../core.ts'
import { describe, type GroupStep, marker, markOf, storable } from '../model/index.ts'
import {
  type ConnectionRow,
  holdConnection,
  markMissing,
  type NewActivity,
  type NewLink,
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
  const busy = steps.filter(step => writes(step, rename))
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

async function store(core: Core, { row }: GroupSession, done: StepResult[]): Promise<void> {
  const { database } = core
  const links = done.flatMap(({ link }) => link ?? [])
  if (links.length === 0) return
  const context = contextOf(row)
  await database.transaction(async trx => {
    await holdConnection(trx, database.t, row.id)
    await writeLinks(trx, database.t, context, links, core.now())
    const changes = noChanges()
    addMoves(changes, await reassignDevices(trx, database.t, context, await placeTree(trx, database.t, row.id)))
    await applyChanges(
      core,
      trx,
      context,
      changes,
      done.flatMap(({ result }) => eventOf(result))
    )
    for (const entry of activities(
      row,
      done.map(({ result }) => result)
    ))
      await writeActivity(trx, database.t, row.tenant_id, entry)
  })
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
    const confirmed = storable(name)
    const result = { ...foresee(step, rename), name: confirmed, groupId: id }
    // A name that was not changed keeps telling what it drifted from.
    const names =
      step.kind === 'existing' && newName(step, rename) === null
        ? { name: step.link.name, clientName: step.link.clientName }
        : { name: confirmed, clientName: step.client.name }
    return { result, link: { clientRef: step.client.id, externalId: id, server, ...names, confirmed } }
  } catch (cause) {
    const error = session.signal.aborted ? 'the platform did not answer in time' : (cause as Error).message
    return {
      result: { clientRef: step.client.id, name: step.client.name, groupId: null, outcome: 'failed', error },
      cause
    }
  }
}

function notReached({ client }: GroupStep, error: string): StepResult {
  return { result: { clientRef: client.id, name: client.name, groupId: null, outcome: 'failed', error } }
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
  const base = { clientRef: step.client.id, name: step.client.name }
  switch (step.kind) {
    case 'existing': {
      const found = { ...base, name: step.group.name, groupId: step.group.id }
      if (rename && step.rename?.blocked) return { ...found, outcome: 'conflict', error: step.rename.blocked }
      const to = newName(step, rename)
      return to === null ? { ...found, outcome: 'existing' } : { ...found, name: to, outcome: 'renamed' }
    }
    case 'link':
      return {
        ...base,
        name: step.group.name,
        groupId: step.group.id,
        outcome: 'linked',
        ...(step.note === null ? {} : { error: step.note })
      }
    case 'create':
      return { ...base, name: step.name, groupId: null, outcome: 'created' }
    case 'conflict':
      return { ...base, groupId: null, outcome: 'conflict', error: step.reason }
    case 'missing':
      return { ...base, groupId: step.link.externalId, outcome: 'failed', error: step.reason }
    case 'failed':
      return { ...base, groupId: null, outcome: 'failed', error: step.reason }
  }
}

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
