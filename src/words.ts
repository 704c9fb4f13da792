/** Closed sets of words that types, events and checks share. */

export const resourceNames = ['organizations', 'devices', 'updates', 'alerts'] as const
export const runKinds = ['sync', 'plan', 'apply', 'handover', 'undo'] as const
export const runStatuses = ['queued', 'running', 'succeeded', 'partial', 'failed', 'interrupted', 'cancelled'] as const
export const runTriggers = ['manual', 'schedule', 'webhook', 'startup'] as const
export const syncModes = ['full', 'incremental'] as const
export const changeEntities = ['device', 'organization', 'alert', 'connection'] as const
export const changeKinds = ['create', 'update', 'move', 'remove', 'revive', 'link', 'unlink', 'map'] as const
export const changeStates = ['planned', 'held', 'applied', 'stale', 'dismissed', 'skipped', 'undone'] as const
export const changeCauses = ['run', 'webhook', 'mapping', 'operator'] as const
export const alertSeverities = ['critical', 'major', 'moderate', 'minor'] as const

export type ResourceName = (typeof resourceNames)[number]
export type RunKind = (typeof runKinds)[number]
/** `partial`: some resources were read to their end, others failed; `progress` names them. */
export type RunStatus = (typeof runStatuses)[number]
export type RunTrigger = (typeof runTriggers)[number]
export type SyncMode = (typeof syncModes)[number]
export type AlertSeverity = (typeof alertSeverities)[number]
export type ChangeEntity = (typeof changeEntities)[number]
export type ChangeKind = (typeof changeKinds)[number]
/** `applied` is done; `planned` and `held` wait for a person; `stale` and `skipped` were not done; `undone` was taken back. */
export type ChangeState = (typeof changeStates)[number]
/** What made a change beside the platform's word: a run, a webhook or push, a mapping, a person's request. */
export type ChangeCause = (typeof changeCauses)[number]

/** What a device is. */
export const deviceKinds = ['workstation', 'server', 'printer', 'network', 'phone', 'vm-host', 'other'] as const
export type DeviceKind = (typeof deviceKinds)[number]
