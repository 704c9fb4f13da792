/**
 * A tenant's accounts: create, change, test, disconnect.
 */

export { createConnections } from './connections.ts'
