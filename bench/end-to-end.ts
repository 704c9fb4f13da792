import { type Kind, openBenchDatabase } from './database.ts'
import { makeDevice } from './devices.ts'
import { type Feed, feedProvider, startEngine } from './engine.ts'
import { type Row, row } from './report.ts'

/** A platform that answers each page after 100 ms: how much longer than only fetching does a full sync take? */
export async function endToEndBench(kind: Kind, { quick }: { quick: boolean }): Promise<Row[]> {
  const feed: Feed = { count: quick ? 2_000 : 10_000, device: n => makeDevice(n), pageSize: 100, latencyMs: 100 }
  const provider = feedProvider(feed)
  const ratios: number[] = []
  for (let n = 0; n < (quick ? 2 : 3); n++) {
    const database = await openBenchDatabase(kind)
    const engine = await startEngine(database, provider)
    const began = performance.now()
    for await (const page of provider.resources.devices!.pull({}, null, new AbortController().signal)) void page
    const fetched = performance.now() - began
    const { ms } = await engine.sync()
    ratios.push(ms / fetched)
    await engine.close()
    await database.close()
  }
  return [
    row(
      'full first sync : only fetching the same pages (100 ms each)',
      kind,
      ratios,
      { most: 1.15 },
      `${feed.count} devices, pages of 100`
    )
  ]
}
