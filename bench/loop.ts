import { monitorEventLoopDelay } from 'node:perf_hooks'
import { setTimeout as delay } from 'node:timers/promises'
import { type Kind, openBenchDatabase } from './database.ts'
import { makeDevice } from './devices.ts'
import { feedProvider, startEngine } from './engine.ts'
import { type Row, row } from './report.ts'

/** The longest time, in milliseconds, that nothing else of the process had its turn while `work` was done. */
export async function longestHold(work: () => Promise<unknown>): Promise<number> {
  const loop = monitorEventLoopDelay({ resolution: 1 })
  // What was going on before is not counted, and neither is what the measurement itself begins with.
  await delay(20)
  loop.enable()
  await work()
  await delay(20)
  loop.disable()
  return loop.max / 1e6
}

const goalMs = 50

/** How long a first sync and a re-mapping hold the event loop at most. */
export async function loopBench(kind: Kind, { quick }: { quick: boolean }): Promise<Row[]> {
  // PostgreSQL itself works in this thread there: it is what holds the loop.
  if (kind === 'pglite') return []
  const count = quick ? 4_000 : 20_000
  const figures = { first: [] as number[], mapping: [] as number[] }
  for (let round = 0; round < 3; round++) {
    const database = await openBenchDatabase(kind)
    const engine = await startEngine(
      database,
      feedProvider({ count, device: n => makeDevice(n), pageSize: 100, latencyMs: 0 }),
      { onChanges: async () => {} }
    )
    figures.first.push(await longestHold(() => engine.sync()))
    const { items } = await engine.app.rmm.organizations.list('bench', engine.connectionId, { limit: 200 })
    const mappings = items.map(({ id }) => ({ organizationId: id, mode: 'mapped' as const, clientRef: 'another' }))
    figures.mapping.push(
      await longestHold(() => engine.app.rmm.organizations.map('bench', engine.connectionId, mappings))
    )
    await engine.close()
    await database.close()
  }
  const goal = { most: goalMs }
  return [
    row(`longest hold of the event loop, first sync of ${count} devices, ms`, kind, figures.first, goal, ''),
    row(`longest hold of the event loop, re-mapping of ${count} devices, ms`, kind, figures.mapping, goal, '')
  ]
}
