/**
 * Groups for clients on platforms that have none yet: plan, run, status, and doing it on schedule.
 */

export { createDeviceGroups } from './device-groups.ts'
export { createProvisioning, type Provisioning } from './provisioning.ts'
