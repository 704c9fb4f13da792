/** Level's groups, devices, updates and alerts in our terms. */

export { toAlert, toSeverity } from './alert.ts'
export { toDevice } from './device.ts'
export { toOrganization } from './group.ts'
export { toUpdate } from './update.ts'
