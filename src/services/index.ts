import type { SyncTransport } from '../transports/transport.ts'
import type { EventSink } from '../types.ts'
import type { Rmm } from '../rmm.ts'
import { createAlerts } from './alerts/alerts.ts'
import { createClientFactory } from './platform/clients.ts'
import { createConnections } from './connections/connections.ts'
import type { Core } from './core.ts'
import { createDeviceGroups } from './device-groups/device-groups.ts'
import { createEvents, type EventsService } from './outbound/events.ts'
import { createExecutor, type SyncExecutor } from './sync/executor.ts'
import { createHints } from './inbound/hints.ts'
import { createInbox, type Inbox } from './inbound/inbox.ts'
import { createInventory } from './inventory/inventory.ts'
import { createListeners, type Listeners } from './inbound/listeners.ts'
import { createOrganizations } from './mapping/organizations.ts'
import { createProvisioning, type Provisioning } from './device-groups/provisioning.ts'
import { createReRead } from './sync/reread.ts'
import { createSync, type SyncService } from './sync/runs.ts'
import { createWebhooks } from './inbound/webhooks.ts'

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
