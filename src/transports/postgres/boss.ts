import type { ConstructorOptions, Db, KyselyTransactionLike, PgBoss } from 'pg-boss'
import { OptionError } from '../../errors.ts'
import { loadPeer } from '../peer.ts'
import type { TransportContext } from '../../services/sync/index.ts'

export const runQueue = 'rmm-sync'
/** Where pg-boss puts the jobs it has given up on. */
export const deadQueue = 'rmm-sync-dead'
/** Known to `withRmmSync`, which protects it. */
export const defaultSchema = 'rmm_queue'

/**
 * Where the queue lives: exactly one of `orm`, `pool`, `connectionString`, `boss`. It must be the database of the
 * plugin's own `orm`.
 */
export interface PostgresTransportOptions {
  /** A MikroORM on @mikro-orm/postgresql; its connection pool is shared, never closed. */
  orm?: { em: { getConnection(): object } }
  /** A `pg` Pool of the host; shared, never closed. */
  pool?: { query(text: string, values?: unknown[]): Promise<{ rows: unknown[] }> }
  /**
   * pg-boss opens (and closes) a small pool of its own, and is told of new jobs by LISTEN/NOTIFY instead of asking
   * for them.
   */
  connectionString?: string
  /**
   * The host's pg-boss, started here if it is not running yet, never stopped. Its schema and its supervision stay the
   * host's.
   */
  boss?: PgBoss
  /** Schema of pg-boss's tables. One per installation of this plugin. @default 'rmm_queue' */
  schema?: string
  /** Whether pg-boss makes and updates its tables when the process starts. @default true */
  migrate?: boolean
  /** Silence after which a worker counts as dead: 10 or more. @default 30 */
  heartbeatSeconds?: number
  /** How often a worker says that it lives; less than `heartbeatSeconds`. @default a third of it */
  refreshSeconds?: number
  /** How often dead workers are looked for. @default 5 */
  monitorSeconds?: number
  /** How often each idle worker asks for jobs; 0.5 or more. @default 2 */
  pollSeconds?: number
}

export interface PostgresSettings {
  heartbeatSeconds: number
  refreshSeconds: number
  monitorSeconds: number
  pollSeconds: number
}

/** Hours are generous: a worker hands a run over long before, at a page. */
export const startToCloseSeconds = 3_600
const connectTimeoutMs = 5_000
const ownPoolSize = 4

function refuse(option: string, value: unknown, fix: string): never {
  throw new OptionError(`postgresTransport: option '${option}' is ${JSON.stringify(value)}: ${fix}`)
}

/** Throws `RMM_ERR_OPTION`; everything pg-boss would refuse later with an assertion of its own is refused here. */
export function checkPostgresOptions(options: PostgresTransportOptions): PostgresSettings {
  const known = [
    'orm',
    'pool',
    'connectionString',
    'boss',
    'schema',
    'migrate',
    'heartbeatSeconds',
    'refreshSeconds',
    'monitorSeconds',
    'pollSeconds'
  ]
  const unknown = Object.keys(options).find(key => !known.includes(key))
  if (unknown !== undefined)
    throw new OptionError(`postgresTransport: option '${unknown}' is unknown; it knows ${known.join(', ')}`)
  const places = (['orm', 'pool', 'connectionString', 'boss'] as const).filter(name => options[name] !== undefined)
  if (places.length !== 1)
    throw new OptionError(
      `postgresTransport: pass exactly one of orm, pool, connectionString and boss (${places.length === 0 ? 'none was passed' : `${places.join(' and ')} were`})`
    )
  const foreign = (['schema', 'migrate', 'monitorSeconds'] as const).find(name => options[name] !== undefined)
  if (options.boss !== undefined && foreign !== undefined)
    refuse(foreign, options[foreign], 'a pg-boss of the host has its own; set it there')
  if (options.schema !== undefined && !/^[a-z_][a-z0-9_]{0,49}$/.test(options.schema))
    refuse('schema', options.schema, 'it must be a lower-case PostgreSQL name (letters, digits, _)')
  const heartbeatSeconds = number(options, 'heartbeatSeconds', 30, 10, 3_600)
  const refreshSeconds = number(options, 'refreshSeconds', Math.floor(heartbeatSeconds / 3), 1, heartbeatSeconds - 1)
  return {
    heartbeatSeconds,
    refreshSeconds,
    monitorSeconds: number(options, 'monitorSeconds', 5, 1, 3_600),
    pollSeconds: number(options, 'pollSeconds', 2, 0.5, 3_600)
  }
}

function number(
  options: PostgresTransportOptions,
  name: 'heartbeatSeconds' | 'refreshSeconds' | 'monitorSeconds' | 'pollSeconds',
  fallback: number,
  min: number,
  max: number
): number {
  const value = options[name] ?? fallback
  if (typeof value !== 'number' || !(value >= min && value <= max))
    refuse(name, value, `it must be a number of seconds from ${min} to ${max}`)
  return value
}

/** MikroORM's own Kysely, or the reason why it has none that fits. */
function kyselyOf(
  orm: NonNullable<PostgresTransportOptions['orm']>
): KyselyTransactionLike & { executeQuery: unknown } {
  const connection = orm.em.getConnection() as { getClient?(): KyselyTransactionLike }
  if (typeof connection.getClient !== 'function' || /pglite/i.test(connection.constructor.name)) {
    throw new OptionError(
      "postgresTransport: option 'orm' must be a MikroORM on @mikro-orm/postgresql; PGlite lives in one process, use the transport 'direct' there"
    )
  }
  return connection.getClient()
}

export interface BossSource {
  /**
   * The running pg-boss with both queues; tried anew on every call until it once came up. Throws what PostgreSQL
   * said.
   */
  started(): Promise<PgBoss>
  fromKysely(trx: KyselyTransactionLike): Db
  stop(): Promise<void>
}

/**
 * Loads pg-boss and prepares to start it. Throws `RMM_ERR_OPTION` when it is not installed, or cannot work over the
 * given `orm`.
 */
export async function openBoss(
  options: PostgresTransportOptions,
  settings: PostgresSettings,
  context: TransportContext
): Promise<BossSource> {
  const pgBoss = await loadPeer('postgres', 'pg-boss@12', () => import('pg-boss'))
  const onError = (err: unknown): void => context.log.warn({ err }, 'the queue reported an error')
  // An 'error' event that nobody listens to ends the process.
  options.boss?.on('error', onError)
  let running: Promise<PgBoss> | undefined

  const database: ConstructorOptions =
    options.pool !== undefined
      ? { db: overPool(options.pool) }
      : options.orm !== undefined
        ? { db: pgBoss.fromKysely(kyselyOf(options.orm)) }
        : {
            connectionString: options.connectionString ?? '',
            max: ownPoolSize,
            connectionTimeoutMillis: connectTimeoutMs,
            useListenNotify: true,
            application_name: 'fastify-rmm-sync'
          }

  function make(): PgBoss {
    return new pgBoss.PgBoss({
      ...database,
      schema: options.schema ?? defaultSchema,
      migrate: options.migrate ?? true,
      schedule: false,
      superviseIntervalSeconds: settings.monitorSeconds,
      monitorIntervalSeconds: settings.monitorSeconds
    }).on('error', onError)
  }

  async function start(): Promise<PgBoss> {
    const boss = options.boss ?? make()
    try {
      await boss.start()
      await prepareQueues(boss, settings, context.maxAttempts)
      // pg-boss looks a queue up once; not in the middle of a caller's transaction.
      for (const queue of [runQueue, deadQueue]) await boss.findJobs(queue, { key: '' })
      return boss
    } catch (error) {
      if (options.boss === undefined) await boss.stop({ graceful: false }).catch(() => {})
      throw error
    }
  }

  return {
    started: () =>
      (running ??= start().catch(error => {
        running = undefined
        throw error
      })),
    fromKysely: pgBoss.fromKysely,
    async stop() {
      const boss = await running?.catch(() => undefined)
      options.boss?.off('error', onError)
      if (options.boss === undefined) await boss?.stop({ graceful: false })
    }
  }
}

function overPool(pool: NonNullable<PostgresTransportOptions['pool']>): Db {
  return { executeSql: async (text, values) => ({ rows: (await pool.query(text, values)).rows }) }
}

/** Safe in any number of processes at once, and brings the options of an earlier version up to date. */
async function prepareQueues(boss: PgBoss, settings: PostgresSettings, maxAttempts: number): Promise<void> {
  // Ending a run is a small write: it is repeated until the database takes it.
  const dead = {
    retryLimit: 20,
    retryDelay: 5,
    retryBackoff: true,
    retryDelayMax: 300,
    deleteAfterSeconds: 3_600,
    notify: true
  }
  const runs = {
    deadLetter: deadQueue,
    retryLimit: Math.max(0, maxAttempts - 1),
    retryDelay: 1,
    expireInSeconds: startToCloseSeconds,
    heartbeatSeconds: settings.heartbeatSeconds,
    // What happened is in the run's own row; the queue need not remember it.
    deleteAfterSeconds: 3_600,
    notify: true
  }
  await boss.createQueue(deadQueue, dead)
  await boss.updateQueue(deadQueue, dead)
  // `exclusive` with the run's id as its key: however often a run is dispatched, it is queued or active once.
  await boss.createQueue(runQueue, { ...runs, policy: 'exclusive' })
  await boss.updateQueue(runQueue, runs)
}
