// A host as its developer writes it, compiled against the built package. Nothing here runs.
import { Type } from '@sinclair/typebox'
import Fastify from 'fastify'
import { MikroORM } from '@mikro-orm/postgresql'
import rmmSync, {
  aesGcmSecretBox,
  callbackSink,
  defineProvider,
  errors,
  ProviderError,
  RmmConnection,
  RmmDevice,
  rmmEntities,
  rmmSync as named,
  withRmmSync
} from 'fastify-rmm-sync'
import type {
  Action,
  ChangeBatch,
  Device,
  DeviceRecord,
  EventSink,
  List,
  RmmEvent,
  RmmSyncOptions,
  Run
} from 'fastify-rmm-sync'
import { migrate, migrationPlan, pendingMigrations } from 'fastify-rmm-sync/migrate'
import { level } from 'fastify-rmm-sync/providers/level'
import { meshcentral } from 'fastify-rmm-sync/providers/meshcentral'
import {
  fixedClock,
  memorySecretBox,
  providerContract,
  startFakeLevel,
  startFakeMeshCentral
} from 'fastify-rmm-sync/testing'
import { postgresTransport } from 'fastify-rmm-sync/transports/postgres'
import { temporalTransport } from 'fastify-rmm-sync/transports/temporal'

declare module 'fastify' {
  interface FastifyRequest {
    user: { tenantId: string; mayManage: boolean }
  }
}

/** Someone else's platform, with devices only. */
const tidy = defineProvider({
  id: 'tidy',
  name: 'Tidy',
  description: 'A platform of our own',
  configSchema: Type.Object({ url: Type.String({ format: 'uri' }) }),
  secretSchema: Type.Object({ token: Type.String() }),
  open: ({ config, secrets, fetch }) => ({
    read: (signal: AbortSignal) => fetch(config.url, { headers: { authorization: secrets.token }, signal })
  }),
  async check(client) {
    const response = await client.read(AbortSignal.timeout(1_000))
    if (response.status === 401) throw new ProviderError('auth', 'Tidy refuses the token')
    return { account: 'Tidy', warnings: [] }
  },
  resources: {
    devices: {
      deletes: 'snapshot',
      async *pull(client, _from, signal) {
        const observedAt = new Date()
        const { items } = (await (await client.read(signal)).json()) as { items: Array<{ id: string; name: string }> }
        yield {
          observedAt,
          records: items.map((item): DeviceRecord => ({ externalId: item.id, displayName: item.name }))
        }
      }
    }
  }
})

const app = Fastify()
const orm = await MikroORM.init(
  withRmmSync({ clientUrl: 'postgresql://localhost/psa', entities: [...rmmEntities] }, { schema: 'rmm' })
)
const applied: string[] = await migrate(orm, { schema: 'rmm' })
const statements: string[] = [...migrationPlan('rmm'), ...(await pendingMigrations(orm))]

const sink: EventSink = callbackSink(
  async (events: RmmEvent[]) => {
    for (const event of events) app.log.info(byType(event))
  },
  { name: 'log' }
)

/** Written for version 0.1, where a payload was any object. */
function asBefore({ type, payload }: RmmEvent): string {
  const all: Record<string, unknown> = payload
  return `${type} ${String(payload['deviceId'])} ${Object.keys(all).length}`
}
/** By type the fields are known; what a later version adds is `unknown`. */
function byType(event: RmmEvent): string | null {
  if (event.type !== 'RMM_DEVICE_UPDATED') return asBefore(event)
  const change: 'created' | 'updated' | 'removed' | 'moved' = event.payload.change
  // @ts-expect-error a field of other events is not known of this one
  const alert: string = event.payload.alertId
  return change === 'moved' ? event.payload.clientRef : alert
}

const options: RmmSyncOptions = {
  orm,
  providers: [level(), meshcentral({ allowPrivateNetwork: true }), tidy],
  tenant: request => request.user.tenantId,
  authorize(request, action: Action, target) {
    if (!request.user.mayManage && action !== 'device:read') throw new errors.ForbiddenError()
    request.log.debug({ target }, action)
  },
  secrets: aesGcmSecretBox({ keys: { k1: 'a'.repeat(43) }, current: 'k1' }),
  directory: {
    clients: async (_tenantId, query) => [{ id: 'c1', name: query?.q ?? 'Acme' }],
    client: (_tenantId, id) => ({ id, name: 'Acme' })
  },
  available: (provider, tenantId) => provider !== 'meshcentral' || tenantId === 't1',
  migrations: 'run',
  publicUrl: 'https://psa.example.com',
  events: [sink],
  transports: [postgresTransport({ orm }), temporalTransport({ address: 'localhost:7233' })],
  transport: { levelio: 'postgres' },
  ui: {
    onRequest: async request => {
      if (!request.user.mayManage) throw new errors.ForbiddenError()
    }
  },
  async onChanges(batch: ChangeBatch, em) {
    await em.flush()
    return {
      assetRefs: Object.fromEntries(
        batch.devices
          .filter(({ change }) => change !== 'removed')
          .map(({ device }) => [device.id, device.hostname ?? device.id])
      )
    }
  }
}

await app.register(rmmSync, options)
await app.register(named, { ...options, prefix: false, worker: { enabled: true, concurrency: 2 } })

const devices: List<Device> = await app.rmm.inventory.list('t1', { q: 'front', online: true, limit: 50 })
const ram: number | null | undefined = devices.items[0]?.ramBytes
const { run } = await app.rmm.sync.start('t1', 'connection', { mode: 'full' })
const ended: Run = await app.rmm.sync.settled('t1', run.id)

const em = orm.em.fork()
const [row] = await em.find(RmmDevice, { tenantId: 't1', removedAt: null }, { schema: 'rmm', filters: false })
const type: 'workstation' | 'server' | undefined = row?.assetType
const seen: Date | null | undefined = (await em.findOne(RmmConnection, { id: 'x' }, { schema: 'rmm', filters: false }))
  ?.lastSyncAt

// @ts-expect-error tenant, authorize and secrets have no insecure default
await app.register(rmmSync, { orm, providers: [] })
// @ts-expect-error not an action
const wrong: Action = 'device:explode'
// @ts-expect-error a device always has an external id and a name
const nameless: DeviceRecord = { externalId: 'd1' }

export {
  applied,
  ended,
  fixedClock,
  memorySecretBox,
  nameless,
  providerContract,
  ram,
  seen,
  startFakeLevel,
  startFakeMeshCentral,
  statements,
  type,
  wrong
}
