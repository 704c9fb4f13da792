import { sql } from 'kysely'
import { openDatabase } from '../src/services/store/database.ts'
import { type Kind, openBenchDatabase } from './database.ts'
import { makeDevice } from './devices.ts'
import { feedProvider, startEngine } from './engine.ts'
import { startReference } from './reference.ts'
import { median, type Row, row } from './report.ts'
import { countStatements } from './statements.ts'

/**
 * DESIGN's first four rows: the page merge against COPY, against one device at a time, and in statements per device.
 */
export async function mergeBench(kind: Kind, { quick }: { quick: boolean }): Promise<Row[]> {
  const count = quick ? 2_000 : 10_000
  const rounds = quick ? 3 : 5
  const few = quick ? 200 : 500
  const devices = Array.from({ length: count }, (_, n) => makeDevice(n))
  const ratios = {
    first: [] as number[],
    unchanged: [] as number[],
    firstOne: [] as number[],
    unchangedOne: [] as number[],
    statements: [] as number[],
    restatements: [] as number[],
    written: [] as number[]
  }
  let rate = 0
  for (let n = 0; n <= rounds; n++) {
    const database = await openBenchDatabase(kind)
    const engine = await startEngine(
      database,
      feedProvider({ count, device: at => devices[at]!, pageSize: 100, latencyMs: 0 })
    )
    const reference = await startReference(database, engine.connectionId)
    const statements = await countStatements(database)
    const copied = await reference.copyAndMerge(devices)
    const before = statements.read()
    const first = await engine.sync()
    const between = statements.read()
    const { db, t } = await openDatabase(database.orm, database.schema)
    const stamp = (await sql<{ at: string }>`select max(xmin::text::bigint) as at from ${t.device}`.execute(db))
      .rows[0]!.at
    const start = statements.read()
    const again = await engine.sync()
    const end = statements.read()
    const rewritten = (
      await sql<{
        n: string | number
      }>`select count(*) as n from ${t.device} where xmin::text::bigint > ${stamp}::bigint`.execute(db)
    ).rows[0]!.n
    const single = ((await reference.oneByOne(devices.slice(0, few))) / few) * count
    const singleAgain = ((await reference.oneByOne(devices.slice(0, few))) / few) * count
    statements.stop()
    await reference.close()
    await engine.close()
    await database.close()
    // The first round warms the process up; what it measures is the compiler.
    if (n === 0) continue
    ratios.first.push(copied / first.ms)
    ratios.unchanged.push(copied / again.ms)
    ratios.firstOne.push(single / first.ms)
    ratios.unchangedOne.push(singleAgain / again.ms)
    ratios.statements.push((between - before) / count)
    ratios.restatements.push((end - start) / count)
    ratios.written.push(Number(rewritten))
    rate = Math.round((count / first.ms) * 1000)
  }
  const rows = `${count} devices, pages of 100`
  return [
    row(
      'first sync : COPY and merge',
      kind,
      ratios.first,
      { least: 1 },
      `${rows}; ${rate} devices/s in the last round`
    ),
    row('unchanged re-sync : COPY and merge', kind, ratios.unchanged, { least: 3 }, rows),
    row('unchanged re-sync: device rows written', kind, ratios.written, { most: 0 }, rows),
    row(
      'first sync : one device at a time',
      kind,
      ratios.firstOne,
      { least: 20 },
      `${few} devices measured, scaled; median ${median(ratios.firstOne).toFixed(0)}`
    ),
    row(
      'unchanged re-sync : one device at a time',
      kind,
      ratios.unchangedOne,
      { least: 100 },
      `${few} devices measured, scaled`
    ),
    row('SQL statements per device, first sync', kind, ratios.statements, { most: 0.1 }, rows),
    row('SQL statements per device, unchanged re-sync', kind, ratios.restatements, { most: 0.05 }, rows)
  ]
}
