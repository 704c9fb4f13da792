import type { MikroORM } from '@mikro-orm/core'
import type { FastifyRequest } from 'fastify'
import { OptionError } from './errors.ts'
import {
  isAddress,
  isOrigin,
  isRecord,
  plainPath,
  refuse,
  requireProviders,
  requireRule,
  requireSchemaName,
  requireUi,
  type Rule,
  type UiOptions
} from './option-checks.ts'
import type { RmmProvider } from './providers/define.ts'
import { defaultSettings, type Settings } from './services/core.ts'
import { defaultRetention, type Retention } from './services/store/index.ts'
import type { SyncTransport } from './services/sync/index.ts'
import type { Action, ActionTarget, AdoptGroup, Actor, Directory, EventSink, OnChanges, SecretBox } from './types.ts'

type ActorGiven = (Pick<Actor, 'id'> & { name?: string | null }) | null

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
  /**
   * Who is behind a request, asked once, after `authorize`: stored with what the request does and told in its events;
   * the guest's name in remote sessions. What it throws is answered by the host. @default nobody is named
   */
  actor?: (request: FastifyRequest) => ActorGiven | Promise<ActorGiven>
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
  /**
   * Path of our routes as platforms reach them below `publicUrl` (the hooks are at `{publicPath}/hooks/…`): for a
   * process that mounts none, for a proxy that rewrites paths, and for a parent prefix with parameters.
   * @default the path they are mounted at
   */
  publicPath?: string
  /**
   * Which transport executes runs: one name, or one per provider id. @default see docs: environment, then temporal,
   * postgres, direct
   */
  transport?: string | Record<string, string>
  /** Transports beside `direct`, which is always there. @default [] */
  transports?: SyncTransport[]
  /**
   * Whether this process executes runs and background work, and how many runs at once. @default { enabled: true,
   * concurrency: 4 }
   */
  worker?: { enabled?: boolean; concurrency?: number }
  /** Whether this process starts the syncs that are due. @default { enabled: true } */
  schedule?: { enabled?: boolean }
  /**
   * Origins (`https://portal.example.com`) whose pages may call routes that change something; the browser's own word
   * (`Sec-Fetch-Site`) decides who is another. @default [] only the routes' own origin
   */
  trustedOrigins?: string[]
  /**
   * Event streams that one tenant may have open in this process, and after how many milliseconds the rights behind an
   * open one are looked at again. @default { perTenant: 50, rightsMs: 20000 }
   */
  streams?: { perTenant?: number; rightsMs?: number }
  /** @default { bodyLimit: 262144 } bytes */
  webhooks?: { bodyLimit?: number }
  /** Where events go besides `app.rmm.events`. @default [] */
  events?: EventSink[]
  /** How long closing waits for runs to reach their next checkpoint. @default { graceMs: 10000 } */
  shutdown?: { graceMs?: number }
  /**
   * Mounts the settings page below `{prefix}/ui/`, behind this guard. `basePath`: the path of the API as the browser
   * sees it, where it is not the folder above the page. `bearer`: for hosts without cookies, the page takes a bearer
   * token from `#token=…` and asks for one where it has none (docs/settings-page.md).
   * @default not mounted
   */
  ui?: UiOptions
  /** Called inside the transaction of every committed step. */
  onChanges?: OnChanges
  /**
   * What becomes of a batch that `onChanges` throws for. `device`: it is tried again in halves down to single devices (at
   * most 50 calls more in a run), what fails alone is named in the run's items, the rest is kept. `batch`: it fails whole.
   * @default 'device'
   */
  onChangesIsolation?: 'device' | 'batch'
  /**
   * When every client's device group is found or made without being asked: when a worker process starts (in the
   * background), and before each scheduled sync of a connection whose platform has device groups. Groups are never
   * renamed this way. `adopt`: whose a group of a predecessor is, told from its name and description; asked for groups
   * that carry no mark and belong to nobody yet, after the mark and before names. Null: nobody's.
   * @default { onStartup: false, onSchedule: true }, nothing is adopted
   */
  deviceGroups?: { onStartup?: boolean; onSchedule?: boolean; adopt?: AdoptGroup }
  /**
   * Days that what grows is kept: `removedDevices` (365, with the groups they were in), `runs` (30), `deliveries` (14),
   * `changes` (90), `counts` (730, of reports), `alerts` (365, resolved ones that are listed no more), `activity` (730).
   */
  retention?: Partial<Retention>
  /** Times and limits of the engine. */
  engine?: Partial<Settings>
}

const known: ReadonlySet<string> = new Set<keyof RmmSyncOptions>([
  'orm',
  'providers',
  'tenant',
  'authorize',
  'actor',
  'secrets',
  'directory',
  'available',
  'prefix',
  'schema',
  'migrations',
  'publicUrl',
  'publicPath',
  'transport',
  'transports',
  'worker',
  'schedule',
  'trustedOrigins',
  'streams',
  'webhooks',
  'events',
  'shutdown',
  'ui',
  'onChanges',
  'onChangesIsolation',
  'deviceGroups',
  'retention',
  'engine'
])

/** The options that are objects of ours: what each of them knows. */
const groups: Readonly<
  Record<
    'worker' | 'schedule' | 'streams' | 'webhooks' | 'shutdown' | 'deviceGroups' | 'retention' | 'engine',
    Readonly<Record<string, Rule>>
  >
> = {
  worker: { enabled: 'boolean', concurrency: [1, 100] },
  schedule: { enabled: 'boolean' },
  streams: { perTenant: [1, 100_000], rightsMs: [100, 30_000] },
  webhooks: { bodyLimit: [1024, 64 * 1024 * 1024] },
  shutdown: { graceMs: [0, 3_600_000] },
  deviceGroups: { onStartup: 'boolean', onSchedule: 'boolean', adopt: 'function' },
  retention: Object.fromEntries(Object.keys(defaultRetention).map(name => [name, [1, 36_500]])),
  engine: Object.fromEntries(Object.keys(defaultSettings).map(name => [name, [1, 86_400_000]]))
}

/** `RmmSyncOptions` with every default filled in. */
export interface ResolvedOptions
  extends Omit<
    Required<RmmSyncOptions>,
    | 'publicUrl'
    | 'publicPath'
    | 'transport'
    | 'ui'
    | 'onChanges'
    | 'worker'
    | 'schedule'
    | 'streams'
    | 'webhooks'
    | 'shutdown'
    | 'deviceGroups'
    | 'retention'
    | 'engine'
  > {
  publicUrl: string | undefined
  publicPath: string | undefined
  transport: string | Record<string, string> | undefined
  ui: RmmSyncOptions['ui']
  onChanges: OnChanges | undefined
  worker: { enabled: boolean; concurrency: number }
  schedule: { enabled: boolean }
  streams: { perTenant: number; rightsMs: number }
  webhooks: { bodyLimit: number }
  shutdown: { graceMs: number }
  deviceGroups: { onStartup: boolean; onSchedule: boolean; adopt?: AdoptGroup }
  retention: Retention
  engine: Settings
}

function requireFunctions(options: RmmSyncOptions): void {
  if (typeof options.orm?.em?.getConnection !== 'function')
    refuse('orm', options.orm, 'pass the MikroORM instance of the host (MikroORM.init(…))')
  if (!Array.isArray(options.providers)) refuse('providers', options.providers, 'pass an array, e.g. [level()]')
  if (typeof options.tenant !== 'function')
    refuse('tenant', options.tenant, 'pass request => the tenant id of the request, or null to refuse it')
  if (typeof options.authorize !== 'function')
    refuse('authorize', options.authorize, 'pass (request, action, target) => { throw to refuse }')
  if (typeof options.secrets?.seal !== 'function' || typeof options.secrets.open !== 'function')
    refuse('secrets', options.secrets, 'pass aesGcmSecretBox({ keys, current }) or any { seal, open }')
  const { directory, onChanges, available, actor } = options
  if (actor !== undefined && typeof actor !== 'function')
    refuse('actor', actor, 'pass request => ({ id, name }) of the person behind it, or null')
  if (directory !== undefined && (typeof directory?.clients !== 'function' || typeof directory.client !== 'function'))
    refuse('directory', directory, 'pass { clients (tenantId, { q }), client (tenantId, id) }')
  if (onChanges !== undefined && typeof onChanges !== 'function')
    refuse('onChanges', onChanges, 'pass async (batch, em) => …')
  if (available !== undefined && typeof available !== 'function')
    refuse('available', available, 'pass (provider, tenantId) => boolean')
}

function requireValues(options: RmmSyncOptions): void {
  if (options.onChangesIsolation !== undefined && !['device', 'batch'].includes(options.onChangesIsolation))
    refuse('onChangesIsolation', options.onChangesIsolation, "it must be 'device' or 'batch'")
  const { prefix, schema, migrations, publicUrl, publicPath, trustedOrigins, events } = options
  if (trustedOrigins !== undefined && !(Array.isArray(trustedOrigins) && trustedOrigins.every(isOrigin)))
    refuse(
      'trustedOrigins',
      Array.isArray(trustedOrigins) ? trustedOrigins.join() : trustedOrigins,
      "pass an array of origins without path or slash at the end, e.g. ['https://portal.example.com']"
    )
  if (prefix !== undefined && prefix !== false && (typeof prefix !== 'string' || !plainPath.test(prefix)))
    refuse('prefix', prefix, "it must be a plain path that starts with '/', or be false for no routes")
  if (schema !== undefined) requireSchemaName(schema)
  if (migrations !== undefined && !['check', 'run', 'off'].includes(migrations))
    refuse('migrations', migrations, "it must be 'check', 'run' or 'off'")
  if (publicUrl !== undefined && !isAddress(publicUrl))
    refuse(
      'publicUrl',
      publicUrl,
      'it must be an absolute http(s) address without a query, e.g. https://psa.example.com'
    )
  if (publicPath !== undefined && (typeof publicPath !== 'string' || !plainPath.test(publicPath)))
    refuse('publicPath', publicPath, "it must be a plain path that starts with '/', e.g. /psa/rmm")
  if (
    events !== undefined &&
    (!Array.isArray(events) ||
      events.some(sink => typeof sink?.publish !== 'function' || typeof sink.name !== 'string'))
  )
    refuse('events', events, 'pass an array of sinks { name, publish }, e.g. [callbackSink(…)]')
  const lanes = events?.find(({ parallel = 1 }) => !Number.isInteger(parallel) || parallel < 1 || parallel > 100)
  if (lanes !== undefined)
    refuse(`events (${lanes.name}).parallel`, lanes.parallel, 'it must be a whole number from 1 to 100')
  if (events !== undefined && new Set(events.map(sink => sink.name)).size !== events.length)
    refuse('events', events.map(sink => sink.name).join(), 'every sink needs a name of its own')
}

function requireTransports({ transport, transports, providers }: RmmSyncOptions): void {
  if (transport !== undefined && typeof transport !== 'string' && !isRecord(transport))
    refuse('transport', transport, "pass a transport's name, or one per provider id, e.g. { levelio: 'postgres' }")
  const stray = isRecord(transport)
    ? Object.keys(transport).find(id => !providers.some(provider => provider.id === id))
    : undefined
  if (stray !== undefined)
    refuse(
      `transport.${stray}`,
      (transport as Record<string, string>)[stray],
      `no provider has this id; the ids are ${providers.map(({ id }) => id).join(', ')}`
    )
  if (transports === undefined) return
  if (
    !Array.isArray(transports) ||
    transports.some(transport => typeof transport?.kind !== 'string' || typeof transport.startWorker !== 'function')
  )
    refuse('transports', transports, 'pass an array, e.g. [postgresTransport({ orm })]')
  const kinds = ['direct', ...transports.map(({ kind }) => kind)]
  const twice = kinds.find((kind, index) => kinds.indexOf(kind) !== index)
  if (twice !== undefined)
    refuse(
      'transports',
      kinds.slice(1).join(),
      `'${twice}' is there twice${twice === 'direct' ? ' (direct is always registered)' : ''}`
    )
}

function requireGroups(options: RmmSyncOptions): void {
  for (const [name, rules] of Object.entries(groups)) {
    const group: unknown = options[name as keyof typeof groups]
    if (group === undefined) continue
    const names = Object.keys(rules).join(', ')
    if (!isRecord(group)) refuse(name, group, `pass an object; it knows ${names}`)
    for (const [key, value] of Object.entries(group)) {
      if (!Object.hasOwn(rules, key)) refuse(`${name}.${key}`, value, `unknown; it knows ${names}`)
      if (value !== undefined) requireRule(`${name}.${key}`, value, rules[key]!)
    }
  }
}

/** Checks everything a host passed before anything is built. Throws `RMM_ERR_OPTION` naming option, value and fix. */
export function resolveOptions(options: RmmSyncOptions): ResolvedOptions {
  const unknown = Object.keys(options ?? {}).find(key => !known.has(key))
  if (unknown !== undefined)
    throw new OptionError(`option '${unknown}' is unknown; the options are ${[...known].join(', ')}`)
  requireFunctions(options)
  requireProviders(options.providers)
  requireValues(options)
  requireTransports(options)
  requireUi(options.ui)
  requireGroups(options)
  return {
    orm: options.orm,
    providers: options.providers,
    tenant: options.tenant,
    authorize: options.authorize,
    actor: options.actor ?? (() => null),
    secrets: options.secrets,
    directory: options.directory ?? { clients: () => [], client: () => null },
    available: options.available ?? (() => true),
    prefix: options.prefix ?? '/rmm',
    schema: options.schema ?? 'rmm',
    migrations: options.migrations ?? 'check',
    publicUrl: options.publicUrl,
    publicPath: options.publicPath,
    transport: options.transport,
    transports: options.transports ?? [],
    worker: { enabled: options.worker?.enabled ?? true, concurrency: options.worker?.concurrency ?? 4 },
    schedule: { enabled: options.schedule?.enabled ?? true },
    trustedOrigins: options.trustedOrigins ?? [],
    streams: { perTenant: options.streams?.perTenant ?? 50, rightsMs: options.streams?.rightsMs ?? 20_000 },
    webhooks: { bodyLimit: options.webhooks?.bodyLimit ?? 256 * 1024 },
    events: options.events ?? [],
    shutdown: { graceMs: options.shutdown?.graceMs ?? 10_000 },
    ui: options.ui,
    onChanges: options.onChanges,
    onChangesIsolation: options.onChangesIsolation ?? 'device',
    deviceGroups: {
      onStartup: options.deviceGroups?.onStartup ?? false,
      onSchedule: options.deviceGroups?.onSchedule ?? true,
      ...(options.deviceGroups?.adopt === undefined ? {} : { adopt: options.deviceGroups.adopt })
    },
    retention: { ...defaultRetention, ...options.retention },
    engine: { ...defaultSettings, ...options.engine }
  }
}
