import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { fileURLToPath } from 'node:url'
import type { Test } from 'tap'
import type { Installation } from './setup.ts'

const file = fileURLToPath(new URL('./worker.ts', import.meta.url))

export interface WorkerProcess {
  pid: number
  /** What it wrote to stderr: warnings and errors of its log. */
  log(): string
  kill(signal: NodeJS.Signals): void
  /** Resolves with the exit code, or the signal that ended it. */
  ended: Promise<number | NodeJS.Signals | null>
}

/** Starts a worker process and waits until it works. It ends with the test at the latest. */
export async function startWorkerProcess(t: Test, installation: Installation): Promise<WorkerProcess> {
  const child: ChildProcess = spawn(process.execPath, ['--no-warnings', file], {
    env: { PATH: process.env['PATH'], INSTALLATION: JSON.stringify(installation) },
    stdio: ['ignore', 'pipe', 'pipe']
  })
  let log = ''
  child.stderr!.on('data', chunk => {
    log += String(chunk)
  })
  const ended = once(child, 'exit').then(([code, signal]) => (signal ?? code) as number | NodeJS.Signals | null)
  t.teardown(async () => {
    child.kill('SIGKILL')
    await ended
  })
  const ready = new Promise<void>(resolve =>
    child.stdout!.on('data', chunk => {
      if (String(chunk).includes('ready')) resolve()
    })
  )
  await Promise.race([
    ready,
    ended.then(how => {
      throw new Error(`the worker process ended (${how}) before it was ready: ${log}`)
    })
  ])
  return {
    pid: child.pid!,
    log: () => log,
    kill: signal => {
      child.kill(signal)
    },
    ended
  }
}
