import fc from 'fast-check'
import {
  type Checkpoint,
  type DeviceRecord,
  type OrganizationRecord,
  type Page,
  ProviderError
} from '../../../src/providers/define.ts'
import { device, group, page, type Script } from '../scripted.ts'

/** What becomes of the platform between two of its pages. */
const acts = ['create', 'delete', 'rename', 'move', 'group', 'ungroup', 'rotate', 'jump', 'reread', 'none'] as const
/** What a page does not tell, or tells wrong. */
const faults = ['omit', 'short', 'empty', 'nameless', 'broken', 'untold', 'error', 'repeat', 'wait', 'gone'] as const

const stepArb = fc.record({
  act: fc.constantFrom(...acts),
  fault: fc.oneof({ weight: 3, arbitrary: fc.constant(null) }, { weight: 1, arbitrary: fc.constantFrom(...faults) }),
  at: fc.nat(1_000)
})
const runArb = fc.record({
  by: fc.constantFrom(0, 1),
  resources: fc.constantFrom(['organizations', 'devices'] as const, ['devices'] as const),
  force: fc.boolean(),
  steps: fc.array(stepArb, { maxLength: 14 })
})
/** A life of the platform: how it pages, and runs while it changes, re-orders, shortens and lies. */
export const lifeArb = fc.record({
  perPage: fc.integer({ min: 2, max: 9 }),
  paging: fc.constantFrom('offset' as const, 'cursor' as const),
  askable: fc.constantFrom('always' as const, 'mostly' as const),
  runs: fc.array(runArb, { minLength: 1, maxLength: 4 })
})
export type Life = typeof lifeArb extends fc.Arbitrary<infer L> ? L : never
type Step = Life['runs'][number]['steps'][number]
const quietStep: Step = { act: 'none', fault: null, at: 0 }

const tops: Readonly<Record<string, string>> = { g1: 'c1', g2: 'c2' }
/** So few that no brake is touched: what a person has to confirm is tested elsewhere. */
const mostLosses = 8

/** The platform as it is, and what was ever true of it. */
export function createWorld() {
  const groups = new Map<string, string | null>([
    ['g1', null],
    ['g2', null],
    ['g3', 'g2']
  ])
  const devices = new Map<string, { name: string; group: string }>()
  let order: string[] = []
  const deleted = new Set<string>()
  const been = new Map<string, Set<string>>()
  let made = 0
  let losses = 0
  const clientOf = (id: string): string => tops[id] ?? clientOf(groups.get(id) ?? 'g1')
  const put = (id: string, name: string, in_: string): void => {
    devices.set(id, { name, group: in_ })
    been.set(id, (been.get(id) ?? new Set()).add(clientOf(in_)))
  }
  const create = (in_: string): void => {
    const id = `d${String(made++).padStart(2, '0')}`
    put(id, id, in_)
    order.push(id)
  }
  for (let n = 0; n < 24; n++) create(['g1', 'g2', 'g3'][n % 3]!)
  const pick = <T>(from: Iterable<T>, at: number): T => {
    const all = [...from]
    return all[at % all.length]!
  }
  const lose = (): boolean => losses++ < mostLosses
  return {
    groups,
    devices,
    deleted,
    been,
    /** Devices that were seen with a client. */
    had: new Set<string>(),
    clientOf,
    order: () => order,
    act({ act, at }: Step): void {
      const id = pick(devices.keys(), at)
      const one = devices.get(id)!
      if (act === 'create') create(pick(groups.keys(), at))
      if (act === 'delete' && lose()) {
        devices.delete(id)
        deleted.add(id)
        order = order.filter(other => other !== id)
      }
      if (act === 'rename') put(id, `${id} ${at}`, one.group)
      if (act === 'move' && lose()) put(id, one.name, pick(groups.keys(), at >> 3))
      if (act === 'group') {
        const name = `x${made++}`
        groups.set(name, pick(['g1', 'g2', 'g3'], at))
        create(name)
      }
      if (act === 'ungroup') {
        const extra = [...groups.keys()].filter(name => name.startsWith('x'))
        if (extra.length === 0) return
        const name = pick(extra, at)
        for (const [id, one] of devices) if (one.group === name) put(id, one.name, groups.get(name)!)
        groups.delete(name)
      }
      if (act === 'rotate') order = [...order.slice(at % order.length), ...order.slice(0, at % order.length)]
    }
  }
}
export type World = ReturnType<typeof createWorld>

/** What speaks against a list is seen in it; a record that is merely passed by is not. */
const silent: ReadonlySet<string | null> = new Set(['omit', 'short'])
const silentActs: ReadonlySet<string> = new Set(['rotate', 'delete', 'create', 'group', 'ungroup'])

/**
 * Once the steps are over, the platform is quiet and honest. `told` is called for steps that are not its own. One that
 * cannot be asked for single records passes over them, without a sign, only in a list after one that it told to the end
 * and honestly: who keeps still about the same record twice in a row says that it is gone.
 */
export function lie(script: Script, world: World, life: Life, told: (step: Step) => void) {
  let steps: Step[] = []
  const askable = script.provider.resources.devices?.fetchOne !== undefined
  const deviceOf = (id: string): DeviceRecord | null => {
    const one = world.devices.get(id)
    return one === undefined ? null : device(id, { displayName: one.name, organizationExternalId: one.group })
  }
  const groupOf = (id: string): OrganizationRecord | null =>
    world.groups.has(id) ? group(id, world.groups.get(id) ?? null) : null

  function pages<R extends { externalId: unknown }>(ids: () => string[], read: (id: string) => R | null) {
    let honest = false
    let lied = false
    return async function* (from: Checkpoint | null): AsyncGenerator<Page<R>> {
      if (from === null) honest = !askable && lied
      lied ||= !honest
      let place = from as { at: number; after: string } | null
      for (;;) {
        const step = { ...(steps.shift() ?? quietStep) }
        if (honest && silent.has(step.fault)) step.fault = null
        // Of a list that moves under the reader some are passed by.
        if (honest && silentActs.has(step.act)) step.act = 'none'
        world.act(step)
        if (step.act === 'jump' || step.act === 'reread') told(step)
        const all = ids()
        const start = place === null ? 0 : life.paging === 'offset' ? place.at : all.indexOf(place.after) + 1
        const lost = place !== null && life.paging === 'cursor' && !all.includes(place.after)
        const shown = lost ? [] : all.slice(start, start + life.perPage)
        const end = lost || start + life.perPage >= all.length
        if (step.fault === 'error') throw new ProviderError('unreachable', 'status 500')
        if (step.fault === 'wait') throw new ProviderError('rate_limited', 'too busy', { retryAfterMs: 5 })
        if (step.fault === 'gone' && from !== null && place === from) throw new ProviderError('gone', 'unknown cursor')
        const next = { at: start + life.perPage, after: shown.at(-1) ?? '' }
        const over = end || step.fault === 'short' || step.fault === 'empty'
        yield distort(step, shown, read, over ? null : next)
        if (over) {
          if (honest) lied = false
          return
        }
        place = next
      }
    }
  }

  function distort<R extends { externalId: unknown }>(
    { fault, at }: Step,
    shown: string[],
    read: (id: string) => R | null,
    checkpoint: Checkpoint | null
  ): Page<R> {
    const records = shown.flatMap(id => read(id) ?? [])
    const victim = records.length === 0 ? -1 : at % records.length
    const others = records.filter((_, n) => n !== victim)
    const reject = (externalId: unknown) =>
      page(others, {
        checkpoint,
        rejected: victim < 0 ? [] : [{ externalId: externalId as string, reason: 'no shape' }]
      })
    if (fault === 'empty') return page<R>([], { checkpoint })
    if (fault === 'omit') return page(at % 3 === 0 ? [] : others, { checkpoint })
    if (fault === 'nameless') return reject(null)
    if (fault === 'broken') return reject(records[victim]?.externalId)
    if (fault === 'repeat') return page([...records, ...records.slice(0, 1)], { checkpoint })
    if (fault === 'untold')
      return page(
        records.map((record, n) =>
          n === victim && 'online' in record ? { ...record, organizationExternalId: undefined } : record
        ),
        { checkpoint }
      )
    return page(records, { checkpoint })
  }

  script.organizations = pages(() => [...world.groups.keys()], groupOf)
  script.devices = pages(world.order, deviceOf)
  let asked = 0
  script.one = new Map() as typeof script.one
  script.one.get = id => {
    if (life.askable === 'mostly' && steps.length > 0 && asked++ % 5 === 4)
      return new ProviderError('unreachable', 'status 500')
    return world.groups.has(id) ? groupOf(id) : deviceOf(id)
  }
  return {
    from(next: Step[]): void {
      steps = [...next]
    },
    quiet(): void {
      steps = []
    }
  }
}
