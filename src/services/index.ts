import {
  createChangeLists,
  createExecutor,
  createReRead,
  createSync,
  type SyncExecutor,
  type SyncTransport
} from './sync/index.ts'
import type { ActionTarget, EventSink } from '../types.ts'
import type { Rmm } from '../rmm.ts'
import type { Actors } from './actors.ts'
import { createAlerts } from './alerts/index.ts'
import { createClientFactory, reseal, secretsUsage } from './platform/index.ts'
import { createConnections } from './connections/index.ts'
import type { Core } from './core.ts'
import { createDeviceGroups, createProvisioning, type Provisioning } from './device-groups/index.ts'
import { createEvents, type EventsService } from './outbound/index.ts'
import {
  createHints,
  createInbox,
  createListeners,
  createRegistration,
  createWebhooks,
  type Inbox,
  type Listeners
} from './inbound/index.ts'
import { createHealth } from './health.ts'
import { createInventory } from './inventory/index.ts'
import { createOrganizations } from './mapping/index.ts'
import { createDuties } from './duties.ts'
import { listActivity, locate, type NamedTarget, type Retention } from './store/index.ts'
import { createTicker, type Ticker } from './ticker.ts'

/** `app.rmm` and what runs behind it. */
export interface Services {
  /** Completes what a URL names by what is stored; null where the tenant has no such thing. */
  locate(tenantId: string, named: NamedTarget): Promise<Omit<ActionTarget, 'body'> | null>
  rmm: Rmm
  ticker: Ticker
  events: EventsService
  executor: SyncExecutor
  inbox: Inbox
  listeners: Listeners
  provisioning: Provisioning
}

export interface ServiceOptions {
  transports: ReadonlyMap<string, SyncTransport>
  transportOf(provider: string): SyncTransport
  sinks: readonly EventSink[]
  retention: Retention
  /** Whether this process starts the syncs that are due, and looks after the device groups before them. */
  schedules: { enabled: boolean; deviceGroups: boolean }
}

export function createServices(
  core: Core,
  { transports, transportOf, sinks, retention, schedules }: ServiceOptions
): Services {
  const clients = createClientFactory(core)
  const reread = createReRead(core, clients)
  const executor = createExecutor(core, clients, reread)
  const sync = createSync(core, executor, transportOf, transports, reread)
  const hints = createHints(id => core.registry.get(id), clients, reread, sync)
  const inbox = createInbox(core, hints, reread)
  const events = createEvents(core, sinks)
  const listeners = createListeners(core, clients, hints, sync)
  const registration = createRegistration(core, clients)
  const deviceGroups = createDeviceGroups(core, clients)
  const groups: Omit<Rmm, 'as' | 'health'> = {
    secrets: { usage: () => secretsUsage(core), reseal: options => reseal(core, options) },
    providers: { list: tenantId => core.registry.list(tenantId) },
    connections: createConnections(core, clients, registration, listeners.drop),
    organizations: createOrganizations(core),
    sync,
    changes: createChangeLists(core),
    inventory: createInventory(core, clients),
    alerts: createAlerts(core, clients, reread),
    deviceGroups: deviceGroups.rmm,
    webhooks: createWebhooks(core, inbox, registration),
    activity: { list: (tenantId, query) => listActivity(core.database, tenantId, query) },
    events: events.rmm
  }
  const provisioning = createProvisioning(core, deviceGroups)
  const ticker = createTicker(
    core,
    createDuties(core, {
      sync,
      events,
      inbox,
      listeners,
      transports,
      transportOf,
      retention,
      schedules: schedules.enabled,
      ...(schedules.deviceGroups ? { before: provisioning.before } : {})
    })
  )
  const rmm = withActors(groups, createHealth(core, ticker), core.actors)
  return {
    rmm,
    locate: (tenantId, named) => locate(core.database, tenantId, named),
    ticker,
    events,
    executor,
    inbox,
    listeners,
    provisioning
  }
}

type Service = Record<string, (...args: unknown[]) => unknown>

/** Adds `as`: the same services, every call with its actor. */
function withActors(services: Omit<Rmm, 'as' | 'health'>, health: Rmm['health'], actors: Actors): Rmm {
  const as: Rmm['as'] = given => {
    const actor = actors.from(given)
    const bind = (service: Service): Service =>
      Object.fromEntries(
        Object.entries(service).map(([name, call]) => [name, (...args) => actors.run(actor, () => call(...args))])
      )
    const bound = Object.entries(services).map(([name, service]) => [name, bind(service as unknown as Service)])
    return { ...(Object.fromEntries(bound) as Omit<Rmm, 'as' | 'health'>), health, as }
  }
  return { ...services, health, as }
}
