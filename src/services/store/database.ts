import type { EntityManager, MikroORM } from '@mikro-orm/core'
import { setTimeout as delay } from 'node:timers/promises'
import { type CompiledQuery, Kysely, PGliteDialect, type QueryResult, sql } from 'kysely'
import { OptionError } from '../../errors.ts'
import type { Actor } from '../../types.ts'
import { isTold, type Trouble, troubleError, troubleOf } from '../model/index.ts'
import { ownTypes, sessionOver } from './session.ts'

/** A place to run SQL: outside or inside a transaction. */
export type Db = Kysely<any>

export const tableNames = [
  'connection',
  'organization',
  'device',
  'device_status',
  'alert',
  'run',
  'run_item',
  'pass',
  'page',
  'delivery',
  'client_group',
  'outbox',
  'lease',
  'sink',
  'sink_connection',
  'session_value',
  'patch',
  'inbox_subject',
  'listener',
  'activity',
  'change',
  'recording',
  'migration'
] as const
type TableName = (typeof tableNames)[number]
export type Tables = Record<TableName, ReturnType<typeof sql.table>>

export interface Database {
  /** Name of our schema, unquoted. */
  schema: string
  t: Tables
  /** The database works in this thread (PGlite): nothing is gained by letting it answer in between. */
  inThread: boolean
  /**
   * Runs one statement outside any transaction. Never use it while holding one of ours: PGlite has a single session.
   */
  db: Db
  /**
   * `read committed`, whatever the host's default is. Where others were in the way `work` is done again from its
   * beginning: it must leave no trace outside the transaction. Whatever else the database has trouble with comes out as
   * `RMM_ERR_DATABASE_…` (`model/trouble.ts`), of single statements too.
   */
  transaction<T>(work: (trx: Db) => Promise<T>): Promise<T>
  /** Calls `listener` after every commit that wrote events. */
  onEvents(listener: () => void): void
  /** Tells those listeners of events that were written outside a transaction of ours. */
  announce(): void
  /** Does the host's work in our open transaction, with an entity manager of the host and under its own settings. */
  asHost<T>(trx: Db, work: (em: EntityManager) => Promise<T>): Promise<T>
  /** The open transaction as the host's driver knows it. */
  hostTransaction(trx: Db): Db
}

interface ControlledDb extends Db {
  commit(): { execute(): Promise<unknown> }
  rollback(): { execute(): Promise<unknown> }
}

const wroteEvents = new WeakSet<object>()

/** Events were written in this transaction: whoever waits for them is told when it has committed. */
export function tellAfterCommit(trx: Db): void {
  wroteEvents.add(trx)
}

const begunBy = new WeakMap<object, Actor>()

/** Who was behind the call that began this transaction. */
export function actorBehind(trx: Db): Actor | null {
  return begunBy.get(trx) ?? null
}

export function tablesOf(schema: string): Tables {
  return Object.fromEntries(tableNames.map(name => [name, sql.table(`${schema}.rmm_${name}`)])) as Tables
}

/** How long work is done again that others were in the way of. */
const repeatForMs = 10_000
const firstPauseMs = 10
const longestPauseMs = 500

/**
 * Opens our view on the host's connection. Nothing is connected or closed here: on PostgreSQL the host's pool is used
 * through its Kysely; on PGlite, which has one session, every transaction gets its own Kysely over the host's client,
 * so that PGlite's own lock keeps the host's statements out of our transactions and ours out of the host's.
 *
 * @param actor tells who is behind the call that begins a transaction
 * @param signal when aborted, nothing is repeated any more
 */
export async function openDatabase(
  orm: MikroORM,
  schema: string,
  actor: () => Actor | null = () => null,
  signal?: AbortSignal
): Promise<Database> {
  const connection = orm.em.getConnection() as unknown as { getClient?(): Db; getNativeClient?(): Promise<unknown> }
  if (typeof connection.getClient !== 'function') {
    throw new OptionError("option 'orm' must be a MikroORM 7 instance on @mikro-orm/postgresql or @mikro-orm/pglite")
  }
  const host = await hostOf(connection as { getClient(): Db; getNativeClient?(): Promise<unknown> })
  const { fresh, inThread } = host
  const styles = dateStyles(fresh)
  const guarded = <T>(work: () => Promise<T>): Promise<T> =>
    repeating(work, trouble => tellTrouble(fresh, trouble), signal)
  const hostTransactions = new WeakMap<object, ControlledDb>()
  const listeners: Array<() => void> = []
  const announce = (): void => {
    for (const listener of listeners) listener()
  }

  // A transaction that cannot end, because its connection broke, would keep its place in the host's pool for ever:
  // hence `connection()`, which gives it back.
  async function transact<T>(work: (trx: Db) => Promise<T>, by: Actor | null): Promise<T> {
    const style = await styles.foreign()
    return await fresh()
      .connection()
      .execute(async session => {
        const raw = (await session
          .startTransaction()
          .setIsolationLevel('read committed')
          .execute()) as unknown as ControlledDb
        const trx = sessionOver(query => raw.executeQuery(host.ours(query)))
        hostTransactions.set(trx, raw)
        if (by !== null) begunBy.set(trx, by)
        try {
          if (style !== null) await setDateStyle(raw, ownStyle)
          const result = await work(trx)
          await raw.commit().execute()
          if (wroteEvents.has(trx)) announce()
          return result
        } catch (error) {
          await rollBack(raw)
          throw error
        }
      })
  }

  /** A statement of its own; in a transaction of its own where the host writes dates in another way. */
  async function execute(query: CompiledQuery): Promise<QueryResult<unknown>> {
    if ((await styles.foreign()) === null) return await fresh().executeQuery(host.ours(query))
    return await transact(trx => trx.executeQuery(query), null)
  }

  const hostTransaction = (trx: Db): Db => hostTransactions.get(trx) ?? trx
  return {
    schema,
    announce,
    onEvents(listener) {
      listeners.push(listener)
    },
    t: tablesOf(schema),
    inThread,
    db: sessionOver(query => guarded(() => execute(query))),
    transaction: async work => {
      const by = actor()
      return await guarded(() => transact(work, by))
    },
    async asHost(trx, work) {
      const raw = hostTransaction(trx)
      const em = orm.em.fork() as EntityManager & { setTransactionContext(context: unknown): void }
      em.setTransactionContext(raw)
      const style = await styles.foreign()
      if (style === null) return await work(em)
      await setDateStyle(raw, style)
      const result = await work(em)
      await setDateStyle(raw, ownStyle)
      return result
    },
    hostTransaction
  }
}

/** The one place that decides what becomes of work that the database failed. */
async function repeating<T>(
  work: () => Promise<T>,
  tell: (trouble: Trouble & { cause: unknown }) => Promise<Error>,
  signal?: AbortSignal
): Promise<T> {
  const until = performance.now() + repeatForMs
  for (let pause = firstPauseMs; ; pause = Math.min(2 * pause, longestPauseMs)) {
    try {
      return await work()
    } catch (error) {
      const trouble = isTold(error) ? null : troubleOf(error)
      if (trouble === null) throw error
      if (trouble.kind !== 'repeat' || performance.now() > until || signal?.aborted === true)
        throw await tell({ ...trouble, cause: error })
      await delay(pause * (0.5 + Math.random()))
    }
  }
}

/** With the settings as they are for this role, where they say more. */
async function tellTrouble(fresh: () => Db, trouble: Trouble & { cause: unknown }): Promise<Error> {
  const values: Record<string, string> = {}
  if (trouble.settings.length > 0)
    await sql<{
      name: string
      value: string
    }>`select name, current_setting(name) as value from pg_settings where name = any(${trouble.settings}::text[])`
      .execute(fresh())
      .then(
        ({ rows }) => {
          for (const { name, value } of rows) values[name] = value
        },
        () => {}
      )
  return troubleError(trouble, trouble.cause, values)
}

/** The only style that can be read without knowing more of the session. */
const ownStyle = 'ISO'

async function setDateStyle(trx: Db, style: string): Promise<void> {
  await sql`select set_config('DateStyle', ${style}, true)`.execute(trx)
}

/** How the host's sessions write dates, asked once; null where they do it as we read them. */
function dateStyles(fresh: () => Db): { foreign(): Promise<string | null> } {
  let asked: Promise<string | null> | undefined
  const ask = async (): Promise<string | null> => {
    const { rows } = await sql<{ style: string }>`select current_setting('DateStyle') as style`.execute(fresh())
    const { style } = rows[0]!
    return style.startsWith(ownStyle) ? null : style
  }
  return {
    foreign: () =>
      (asked ??= ask().catch(error => {
        asked = undefined
        throw error
      }))
  }
}

/**
 * A broken connection cannot roll back, and need not; what made it break is the error worth telling. One that was
 * only too slow for the host's `query_timeout` still has our transaction open, and does not go back to the pool with
 * it.
 */
async function rollBack(trx: ControlledDb): Promise<void> {
  const tooSlow = (error: unknown): boolean => /^Query read timeout/.test((error as Error).message)
  let open = true
  while (open)
    open = await trx
      .rollback()
      .execute()
      .then(() => false, tooSlow)
}

/** The host's connection, as it is used here. */
interface HostConnection {
  /** For one statement or one transaction. */
  fresh(): Db
  inThread: boolean
  /** The statement, to be read with our parsers instead of the host's. */
  ours(query: CompiledQuery): CompiledQuery
}

async function hostOf(connection: { getClient(): Db; getNativeClient?(): Promise<unknown> }): Promise<HostConnection> {
  const client = connection.getClient()
  const asIs = (query: CompiledQuery): CompiledQuery => query
  // A host that handed MikroORM a ready-made Kysely has no native client to show; its Kysely is then all there is.
  const native = (await connection.getNativeClient?.().catch(() => null)) as
    | { transaction?: unknown; dumpDataDir?: unknown; connect?: unknown; totalCount?: unknown }
    | null
    | undefined
  if (native && typeof native.transaction === 'function' && typeof native.dumpDataDir === 'function') {
    // MikroORM closes only a PGlite that its own Kysely has used: with a host that leaves all queries to us the
    // process would never end.
    await sql`select 1`.execute(client)
    const dialect = new PGliteDialect({ pglite: native as never })
    return { fresh: () => new Kysely({ dialect }), inThread: true, ours: asIs }
  }
  const isPg = native && typeof native.connect === 'function' && typeof native.totalCount === 'number'
  return { fresh: () => client, inThread: false, ours: isPg ? withOwnTypes : asIs }
}

/** Kysely hands the statement to `pg` as it is, and `pg` takes one with parsers of its own. */
function withOwnTypes(query: CompiledQuery): CompiledQuery {
  return { ...query, sql: { text: query.sql, types: ownTypes } as unknown as string }
}

/** A place in a transaction to which what follows can be taken back; one of the same name takes the place of the last. */
export async function savepoint(trx: Db, name: string): Promise<void> {
  await sql`savepoint ${sql.id(name)}`.execute(trx)
}

export async function rollBackTo(trx: Db, name: string): Promise<void> {
  await sql`rollback to savepoint ${sql.id(name)}`.execute(trx)
}
