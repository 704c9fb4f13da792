/**
 * Pure rules, no I/O: the tree of organizations, whose a device is, what a record becomes before it is stored,
 * suggestions, group names and the plan for them, schedules. Everything here is a function of its arguments; put a
 * rule here before anything acts on it.
 */

export { deepestJson, isTooDeep } from './depth.ts'
export { addressesIn, declaredAddresses, secretPart, shownConfig } from './addresses.ts'
export { assign, type Assigned } from './assign.ts'
export { isLoss, isMassive, isMassRemoval, type Loss, type Move, tellMove, type Worth } from './brakes.ts'
export { askingOrder, missAgain, type Missed, sampleSize, type Signs, tellSigns } from './doubts.ts'
export { describe, marker, markOf, unmarked } from './group-names.ts'
export type { GroupLink, GroupStep, PlanInput } from './group-ground.ts'
export { planGroups } from './group-plan.ts'
export { inTheWayOf } from './group-renames.ts'
export { deviceRow, type NormalDevice, normalizeDevice } from './normalize/device.ts'
export type { NormalFacts } from './normalize/facts.ts'
export { clean, hashText, idText, none } from './normalize/field-values.ts'
export { mergeMisread, misreadSentence, type StoredMisread } from './normalize/misread.ts'
export {
  type NormalAlert,
  normalizeAlert,
  normalizeAll,
  normalizeOrganization,
  normalizeUpdate,
  type Normalized,
  shownId,
  type NormalOrganization,
  type NormalUpdate
} from './normalize/records.ts'
export {
  createJudge,
  type Fault,
  isList,
  type Judge,
  judgeDelivery,
  type Outcome,
  retryAfter,
  subjectOf,
  type Setback
} from './inbox.ts'
export { fieldEnd, fieldOf, joinFields, joinRows } from './row-text.ts'
export { defaultSchedule, mergeSchedule } from './schedules.ts'
export { stableJson, storable } from './stable-json.ts'
export { createClientIndex } from './suggestions.ts'
export { type Assignment, placeAll, type Placement, type TreeNode } from './tree.ts'
export { usable, type UsableAlert, type UsableEvent, type UsableHint, usableHint } from './usable-event.ts'
export { isTold, type Trouble, troubleError, troubleOf } from './trouble.ts'
