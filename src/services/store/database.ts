import type { EntityManager, MikroORM } from '@mikro-orm/core'
import { Kysely, PGliteDialect, sql } from 'kysely'
import { OptionError } from '../../errors.ts'
import type { Actor } from '../../types.ts'

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
  'activity',
  'change',
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
  transaction<T>(work: (trx: Db) => Promise<T>): Promise<T>
  /** Calls `listener` after every commit that wrote events. */
  onEvents(listener: () => void): void
  /** Tells those listeners of events that were written outside a transaction of ours. */
  announce(): void
  /** The host's entity manager joined to our open transaction. */
  hostEntityManager(trx: Db): EntityManager
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

/**
 * Opens our view on the host's connection. Nothing is connected or closed here: on PostgreSQL the host's pool is used
 * through its Kysely; on PGlite, which has one session, every transaction gets its own Kysely over the host's client,
 * so that PGlite's own lock keeps the host's statements out of our transactions and ours out of the host's.
 *
 * @param actor tells who is behind the call that begins a transaction
 */
export async function openDatabase(
  orm: MikroORM,
  schema: string,
  actor: () => Actor | null = () => null
): Promise<Database> {
  const connection = orm.em.getConnection() as unknown as { getClient?(): Db; getNativeClient?(): Promise<unknown> }
  if (typeof connection.getClient !== 'function') {
    throw new OptionError("option 'orm' must be a MikroORM 7 instance on @mikro-orm/postgresql or @mikro-orm/pglite")
  }
  const { fresh, inThread } = await sessionFactory(
    connection as { getClient(): Db; getNativeClient?(): Promise<unknown> }
  )
  const listeners: Array<() => void> = []
  const announce = (): void => {
    for (const listener of listeners) listener()
  }
  return {
    schema,
    announce,
    onEvents(listener) {
      listeners.push(listener)
    },
    t: tablesOf(schema),
    inThread,
    db: fresh(),
    // A transaction that cannot end, because its connection broke, would keep its place in the host's pool for ever:
    // hence `connection()`, which gives it back.
    transaction: async work => {
      const by = actor()
      return await fresh()
        .connection()
        .execute(async session => {
          const trx = (await session.startTransaction().execute()) as unknown as ControlledDb
          if (by !== null) begunBy.set(trx, by)
          try {
            const result = await work(trx)
            await trx.commit().execute()
            if (wroteEvents.has(trx)) announce()
            return result
          } catch (error) {
            await rollBack(trx)
            throw error
          }
        })
    },
    hostEntityManager(trx) {
      const em = orm.em.fork() as EntityManager & { setTransactionContext(context: unknown): void }
      em.setTransactionContext(trx)
      return em
    }
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

async function sessionFactory(connection: {
  getClient(): Db
  getNativeClient?(): Promise<unknown>
}): Promise<{ fresh: () => Db; inThread: boolean }> {
  const client = connection.getClient()
  // A host that handed MikroORM a ready-made Kysely has no native client to show; its Kysely is then all there is.
  const native = (await connection.getNativeClient?.().catch(() => null)) as
    | { transaction?: unknown; dumpDataDir?: unknown }
    | null
    | undefined
  if (native && typeof native.transaction === 'function' && typeof native.dumpDataDir === 'function') {
    // MikroORM closes only a PGlite that its own Kysely has used: with a host that leaves all queries to us the
    // process would never end.
    await sql`select 1`.execute(client)
    const dialect = new PGliteDialect({ pglite: native as never })
    return { fresh: () => new Kysely({ dialect }), inThread: true }
  }
  return { fresh: () => client, inThread: false }
}
