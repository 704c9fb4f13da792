export { default, rmmSync } from './plugin.ts'
export { aesGcmSecretBox } from './services/platform/index.ts'
export {
  callbackSink,
  type IoRedisLike,
  type NodeRedisLike,
  redisStreamSink,
  type RedisStreamSinkOptions,
  webhookSink,
  type WebhookSinkOptions
} from './services/outbound/index.ts'
export type {
  DeliveryMessage,
  DutyMessage,
  PageMessage,
  RequestMessage,
  RmmChannels,
  RunMessage,
  SinkMessage
} from './services/diagnostics.ts'
export { withRmmSync } from './migrations/run.ts'
export * from './entities/index.ts'
export * from './providers/define.ts'
export * from './providers/hmac.ts'
export * as paging from './providers/paging.ts'
export * as values from './providers/values.ts'
export * as errors from './errors.ts'
export { actions, eventPayloads, eventTypes, resourceNames } from './types.ts'
export type * from './types.ts'
export type { Rmm } from './rmm.ts'
export type { RmmSyncOptions } from './options.ts'
export type { Settings } from './services/core.ts'
export type {
  DeviceHandle,
  RunHandle,
  SyncTransport,
  TransportContext,
  TransportLog,
  WorkerOptions
} from './services/sync/index.ts'
export type { SegmentContext, SegmentResult, SyncExecutor } from './services/sync/index.ts'
