import type { RunRow } from '../store/index.ts'
import { plannedChanges, type PlannedRow, type RunEnd, settlePlanned } from '../store/index.ts'
import { atTime } from './plan.ts'
import { type Reading, type Skip, step } from './reading.ts'
import { readRun, verdict } from './read-run.ts'
import { recordedProvider } from './recording.ts'
import type { Failure } from '../egress/index.ts'

/** What of a plan is to be applied. */
export interface ApplyRequest {
  planId: string
  only?: string[]
  except?: string[]
}

/** Does what a plan found, from what the platform said then: what was observed since is newer, and stays. */
export async function applyRun(reading: Reading, run: RunRow): Promise<RunEnd | { again: Failure }> {
  const { core } = reading
  const request = run.request as unknown as ApplyRequest
  const planned = await plannedChanges(core.database, request.planId)
  const { chosen, skip } = choose(planned, request)
  const { provider, now, prefetch } = await recordedProvider(core, reading.provider, request.planId, false)
  const work: Reading = { ...reading, provider, prefetch, core: atTime(core, now), skip }
  const again = await readRun(work, run.resources)
  if (again !== null) return { again }
  const stale = await step(reading, trx => settlePlanned(trx, core.database.t, request.planId, run.id, chosen))
  const end = verdict(work)
  if (stale === 0) return end
  return {
    ...end,
    summary: `${end.summary} ${stale} planned change${stale === 1 ? ' was' : 's were'} not true any more; the next sync decides.`
  }
}

/** A record is left alone where one of its changes is, or none of them was asked for. */
function choose(planned: PlannedRow[], { only, except = [] }: ApplyRequest): { chosen: string[]; skip: Skip } {
  const wanted = only === undefined ? null : new Set(only)
  const refused = new Set(except)
  const keyOf = (entity: string, externalId: string | null): string => `${entity} ${externalId}`
  const taken = new Set<string>()
  const left = new Set<string>()
  for (const { id, entity, kind, externalId } of planned) {
    const key = keyOf(entity, externalId)
    // A new group comes with what is in it: without it a chosen device would belong to nobody.
    const isChosen = wanted === null || wanted.has(id) || (entity === 'organization' && kind === 'create')
    if (refused.has(id) || !isChosen) left.add(key)
    if (wanted?.has(id)) taken.add(key)
  }
  const isLeft = (key: string): boolean => left.has(key) && !taken.has(key)
  return {
    chosen: planned.flatMap(({ id, entity, externalId }) => (isLeft(keyOf(entity, externalId)) ? [] : id)),
    skip: { has: (entity, externalId) => isLeft(keyOf(entity, externalId)) }
  }
}
