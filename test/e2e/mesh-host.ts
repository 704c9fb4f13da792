import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import type { Test } from 'tap'
import type { RmmProvider } from '../../src/index.ts'
import type { ProviderContext, ProviderSocket } from '../../src/providers/define.ts'
import { type MeshCentralOptions, meshcentral } from '../../src/providers/meshcentral/index.ts'
import type { Client, DeviceGroupSync } from '../../src/types.ts'
import { build, databaseUrl, type Host, type HostOptions } from '../helper.ts'
import type { RealMesh } from './meshcentral-server.ts'

/** What was sent to the real server: log-ins, requests for everything, changes. */
export interface Sent {
  logins: number
  lists: number
  writes: number
}

const reads = new Set(['ping', 'meshes', 'nodes', 'lastconnect', 'lastconnects', 'getsysinfo', 'getnetworkinfo'])

/** The provider, every frame it sends counted in `sent`. */
export function countedMesh(sent: Sent, options: MeshCentralOptions = {}): RmmProvider {
  const provider = meshcentral({
    allowPrivateNetwork: true,
    requestTimeoutMs: 20_000,
    offlineGraceMs: 1_000,
    debounceMs: 100,
    ...options
  }) as RmmProvider
  const count = (socket: ProviderSocket): ProviderSocket =>
    Object.create(socket, {
      send: {
        value(text: string) {
          const { action, id } = JSON.parse(text) as { action: string; id?: string }
          if (id === undefined && (action === 'meshes' || action === 'nodes')) sent.lists++
          if (!reads.has(action)) sent.writes++
          socket.send(text)
        }
      }
    }) as ProviderSocket
  return {
    ...provider,
    open: (ctx: ProviderContext<never, never>) =>
      provider.open({
        ...ctx,
        async webSocket(url, more) {
          sent.logins++
          return count(await ctx.webSocket(url, more))
        }
      })
  }
}

export interface RealHostOptions extends HostOptions {
  /** The host's clients, by tenant; tests change them. */
  clients?: (tenant: string) => Client[]
  sent?: Sent
  mesh?: MeshCentralOptions
}

/** A host of tests that talk to a real server: nothing happens but what is asked for. */
export async function realHost(
  t: Test,
  { clients = () => [], sent = { logins: 0, lists: 0, writes: 0 }, mesh = {}, ...options }: RealHostOptions = {}
): Promise<Host> {
  return await build(t, {
    providers: [countedMesh(sent, mesh)],
    directory: {
      clients,
      client: (tenant: string, id: string) => clients(tenant).find(client => client.id === id) ?? null
    },
    worker: { enabled: false },
    engine: { interactiveMs: 60_000, tickMs: 200 },
    ...options
  })
}

/** A connection of `tenant` to the real server; the administrator's unless `secrets` say otherwise. */
export async function connectReal(
  host: Host,
  mesh: RealMesh,
  { tenant = 't1', secrets = {}, config = {} }: { tenant?: string; secrets?: object; config?: object } = {}
) {
  return await host.call(tenant, 'POST', '/connections', {
    provider: 'meshcentral',
    config: { url: mesh.url, ca: mesh.ca, ...config },
    secrets: { username: mesh.username, password: mesh.password, ...secrets }
  })
}

/**
 * `syncAll` in another process. PGlite lives in one process only: there it is another host in this one.
 * `kill` ends it in the middle of what it does.
 */
export function syncElsewhere(
  t: Test,
  host: Host,
  mesh: RealMesh,
  connectionId: string,
  clients: Client[]
): { result: Promise<DeviceGroupSync | null>; kill(): Promise<void> } {
  if (!databaseUrl) {
    const other = realHost(t, { on: host, clients: () => clients })
    return {
      result: other.then(({ app }) => app.rmm.deviceGroups.syncAll('t1', connectionId)).catch(() => null),
      kill: async () => {
        await (await other).app.close()
      }
    }
  }
  const file = join(mesh.dir, 'clients.json')
  writeFileSync(file, JSON.stringify(clients))
  const child = spawn(process.execPath, [new URL('sync-all.ts', import.meta.url).pathname], {
    env: {
      ...process.env,
      DATABASE: databaseUrl,
      SCHEMA: host.schema,
      CONNECTION: connectionId,
      CLIENTS: file,
      NODE_OPTIONS: ''
    },
    stdio: ['ignore', 'pipe', 'inherit']
  })
  let said = ''
  child.stdout.on('data', chunk => {
    said += String(chunk)
  })
  const ended = once(child, 'close')
  return {
    result: ended.then(() => (said === '' ? null : (JSON.parse(said) as DeviceGroupSync))),
    async kill() {
      child.kill('SIGKILL')
      await ended
    }
  }
}
