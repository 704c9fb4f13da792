/**
 * Which client an organization belongs to, and what that means for its devices.
 */

export { createOrganizations } from './organizations.ts'
