/**
 * The devices as routes and hosts read them, and what can be done with one.
 */

export { audit, createInventory } from './inventory.ts'
