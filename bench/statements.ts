import pg from 'pg'
import type { BenchDatabase } from './database.ts'

/** Counts every statement that reaches the database, `begin` and `commit` included. */
export async function countStatements(
  database: Pick<BenchDatabase, 'kind' | 'orm'>
): Promise<{ read(): number; stop(): void }> {
  let count = 0
  if (database.kind === 'postgresql') {
    const query = pg.Client.prototype.query
    pg.Client.prototype.query = function (this: pg.Client, ...args: unknown[]) {
      count++
      return (query as (...args: unknown[]) => unknown).apply(this, args)
    } as never
    return {
      read: () => count,
      stop: () => {
        pg.Client.prototype.query = query
      }
    }
  }
  const client = await (
    database.orm.em.getConnection() as unknown as {
      getNativeClient(): Promise<{ execProtocolRaw(...args: unknown[]): unknown }>
    }
  ).getNativeClient()
  const query = client.execProtocolRaw
  // A query of PGlite is several protocol messages; `Parse` ('P') begins each statement.
  client.execProtocolRaw = (message: unknown, ...rest: unknown[]) => {
    if ((message as Uint8Array)[0] === 0x50) count++
    return query.call(client, message, ...rest)
  }
  return {
    read: () => count,
    stop: () => {
      client.execProtocolRaw = query
    }
  }
}
