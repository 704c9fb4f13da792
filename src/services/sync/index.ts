/**
 * Runs: starting one, executing it page by page, completing it, re-reading single records, and handing what changed
 * to the host.
 */

export { addMoves, applyChanges, noChanges } from './changes.ts'
export { createChangeLists } from './change-lists.ts'
export { createExecutor } from './executor.ts'
export { readOne } from './read-one.ts'
export { checkMappings } from './drift.ts'
export { contextOf, createReRead, type ReRead } from './reread.ts'
export { createSync, type SyncService } from './runs.ts'
export type {
  DeviceHandle,
  RunHandle,
  SegmentContext,
  SegmentResult,
  SyncExecutor,
  SyncTransport,
  TransportContext,
  TransportLog,
  WorkerOptions
} from './transport.ts'
