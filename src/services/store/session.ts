import {
  type CompiledQuery,
  type DatabaseConnection,
  type Dialect,
  Kysely,
  PostgresAdapter,
  PostgresIntrospector,
  PostgresQueryCompiler,
  type QueryResult
} from 'kysely'

/**
 * A Kysely of ours whose statements `execute` sends, over a session of the host. It begins and ends nothing: that is
 * done on the session itself.
 */
export function sessionOver(execute: (query: CompiledQuery) => Promise<QueryResult<unknown>>): Kysely<any> {
  const none = async (): Promise<void> => {}
  const connection: DatabaseConnection = {
    executeQuery: execute as DatabaseConnection['executeQuery'],
    async *streamQuery() {
      throw new Error('statements are not streamed here')
    }
  }
  const notHere = async (): Promise<never> => {
    throw new Error('transactions are begun with database.transaction')
  }
  const dialect: Dialect = {
    createAdapter: () => new PostgresAdapter(),
    createQueryCompiler: () => new PostgresQueryCompiler(),
    createIntrospector: db => new PostgresIntrospector(db),
    createDriver: () => ({
      init: none,
      acquireConnection: async () => connection,
      releaseConnection: none,
      beginTransaction: notHere,
      commitTransaction: notHere,
      rollbackTransaction: notHere,
      destroy: none
    })
  }
  return new Kysely({ dialect })
}

type Parse = (text: string) => unknown

const asText: Parse = text => text
const parsers: Readonly<Record<number, Parse>> = {
  16: text => text === 't',
  21: Number,
  23: Number,
  26: Number,
  114: text => JSON.parse(text),
  700: Number,
  701: Number,
  3802: text => JSON.parse(text),
  1114: isoTime,
  1184: isoTime,
  199: text => parseArray(text, text => JSON.parse(text)),
  3807: text => parseArray(text, text => JSON.parse(text)),
  1000: text => parseArray(text, text => text === 't'),
  1005: text => parseArray(text, Number),
  1007: text => parseArray(text, Number),
  1115: text => parseArray(text, isoTime),
  1185: text => parseArray(text, isoTime)
}
for (const textual of [1003, 1009, 1015, 1016, 1028, 1231, 2951])
  (parsers as Record<number, Parse>)[textual] = text => parseArray(text, asText)

/**
 * How results are read, whatever parsers the host has given its driver: numbers, booleans, JSON and lists as such,
 * `bigint`, `numeric` and everything unknown as text, times as ISO 8601 text with all their digits.
 */
export const ownTypes = { getTypeParser: (oid: number): Parse => parsers[oid] ?? asText }

/** `2026-11-27 20:00:00.5+01`, as PostgreSQL writes it in the ISO style, into what every reader of ISO 8601 takes. */
function isoTime(text: string): string {
  const match = /^(\d{4,}-\d\d-\d\d) (\d\d:\d\d:\d\d(?:\.\d+)?)(?:([+-]\d\d)(?::?(\d\d))?(?::\d\d)?)?$/.exec(text)
  if (match === null) return text
  const [, day, time, hours, minutes = '00'] = match
  return `${day}T${time}${hours === undefined ? '' : `${hours}:${minutes}`}`
}

/** One-dimensional, as PostgreSQL writes it: `{a,"b,\"c",NULL}`. */
function parseArray(text: string, parse: Parse): unknown[] {
  return [...text.slice(1, -1).matchAll(/"((?:[^"\\]|\\.)*)"|([^,]+)/gs)].map(([, quoted, plain]) =>
    quoted !== undefined ? parse(quoted.replace(/\\(.)/gs, '$1')) : plain === 'NULL' ? null : parse(plain!)
  )
}
