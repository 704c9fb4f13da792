import { monitorEventLoopDelay } from 'node:perf_hooks'
import { sql } from 'kysely'
import { listSuggestions } from '../src/services/mapping/suggestions.ts'
import { runMigrations } from '../src/migrations/run.ts'
import { type Database, openDatabase } from '../src/services/store/database.ts'
import { type Kind, openBenchDatabase } from './database.ts'
import { type Row, row } from './report.ts'

const words = [
  'North',
  'South',
  'Harbour',
  'Print',
  'Dental',
  'Legal',
  'Motor',
  'Garden',
  'Media',
  'Steel',
  'River',
  'Summit',
  'Care',
  'Data'
]
const ends = ['Ltd', 'GmbH', 'Group', 'Services', 'Partners', 'Inc']
const nameOf = (n: number): string =>
  `${words[n % 14]}${String.fromCharCode(97 + (n % 26))}${String.fromCharCode(97 + (Math.floor(n / 26) % 26))} ${words[Math.floor(n / 14) % 14]} ${Math.floor(n / 196)} ${ends[n % 6]}`

const connectionOf = (size: number): string => `00000000-0000-4000-8000-${String(size).padStart(12, '0')}`

async function fill({ db, t }: Database, size: number): Promise<void> {
  await sql`insert into ${t.connection} (id, tenant_id, provider, name, hook_key) values (${connectionOf(size)}, 'bench', 'levelio', 'Level', ${String(size)})`.execute(
    db
  )
  const names = Array.from({ length: size }, (_, n) => nameOf(3 * n).replace(/ (\S+)$/, n % 2 === 0 ? '' : ' $1'))
  await sql`insert into ${t.organization} (tenant_id, connection_id, external_id, name, path, hash, observed_at)
    select 'bench', ${connectionOf(size)}::uuid, 'g' || n, name, name, 'h', now() from unnest(${names}::text[]) with ordinality as x(name, n)`.execute(
    db
  )
}

/** One page of 50, with how long it took in all and the longest time that nothing else of the process had its turn. */
async function firstPage(database: Database, size: number): Promise<{ ms: number; heldMs: number }> {
  const clients = Array.from({ length: 2 * size }, (_, n) => ({ id: `c${n}`, name: nameOf(n) }))
  const loop = monitorEventLoopDelay({ resolution: 1 })
  loop.enable()
  const began = performance.now()
  const { items } = await listSuggestions(database, 'bench', connectionOf(size), clients, { limit: 50 })
  const ms = performance.now() - began
  await new Promise(resolve => setTimeout(resolve, 5))
  loop.disable()
  if (items.length !== 50) throw new Error(`${items.length} suggestions`)
  return { ms, heldMs: loop.max / 1e6 }
}

/** Suggestions of a large account, and what a row (a client or an organization) of it costs against a small one. */
export async function suggestionsBench(kind: Kind, { quick }: { quick: boolean }): Promise<Row[]> {
  const bench = await openBenchDatabase(kind)
  const database = await openDatabase(bench.orm, bench.schema)
  await runMigrations(database)
  for (const size of [500, 5_000]) await fill(database, size)
  const held: number[] = []
  const ratios: number[] = []
  const large: number[] = []
  for (let round = 0; round < (quick ? 3 : 9); round++) {
    const small = await firstPage(database, 500)
    const page = await firstPage(database, 5_000)
    held.push(page.heldMs)
    large.push(page.ms)
    // The same 50 organizations are scored; the clients are ten times as many.
    ratios.push(page.ms / 10_000 / (small.ms / 1_000))
  }
  await bench.close()
  const note = `first page of 50, 5,000 organizations x 10,000 clients: ${Math.round([...large].sort((a, b) => a - b)[Math.floor(large.length / 2)]!)} ms in all`
  return [
    row('suggestions: longest piece on the event loop, ms', kind, held, { most: 100 }, note),
    row('suggestions: cost per client, 5,000 x 10,000 against 500 x 1,000', kind, ratios, { most: 2 }, '')
  ]
}
