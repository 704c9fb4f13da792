import type { Test } from 'tap'
import { openDatabase } from '../../src/services/store/database.ts'
import type { RmmProvider } from '../../src/index.ts'
import { level } from '../../src/providers/level/index.ts'
import { type MeshCentralOptions, meshcentral } from '../../src/providers/meshcentral/index.ts'
import { type FakeMeshCentral, type FakeMeshOptions, startFakeMeshCentral } from '../../src/testing/fake-mesh/index.ts'
import type { Client } from '../../src/types.ts'
import { build, type Host, type HostOptions } from '../helper.ts'
import { freePort } from '../ports.ts'

export async function fakeMesh(t: Test, options: FakeMeshOptions = {}): Promise<FakeMeshCentral> {
  const fake = await startFakeMeshCentral({ groups: 0, devices: 0, port: await freePort(), ...options })
  t.teardown(() => fake.close())
  return fake
}

export interface MeshHostOptions extends HostOptions {
  /** The host's clients; tests change the array. */
  clients?: Client[]
  mesh?: MeshCentralOptions
}

/** A host with both providers. Without `worker` nothing happens but what is asked for. */
export async function meshHost(t: Test, { clients = [], mesh = {}, ...options }: MeshHostOptions = {}): Promise<Host> {
  return await build(t, {
    providers: [
      meshcentral({
        allowPrivateNetwork: true,
        debounceMs: 20,
        offlineGraceMs: 200,
        requestTimeoutMs: 5_000,
        ...mesh
      }) as RmmProvider,
      level({ allowPrivateNetwork: true }) as RmmProvider
    ],
    directory: {
      clients: () => clients,
      client: (_tenant: string, id: string) => clients.find(client => client.id === id) ?? null
    },
    worker: { enabled: false },
    ...options
  })
}

export async function connectMesh(
  host: Host,
  fake: FakeMeshCentral,
  { tenant = 't1', ...more }: { tenant?: string; secrets?: object; schedule?: object; allowDuplicate?: true } = {}
): Promise<string> {
  const { status, body } = await host.call(tenant, 'POST', '/connections', {
    provider: 'meshcentral',
    config: { url: fake.url },
    secrets: { username: fake.username, password: fake.password },
    ...more
  })
  if (status !== 201) throw new Error(`connecting failed: ${JSON.stringify(body)}`)
  return body.connection.id as string
}

/** What the platform shows: names of the groups that are there, by id. */
export function groupsOn(fake: FakeMeshCentral): Map<string, string> {
  return new Map([...fake.world.groups.values()].filter(group => !group.deleted).map(group => [group._id, group.name]))
}

export async function database(host: Host) {
  return await openDatabase(host.orm, host.schema)
}
