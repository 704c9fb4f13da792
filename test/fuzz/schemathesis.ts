import { spawn, spawnSync } from 'node:child_process'
import { existsSync, mkdirSync, rmSync, writeFileSync } from 'node:fs'
import { homedir } from 'node:os'
import { dirname, join } from 'node:path'

const version = '4.32.5'
const cache = join(process.env['XDG_CACHE_HOME'] ?? join(homedir(), '.cache'), 'fastify-rmm-sync')

/** The fuzzer in an environment of its own, made at the first run and kept; or why it cannot be had here. */
export function installSchemathesis(): { command: string } | { missing: string } {
  const folder = join(cache, `schemathesis-${version}`)
  const command = join(folder, 'bin', 'schemathesis')
  if (existsSync(command)) return { command }
  mkdirSync(cache, { recursive: true })
  for (const [program, ...args] of [
    ['python3', '-m', 'venv', folder],
    [join(folder, 'bin', 'pip'), 'install', '--quiet', '--disable-pip-version-check', `schemathesis==${version}`]
  ] as Array<[string, ...string[]]>) {
    const { status, error, stderr } = spawnSync(program, args, { encoding: 'utf8', timeout: 240_000 })
    if (status === 0) continue
    // Half an environment would be taken for a whole one the next time.
    rmSync(folder, { recursive: true, force: true })
    const reason = (error?.message ?? stderr.trim().split('\n').at(-1) ?? '').slice(0, 300)
    return {
      missing: `schemathesis ${version} could not be installed (${program} ${args.slice(0, 2).join(' ')}: ${reason})`
    }
  }
  return { command }
}

/** Of what the fuzzer writes: it shows whole requests, and makes long ones. */
const longestLine = 500
const longestOutput = 30_000

/** Each of them is a promise of the document. */
const checks = [
  'not_a_server_error',
  'status_code_conformance',
  'content_type_conformance',
  'response_headers_conformance',
  'response_schema_conformance',
  'negative_data_rejection'
]

/** What refuses wrong data; the fuzzer does not know that 413, 414 and 431 do. */
const settings = `[checks.negative_data_rejection]
expected-statuses = [400, 401, 403, 404, 409, 413, 414, 415, 422, 429, 431]
`

export interface FuzzRun {
  document: string
  url: string
  token: string
  seed: number
  seconds: number
  /** Operations left out, by id. */
  without?: string[]
}

/** Runs it to its end. False where it found something; what it found is written to the console. */
export async function fuzz(
  command: string,
  { document, url, token, seed, seconds, without = [] }: FuzzRun
): Promise<boolean> {
  const config = join(dirname(document), 'schemathesis.toml')
  writeFileSync(config, settings)
  const args = [
    `--config-file=${config}`,
    'run',
    document,
    `--url=${url}`,
    `--header=Authorization: Bearer ${token}`,
    `--seed=${seed}`,
    `--max-time=${seconds}`,
    `--checks=${checks.join()}`,
    '--phases=examples,coverage,fuzzing',
    '--generation-database=none',
    '--no-shrink',
    '--suppress-health-check=all',
    '--warnings=off',
    '--request-timeout=20',
    '--no-color',
    ...without.map(id => `--exclude-operation-id=${id}`)
  ]
  const child = spawn(command, args, {
    cwd: dirname(document), // it keeps a cache where it runs
    stdio: ['ignore', 'pipe', 'inherit'],
    timeout: (seconds + 60) * 1000,
    killSignal: 'SIGKILL'
  })
  let output = ''
  child.stdout.setEncoding('utf8').on('data', (text: string) => {
    output += text
  })
  const code = await new Promise<number | null>(resolve => child.once('close', resolve))
  const end = /={3,} SUMMARY ={3,}[\s\S]*/.exec(output)?.[0] ?? output.slice(-2_000)
  const shown = code === 0 ? end : output
  process.stdout.write(
    shown
      .split('\n')
      .map(line => line.slice(0, longestLine))
      .join('\n')
      .slice(-longestOutput)
  )
  return code === 0
}
