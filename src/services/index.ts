import type { SyncTransport } from '../transports/transport.ts'
import type { EventSink } from '../types.ts'
import type { Rmm } from '../rmm.ts'
import { createAlerts } from './alerts.ts'
import { createClientFactory } from './clients.ts'
import { createConnections } from './connections.ts'
import type { Core } from './core.ts'
import { createDeviceGroups } from './device-groups.ts'
import { createEvents, type EventsService } from './events.ts'
import { createExecutor, type SyncExecutor } from './executor.ts'
import { createHints } from './hints.ts'
import { createInbox, type Inbox } from './inbox.ts'
import { createInventory } from './inventory.ts'
import { createListeners, type Listeners } from './listeners.ts'
import { createOrganizations } from './organizations.ts'
import { createProvisioning, type Provisioning } from './provisioning.ts'
import { createReRead } from './reread.ts'
import { createSync, type SyncService } from './sync.ts'
import { createWebhooks } from './webhooks.ts'

/** `app.rmm` and what runs behind it. */
export interface Services {
  rmm: Rmm
  sync: SyncService
  events: EventsService
  executor: SyncExecutor
  inbox: Inbox
  listeners: Listeners
  provisioning: Provisioning
}

export function createServices (core: Core, transports: ReadonlyMap<string, SyncTransport>, transportOf: (provider: string) => SyncTransport, sinks: readonly EventSink[]): Services {
  const clients = createClientFactory(core)
  const reread = createReRead(core, clients)
  const executor = createExecutor(core, clients, reread)
  const sync = createSync(core, executor, transportOf, transports, reread)
  const hints = createHints(core, clients, reread, sync)
  const inbox = createInbox(core, hints, reread)
  const events = createEvents(core, sinks)
  const listeners = createListeners(core, clients, hints, sync)
  const deviceGroups = createDeviceGroups(core, clients)
  const rmm: Rmm = {
    providers: { list: tenantId => core.registry.list(tenantId) },
    connections: createConnections(core, clients, listeners.drop),
    organizations: createOrganizations(core),
    sync,
    inventory: createInventory(core, clients),
    alerts: createAlerts(core, clients, reread),
    deviceGroups: deviceGroups.rmm,
    webhooks: createWebhooks(core, inbox),
    events
  }
  return { rmm, sync, events, executor, inbox, listeners, provisioning: createProvisioning(core, deviceGroups) }
}
