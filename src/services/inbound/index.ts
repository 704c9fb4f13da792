/**
 * What platforms tell by themselves: webhooks into the inbox, pushes, and both as hints that become small re-reads.
 */

export { createHints } from './hints.ts'
export { createInbox, type Inbox } from './inbox.ts'
export { createListeners, type Listeners } from './listeners.ts'
export { createRegistration, type Registration } from './registration.ts'
export { createWebhooks, newHookSecret } from './webhooks.ts'
