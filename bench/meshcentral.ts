import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { fileURLToPath } from 'node:url'
import type { RmmProvider } from '../src/index.ts'
import { meshcentral } from '../src/providers/meshcentral/index.ts'
import { startFakeMeshCentral } from '../src/testing/index.ts'
import { type Kind, openBenchDatabase } from './database.ts'
import { startEngine } from './engine.ts'
import { type Row, row } from './report.ts'

interface Run {
  peakMb: number
  ms: number
}
interface Measured {
  count: number
  messageMb: number
  first: Run
  again: Run
  requests: number
}

/** Syncs twice in a process of its own, and tells after each how long it took and what it needed above idle. */
async function measureHere(kind: Kind, url: string, username: string, password: string): Promise<void> {
  const database = await openBenchDatabase(kind)
  const engine = await startEngine(
    database,
    meshcentral({ allowPrivateNetwork: true }) as RmmProvider,
    {},
    { config: { url }, secrets: { username, password } }
  )
  globalThis.gc?.()
  const idle = process.memoryUsage.rss()
  for (let n = 0; n < 2; n++) {
    globalThis.gc?.()
    let peak = process.memoryUsage.rss()
    const timer = setInterval(() => {
      peak = Math.max(peak, process.memoryUsage.rss())
    }, 10)
    const { ms } = await engine.sync()
    clearInterval(timer)
    process.send?.({ peakMb: (peak - idle) / 1024 / 1024, ms } satisfies Run)
  }
  await engine.close()
  await database.close()
}

/** The server is in this process, what is measured in another. */
async function measure(kind: Kind, count: number): Promise<Measured> {
  const fake = await startFakeMeshCentral({ groups: 50, devices: count })
  // Enough for the packed list of the largest account and the same for every size, see `growthBench`.
  const flags = ['--expose-gc', '--max-semi-space-size=8', '--max-old-space-size=160']
  const child = spawn(
    process.execPath,
    [...flags, fileURLToPath(import.meta.url), kind, fake.url, fake.username, fake.password],
    { stdio: ['ignore', 'inherit', 'inherit', 'ipc'] }
  )
  const runs: Run[] = []
  child.on('message', run => {
    if (runs.push(run as Run) === 1) fake.resetCounts()
  })
  const [code] = await once(child, 'exit')
  const { getsysinfo = 0, getnetworkinfo = 0 } = fake.counts.actions
  const messageMb =
    JSON.stringify([...fake.world.nodes.values()].map(node => fake.world.listed(node))).length / 1024 / 1024
  await fake.close()
  if (code !== 0 || runs.length < 2) throw new Error(`measuring ${count} devices failed`)
  return { count, messageMb, first: runs[0]!, again: runs[1]!, requests: getsysinfo + getnetworkinfo }
}

/** Memory, time and requests of a MeshCentral account as it grows: its list of devices is one message. */
export async function meshcentralBench(kind: Kind, { quick }: { quick: boolean }): Promise<Row[]> {
  // PGlite lives in the measured process: its memory would be measured instead.
  if (kind === 'pglite') return []
  const measured: Measured[] = []
  for (const size of quick ? [1_000, 10_000] : [1_000, 10_000, 100_000]) measured.push(await measure(kind, size))
  const small = measured[0]!
  const large = measured.at(-1)!
  const peak = ({ first, again }: Measured): number => Math.max(first.peakMb, again.peakMb)
  const told = (text: (one: Measured) => string): string => measured.map(one => `${one.count}: ${text(one)}`).join(', ')
  return [
    row(
      `MeshCentral: peak memory above idle, ${large.count} : ${small.count} devices`,
      kind,
      [peak(large) / peak(small)],
      { most: 1.5 },
      told(
        one =>
          `${one.first.peakMb.toFixed(0)} and ${one.again.peakMb.toFixed(0)} MB for a list of ${one.messageMb.toFixed(1)} MB`
      )
    ),
    row(
      'MeshCentral: unchanged sync : first sync, time',
      kind,
      [large.again.ms / large.first.ms],
      { most: 0.5 },
      told(one => `${(one.first.ms / 1000).toFixed(1)} s, then ${(one.again.ms / 1000).toFixed(1)} s`)
    ),
    row(
      'MeshCentral: requests per device, unchanged sync',
      kind,
      [large.requests / large.count],
      { most: 0.01 },
      told(one => String(one.requests))
    )
  ]
}

if (import.meta.main) await measureHere(process.argv[2] as Kind, process.argv[3]!, process.argv[4]!, process.argv[5]!)
