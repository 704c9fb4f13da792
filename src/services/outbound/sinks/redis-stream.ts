import { withTimeLimit } from '../../../waits.ts'
import { OptionError } from '../../../errors.ts'
import type { EventSink, RmmEvent } from '../../../types.ts'

interface IoRedisMulti {
  xadd(key: string, ...args: Array<string | number>): IoRedisMulti
  exec(): Promise<Array<[error: Error | null, result: unknown]> | null>
}

/** What is used of an `ioredis` client (`Redis` or `Cluster`). */
export interface IoRedisLike {
  status: string
  xadd: unknown
  multi(): unknown
  once(event: string, listener: () => void): unknown
  off(event: string, listener: () => void): unknown
}

interface NodeRedisMulti {
  xAdd(key: string, id: '*', fields: Record<string, string>, options: object): NodeRedisMulti
  exec(): Promise<unknown>
}

/** What is used of a `redis` (node-redis) client. */
export interface NodeRedisLike {
  isReady: boolean
  xAdd: unknown
  multi(): unknown
  once(event: string, listener: () => void): unknown
  off(event: string, listener: () => void): unknown
}

export interface RedisStreamSinkOptions {
  /** The host's connected client of `ioredis` or `redis`; the host closes it. */
  client: IoRedisLike | NodeRedisLike
  /** Key of the stream. */
  stream: string
  /** Entries the stream keeps at least; Redis cuts older ones when that is cheap (`MAXLEN ~`). @default 100000 */
  maxLen?: number
  /** Longest time for a batch, in milliseconds; clients without a connection would wait for ever. @default 5000 */
  timeoutMs?: number
  /** Identifies the sink across restarts. @default 'redis:' and the stream */
  name?: string
}

/**
 * Appends every event to a Redis stream, in order per connection. Entries have the fields `id`, `type`, `tenantId`,
 * `connectionId`, `provider`, `occurredAt` and `payload` (JSON). A batch is added whole or not at all (MULTI); after
 * an interruption it may be there twice with the same `id`s, which consumers have to tolerate.
 *
 * @throws `RMM_ERR_OPTION` when the client is of neither library or a number is out of range
 */
export function redisStreamSink(options: RedisStreamSinkOptions): EventSink {
  const { client, stream, maxLen = 100_000, timeoutMs = 5_000 } = options
  if (typeof stream !== 'string' || stream === '')
    throw new OptionError("redisStreamSink: 'stream' is missing: give the key of the stream")
  if (!Number.isInteger(maxLen) || maxLen < 1)
    throw new OptionError("redisStreamSink: 'maxLen' must be a whole number from 1")
  if (!Number.isInteger(timeoutMs) || timeoutMs < 1)
    throw new OptionError("redisStreamSink: 'timeoutMs' must be a whole number from 1")
  const append = appender(client, stream, maxLen)
  return {
    name: options.name ?? `redis:${stream}`,
    async publish(events, signal) {
      await withTimeLimit(timeoutMs, [signal], async bound => {
        // Without a connection clients keep commands in memory and send them later: those would pile up with every
        // attempt.
        await ready(client, bound)
        await within(append(events), bound, 'Redis did not answer in time')
      })
    }
  }
}

const isIoRedis = (client: IoRedisLike | NodeRedisLike): client is IoRedisLike =>
  typeof (client as IoRedisLike | undefined)?.xadd === 'function'
const isNodeRedis = (client: IoRedisLike | NodeRedisLike): client is NodeRedisLike =>
  typeof (client as NodeRedisLike | undefined)?.xAdd === 'function'

function appender(
  client: IoRedisLike | NodeRedisLike,
  stream: string,
  maxLen: number
): (events: RmmEvent[]) => Promise<void> {
  if (isIoRedis(client)) {
    return async events => {
      const multi = client.multi() as IoRedisMulti
      for (const event of events)
        multi.xadd(stream, 'MAXLEN', '~', maxLen, '*', ...Object.entries(fieldsOf(event)).flat())
      const results = await multi.exec()
      if (results === null) throw new Error('Redis did not execute the transaction')
      for (const [error] of results) if (error !== null) throw error
    }
  }
  if (isNodeRedis(client)) {
    return async events => {
      const multi = client.multi() as NodeRedisMulti
      for (const event of events)
        multi.xAdd(stream, '*', fieldsOf(event), {
          TRIM: { strategy: 'MAXLEN', strategyModifier: '~', threshold: maxLen }
        })
      await multi.exec()
    }
  }
  throw new OptionError("redisStreamSink: 'client' must be a client of ioredis or redis (node-redis)")
}

function fieldsOf({
  id,
  type,
  tenantId,
  connectionId,
  provider,
  occurredAt,
  actor,
  payload
}: RmmEvent): Record<string, string> {
  return {
    id,
    type,
    tenantId,
    connectionId,
    provider,
    occurredAt,
    actor: JSON.stringify(actor),
    payload: JSON.stringify(payload)
  }
}

async function ready(client: IoRedisLike | NodeRedisLike, signal: AbortSignal): Promise<void> {
  // ioredis in `wait` (lazyConnect) connects with its first command.
  if (isIoRedis(client) ? client.status === 'ready' || client.status === 'wait' : client.isReady) return
  const { promise, resolve } = Promise.withResolvers<void>()
  client.once('ready', resolve)
  try {
    await within(promise, signal, 'Redis is not connected')
  } finally {
    client.off('ready', resolve)
  }
}

async function within<T>(work: Promise<T>, signal: AbortSignal, reason: string): Promise<T> {
  const { promise: ended, reject } = Promise.withResolvers<never>()
  const abort = (): void => reject(new Error(reason, { cause: signal.reason }))
  if (signal.aborted) abort()
  signal.addEventListener('abort', abort, { once: true })
  work.catch(() => {})
  try {
    return await Promise.race([work, ended])
  } finally {
    signal.removeEventListener('abort', abort)
    ended.catch(() => {})
  }
}
