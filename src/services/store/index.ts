/**
 * The only code that speaks SQL and touches an EntityManager: one file or folder per group of tables. Every function
 * takes the tenant or connection it may touch; nothing here decides what should happen.
 */

export { requireOpen } from './open-transaction.ts'
export { noteMisread } from './runs/misread.ts'
export { listActivity, type NewActivity, writeActivity } from './activity.ts'
export {
  activeAlertsOf,
  type AlertChange,
  closeAlerts,
  findAlert,
  listAlerts,
  mergeAlerts,
  touchAlerts,
  unseenAlerts
} from './alerts.ts'
export {
  hasChanges,
  listConnectionChanges,
  listDeviceChanges,
  listRunChanges,
  type NewChange,
  writeChanges
} from './changes.ts'
export {
  devicesPerGroup,
  markMissing,
  type NewLink,
  readGroups,
  readLink,
  storedNames,
  writeLinks
} from './client-groups.ts'
export {
  connectedTo,
  connectionById,
  type ConnectionPatch,
  type ConnectionLook,
  connectionLooks,
  connectionsOfAccount,
  type ConnectionRow,
  connectionRow,
  disconnect,
  findConnection,
  finishConnection,
  insertConnection,
  leaveFormerPlatform,
  listConnections,
  purge,
  requireConnection,
  rotateHookSecret,
  setStatus,
  updateConnection
} from './connections.ts'
export { listenLease, noteListener, nudgedListeners, nudgeListener } from './listeners.ts'
export { limitOf, readCursor, writeCursor } from './cursor.ts'
export { type Database, type Db, openDatabase, rollBackTo, savepoint, type Tables } from './database.ts'
export {
  deliveryBacklog,
  type DeliveryRow,
  findHook,
  type Hook,
  fateOf,
  lastDeliveryAt,
  listDeliveries,
  type NewDelivery,
  replayDelivery,
  type Stored,
  storeDeliveries,
  toDelivery
} from './deliveries.ts'
export { type Allowances, missingTables, readHealth, stuckRuns } from './health.ts'
export {
  type Claim,
  claimDeliveries,
  claimSubject,
  connectionsWithDeliveries,
  type Failing,
  failingSubjects,
  failSubject,
  forgetSubject,
  platformTrouble,
  platformWorks,
  postponeSubject,
  releaseSubject,
  renewClaim,
  type Settled,
  settleDeliveries
} from './inbox.ts'
export { ownAlertsOf, sameCondition } from './derived-alerts.ts'
export { deviceByExternalId, devicesByHostname, findDevice, listDevices, storeAssetRefs } from './devices/devices.ts'
export {
  hasToldDevices,
  type HandOver,
  knownDeviceIds,
  nextHandOver,
  nextOwed,
  oweAssets,
  oweDevices,
  releaseAssets,
  settleOwed
} from './devices/owed.ts'
export {
  brokenOf,
  mappedClients,
  mappedTo,
  type MarkedMapping,
  markBroken,
  moveClientGroup
} from './drift.ts'
export { dropRecordings, insertRecording, nextRecordings } from './recordings.ts'
export {
  insertPlanned,
  type PlannedChange,
  plannedChanges,
  type PlannedRow,
  settlePlanned,
  simulated,
  writeResult
} from './planned.ts'
export { knownRevisions } from './devices/inventory.ts'
export { type DeviceMerge, mergeDevices, type MovingDevice } from './devices/merge.ts'
export type { DeviceChange, DeviceEvent, HostedChange, MergeContext, Origin } from './devices/shapes.ts'
export {
  type Beginning,
  beginPass,
  completePass,
  markPages,
  type PageMark,
  type Pass,
  type PassNotes,
  passesOf,
  rememberMissed
} from './devices/passes.ts'
export {
  countKnown,
  organizationWorth,
  repeatedRecords,
  seenRecord,
  showsTheSame,
  stillThere,
  unseen,
  type Unseen
} from './devices/absence.ts'
export { writePatches } from './devices/patch-rows.ts'
export { applyPatchCounts, keepUpdates, type OpenUpdate, unseenUpdates } from './devices/patches.ts'
export { removeDevices, removeOrganizations } from './devices/removal.ts'
export { loseSight, ofDeletedOrganizations, type OutOfSight } from './devices/sight.ts'
export {
  changeMappings,
  findOrganizations,
  listOrganizations,
  mergeOrganizations,
  openOrganizations
} from './organizations.ts'
export { databaseTime } from './observed.ts'
export {
  applyReassignment,
  countMove,
  knownOrganizations,
  mappedDevices,
  placementsOf,
  placeTree,
  planReassignment,
  type Reassignment,
  reassignDevices
} from './placement.ts'
export { writeEvents } from './outbox.ts'
export {
  claimSink,
  emitterSink,
  failLane,
  forgetPending,
  forgetSink,
  laneWorks,
  markPublished,
  nextLaneIn,
  outboxLag,
  type PendingEvent,
  pendingEvents,
  pruneOutbox,
  releaseSink,
  renewSink,
  seeSinks,
  sinkServed,
  sinkWorks
} from './relay.ts'
export {
  adoptableRuns,
  type Attempt,
  claimRun,
  endRun,
  holdConnection,
  holdRun,
  leaveRuns,
  type PageProgress,
  rehomeRun,
  releaseRun,
  renewLease,
  type RunEnd,
  type RunsOf,
  writeProgress
} from './runs/leases.ts'
export { anyLease, dropLease, pruneLeases, takeLease } from './runs/named-lease.ts'
export {
  activeRun,
  deleteQueuedRun,
  dropRunItems,
  findRun,
  insertRun,
  insertRunItems,
  listRunItems,
  listRuns,
  noTotals,
  requestCancel,
  runById,
  type RunRow,
  type StoredProgress,
  toRun,
  writeRequest
} from './runs/runs.ts'
export {
  deleteSessionValue,
  readSessionValue,
  type SessionOwner,
  type SessionValueRow,
  sessionValues,
  replaceSessionValue,
  writeSessionValue
} from './session-values.ts'
export { scheduleNext, takeDue } from './schedules.ts'
export { locate, type NamedTarget } from './targets.ts'
export {
  clearExpiredHookSecrets,
  replaceSealed,
  type SealedColumn,
  sealedColumns,
  type SealedRow,
  sealedRows
} from './sealed.ts'
export { connectionsToErase, devicesToErase, eraseDevices, type ErasureTarget } from './erasure.ts'
export { defaultRetention, pruneOld, type Retention } from './pruning.ts'
