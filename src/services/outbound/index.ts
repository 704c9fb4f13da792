/**
 * How events leave: from the outbox through the relay to the sinks, at least once and in order per connection.
 */

export { dropSink } from './drop.ts'
export { createEvents, type EventsService } from './events.ts'
export { callbackSink } from './sinks/callback.ts'
export {
  type IoRedisLike,
  type NodeRedisLike,
  redisStreamSink,
  type RedisStreamSinkOptions
} from './sinks/redis-stream.ts'
export { webhookSink, type WebhookSinkOptions } from './sinks/webhook.ts'
