import { isDeepStrictEqual } from 'node:util'
import fc from 'fast-check'
import { sql } from 'kysely'
import t from 'tap'
import {
  ProviderError,
  type AlertRecord,
  type DeviceRecord,
  type OrganizationRecord,
  type Page
} from '../../../src/providers/define.ts'
import { createReRead } from '../../../src/services/sync/reread.ts'
import type { Core } from '../../../src/services/core.ts'
import { connectionRow } from '../../../src/services/store/connections.ts'
import { placeAll, type TreeNode } from '../../../src/services/model/tree.ts'
import { databaseKind } from '../../helper.ts'
import {
  alert,
  device,
  fastEngine,
  group,
  list,
  page,
  type Pages,
  scriptedHost,
  ended,
  type ScriptedHost
} from '../scripted.ts'

const ids = ['a', 'b', 'c', 'd', 'e', 'f']
const groups = ['g1', 'g2', 'g3']
const clientRefs = ['c1', 'c2', null, undefined] as const

/**
 * What the platform holds at one time. Every field is told, so that a newer observation leaves nothing of an older
 * one.
 */
interface World {
  devices: Record<string, { name: string; group: string; serial: string }>
  alerts: Record<string, 'active' | 'resolved'>
  parents: Record<string, string | null>
}

const worldArb: fc.Arbitrary<World> = fc.record({
  devices: fc.dictionary(
    fc.constantFrom(...ids),
    fc.record({
      name: fc.constantFrom('x', 'y', 'z'),
      group: fc.constantFrom(...groups, 'nowhere'),
      serial: fc.constantFrom('s1', 's2')
    }),
    { maxKeys: 6 }
  ),
  alerts: fc.dictionary(fc.constantFrom('p', 'q', 'r'), fc.constantFrom('active' as const, 'resolved' as const)),
  parents: fc.record(Object.fromEntries(groups.map(id => [id, fc.constantFrom(null, ...groups, 'missing')])))
})

/** How a list is cut, repeated and shuffled; where it breaks, and whether the worker dies there. */
const readArb = fc.record({
  kind: fc.constant('read' as const),
  world: fc.nat(3),
  pageSize: fc.integer({ min: 1, max: 4 }),
  reversed: fc.boolean(),
  repeat: fc.boolean(),
  breakAfter: fc.option(fc.integer({ min: 0, max: 3 }), { nil: null }),
  mode: fc.constantFrom('full' as const, 'incremental' as const)
})
const commandArb = fc.oneof(
  { weight: 4, arbitrary: readArb },
  {
    weight: 3,
    arbitrary: fc.record({
      kind: fc.constant('single' as const),
      what: fc.constantFrom('device' as const, 'alert' as const),
      id: fc.constantFrom(...ids, 'p', 'q'),
      world: fc.nat(3),
      late: fc.boolean()
    })
  },
  {
    weight: 2,
    arbitrary: fc.record({
      kind: fc.constant('map' as const),
      group: fc.constantFrom(...groups),
      client: fc.constantFrom(...clientRefs)
    })
  },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('crash' as const), world: fc.nat(3) }) }
)
type Command = typeof commandArb extends fc.Arbitrary<infer C> ? C : never

const deviceOf = (world: World, id: string): DeviceRecord | null => {
  const found = world.devices[id]
  return found === undefined
    ? null
    : device(id, {
        displayName: found.name,
        organizationExternalId: found.group,
        inventory: {
          revision: `read ${found.serial}`,
          facts: { serialNumber: found.serial, details: { board: found.serial } }
        }
      })
}
const alertOf = (world: World, id: string): AlertRecord | null => {
  const status = world.alerts[id]
  return status === undefined
    ? null
    : alert(id, { status, resolvedAt: status === 'resolved' ? new Date('2026-02-01T00:00:00Z') : null })
}
const groupsOf = (world: World): OrganizationRecord[] => groups.map(id => group(id, world.parents[id] ?? null))

interface Cut {
  pageSize: number
  reversed: boolean
  repeat: boolean
  breakAfter: number | null
  hang?: () => void
}

/** A list in pages whose observation times are as old as the caller says. */
function cut<R>(records: R[], { pageSize, reversed, repeat, breakAfter, hang }: Cut) {
  const all = reversed ? [...records].reverse() : records
  const pages: R[][] = []
  for (let at = 0; at < all.length; at += pageSize)
    pages.push(repeat && at > 0 ? [all[at - 1]!, ...all.slice(at, at + pageSize)] : all.slice(at, at + pageSize))
  return async function* (from: unknown, signal: AbortSignal): AsyncGenerator<Page<R>> {
    // A broken list that is resumed goes on from where it is now: what moved in between shows up with the next full
    // read.
    for (let n = Number(from ?? 0); n < pages.length; n++) {
      if (n === breakAfter) {
        if (hang === undefined) throw new ProviderError('unreachable', 'the line broke')
        hang()
        await new Promise((_resolve, reject) =>
          signal.addEventListener('abort', () => reject(signal.reason), { once: true })
        )
      }
      yield page(pages[n]!, { checkpoint: n + 1 < pages.length ? n + 1 : null })
    }
  }
}

/** Leaves out the inventory that is known as it is, as a provider does to which it is expensive. */
function sparing(pages: ReturnType<typeof cut<DeviceRecord>>): Pages<DeviceRecord> {
  return async function* (from, signal, known) {
    for await (const next of pages(from, signal)) {
      const revisions = await known!(next.records.map(record => record.externalId))
      yield {
        ...next,
        records: next.records.map(record =>
          revisions.get(String(record.externalId)) === record.inventory!.revision
            ? { ...record, inventory: { ...record.inventory!, facts: null } }
            : record
        )
      }
    }
  }
}

function show(h: ScriptedHost, world: World, how: Cut): void {
  h.script.organizations = cut(groupsOf(world), { ...how, breakAfter: null })
  h.script.devices = sparing(
    cut(
      Object.keys(world.devices).map(id => deviceOf(world, id)!),
      how
    )
  )
  h.script.alerts = cut(
    Object.keys(world.alerts).map(id => alertOf(world, id)!),
    { ...how, breakAfter: null }
  )
  h.script.one.clear()
  for (const id of ids) h.script.one.set(id, deviceOf(world, id))
  for (const id of ['p', 'q', 'r']) h.script.one.set(id, alertOf(world, id))
}

const clean: Cut = { pageSize: 100, reversed: false, repeat: false, breakAfter: null }

/** What an operator sees, without ids and times. Tombstones are history, not state. */
async function dump(h: ScriptedHost) {
  const alerts = (await h.rows('alert')).map(row => `${row.external_id} ${row.status}`)
  return {
    devices: (await h.rows('device'))
      .filter(row => row.removed_at === null)
      .map(
        row =>
          `${row.external_id} ${row.display_name} ${row.organization_external_id} ${row.client_ref} ${row.assignment} ${row.hash} ${row.serial_number} ${row.details.board}`
      ),
    organizations: (await h.rows('organization'))
      .filter(row => row.removed_at === null)
      .map(
        row =>
          `${row.external_id} ${row.path} ${row.depth} ${row.mode} ${row.client_ref} ${row.assignment} ${row.effective_client_ref}`
      ),
    alerts
  }
}

async function play(h: ScriptedHost, worlds: World[], commands: Command[]): Promise<World> {
  const reread = createReRead(
    { database: h.database, sinks: [], onChanges: undefined, now: () => new Date() } as unknown as Core,
    undefined as never
  )
  const row = (await connectionRow(h.database, 't1', h.connectionId))!
  let current = worlds[0]!
  for (const command of commands) {
    if (command.kind === 'read') {
      current = worlds[command.world % worlds.length]!
      show(h, current, command)
      await h.sync({ mode: command.mode, force: true })
    } else if (command.kind === 'single') {
      // A late answer tells of a world that is over: as old as the hour before everything here.
      const world = command.late ? worlds[command.world % worlds.length]! : current
      const at = command.late ? new Date(Date.now() - 3_600_000) : new Date()
      if (command.what === 'device') await reread.applyDevice(row, command.id, deviceOf(world, command.id), at)
      else await reread.applyAlert(row, command.id, alertOf(world, command.id), at)
    } else if (command.kind === 'map') {
      if ((await h.rows('organization')).some(organization => organization.external_id === command.group))
        await h.map({ [command.group]: command.client })
    } else {
      current = worlds[command.world % worlds.length]!
      let reached = (): void => {}
      const hanging = new Promise<void>(resolve => {
        reached = resolve
      })
      show(h, current, {
        ...clean,
        pageSize: 1,
        breakAfter: Math.min(1, Object.keys(current.devices).length - 1),
        hang: () => reached()
      })
      const { run } = await h.app.rmm.sync.start('t1', h.connectionId, { force: true })
      if (Object.keys(current.devices).length > 0) await hanging
      await h.app.rmm.sync.cancel('t1', run.id)
      await ended(h, run.id)
    }
  }
  return current
}

t.test(
  'any interleaving of pages, duplicates, late answers, breaks, aborts and mappings ends as one clean read',
  async t => {
    const h = await scriptedHost(t, { mapped: false, engine: { ...fastEngine, maxAttempts: 1, batchRecords: 2 } })
    const fresh = await scriptedHost(t, { mapped: false })
    const empty = async (host: ScriptedHost) => {
      for (const table of ['device', 'organization', 'alert', 'pass', 'page'] as const) {
        await sql`delete from ${host.database.t[table]}`.execute(host.database.db)
      }
    }
    let runs = 0
    await fc.assert(
      fc.asyncProperty(
        fc.array(worldArb, { minLength: 1, maxLength: 4 }),
        fc.array(commandArb, { maxLength: 6 }),
        worldArb,
        async (worlds, commands, last) => {
          runs++
          await empty(h)
          await play(h, worlds, commands)
          const mapping = Object.fromEntries(
            (await h.rows('organization')).map(row => [
              row.external_id,
              row.mode === 'excluded' ? null : (row.client_ref ?? undefined)
            ])
          )
          show(h, last, clean)
          // The first finishes what was interrupted, and knows only the pages since; the second is the clean read.
          await h.sync({ force: true })
          const end = await h.sync({ force: true })
          if (end.status !== 'succeeded')
            throw new Error(`the clean read ended as ${end.status}: ${end.error?.message}`)

          await empty(fresh)
          show(fresh, last, clean)
          await fresh.sync({ resources: ['organizations'] })
          await fresh.map(mapping)
          await fresh.sync({ force: true })
          const expected = await dump(fresh)
          const found = await dump(h)
          // An alert that the last world does not know was never here, or is closed.
          found.alerts = found.alerts.filter(
            line => last.alerts[line.split(' ')[0]!] !== undefined || !line.endsWith(' resolved')
          )
          if (JSON.stringify(found) !== JSON.stringify(expected))
            throw new Error(`found ${JSON.stringify(found, null, 1)}\nexpected ${JSON.stringify(expected, null, 1)}`)
        }
      ),
      {
        numRuns: databaseKind === 'postgresql' ? 60 : 25,
        includeErrorInReport: true,
        ...(process.env['SEED'] ? { seed: Number(process.env['SEED']) } : {}),
        interruptAfterTimeLimit: 30_000,
        markInterruptAsFailure: false
      }
    )
    t.ok(runs > 3, `${runs} interleavings`)
  }
)

t.test('of all observations of a device the newest is stored, in whatever order they come', async t => {
  const h = await scriptedHost(t)
  const reread = createReRead(
    { database: h.database, sinks: [], onChanges: undefined, now: () => new Date() } as unknown as Core,
    undefined as never
  )
  const row = (await connectionRow(h.database, 't1', h.connectionId))!
  const base = Date.now() - 1_000_000
  let n = 0
  const observation = fc.record({
    at: fc.nat(5),
    name: fc.constantFrom('x', 'y', null),
    by: fc.constantFrom('page' as const, 'single' as const)
  })
  const goneTwice: Array<{ at: number; name: 'x' | null; by: 'page' | 'single' }> = [
    { at: 0, name: 'x', by: 'page' },
    { at: 1, name: null, by: 'single' },
    { at: 4, name: null, by: 'single' },
    { at: 3, name: 'x', by: 'page' }
  ]
  await fc.assert(
    fc.asyncProperty(
      fc.uniqueArray(observation, { selector: item => item.at, minLength: 1, maxLength: 5 }),
      async observations => {
        const id = `n${n++}`
        for (const { at, name, by } of observations) {
          const observedAt = new Date(base + at * 1_000)
          const record = name === null ? null : device(id, { displayName: name })
          if (by === 'single' || record === null) {
            await reread.applyDevice(row, id, record, observedAt)
          } else {
            h.script.devices = list(page([record], { observedAt }))
            await h.sync({ resources: ['devices'], mode: 'incremental' })
          }
        }
        const newest = observations.reduce((best, item) => (item.at > best.at ? item : best))
        const [stored] = (await h.rows('device')).filter(item => item.external_id === id)
        const found = stored === undefined || stored.removed_at !== null ? null : stored.display_name
        // "Gone" about a device that is not known yet leaves nothing to remember it by: the next complete read repairs
        // that.
        const first = observations.findIndex(item => item.name !== null)
        const lost = newest.name === null && observations.indexOf(newest) < first
        if (!lost && found !== newest.name) throw new Error(`stored ${String(found)}, newest ${String(newest.name)}`)
      }
    ),
    {
      examples: [[goneTwice]],
      numRuns: databaseKind === 'postgresql' ? 60 : 25,
      interruptAfterTimeLimit: 12_000,
      markInterruptAsFailure: false
    }
  )
  t.pass()
})

t.test(
  "of a device's own fields and of its inventory the newest is stored, each for itself, in whatever order and way they come",
  async t => {
    const h = await scriptedHost(t)
    const reread = createReRead(
      { database: h.database, sinks: [], onChanges: undefined, now: () => new Date() } as unknown as Core,
      undefined as never
    )
    const row = (await connectionRow(h.database, 't1', h.connectionId))!
    const base = Date.now() - 1_000_000
    let n = 0
    const observation = fc.record({
      at: fc.nat(5),
      name: fc.constantFrom('x', 'y'),
      serial: fc.constantFrom('s1', 's2', null),
      by: fc.constantFrom('page' as const, 'single' as const)
    })
    await fc.assert(
      fc.asyncProperty(
        fc.uniqueArray(observation, { selector: item => item.at, minLength: 1, maxLength: 5 }),
        async observations => {
          const id = `i${n++}`
          for (const { at, name, serial, by } of observations) {
            const observedAt = new Date(base + at * 1_000)
            const facts =
              serial === null
                ? null
                : {
                    serialNumber: serial,
                    volumes: [{ name: 'C:', totalBytes: 10, freeBytes: at }],
                    details: { board: serial }
                  }
            const record = device(id, {
              displayName: name,
              details: { note: name },
              inventory: { revision: `read at ${at}`, facts }
            })
            if (by === 'single') {
              await reread.applyDevice(row, id, record, observedAt)
            } else {
              h.script.devices = list(page([record], { observedAt }))
              await h.sync({ resources: ['devices'], mode: 'incremental' })
            }
          }
          const newest = (some: typeof observations) =>
            some.reduce((best, item) => (item.at > best.at ? item : best), some[0]!)
          const own = newest(observations)
          const read = newest(observations.filter(item => item.serial !== null))
          const expected = {
            name: own.name,
            details: { note: own.name, ...(read && { board: read.serial }) },
            serial: read?.serial ?? null,
            free: read ? [read.at] : [],
            revision: read ? `read at ${read.at}` : null
          }
          const stored = (await h.rows('device')).find(item => item.external_id === id)
          const status = (await h.rows('device_status', 'device_id')).find(item => item.device_id === stored.id)
          const found = {
            name: stored.display_name,
            details: stored.details,
            serial: stored.serial_number,
            free: status.free_bytes,
            revision: status.inventory_revision
          }
          if (!isDeepStrictEqual(found, expected))
            throw new Error(`found ${JSON.stringify(found)}, expected ${JSON.stringify(expected)}`)
        }
      ),
      {
        numRuns: databaseKind === 'postgresql' ? 100 : 25,
        includeErrorInReport: true,
        interruptAfterTimeLimit: 20_000,
        markInterruptAsFailure: false
      }
    )
    t.pass()
  }
)

/** What rule 8 says, as plainly as it can be written. */
function naive(nodes: Map<string, TreeNode>, id: string): { assignment: string; client: string | null } {
  const start = nodes.get(id)!
  const seen = new Set<string>()
  let held = false
  for (
    let at: TreeNode | undefined = start;
    at !== undefined && !seen.has(at.externalId);
    at = nodes.get(at.parentExternalId ?? '')
  ) {
    if (at !== start && at.removed) break
    seen.add(at.externalId)
    if (at.mode === 'excluded') return { assignment: 'excluded', client: null }
    if (!at.autoSync) held = true
    if (at.mode === 'mapped' && at.clientRef !== null)
      return start.removed
        ? { assignment: 'unmapped', client: null }
        : { assignment: held ? 'held' : 'mapped', client: at.clientRef }
  }
  return { assignment: 'unmapped', client: null }
}

t.test('every organization of any tree, cycles and gaps included, is placed as the rule says', async t => {
  const names = ['a', 'b', 'c', 'd', 'e', 'f', 'g', 'h']
  const node = (externalId: string): fc.Arbitrary<TreeNode> =>
    fc.record({
      externalId: fc.constant(externalId),
      parentExternalId: fc.constantFrom(null, ...names, 'missing'),
      name: fc.string(),
      mode: fc.constantFrom('inherit' as const, 'inherit' as const, 'mapped' as const, 'excluded' as const),
      clientRef: fc.constantFrom(null, 'c1', 'c2'),
      autoSync: fc.boolean(),
      removed: fc.boolean()
    })
  fc.assert(
    fc.property(fc.tuple(...names.map(node)), fc.subarray(names), (nodes, kept) => {
      const tree = nodes.filter(({ externalId }) => kept.includes(externalId))
      const byId = new Map(tree.map(item => [item.externalId, item]))
      const placed = placeAll(tree)
      if (placed.size !== tree.length) throw new Error('some were not placed')
      for (const [id, { assignment, effectiveClientRef, depth, path }] of placed) {
        const expected = naive(byId, id)
        if (assignment !== expected.assignment || effectiveClientRef !== expected.client)
          throw new Error(`${id}: ${assignment} ${effectiveClientRef}, expected ${JSON.stringify(expected)}`)
        if (depth >= tree.length || typeof path !== 'string') throw new Error(`${id} is ${depth} deep`)
      }
    }),
    { numRuns: 2_000 }
  )
  t.pass()
})
