import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { fileURLToPath } from 'node:url'
import { type Kind, openBenchDatabase } from './database.ts'
import { makeDevice } from './devices.ts'
import { feedProvider, startEngine } from './engine.ts'
import { type Row, row } from './report.ts'

interface Measured {
  count: number
  peakMb: number
  firstMs: number
  againMs: number
}

/** Syncs twice in a process of its own and reports its peak above idle. */
async function measureHere(kind: Kind, count: number): Promise<Measured> {
  const database = await openBenchDatabase(kind)
  const engine = await startEngine(
    database,
    feedProvider({ count, device: n => makeDevice(n), pageSize: 100, latencyMs: 0 })
  )
  globalThis.gc?.()
  const idle = process.memoryUsage.rss()
  let peak = idle
  const timer = setInterval(() => {
    peak = Math.max(peak, process.memoryUsage.rss())
  }, 10)
  const first = await engine.sync()
  const again = await engine.sync()
  clearInterval(timer)
  await engine.close()
  await database.close()
  return { count, peakMb: (peak - idle) / 1024 / 1024, firstMs: first.ms, againMs: again.ms }
}

async function measure(kind: Kind, count: number): Promise<Measured> {
  // The same small heap for every size: with room to spare V8 lets garbage lie, and that would be measured instead of
  // the engine.
  const child = spawn(
    process.execPath,
    [
      '--expose-gc',
      '--max-semi-space-size=8',
      '--max-old-space-size=96',
      fileURLToPath(import.meta.url),
      kind,
      String(count)
    ],
    { stdio: ['ignore', 'pipe', 'inherit'] }
  )
  let output = ''
  child.stdout.on('data', chunk => {
    output += chunk
  })
  const [code] = await once(child, 'exit')
  if (code !== 0) throw new Error(`measuring ${count} devices failed`)
  return JSON.parse(output) as Measured
}

/** Peak memory and cost per device as the account grows. */
export async function growthBench(kind: Kind, { quick }: { quick: boolean }): Promise<Row[]> {
  const sizes = quick ? [1_000, 10_000] : [1_000, 10_000, 100_000]
  const measured: Measured[] = []
  for (const size of sizes) measured.push(await measure(kind, size))
  const small = measured[0]!
  const large = measured.at(-1)!
  const middle = measured.at(-2)!
  const told = measured.map(({ count, peakMb }) => `${count}: ${peakMb.toFixed(0)} MB`).join(', ')
  const perDevice = (which: 'firstMs' | 'againMs'): number =>
    large[which] / large.count / (middle[which] / middle.count)
  return [
    row(
      `peak memory above idle, ${large.count} : ${small.count} devices`,
      kind,
      [large.peakMb / small.peakMb],
      { most: 1.5 },
      told
    ),
    row(
      `cost per device of a first sync, ${large.count} : ${middle.count}`,
      kind,
      [perDevice('firstMs')],
      { most: 1.3 },
      `${(large.firstMs / 1000).toFixed(1)} s for ${large.count}`
    ),
    row(
      `cost per device of an unchanged sync, ${large.count} : ${middle.count}`,
      kind,
      [perDevice('againMs')],
      { most: 1.3 },
      `${(large.againMs / 1000).toFixed(1)} s for ${large.count}`
    )
  ]
}

if (import.meta.main) console.log(JSON.stringify(await measureHere(process.argv[2] as Kind, Number(process.argv[3]))))
