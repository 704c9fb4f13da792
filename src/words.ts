/** Closed sets of words that types, events and checks share. */

export const resourceNames = ['organizations', 'devices', 'updates', 'alerts'] as const
export const runKinds = ['sync', 'plan', 'apply', 'handover', 'undo'] as const
export const runStatuses = ['queued', 'running', 'succeeded', 'partial', 'failed', 'interrupted', 'cancelled'] as const
export const runTriggers = ['manual', 'schedule', 'webhook', 'startup'] as const
export const syncModes = ['full', 'incremental'] as const
export const alertSeverities = ['critical', 'major', 'moderate', 'minor'] as const
