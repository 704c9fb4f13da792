import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { collection, sourceOf } from './collection.ts'
import { createFaults, type Fault, type FaultOptions } from './faults.ts'
import {
  type Announce,
  type FakeAlerts,
  type FakeDevices,
  type FakeGroups,
  type FakeUpdates,
  mutations
} from './mutations.ts'
import { listPage } from './paging.ts'
import { listener, type LoggedRequest } from './listener.ts'
import { seedLevel } from './seed.ts'
import type { LevelWorld } from './types.ts'
import { createWebhooks, type FakeWebhooks } from './webhooks.ts'
import { createState } from './world.ts'

export interface FakeLevelOptions {
  /** Default 0 = any free port. Always on 127.0.0.1. */
  port?: number
  /** Read and write. Default `level-test-key-read-write`. */
  apiKey?: string
  /** Default `level-test-key-read-only`. */
  readOnlyKey?: string
  /** The account. Default: `seedLevel({ devices, groups, seed })`. */
  world?: LevelWorld
  devices?: number
  groups?: number
  seed?: number
  /** Milliseconds before every answer. Default 0. */
  latencyMs?: number
  /** Most records of a page, whatever the client asks for: many pages from few records. 1 to 100, default 100. */
  maxLimit?: number
  /** What a cursor does whose record was deleted: the platform does not say. Default `continue`. */
  deletedCursor?: 'continue' | 'refuse'
  /** Sends the webhooks of every change, also of those made through the API. Default false. */
  emit?: boolean
  /** Milliseconds between two attempts of a webhook. Default 20 (the platform waits over two minutes). */
  webhookRetryDelayMs?: number
  /** Default: the system clock. */
  now?(): Date
}

export interface FakeLevel {
  /** `http://127.0.0.1:<port>`, for the config's `baseUrl`. */
  url: string
  port: number
  apiKey: string
  readOnlyKey: string
  devices: FakeDevices
  groups: FakeGroups
  alerts: FakeAlerts
  updates: FakeUpdates
  webhooks: FakeWebhooks
  /** Makes requests fail; see `FaultKind`. */
  fail(options: FaultOptions): Fault
  /** Takes all faults back. */
  heal(): void
  /** Every request since the start, oldest first. Set `length = 0` to forget them. */
  requests: LoggedRequest[]
  /** Requests whose path starts with `prefix`. */
  count(prefix?: string): number
  /** Most requests that were in work at one time. */
  readonly maxInFlight: number
  /** Ends all connections. Safe to call twice. */
  close(): Promise<void>
}

/**
 * Starts a Level of your own: a real HTTP server with groups, devices, alerts, updates, tags, custom fields and
 * automations, which pages, refuses and fails like the platform. It holds to the published shapes and, where sources
 * disagree, answers both ways.
 */
export async function startFakeLevel(options: FakeLevelOptions = {}): Promise<FakeLevel> {
  const now = options.now ?? (() => new Date())
  const { devices, groups, seed } = options
  const world =
    options.world ??
    seedLevel({
      ...(devices === undefined ? {} : { devices }),
      ...(groups === undefined ? {} : { groups }),
      ...(seed === undefined ? {} : { seed })
    })
  const state = createState(world, now)
  const stop = new AbortController()
  const webhooks = createWebhooks({ retryDelayMs: options.webhookRetryDelayMs ?? 20, now, signal: stop.signal })
  const announce: Announce = (type, data, { emit = options.emit ?? false } = {}) => {
    if (emit) void webhooks.send({ event_type: type, data: eventData(state, type, data) })
  }
  const changes = mutations(state, announce)
  const faults = createFaults()
  const paging = {
    maxLimit: Math.min(Math.max(options.maxLimit ?? 100, 1), 100),
    deletedCursor: options.deletedCursor ?? 'continue'
  }
  const keys = {
    apiKey: options.apiKey ?? 'level-test-key-read-write',
    readOnlyKey: options.readOnlyKey ?? 'level-test-key-read-only'
  }
  const handler = listener({
    ...keys,
    latencyMs: options.latencyMs ?? 0,
    now,
    faults,
    signal: stop.signal,
    context: {
      ...changes,
      state,
      list: (call, records, view, where) =>
        listPage(call, Array.isArray(records) ? collection(sourceOf(records)) : records, view, where, paging)
    }
  })
  const server = createServer(handler.onRequest)
  await new Promise<void>((resolve, reject) =>
    server.once('error', reject).listen(options.port ?? 0, '127.0.0.1', resolve)
  )
  const { port } = server.address() as AddressInfo

  return {
    url: `http://127.0.0.1:${port}`,
    port,
    ...keys,
    ...changes,
    webhooks,
    fail: faults.add,
    heal: faults.clear,
    requests: handler.requests,
    count: (prefix = '') => handler.requests.filter(request => request.path.startsWith(prefix)).length,
    get maxInFlight() {
      return handler.maxInFlight()
    },
    async close() {
      stop.abort()
      const closed = new Promise<void>(resolve => server.close(() => resolve()))
      server.closeAllConnections()
      await closed
    }
  }
}

/** Webhooks carry the object as the API shows it without includes; of a deleted one only the id. */
function eventData(state: ReturnType<typeof createState>, type: string, data: { id: string }): { id: string } {
  if (type.endsWith('_deleted')) return data
  const device = type.startsWith('device_') ? state.devices.get(data.id) : undefined
  if (device) return state.deviceView(device, new Set()) as { id: string }
  const group = type.startsWith('group_') ? state.groups.get(data.id) : undefined
  return group ? (state.groupView(group) as { id: string }) : data
}

export { seedLevel } from './seed.ts'
export type { SeededWorld, SeedOptions } from './seed.ts'
export { levelWebhookRequest, signLevel } from './webhooks.ts'
export type { FakeWebhooks, LevelDelivery, LevelEvent, SendOptions, WebhookOptions } from './webhooks.ts'
export type { Fault, FaultKind, FaultOptions } from './faults.ts'
export type { Emit, FakeAlerts, FakeDevices, FakeGroups, FakeUpdates, Records } from './mutations.ts'
export type { LoggedRequest } from './listener.ts'
export { levelId } from './types.ts'
export type {
  LevelAlert,
  LevelAutomation,
  LevelCustomField,
  LevelCustomFieldValue,
  LevelDevice,
  LevelGroup,
  LevelTag,
  LevelUpdate,
  LevelWorld,
  Source
} from './types.ts'
