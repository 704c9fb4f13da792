import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { chmodSync, chownSync, existsSync, mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import type { Test } from 'tap'
import type { RealMesh } from './meshcentral-server.ts'

/** False where it runs here, otherwise the reason why not. */
export const noAgent =
  process.platform === 'linux' && process.arch === 'x64' && process.getuid?.() === 0
    ? false
    : 'the agent needs Linux on x86_64, and root to run it as nobody'

const nobody = 65534

/** A real agent of the server's own kind in the foreground, as nobody. It remembers who it is. */
export async function startAgent(t: Test, mesh: RealMesh, meshid: string) {
  const dir = join(mesh.dir, 'agent')
  if (!existsSync(dir)) mkdirSync(dir)
  writeFileSync(join(dir, 'meshagent'), await mesh.download('/meshagents?id=6'))
  writeFileSync(
    join(dir, 'meshagent.msh'),
    await mesh.download(`/meshsettings?id=${encodeURIComponent(meshid.split('/')[2]!)}`)
  )
  chmodSync(join(dir, 'meshagent'), 0o755)
  chmodSync(mesh.dir, 0o755)
  for (const path of [dir, join(dir, 'meshagent'), join(dir, 'meshagent.msh')]) chownSync(path, nobody, nobody)
  const start = () =>
    spawn(
      'setpriv',
      [
        `--reuid=${nobody}`,
        `--regid=${nobody}`,
        '--clear-groups',
        '--no-new-privs',
        '--bounding-set=-all',
        './meshagent',
        'run'
      ],
      { cwd: dir, stdio: 'ignore' }
    )
  let child = start()
  const stop = async () => {
    if (child.exitCode !== null || child.signalCode !== null) return
    const gone = once(child, 'exit')
    child.kill('SIGTERM')
    // One that has only just started may miss it.
    const timer = setTimeout(() => child.kill('SIGKILL'), 3000)
    await gone
    clearTimeout(timer)
  }
  t.teardown(stop)
  return {
    stop,
    start() {
      child = start()
    }
  }
}
