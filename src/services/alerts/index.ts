/**
 * The alerts as routes and hosts read them, and resolving one on its platform.
 */

export { createAlerts } from './alerts.ts'
