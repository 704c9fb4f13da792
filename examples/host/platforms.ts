import { join } from 'node:path'
import type { CreateConnection, RmmProvider } from '../../src/index.ts'
import { level } from '../../src/providers/level/index.ts'
import { meshcentral } from '../../src/providers/meshcentral/index.ts'
import type { FakeMeshCentral } from '../../src/testing/fake-mesh/index.ts'
import { startMesh } from './mesh.ts'
import { freePort } from './ports.ts'
import { type Kept, keep, type Settings } from './settings.ts'
import { startWorld } from './world.ts'

type NamedConnection = CreateConnection & { name: string }

/** The two platforms of the story: real where the environment names them, else fakes in this process. */
export interface Platforms {
  providers: RmmProvider[]
  level: NamedConnection
  mesh: NamedConnection
  /** The fake MeshCentral and the file it remembers its groups in; undefined for a real one. */
  fakeMesh: { server: FakeMeshCentral; file: string } | undefined
  close(): Promise<void>
}

export async function startPlatforms(settings: Settings, kept: Kept): Promise<Platforms> {
  const { levelApiKey, mesh, dataFolder } = settings
  // Where they were last time, if possible: stored connections are then good before anybody touches them.
  kept.levelPort = (await freePort('127.0.0.1', kept.levelPort)) ?? (await freePort('127.0.0.1', 0)) ?? 0
  kept.meshPort = (await freePort('127.0.0.1', kept.meshPort)) ?? (await freePort('127.0.0.1', 0)) ?? 0
  keep(dataFolder, kept)
  const fakeLevel = levelApiKey === undefined ? await startWorld(kept) : undefined
  const file = join(dataFolder, 'fake-meshcentral.json')
  const fakeMesh = mesh === undefined ? { server: await startMesh(kept, file), file } : undefined
  return {
    // The fakes live on 127.0.0.1; with real platforms a tenant's connection must not reach into this host's network.
    providers: [
      level({ allowPrivateNetwork: fakeLevel !== undefined }),
      meshcentral({ allowPrivateNetwork: fakeMesh !== undefined })
    ] as unknown as RmmProvider[],
    level:
      fakeLevel === undefined
        ? { provider: 'levelio', name: 'Level', secrets: { apiKey: levelApiKey } }
        : {
            provider: 'levelio',
            name: 'Level (fake)',
            config: { baseUrl: fakeLevel.url },
            secrets: { apiKey: fakeLevel.apiKey }
          },
    mesh:
      mesh === undefined
        ? {
            provider: 'meshcentral',
            name: 'MeshCentral (fake)',
            config: { url: fakeMesh!.server.url },
            secrets: { username: fakeMesh!.server.username, password: fakeMesh!.server.password }
          }
        : {
            provider: 'meshcentral',
            name: 'MeshCentral',
            config: { url: mesh.url },
            secrets: { username: mesh.username, password: mesh.password }
          },
    fakeMesh,
    async close() {
      await fakeLevel?.close()
      await fakeMesh?.server.close()
    }
  }
}
