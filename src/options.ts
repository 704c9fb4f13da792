import type { MikroORM } from '@mikro-orm/core'
import type { FastifyRequest, onRequestHookHandler } from 'fastify'
import { OptionError } from './errors.ts'
import type { RmmProvider } from './providers/define.ts'
import { defaultSettings, type Settings } from './services/core.ts'
import type { SyncTransport } from './transports/transport.ts'
import type { Action, ActionTarget, Directory, EventSink, OnChanges, SecretBox } from './types.ts'

/** What a host passes to `app.register(rmmSync, options)`. Unknown names are refused. */
export interface RmmSyncOptions {
  /** The host's MikroORM on PostgreSQL or PGlite. Forked for the host's hook, never closed. */
  orm: MikroORM
  /** The platforms this host offers. */
  providers: RmmProvider[]
  /** The tenant of a request; null or a throw refuses it. */
  tenant: (request: FastifyRequest) => string | null | Promise<string | null>
  /** Throws to refuse what the request wants to do. */
  authorize: (request: FastifyRequest, action: Action, target?: ActionTarget) => void | Promise<void>
  /** Seals what connections keep secret, e.g. `aesGcmSecretBox`. */
  secrets: SecretBox
  /** The host's clients: for mapping, suggestions and device groups. @default a directory without clients */
  directory?: Directory
  /** Editions and feature flags. @default every provider for every tenant */
  available?: (provider: string, tenantId: string) => boolean | Promise<boolean>
  /** Where the routes are mounted; `false` mounts none (a worker process). @default '/rmm' */
  prefix?: string | false
  /** PostgreSQL schema that holds our tables. @default 'rmm' */
  schema?: string
  /** `check` refuses to boot while migrations are missing, `run` applies them, `off` does neither. @default 'check' */
  migrations?: 'check' | 'run' | 'off'
  /** Address under which platforms reach this host, without our prefix. @default none: webhooks cannot be set up */
  publicUrl?: string
  /** Which transport executes runs: one name, or one per provider id. @default see docs: environment, then temporal, postgres, direct */
  transport?: string | Record<string, string>
  /** Transports beside `direct`, which is always there. @default [] */
  transports?: SyncTransport[]
  /** Whether this process executes runs and background work, and how many runs at once. @default { enabled: true, concurrency: 4 } */
  worker?: { enabled?: boolean, concurrency?: number }
  /** Whether this process starts the syncs that are due. @default { enabled: true } */
  schedule?: { enabled?: boolean }
  /** @default { bodyLimit: 262144 } bytes */
  webhooks?: { bodyLimit?: number }
  /** Where events go besides `app.rmm.events`. @default [] */
  events?: EventSink[]
  /** How long closing waits for runs to reach their next checkpoint. @default { graceMs: 10000 } */
  shutdown?: { graceMs?: number }
  /**
   * Mounts the settings page below `{prefix}/ui/`, behind this guard. `basePath`: the path of the API as the browser sees it,
   * where it is not the folder above the page. `bearer`: for hosts without cookies, the page takes a bearer token from `#token=…` and asks
   * for one where it has none (docs/settings-page.md).
   * @default not mounted
   */
  ui?: { onRequest: onRequestHookHandler | onRequestHookHandler[], basePath?: string, bearer?: boolean }
  /** Called inside the transaction of every committed step. */
  onChanges?: OnChanges
  /**
   * When every client's device group is found or made without being asked: when a worker process starts (in the background), and before each
   * scheduled sync of a connection whose platform has device groups. Groups are never renamed this way. @default { onStartup: false, onSchedule: true }
   */
  deviceGroups?: { onStartup?: boolean, onSchedule?: boolean }
  /** Times and limits of the engine. */
  engine?: Partial<Settings>
}

const known: ReadonlySet<string> = new Set<keyof RmmSyncOptions>([
  'orm', 'providers', 'tenant', 'authorize', 'secrets', 'directory', 'available', 'prefix', 'schema', 'migrations', 'publicUrl', 'transport', 'transports',
  'worker', 'schedule', 'webhooks', 'events', 'shutdown', 'ui', 'onChanges', 'deviceGroups', 'engine'
])

/** `RmmSyncOptions` with every default filled in. */
export interface ResolvedOptions extends Omit<Required<RmmSyncOptions>, 'publicUrl' | 'transport' | 'ui' | 'onChanges' | 'worker' | 'schedule' | 'webhooks' | 'shutdown' | 'deviceGroups' | 'engine'> {
  publicUrl: string | undefined
  transport: string | Record<string, string> | undefined
  ui: RmmSyncOptions['ui']
  onChanges: OnChanges | undefined
  worker: { enabled: boolean, concurrency: number }
  schedule: { enabled: boolean }
  webhooks: { bodyLimit: number }
  shutdown: { graceMs: number }
  deviceGroups: { onStartup: boolean, onSchedule: boolean }
  engine: Settings
}

function refuse (option: string, value: unknown, fix: string): never {
  const shown = typeof value === 'function' ? 'a function' : value === undefined ? 'missing' : typeof value === 'object' && value !== null ? 'an object' : JSON.stringify(value)
  throw new OptionError(`option '${option}' is ${shown}: ${fix}`)
}

function requireFunctions (options: RmmSyncOptions): void {
  if (typeof options.orm?.em?.getConnection !== 'function') refuse('orm', options.orm, 'pass the MikroORM instance of the host (MikroORM.init(…))')
  if (!Array.isArray(options.providers)) refuse('providers', options.providers, 'pass an array, e.g. [level()]')
  if (typeof options.tenant !== 'function') refuse('tenant', options.tenant, 'pass request => the tenant id of the request, or null to refuse it')
  if (typeof options.authorize !== 'function') refuse('authorize', options.authorize, 'pass (request, action, target) => { throw to refuse }')
  if (typeof options.secrets?.seal !== 'function' || typeof options.secrets.open !== 'function') refuse('secrets', options.secrets, 'pass aesGcmSecretBox({ keys, current }) or any { seal, open }')
  const { directory, onChanges, available } = options
  if (directory !== undefined && (typeof directory?.clients !== 'function' || typeof directory.client !== 'function')) refuse('directory', directory, 'pass { clients (tenantId, { q }), client (tenantId, id) }')
  if (onChanges !== undefined && typeof onChanges !== 'function') refuse('onChanges', onChanges, 'pass async (batch, em) => …')
  if (available !== undefined && typeof available !== 'function') refuse('available', available, 'pass (provider, tenantId) => boolean')
}

/** What may name our schema: the same rule for the plugin and for `migrate`. Throws `RMM_ERR_OPTION`. */
export function requireSchemaName (schema: unknown): void {
  if (typeof schema === 'string' && /^[a-z_][a-z0-9_]{0,49}$/.test(schema) && schema !== 'public') return
  refuse('schema', schema, 'it must be a lower-case PostgreSQL name of its own (letters, digits, _), not public')
}

function requireValues (options: RmmSyncOptions): void {
  const { prefix, schema, migrations, publicUrl, events, ui, engine } = options
  if (prefix !== undefined && prefix !== false && (typeof prefix !== 'string' || (prefix !== '' && !prefix.startsWith('/')))) refuse('prefix', prefix, "it must start with '/', or be false for no routes")
  if (schema !== undefined) requireSchemaName(schema)
  if (migrations !== undefined && !['check', 'run', 'off'].includes(migrations)) refuse('migrations', migrations, "it must be 'check', 'run' or 'off'")
  if (publicUrl !== undefined && (typeof publicUrl !== 'string' || !URL.canParse(publicUrl) || !/^https?:/.test(publicUrl))) refuse('publicUrl', publicUrl, 'it must be an absolute http(s) address, e.g. https://psa.example.com')
  requireTransports(options.transports)
  if (events !== undefined && (!Array.isArray(events) || events.some(sink => typeof sink?.publish !== 'function' || typeof sink.name !== 'string'))) refuse('events', events, 'pass an array of sinks { name, publish }, e.g. [callbackSink(…)]')
  if (events !== undefined && new Set(events.map(sink => sink.name)).size !== events.length) refuse('events', events.map(sink => sink.name).join(), 'every sink needs a name of its own')
  if (ui !== undefined && ui?.onRequest === undefined) refuse('ui', ui, 'the settings page needs a guard: ui: { onRequest: (request, reply) => … }')
  if (ui?.basePath !== undefined && (typeof ui.basePath !== 'string' || !/^\/(?!\/)/.test(ui.basePath))) refuse('ui.basePath', ui.basePath, "it must be a path on the page's own host, e.g. /psa/rmm")
  for (const [key, value] of Object.entries(options.deviceGroups ?? {})) {
    if (key !== 'onStartup' && key !== 'onSchedule') refuse(`deviceGroups.${key}`, value, 'unknown; it knows onStartup, onSchedule')
    if (value !== undefined && typeof value !== 'boolean') refuse(`deviceGroups.${key}`, value, 'it must be true or false')
  }
  const unknownSetting = Object.keys(engine ?? {}).find(key => !(key in defaultSettings))
  if (unknownSetting !== undefined) refuse(`engine.${unknownSetting}`, engine?.[unknownSetting as keyof Settings], `unknown; it knows ${Object.keys(defaultSettings).join(', ')}`)
}

function requireTransports (transports: RmmSyncOptions['transports']): void {
  if (transports === undefined) return
  if (!Array.isArray(transports) || transports.some(transport => typeof transport?.kind !== 'string' || typeof transport.startWorker !== 'function')) refuse('transports', transports, 'pass an array, e.g. [postgresTransport({ orm })]')
  const kinds = ['direct', ...transports.map(({ kind }) => kind)]
  const twice = kinds.find((kind, index) => kinds.indexOf(kind) !== index)
  if (twice !== undefined) refuse('transports', kinds.slice(1).join(), `'${twice}' is there twice${twice === 'direct' ? ' (direct is always registered)' : ''}`)
}

function requireNumbers (options: RmmSyncOptions): void {
  const numbers: Array<[string, number | undefined, number, number]> = [
    ['worker.concurrency', options.worker?.concurrency, 1, 100], ['webhooks.bodyLimit', options.webhooks?.bodyLimit, 1024, 64 * 1024 * 1024],
    ['shutdown.graceMs', options.shutdown?.graceMs, 0, 3_600_000], ...Object.entries(options.engine ?? {}).map(([key, value]): [string, number | undefined, number, number] => [`engine.${key}`, value, 1, 86_400_000])
  ]
  for (const [name, value, min, max] of numbers) {
    if (value !== undefined && (!Number.isInteger(value) || value < min || value > max)) refuse(name, value, `it must be a whole number from ${min} to ${max}`)
  }
}

/** Checks everything a host passed before anything is built. Throws `RMM_ERR_OPTION` naming option, value and fix. */
export function resolveOptions (options: RmmSyncOptions): ResolvedOptions {
  const unknown = Object.keys(options ?? {}).find(key => !known.has(key))
  if (unknown !== undefined) throw new OptionError(`option '${unknown}' is unknown; the options are ${[...known].join(', ')}`)
  requireFunctions(options)
  requireValues(options)
  requireNumbers(options)
  return {
    orm: options.orm, providers: options.providers, tenant: options.tenant, authorize: options.authorize, secrets: options.secrets,
    directory: options.directory ?? { clients: () => [], client: () => null },
    available: options.available ?? (() => true),
    prefix: options.prefix ?? '/rmm',
    schema: options.schema ?? 'rmm',
    migrations: options.migrations ?? 'check',
    publicUrl: options.publicUrl,
    transport: options.transport,
    transports: options.transports ?? [],
    worker: { enabled: options.worker?.enabled ?? true, concurrency: options.worker?.concurrency ?? 4 },
    schedule: { enabled: options.schedule?.enabled ?? true },
    webhooks: { bodyLimit: options.webhooks?.bodyLimit ?? 256 * 1024 },
    events: options.events ?? [],
    shutdown: { graceMs: options.shutdown?.graceMs ?? 10_000 },
    ui: options.ui,
    onChanges: options.onChanges,
    deviceGroups: { onStartup: options.deviceGroups?.onStartup ?? false, onSchedule: options.deviceGroups?.onSchedule ?? true },
    engine: { ...defaultSettings, ...options.engine }
  }
}
