import { randomBytes } from 'node:crypto'
import type { AddressInfo } from 'node:net'
import type { FastifyInstance } from 'fastify'
import { buildHost } from '../../examples/host/app.ts'
import { issueToken } from '../../examples/host/auth.ts'
import { openDatabase, User } from '../../examples/host/entities.ts'
import { home, moveIn } from '../../examples/host/people.ts'
import type { RmmProvider } from '../../src/index.ts'
import { level } from '../../src/providers/level/index.ts'
import { meshcentral } from '../../src/providers/meshcentral/index.ts'
import {
  type FakeLevel,
  type FakeMeshCentral,
  levelWebhookRequest,
  startFakeLevel,
  startFakeMeshCentral
} from '../../src/testing/index.ts'
import { until } from '../until.ts'

export const away = 'southgate'
export { home }

/** Ids that exist, by the name that URLs and bodies give them. */
export type Ids = Record<string, string[]>

export interface FuzzHost {
  app: FastifyInstance
  url: string
  /** Of an administrator and a technician of the one tenant, and a viewer of the other. */
  tokens: { admin: string; technician: string; viewer: string }
  ids: Record<string, Ids>
  close(): Promise<void>
}

/** Whatever address a request makes up, nothing is sent but to the fakes. */
function caged(provider: RmmProvider, field: string, fakes: Array<{ url: string }>): RmmProvider {
  const { configSchema } = provider
  const property = { ...configSchema.properties[field], default: fakes[0]!.url }
  return {
    ...provider,
    configSchema: { ...configSchema, properties: { ...configSchema.properties, [field]: property } } as never,
    hosts: () => fakes.map(({ url }) => new URL(url).origin)
  }
}

/** A tenant that has one of everything there is. */
async function furnish(app: FastifyInstance, tenant: string, fake: FakeLevel, mesh?: FakeMeshCentral): Promise<Ids> {
  const { rmm } = app
  // What shows up in an answer to somebody else is theirs.
  for (const id of fake.devices.ids()) fake.devices.patch(id, { nickname: `${tenant}-only-${id.slice(-6)}` })
  const { connection, webhook } = await rmm.connections.create(tenant, {
    provider: 'levelio',
    name: `${tenant}-only`,
    config: { baseUrl: fake.url },
    secrets: { apiKey: fake.apiKey }
  })
  const connections = [connection.id]
  if (mesh !== undefined) {
    const { username, password, url } = mesh
    const made = await rmm.connections.create(tenant, {
      provider: 'meshcentral',
      config: { url },
      secrets: { username, password }
    })
    connections.push(made.connection.id)
  }
  const clients = (await rmm.organizations.clients(tenant)).items
  const runs: string[] = []
  for (const id of connections) {
    const { run } = await rmm.sync.start(tenant, id)
    runs.push((await rmm.sync.settled(tenant, run.id)).id)
    const organizations = (await rmm.organizations.list(tenant, id)).items
    await rmm.organizations.map(
      tenant,
      id,
      organizations.slice(0, 2).map((organization, n) => ({
        organizationId: organization.id,
        mode: 'mapped',
        clientRef: clients[n % clients.length]!.id
      }))
    )
  }
  const hint = levelWebhookRequest(
    { event_type: 'device_updated', data: { id: fake.devices.ids()[0]! } },
    webhook!.secret
  )
  await app.inject({
    method: 'POST',
    url: new URL(webhook!.url!).pathname,
    headers: hint.headers,
    payload: hint.rawBody
  })
  const deliveries = await until(async () => {
    const { items } = await rmm.webhooks.deliveries(tenant, connection.id)
    return items.length > 0 && items.every(({ status }) => status !== 'pending') && items
  })
  const devices = (await rmm.inventory.list(tenant, { limit: 200 })).items
  const organizations = (await rmm.organizations.list(tenant, connection.id)).items
  return {
    connectionId: connections,
    runId: runs,
    organizationId: organizations.map(({ id }) => id),
    deviceId: devices.map(({ id }) => id),
    externalId: devices.slice(0, 10).map(({ externalId }) => externalId),
    alertId: (await rmm.alerts.list(tenant)).items.map(({ id }) => id),
    deliveryId: deliveries.map(({ id }) => id),
    clientRef: clients.map(({ id }) => id)
  }
}

/** The example PSA with both platforms, two tenants that have everything, and three of its users. */
export async function startFuzzHost(): Promise<FuzzHost> {
  const ours = await startFakeLevel({ devices: 30, groups: 6 })
  const theirs = await startFakeLevel({ devices: 12, groups: 4 })
  const mesh = await startFakeMeshCentral({ groups: 3, devices: 6 })
  const orm = await openDatabase({ dataFolder: 'memory://' })
  const em = orm.em.fork()
  const issued = await moveIn(em)
  const viewer = em.create(User, {
    id: 'u5',
    tenantId: away,
    email: 'vic@southgate.example',
    role: 'viewer',
    tokenHash: ''
  })
  const tokens = { admin: issued.get('u1')!, technician: issued.get('u2')!, viewer: issueToken(viewer) }
  await em.flush()
  const app = await buildHost({
    orm,
    providers: [
      caged(level({ allowPrivateNetwork: true }) as RmmProvider, 'baseUrl', [ours, theirs]),
      caged(meshcentral({ allowPrivateNetwork: true }) as RmmProvider, 'url', [mesh])
    ],
    boxKey: randomBytes(32).toString('base64'),
    publicUrl: 'https://psa.example.com',
    logger: { level: 'error', stream: { write: (line: string) => process.stderr.write(line) } }
  })
  await app.listen({ host: '127.0.0.1', port: 0 })
  const ids = { [home]: await furnish(app, home, ours, mesh), [away]: await furnish(app, away, theirs) }
  return {
    app,
    url: `http://127.0.0.1:${(app.server.address() as AddressInfo).port}`,
    tokens,
    ids,
    async close() {
      await app.close()
      await orm.close()
      await Promise.all([ours, theirs, mesh].map(fake => fake.close()))
    }
  }
}
