import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, mkdtempSync, rmSync } from 'node:fs'
import { connect } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Test } from 'tap'
import { until } from '../../until.ts'
import { freePort } from '../../ports.ts'

const binary = ['/usr/bin/redis-server', '/usr/local/bin/redis-server', '/opt/homebrew/bin/redis-server'].find(path =>
  existsSync(path)
)

/** Why tests that need Redis are skipped here; false where it is installed. */
export const noRedis = binary === undefined ? 'redis-server is not installed' : false

async function listening(port: number): Promise<void> {
  await until('Redis', async () => {
    const socket = connect(port, '127.0.0.1')
    const open = await Promise.race([
      once(socket, 'connect').then(
        () => true,
        () => false
      ),
      once(socket, 'error').then(
        () => false,
        () => false
      )
    ])
    socket.destroy()
    return open
  })
}

/**
 * A Redis of one's own. What it acknowledged survives its restart: the append-only file is written with every
 * command.
 */
export async function startRedis(t: Test) {
  const port = await freePort()
  const dir = mkdtempSync(join(tmpdir(), 'rmm-redis-'))
  let child: ChildProcess
  const start = async (): Promise<void> => {
    child = spawn(
      binary!,
      [
        '--port',
        String(port),
        '--bind',
        '127.0.0.1',
        '--dir',
        dir,
        '--save',
        '',
        '--appendonly',
        'yes',
        '--appendfsync',
        'always'
      ],
      { stdio: 'ignore' }
    )
    await listening(port)
  }
  const stop = async (): Promise<void> => {
    if (child.exitCode !== null || child.signalCode !== null) return
    child.kill('SIGKILL')
    await once(child, 'exit')
  }
  await start()
  t.teardown(async () => {
    await stop()
    rmSync(dir, { recursive: true, force: true })
  })
  return { port, start, stop, pause: () => child.kill('SIGSTOP'), resume: () => child.kill('SIGCONT') }
}
