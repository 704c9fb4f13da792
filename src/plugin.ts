import { randomUUID } from 'node:crypto'
import { hostname } from 'node:os'
import type {
  FastifyBaseLogger,
  FastifyInstance,
  FastifyPluginAsync,
  FastifyTypeProvider,
  RawServerBase,
  RawServerDefault
} from 'fastify'
import fp from 'fastify-plugin'
import { AlreadyRegisteredError, OptionError } from './errors.ts'
import { errorForLog, safeLog } from './log.ts'
import { checkMigrations, requireIgnoredSchema, requireIgnoredTransports, runMigrations } from './migrations/run.ts'
import { type ResolvedOptions, type RmmSyncOptions, resolveOptions } from './options.ts'
import type { Rmm } from './rmm.ts'
import { routes } from './routes/index.ts'
import { uiRoutes } from './routes/ui.ts'
import { createActors } from './services/actors.ts'
import { createClock } from './services/clock.ts'
import type { Core } from './services/core.ts'
import { createServices, type Services } from './services/index.ts'
import { checkedAvailable, checkedBox, checkedDirectory, createRegistry, lookOver } from './services/platform/index.ts'
import { databaseTime, openDatabase } from './services/store/index.ts'
import { directTransport } from './transports/direct.ts'
import { resolveTransport } from './transports/resolve.ts'
import type { SyncTransport } from './services/sync/index.ts'

export type RmmSyncPlugin = (
  instance: FastifyInstance<any, any, any, any, any>,
  options: RmmSyncOptions
) => Promise<void>

declare module 'fastify' {
  interface FastifyInstance {
    rmm: Rmm
  }
  // Fastify's own signatures take no `prefix` but text; ours may also be `false`.
  interface FastifyRegister<
    T = void,
    RawServer extends RawServerBase = RawServerDefault,
    TypeProviderDefault extends FastifyTypeProvider = FastifyTypeProvider,
    LoggerDefault extends FastifyBaseLogger = FastifyBaseLogger
  > {
    (plugin: RmmSyncPlugin, options: RmmSyncOptions): T
  }
}

/** Where platforms reach our hooks, up to their key; null where nobody said. */
function hooksUrl(app: FastifyInstance, { prefix, publicUrl, publicPath }: ResolvedOptions): string | null {
  const mounted = prefix === false ? undefined : `${app.prefix}${prefix}`
  if (publicPath === undefined && mounted !== undefined && /[:*]/.test(mounted))
    throw new OptionError(
      `option 'publicPath' is missing: the routes are mounted at '${mounted}', and no platform knows what stands for its parameters; pass the path platforms reach them under`
    )
  const path = publicPath?.replace(/\/+$/, '').replace(/\/hooks$/, '') ?? mounted
  if (publicUrl === undefined || path === undefined) return null
  return `${publicUrl.replace(/\/+$/, '')}${path.replace(/\/+$/, '')}/hooks/`
}

async function createCore(app: FastifyInstance, options: ResolvedOptions, signal: AbortSignal): Promise<Core> {
  requireIgnoredSchema(options.orm, options.schema)
  requireIgnoredTransports(options.orm, options.transports)
  const actors = createActors()
  const database = await openDatabase(options.orm, options.schema, actors.current, signal)
  if (options.migrations === 'run') await runMigrations(database)
  if (options.migrations === 'check') await checkMigrations(database)
  const clock = createClock(database.inThread ? null : () => databaseTime(database))
  clock.measure().catch(() => {}) // Whatever writes by it looks again.
  return {
    database,
    registry: createRegistry(options.providers, checkedAvailable(options.available)),
    secrets: checkedBox(options.secrets),
    directory: checkedDirectory(options.directory),
    onChanges: options.onChanges,
    isolate: options.onChangesIsolation === 'device',
    adoptGroup: options.deviceGroups.adopt,
    actors,
    sinks: [],
    hooksUrl: hooksUrl(app, options),
    log: safeLog(app.log.child({ plugin: 'rmm-sync' }, { serializers: { err: errorForLog } })),
    settings: options.engine,
    worker: `${hostname()}:${process.pid}:${randomUUID().slice(0, 8)}`,
    now: clock.now,
    clock,
    signal
  }
}

/** A transport has the queues, workers and connections of one app. */
const transportsInUse = new WeakSet<SyncTransport>()

function requireFree(transports: readonly SyncTransport[]): void {
  const taken = transports.find(transport => transportsInUse.has(transport))
  if (taken === undefined) return
  throw new OptionError(
    `option 'transports': the transport '${taken.kind}' is the object of another app in this process that is still open; make one for each app, or close that app first`
  )
}

/** Arms background work when the host is ready, and takes it down again when it closes. */
function addLifecycle(
  app: FastifyInstance,
  core: Core,
  options: ResolvedOptions,
  services: Services,
  transports: ReadonlyMap<string, SyncTransport>,
  stopping: AbortController
): void {
  const { ticker, events, executor, inbox, listeners, provisioning } = services
  for (const transport of transports.values()) transportsInUse.add(transport)
  app.addHook('onReady', async () => {
    await lookOver(core)
    if (!options.worker.enabled) return
    const worker = { concurrency: options.worker.concurrency, workerId: core.worker, log: core.log }
    for (const transport of transports.values()) await transport.startWorker(executor, worker)
    inbox.start()
    events.start()
    ticker.start()
    if (options.deviceGroups.onStartup) provisioning.start()
  })
  // Before the server waits for open connections: event streams end here.
  app.addHook('preClose', async () => stopping.abort())
  app.addHook('onClose', async () => {
    stopping.abort()
    await ticker.stop(options.shutdown.graceMs)
    for (const transport of transports.values()) {
      await transport
        .stop(options.shutdown)
        .catch(error => core.log.warn({ err: error, transport: transport.kind }, 'stopping the transport failed'))
      transportsInUse.delete(transport)
    }
    await Promise.all([inbox.stop(), listeners.stop(), provisioning.stop()])
    await events.close()
  })
}

/** What a run may cost is counted in its row: this only ends a job that never gets as far as that. */
const engineAttempts = 100

const plugin: FastifyPluginAsync<RmmSyncOptions> = async (app, given) => {
  if (app.hasDecorator('rmm')) throw new AlreadyRegisteredError()
  const options = resolveOptions(given)
  requireFree(options.transports)
  const stopping = new AbortController()
  const core = await createCore(app, options, stopping.signal)
  const transports = new Map<string, SyncTransport>(
    [directTransport(), ...options.transports].map(transport => [transport.kind, transport])
  )
  const chosen = new Map(
    options.providers.map(({ id }) => [
      id,
      resolveTransport(id, [...transports.keys()], options.transport, process.env)
    ])
  )
  for (const transport of transports.values()) await transport.open?.({ maxAttempts: engineAttempts, log: core.log })
  const services = createServices(core, {
    transports,
    transportOf: provider => transports.get(chosen.get(provider) ?? 'direct')!,
    sinks: options.events,
    retention: options.retention,
    schedules: { enabled: options.schedule.enabled, deviceGroups: options.deviceGroups.onSchedule }
  })
  app.decorate('rmm', services.rmm)
  if (options.prefix !== false) {
    const { tenant, authorize, actor, trustedOrigins, streams, webhooks } = options
    await app.register(routes, {
      prefix: options.prefix,
      // Fastify's own lines about our requests too.
      logSerializers: { err: error => errorForLog(error) as string },
      rmm: services.rmm,
      tenant,
      authorize,
      locate: services.locate,
      actor,
      actors: core.actors,
      trustedOrigins,
      streams,
      webhooks,
      signal: stopping.signal
    })
    if (options.ui !== undefined)
      await app.register(uiRoutes, { ...options.ui, prefix: `${options.prefix.replace(/\/+$/, '')}/ui` })
  }
  addLifecycle(app, core, options, services, transports, stopping)
}

/**
 * Keeps a PSA in step with its RMM platforms. Register it on the host's root instance; everything it offers is
 * `app.rmm` and its routes.
 */
export const rmmSync: RmmSyncPlugin = fp(plugin, { name: 'rmm-sync', fastify: '5.x' })
export default rmmSync
