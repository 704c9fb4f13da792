import { type ChildProcess, execFileSync, spawn } from 'node:child_process'
import { createWriteStream, existsSync, globSync, mkdirSync, readFileSync, rmSync } from 'node:fs'
import { availableParallelism } from 'node:os'
import { join, relative, resolve } from 'node:path'
import { parseArgs } from 'node:util'
import { parse } from 'yaml'
import { type Counts, tally } from '../.ci/tally.mjs'

const usage = `npm run test:steady -- [options] [files]

Runs test files again and again, alone and on a busy machine, and fails when one run fails. All files unless some are
named or chosen:
  --changed         the test files that differ from --base (default: where this branch left main)
  --timing          the ten files that depend most on time
  --alone 20        runs with nothing beside them
  --busy 10         runs while other processes keep all cores busy
  --jobs 1          runs at a time
  --limit 180       starts no run after this many seconds; what was not run is named
The output of a failed run is printed, and kept in .cache/steady.`

/** The files that depend most on time, and what makes them. CI runs these with every change. */
export const timing: Record<string, string> = {
  'test/routes/events.test.ts': 'heartbeats, and streams that end by an abort',
  'test/services/egress/http.test.ts': 'time limits, rate limits and back-off of the egress',
  'test/services/inbound/webhooks.test.ts': 'deliveries gathered for a moment, retried, and waiting for a run',
  'test/services/outbound/sinks.test.ts': 'leases and back-off of the relays, between two processes',
  'test/services/sync/runs.test.ts': 'schedules, told waits, retries and leases of runs',
  'test/services/sync/many-tenants.test.ts': 'turns among tenants',
  'test/services/inbound/listeners.test.ts': 'a push socket that is lost and comes back, a grace before offline',
  'test/providers/meshcentral.test.ts': 'pings, debounced pushes, reconnects',
  'test/services/device-groups/status.test.ts': 'a platform that hangs, and how long a page waits for it',
  'test/transports/unreachable.test.ts': 'an engine that is down, hangs and comes back'
}

const root = join(import.meta.dirname, '..')
const kept = join(root, '.cache/steady')

interface Row {
  file: string
  runs: number
  failures: number
  skips: number
  slowestMs: number
}

const git = (...args: string[]): string => execFileSync('git', args, { cwd: root, encoding: 'utf8' }).trim()

/** The test files that are new or different since `base`, committed or not. */
function changed(base: string | undefined): string[] {
  let since = base ?? ''
  try {
    const from = base ?? git('merge-base', 'HEAD', git('branch', '--list', 'main') === '' ? 'origin/main' : 'main')
    // On main itself a change is its last commit.
    since = git('rev-parse', '--verify', '--quiet', from === git('rev-parse', 'HEAD') ? 'HEAD~1' : from)
  } catch (error) {
    if (base !== undefined) throw error
    process.stdout.write(
      'this clone does not tell what changed: it has neither the base nor a commit before this one\n'
    )
    return []
  }
  const names = [git('diff', '--name-only', since), git('ls-files', '--others', '--exclude-standard')]
  const files = names.flatMap(text => text.split('\n')).filter(name => /^test\/.*\.test\.ts$/.test(name))
  process.stdout.write(`${files.length} test files differ from ${since.slice(0, 12)}\n`)
  return files.filter(name => existsSync(resolve(root, name)))
}

function chosen(values: { changed?: boolean; timing?: boolean; base?: string }, named: string[]): string[] {
  const some = [
    ...named,
    ...(values.timing ? Object.keys(timing) : []),
    ...(values.changed ? changed(values.base) : [])
  ]
  const files =
    values.changed || values.timing || named.length > 0 ? some : globSync('test/**/*.test.ts', { cwd: root })
  const missing = files.filter(name => !existsSync(resolve(root, name)))
  if (missing.length > 0) throw new Error(`there is no ${missing.join(', ')}`)
  return [...new Set(files.map(name => relative(root, resolve(root, name))))].sort()
}

/** Takes a core away for as long as its parent lives. */
const greedy = `process.on('disconnect', () => process.exit())
setInterval(() => { for (const end = Date.now() + 200; Date.now() < end;); }, 0)`

/** Processes that keep all cores busy, until the returned function is called. */
function occupy(): () => void {
  const others: ChildProcess[] = []
  for (let n = 0; n < Math.max(2, availableParallelism()); n++)
    others.push(spawn(process.execPath, ['-e', greedy], { stdio: ['ignore', 'ignore', 'ignore', 'ipc'] }))
  return () => {
    for (const other of others) other.kill('SIGKILL')
  }
}

/** Runs a file as `tap run` would, without the runner: its output, whether it is good, and how long it took. */
async function once(file: string, log: string, limitMs: number) {
  const began = performance.now()
  const child = spawn(process.execPath, [file], {
    cwd: root,
    env: { ...process.env, TAP_TIMEOUT: String(limitMs / 1000) },
    stdio: ['ignore', 'pipe', 'pipe'],
    detached: true
  })
  const out = createWriteStream(log)
  child.stdout.pipe(out, { end: false })
  child.stderr.pipe(out, { end: false })
  const stop = () => {
    try {
      process.kill(-child.pid!, 'SIGKILL')
    } catch {
      // It and all it started have ended.
    }
  }
  const timer = setTimeout(stop, limitMs + 30_000)
  process.once('exit', stop)
  const [code, signal] = await new Promise<[number | null, string | null]>(done =>
    child.once('close', (...how) => done(how))
  )
  clearTimeout(timer)
  process.off('exit', stop)
  await new Promise<void>(done => out.end(done))
  const counts: Counts = tally(readFileSync(log, 'utf8'))
  const whole = counts.failed === 0 && counts.passed + counts.skipped > 0
  return { counts, good: code === 0 && whole, how: signal ?? `exit ${code}`, ms: performance.now() - began }
}

function tell(name: string, log: string, how: string, counts: Counts): void {
  const lines = counts.failures.flatMap(({ line, details }) => [line, ...details.slice(0, 40)])
  // Without a failed assertion the last lines tell most.
  const shown = lines.length > 0 ? lines : readFileSync(log, 'utf8').split('\n').slice(-40)
  process.stdout.write(`FAILED ${name} (${how}); all of it: ${log}\n${shown.map(line => `    ${line}\n`).join('')}`)
}

function table(rows: Row[]): void {
  const width = Math.max(...rows.map(({ file }) => file.length))
  const line = (...cells: Array<string | number>) =>
    `${String(cells[0]).padEnd(width)}${cells
      .slice(1)
      .map(cell => String(cell).padStart(10))
      .join('')}\n`
  process.stdout.write(line('file', 'runs', 'failures', 'slowest'))
  for (const { file, runs, failures, skips, slowestMs } of rows) {
    const note = runs > 0 && skips === runs ? '  only skips here' : ''
    process.stdout.write(`${line(file, runs, failures, `${(slowestMs / 1000).toFixed(1)} s`).trimEnd()}${note}\n`)
  }
}

async function main(): Promise<void> {
  const { values, positionals } = parseArgs({
    allowPositionals: true,
    options: {
      changed: { type: 'boolean' },
      base: { type: 'string' },
      timing: { type: 'boolean' },
      alone: { type: 'string', default: '20' },
      busy: { type: 'string', default: '10' },
      jobs: { type: 'string', default: '1' },
      limit: { type: 'string' },
      help: { type: 'boolean' }
    }
  })
  if (values.help) return void process.stdout.write(`${usage}\n`)
  const files = chosen(values, positionals)
  const limitMs = 1000 * parse(readFileSync(join(root, '.taprc'), 'utf8')).timeout
  const end = values.limit === undefined ? Number.POSITIVE_INFINITY : performance.now() + 1000 * Number(values.limit)
  const rows = new Map(files.map(file => [file, { file, runs: 0, failures: 0, skips: 0, slowestMs: 0 }]))
  let left = 0
  mkdirSync(kept, { recursive: true })

  async function run(file: string, name: string): Promise<void> {
    if (performance.now() > end) return void left++
    const log = join(kept, `${name}.tap`)
    const { counts, good, how, ms } = await once(file, log, limitMs)
    const row = rows.get(file)!
    row.runs++
    row.slowestMs = Math.max(row.slowestMs, ms)
    if (counts.passed === 0) row.skips++
    if (good) return rmSync(log)
    row.failures++
    tell(name, log, how, counts)
  }

  /** Every file once, then every file again: where the time limit cuts, it cuts them alike. */
  async function rounds(kind: 'alone' | 'busy'): Promise<void> {
    const queue = Array.from({ length: Number(values[kind]) }, (_, n) =>
      files.map(file => [file, `${file.replaceAll('/', '_').replace(/\.test\.ts$/, '')}-${kind}-${n + 1}`] as const)
    ).flat()
    const worker = async () => {
      for (let next = queue.shift(); next !== undefined; next = queue.shift()) await run(...next)
    }
    await Promise.all(Array.from({ length: Number(values.jobs) }, worker))
  }

  await rounds('alone')
  const leave = occupy()
  try {
    await rounds('busy')
  } finally {
    leave()
  }
  table([...rows.values()])
  const failures = [...rows.values()].reduce((sum, row) => sum + row.failures, 0)
  const all = [...rows.values()].reduce((sum, row) => sum + row.runs, 0)
  process.stdout.write(
    `${all} runs, ${failures} failures${left > 0 ? `; ${left} runs not begun within the limit` : ''}\n`
  )
  if (failures > 0) process.exitCode = 1
}

if (import.meta.main) await main()
