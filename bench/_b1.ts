import { openBenchDatabase } from './database.ts'
import { makeDevice } from './devices.ts'
import { feedProvider, startEngine } from './engine.ts'
const N = Number(process.argv[2] ?? 10000)
const devices = Array.from({ length: N }, (_, n) => makeDevice(n))
for (const kind of [process.argv[3] ?? 'postgresql'] as any) {
  const db = await openBenchDatabase(kind)
  const engine = await startEngine(db, feedProvider({ count: N, device: n => devices[n]!, pageSize: 100, latencyMs: 0 }))
  for (let i = 0; i < Number(process.argv[4] ?? 4); i++) { const { ms, run } = await engine.sync(); console.log(kind, i, ms, 'ms', Math.round(N / ms * 1000), '/s', JSON.stringify(run.totals)) }
  await engine.close(); await db.close()
}
