import fc from 'fast-check'
import { sql } from 'kysely'
import t, { type Test } from 'tap'
import type { ChangeBatch } from '../../../src/types.ts'
import { build, databaseKind } from '../../helper.ts'
import { processClock } from '../../process-clock.ts'
import { pause } from '../../until.ts'
import { createScript, ended, fastEngine, type ScriptedHost, scriptedHost } from '../scripted.ts'
import { createWorld, lie, type Life, lifeArb, type World } from './lying-platform.ts'

/** `LIVES=5000` looks that long. */
const lives = Number(process.env['LIVES'] ?? 0)
t.setTimeout(lives > 0 ? 0 : 180_000)

/** `LIFE`, as a failure shows it, is lived first. */
const known = process.env['LIFE'] ? (JSON.parse(process.env['LIFE']) as Life[]) : []

const hour = 3_600_000
const jumps = [0, hour, -hour, 24 * hour, -24 * hour]

/** Two processes' worth of plugin on one database, and everything they tell their host. */
async function twoApps(t: Test, noSingleReads: boolean) {
  const told: string[] = []
  let world = createWorld()
  const onChanges = ({ devices }: ChangeBatch): void => {
    for (const { change, device } of devices) {
      const { externalId, clientRef } = device
      if (change === 'removed' && !world.deleted.has(externalId)) told.push(`removed ${externalId}, which lives`)
      if (change !== 'removed' && clientRef !== null && world.been.get(externalId)?.has(clientRef) !== true)
        told.push(`${change} ${externalId} at ${clientRef}, where it never was`)
    }
  }
  const engine = { ...fastEngine, batchRecords: 3, maxAttempts: 3 }
  const script = createScript({ noSingleReads })
  const first = await scriptedHost(t, { script, onChanges, engine })
  const second = await build(t, { on: first, providers: [script.provider], onChanges, engine })
  return {
    first,
    apps: [first.app, second.app] as const,
    told,
    async begin(): Promise<World> {
      for (const table of ['device', 'organization', 'pass', 'page', 'run'] as const)
        await sql`delete from ${first.database.t[table]}`.execute(first.database.db)
      world = createWorld()
      told.length = 0
      return world
    }
  }
}

async function state(h: ScriptedHost): Promise<string[]> {
  return (await h.rows('device'))
    .filter(row => row.removed_at === null)
    .map(row => `${row.external_id} ${row.display_name} in ${row.organization_external_id} of ${row.client_ref}`)
}
const truth = (world: World): string[] =>
  [...world.devices].map(([id, { name, group }]) => `${id} ${name} in ${group} of ${world.clientOf(group)}`).sort()

/** Whatever was done to a living record that the platform did not do. */
async function wrongs(h: ScriptedHost, world: World, told: string[]): Promise<string[]> {
  const found = [...told]
  for (const { external_id: id, removed_at, client_ref } of await h.rows('device')) {
    if (removed_at !== null && !world.deleted.has(id)) found.push(`${id} lives and has a tombstone`)
    // One whose group was never told has none yet.
    if (client_ref !== null) world.had.add(id)
    const right = client_ref === null ? !world.had.has(id) : world.been.get(id)?.has(client_ref)
    if (removed_at === null && right !== true) found.push(`${id} is at ${client_ref}`)
  }
  for (const { external_id: id, removed_at } of await h.rows('organization'))
    if (removed_at !== null && world.groups.has(id)) found.push(`group ${id} lives and has a tombstone`)
  return found
}

async function live(
  { first, apps, told, begin }: Awaited<ReturnType<typeof twoApps>>,
  life: Life,
  clock: { set(ahead: number): void } | null
): Promise<void> {
  const world = await begin()
  const background: Array<Promise<unknown>> = []
  const platform = lie(first.script, world, life, ({ act, at }) => {
    if (act === 'jump') clock?.set(jumps[at % jumps.length]!)
    else {
      const known = [...world.been.keys()]
      // The other process re-reads a device meanwhile; that there may be none is not what is looked at.
      const read = apps[1].rmm.sync.device('t1', first.connectionId, known[at % known.length]!)
      background.push(read.catch(() => {}))
    }
  })
  await first.sync({ resources: ['organizations'] })
  await first.map({ g1: 'c1', g2: 'c2' })
  await first.sync()
  for (const { by, resources, force, steps } of life.runs) {
    platform.from(steps)
    const { run } = await apps[by].rmm.sync.start('t1', first.connectionId, { resources: [...resources], force })
    await ended(first, run.id)
    await Promise.all(background.splice(0))
    const found = await wrongs(first, world, told)
    if (found.length > 0) throw new Error(found.join('\n'))
  }
  platform.quiet()
  if (first.script.provider.resources.devices?.fetchOne === undefined) {
    await first.sync()
    await pause(fastEngine.tickMs * 1.5)
  }
  const end = await first.sync()
  if (end.status !== 'succeeded') throw new Error(`the quiet sync ended as ${end.status}: ${end.error?.message}`)
  const [found, expected] = [await state(first), truth(world)]
  if (found.join('\n') !== expected.join('\n'))
    throw new Error(`found\n${found.join('\n')}\nexpected\n${expected.join('\n')}`)
  const after = await wrongs(first, world, told)
  if (after.length > 0) throw new Error(after.join('\n'))
}

/** The same for one that can be asked for single records, and for one that cannot. */
for (const noSingleReads of [false, true]) {
  const who = noSingleReads ? 'that cannot be asked for one record' : 'that can be asked for one record'
  t.test(`a platform ${who} changes, re-orders, shortens and lies: no living record is removed or moved`, async t => {
    // PGlite has the process' own clock: there it cannot be wrong.
    const clock = databaseKind === 'postgresql' ? processClock(t) : null
    const apps = await twoApps(t, noSingleReads)
    let lived = 0
    await fc.assert(
      fc.asyncProperty(lifeArb, async life => {
        lived++
        await live(apps, life, clock)
      }),
      {
        numRuns: lives > 0 ? lives : 40,
        includeErrorInReport: true,
        examples: known.map((life): [Life] => [life]),
        ...(lives > 0 ? {} : { interruptAfterTimeLimit: 12_000, markInterruptAsFailure: false })
      }
    )
    t.ok(lived > (lives > 0 ? 0 : 2), `${lived} lives`)
  })
}
