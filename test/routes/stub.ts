import Fastify, { type FastifyInstance, type FastifyServerOptions } from 'fastify'
import type { Test } from 'tap'
import { createActors } from '../../src/services/actors.ts'
import { routes } from '../../src/routes/index.ts'
import type { RouteOptions } from '../../src/routes/options.ts'
import type { Rmm } from '../../src/rmm.ts'
import type {
  Alert,
  Change,
  Connection,
  Delivery,
  Device,
  DeviceDetail,
  Health,
  Organization,
  ProviderInfo,
  Run,
  WebhookInfo
} from '../../src/types.ts'

const at = '2026-01-02T03:04:05.000Z'

export const connection: Connection = {
  id: 'c1',
  provider: 'levelio',
  name: 'Level',
  config: { baseUrl: 'https://api.level.io' },
  status: 'connected',
  statusReason: null,
  account: 'Acme',
  connectedAt: at,
  lastSyncAt: null,
  lastFullSyncAt: null,
  lastScheduledSyncAt: null,
  syncStatus: 'idle',
  syncError: null,
  schedule: { enabled: true, everyMinutes: 60, fullEveryMinutes: 1440 },
  movePolicy: 'follow',
  live: null,
  mappingStatus: 'ok',
  counts: {
    organizations: 1,
    mappedOrganizations: 1,
    devices: 2,
    mappedDevices: 1,
    unmappedDevices: 1,
    onlineDevices: 1,
    activeAlerts: 0,
    brokenMappings: 0
  }
}
export const provider: ProviderInfo = {
  id: 'levelio',
  name: 'Level',
  description: 'Level RMM',
  icon: null,
  homepage: 'https://level.io',
  docsUrl: null,
  configSchema: { type: 'object' },
  secretSchema: { type: 'object' },
  capabilities: {
    connection: true,
    scopeSync: true,
    deviceSync: true,
    patchSync: true,
    alertSync: true,
    alertResolve: true,
    deviceGroups: false,
    events: true,
    remoteSessions: false,
    remoteActions: false
  }
}
export const organization: Organization = {
  id: 'o1',
  externalId: 'g1',
  name: 'Acme',
  parentExternalId: null,
  path: 'Acme',
  depth: 0,
  deviceCount: 1,
  descendantDeviceCount: 2,
  mapping: { mode: 'mapped', clientRef: 'client-1', by: 'operator', status: 'ok' },
  effectiveClientRef: 'client-1',
  autoSync: true,
  removedAt: null,
  outOfSightSince: null
}
export const run: Run = {
  id: 'r1',
  connectionId: 'c1',
  kind: 'sync',
  actor: { id: 'u1', name: null },
  trigger: 'manual',
  resources: ['organizations', 'devices'],
  mode: 'full',
  transport: 'direct',
  status: 'running',
  queuedAt: at,
  startedAt: at,
  finishedAt: null,
  progress: [{ resource: 'devices', pages: 1, processed: 100, complete: false, status: 'reading', error: null }],
  totals: { created: 1, updated: 2, unchanged: 3, removed: 4, unmapped: 5, failed: 6 },
  summary: null,
  error: { code: 'RMM_ERR_X', message: 'why' },
  continuedFrom: null,
  plan: {
    counts: [{ entity: 'device', kind: 'create', clientRef: 'client-1', count: 2 }],
    warnings: [{ code: 'RMM_ERR_X', message: 'why' }],
    expiresAt: at
  }
}
export const change: Change = {
  id: '7',
  runId: 'r1',
  connectionId: 'c1',
  cause: 'run',
  entity: 'device',
  entityId: 'd1',
  externalId: 'node//x',
  displayName: 'srv',
  clientRef: null,
  kind: 'update',
  changed: [
    { field: 'osVersion', from: '2019', to: '2022' },
    { field: 'tags', from: null, to: ['a', 'b'] }
  ],
  state: 'applied',
  reason: null,
  actor: null,
  at
}
export const device: Device = {
  id: 'd1',
  connectionId: 'c1',
  provider: 'levelio',
  externalId: 'node//x',
  organizationExternalId: 'g1',
  clientRef: null,
  assetRef: null,
  assetType: 'server',
  kind: 'server',
  displayName: 'srv',
  hostname: 'srv',
  serialNumber: null,
  manufacturer: null,
  model: null,
  osType: 'Windows',
  osVersion: '2022',
  online: true,
  agentStatus: 'online',
  lastSeenAt: at,
  lastRebootAt: null,
  uptimeSeconds: 12,
  currentUser: null,
  lanIp: '10.0.0.1',
  wanIp: null,
  macAddresses: ['00:11:22:33:44:55'],
  cpuModel: null,
  cpuCores: 8,
  ramBytes: 68_719_476_736,
  volumes: [{ name: 'C:', totalBytes: 1_099_511_627_776, freeBytes: null, utilization: 0.25 }],
  antivirus: { provider: 'Defender', status: null },
  pendingOsPatches: null,
  location: null,
  tags: ['a'],
  maintenanceMode: false,
  removedAt: null,
  outOfSightSince: null,
  observedAt: at,
  updatedAt: at
}
export const detail: DeviceDetail = { ...device, details: { securityScore: 80 }, patches: null }
export const alert: Alert = {
  id: 'a1',
  connectionId: 'c1',
  externalId: 'x1',
  deviceId: 'd1',
  deviceExternalId: 'e1',
  deviceName: 'PC',
  clientRef: null,
  assetRef: null,
  assignment: 'unmapped',
  origin: 'sweep',
  name: 'CPU',
  description: null,
  severity: 'major',
  providerSeverity: 'critical',
  status: 'active',
  startedAt: at,
  resolvedAt: null
}
export const health: Health = {
  ok: false,
  schedules: { late: 1, oldestMs: 61_234.5 },
  runs: { waiting: 2, stuck: 0 },
  deliveries: { pending: 0, dead: 1, oldestMs: null },
  sinks: [{ name: 'out', pending: 3, oldestMs: 1_000, failures: 2, served: true }],
  connections: { error: 1 },
  keys: { missing: [{ keyId: 'k1', values: 2 }] }
}
export const delivery: Delivery = {
  id: 'v1',
  connectionId: 'c1',
  eventId: 'e',
  eventType: 'alert.triggered',
  status: 'done',
  attempts: 1,
  lastError: null,
  receivedAt: at,
  processedAt: at
}
const webhook: WebhookInfo = {
  url: 'https://psa.example.com/rmm/hooks/k',
  signatureHeader: 'X-Level-Signature',
  secretHeader: null,
  events: ['alert.triggered'],
  payloadTemplate: { event: 'alert.triggered' },
  templateInputs: [{ field: 'severity', label: 'Severity', choices: ['warning'] }],
  instructions: ['Paste it'],
  hasSecret: true,
  lastDeliveryAt: null
}
const link = { url: 'https://example.com/x', expiresAt: at }
const list = <T>(item: T) => ({ items: [item], nextCursor: 'next' })

/** What each service answers with, by `group.method`. */
export const groupResult = {
  clientRef: 'client-1',
  clientName: 'Acme',
  groupName: null,
  name: 'Acme Devices',
  groupId: null,
  outcome: 'failed' as const,
  error: 'why'
}
const counts = {
  success: true,
  message: 'ok',
  totalClients: 1,
  created: 1,
  linked: 0,
  existing: 0,
  renamed: 0,
  conflicts: 0,
  failed: 0
}

export const answers: Record<string, unknown> = {
  'providers.list': [provider],
  'connections.list': list(connection),
  'connections.create': { connection, webhook: { url: 'https://x', secret: 'shown-once' }, warnings: ['w'] },
  'connections.get': connection,
  'connections.update': connection,
  'connections.test': { ok: true, account: 'Acme', checkedAt: at, warnings: ['w'] },
  'connections.remove': undefined,
  'organizations.list': list(organization),
  'organizations.update': organization,
  'organizations.map': { items: [organization] },
  'organizations.suggestions': list({
    organizationId: 'o1',
    clientRef: 'client-1',
    clientName: 'Acme',
    score: 0.5,
    reason: 'same name'
  }),
  'organizations.clients': list({ id: 'client-1', name: 'Acme' }),
  'sync.start': { run, deduplicated: false },
  'sync.device': { outcome: 'updated', device: detail },
  'organizations.move': { organizations: 1, devices: 2 },
  'sync.apply': { run: { ...run, kind: 'apply' } },
  'sync.handOver': { run: { ...run, kind: 'handover', totals: { ...run.totals, handedOver: 7 } } },
  'sync.runs': list(run),
  'sync.allRuns': list(run),
  'sync.get': run,
  'sync.items': list({ resource: 'devices', externalId: null, outcome: 'held', reason: 'moved' }),
  'sync.cancel': { ...run, status: 'cancelled' },
  'changes.ofRun': list(change),
  'changes.ofDevice': list(change),
  'changes.list': list(change),
  'inventory.list': list(device),
  'inventory.get': detail,
  'inventory.remoteSession': link,
  'alerts.list': list(alert),
  'alerts.resolve': alert,
  'deviceGroups.syncAll': { ...counts, results: [groupResult] },
  'deviceGroups.ensure': {
    success: true,
    clientRef: 'client-1',
    name: 'Acme Devices',
    groupId: 'mesh//1',
    created: true,
    linked: false,
    message: 'ok'
  },
  'deviceGroups.status': {
    success: true,
    source: 'platform',
    message: null,
    totalClients: 1,
    needsSync: 0,
    clients: [
      {
        clientRef: 'client-1',
        clientName: 'Acme',
        name: 'Acme',
        hasGroup: true,
        groupId: 'm',
        groupName: 'Acme Devices',
        groupExists: true,
        setupComplete: true,
        linkedDevices: 3,
        needsSync: false,
        drift: null
      }
    ],
    orphans: [{ groupId: 'mesh//2', groupName: 'Left Devices', clientRef: 'client-9', reason: 'gone' }]
  },
  'deviceGroups.assign': { ...counts, results: [groupResult] },
  'deviceGroups.acceptName': {
    success: true,
    clientRef: 'client-1',
    name: 'Acme Devices',
    groupId: 'mesh//1',
    created: false,
    linked: false,
    message: 'ok'
  },
  'deviceGroups.installLink': link,
  'webhooks.accept': { duplicate: false },
  'webhooks.info': webhook,
  'webhooks.rotate': { url: 'https://x', secret: 'shown-once' },
  'webhooks.deliveries': list(delivery),
  'webhooks.replay': delivery,
  'activity.list': list({
    id: '7',
    at,
    actor: { id: 'u1', name: 'Anna' },
    type: 'RMM_MAPPING_CHANGED',
    target: { connectionId: 'c1', organizationId: 'o1' },
    summary: 'Mapped "Acme"'
  }),
  health
}

/** One route of the contract: a request that succeeds, and what it must come to. */
export interface Contract {
  method: 'GET' | 'POST' | 'PATCH' | 'PUT' | 'DELETE'
  url: string
  path: string
  action: string
  call: string
  args: unknown[]
  status: number
  target?: object
  body?: object
}

const page = { limit: 50 }
const c1 = { connectionId: 'c1' }
export const contract: Contract[] = [
  {
    method: 'GET',
    path: '/providers',
    url: '/providers',
    action: 'provider:read',
    call: 'providers.list',
    args: [],
    status: 200
  },
  {
    method: 'GET',
    path: '/connections',
    url: '/connections?provider=levelio',
    action: 'connection:read',
    call: 'connections.list',
    args: [{ ...page, provider: 'levelio' }],
    status: 200
  },
  {
    method: 'POST',
    path: '/connections',
    url: '/connections',
    action: 'connection:write',
    call: 'connections.create',
    args: [{ provider: 'levelio', secrets: { apiKey: 'k' } }],
    status: 201,
    body: { provider: 'levelio', secrets: { apiKey: 'k' } }
  },
  {
    method: 'GET',
    path: '/connections/:id',
    url: '/connections/c1',
    action: 'connection:read',
    call: 'connections.get',
    args: ['c1'],
    status: 200,
    target: c1
  },
  {
    method: 'PATCH',
    path: '/connections/:id',
    url: '/connections/c1',
    action: 'connection:write',
    call: 'connections.update',
    args: ['c1', { schedule: { everyMinutes: 15 } }],
    status: 200,
    target: c1,
    body: { schedule: { everyMinutes: 15 } }
  },
  {
    method: 'POST',
    path: '/connections/:id/test',
    url: '/connections/c1/test',
    action: 'connection:write',
    call: 'connections.test',
    args: ['c1'],
    status: 200,
    target: c1
  },
  {
    method: 'DELETE',
    path: '/connections/:id',
    url: '/connections/c1?mode=purge',
    action: 'connection:write',
    call: 'connections.remove',
    args: ['c1', 'purge'],
    status: 204,
    target: c1
  },
  {
    method: 'GET',
    path: '/connections/:id/organizations',
    url: '/connections/c1/organizations?limit=7&cursor=x',
    action: 'mapping:read',
    call: 'organizations.list',
    args: ['c1', { limit: 7, cursor: 'x' }],
    status: 200,
    target: c1
  },
  {
    method: 'PATCH',
    path: '/connections/:id/organizations/:id',
    url: '/connections/c1/organizations/o1',
    action: 'mapping:write',
    call: 'organizations.update',
    args: ['c1', 'o1', { mode: 'inherit', clientRef: null }],
    status: 200,
    target: { ...c1, organizationId: 'o1' },
    body: { mode: 'inherit', clientRef: null }
  },
  {
    method: 'PUT',
    path: '/connections/:id/mappings',
    url: '/connections/c1/mappings',
    action: 'mapping:write',
    call: 'organizations.map',
    args: ['c1', [{ organizationId: 'o1', mode: 'mapped', clientRef: 'client-1' }]],
    status: 200,
    target: c1,
    body: { mappings: [{ organizationId: 'o1', mode: 'mapped', clientRef: 'client-1' }] }
  },
  {
    method: 'GET',
    path: '/connections/:id/organizations/suggestions',
    url: '/connections/c1/organizations/suggestions',
    action: 'mapping:read',
    call: 'organizations.suggestions',
    args: ['c1', page],
    status: 200,
    target: c1
  },
  {
    method: 'GET',
    path: '/clients',
    url: '/clients?q=ac',
    action: 'mapping:read',
    call: 'organizations.clients',
    args: [{ ...page, q: 'ac' }],
    status: 200
  },
  {
    method: 'POST',
    path: '/connections/:id/sync',
    url: '/connections/c1/sync',
    action: 'sync:run',
    call: 'sync.start',
    args: ['c1', { resources: ['devices'], mode: 'full', force: false }],
    status: 202,
    target: c1,
    body: { resources: ['devices'] }
  },
  {
    method: 'POST',
    path: '/connections/:id/devices/:id/sync',
    url: '/connections/c1/devices/node%2F%2Fx/sync',
    action: 'sync:run',
    call: 'sync.device',
    args: ['c1', 'node//x'],
    status: 200,
    target: c1
  },
  {
    method: 'GET',
    path: '/connections/:id/runs',
    url: '/connections/c1/runs',
    action: 'sync:read',
    call: 'sync.runs',
    args: ['c1', page],
    status: 200,
    target: c1
  },
  {
    method: 'GET',
    path: '/runs',
    url: '/runs?connectionId=c1&status=failed&kind=sync',
    action: 'sync:read',
    call: 'sync.allRuns',
    args: [{ ...page, connectionId: 'c1', status: 'failed', kind: 'sync' }],
    status: 200
  },
  {
    method: 'GET',
    path: '/runs/:id',
    url: '/runs/r1',
    action: 'sync:read',
    call: 'sync.get',
    args: ['r1'],
    status: 200,
    target: { runId: 'r1' }
  },
  {
    method: 'GET',
    path: '/runs/:id/items',
    url: '/runs/r1/items?outcome=held',
    action: 'sync:read',
    call: 'sync.items',
    args: ['r1', { ...page, outcome: 'held' }],
    status: 200,
    target: { runId: 'r1' }
  },
  {
    method: 'POST',
    path: '/runs/:id/cancel',
    url: '/runs/r1/cancel',
    action: 'sync:run',
    call: 'sync.cancel',
    args: ['r1'],
    status: 202,
    target: { runId: 'r1' }
  },
  {
    method: 'GET',
    path: '/devices',
    url: '/devices?connectionId=c1&clientRef=x&online=true&mapped=false&q=srv',
    action: 'device:read',
    call: 'inventory.list',
    args: [{ ...page, connectionId: 'c1', clientRef: 'x', online: true, mapped: false, q: 'srv' }],
    status: 200
  },
  {
    method: 'GET',
    path: '/devices/:id',
    url: '/devices/d1',
    action: 'device:read',
    call: 'inventory.get',
    args: ['d1'],
    status: 200,
    target: { deviceId: 'd1' }
  },
  {
    method: 'POST',
    path: '/devices/:id/remote-session',
    url: '/devices/d1/remote-session',
    action: 'device:remote',
    call: 'inventory.remoteSession',
    args: ['d1', { minutes: 30, viewOnly: true }],
    status: 201,
    target: { deviceId: 'd1' },
    body: { minutes: 30, viewOnly: true }
  },
  {
    method: 'GET',
    path: '/alerts',
    url: '/alerts?connectionId=c1&deviceId=d1&status=active&severity=minor',
    action: 'alert:read',
    call: 'alerts.list',
    args: [{ ...page, connectionId: 'c1', deviceId: 'd1', status: 'active', severity: 'minor' }],
    status: 200
  },
  {
    method: 'POST',
    path: '/alerts/:id/resolve',
    url: '/alerts/a1/resolve',
    action: 'alert:resolve',
    call: 'alerts.resolve',
    args: ['a1'],
    status: 200,
    target: { alertId: 'a1' }
  },
  {
    method: 'POST',
    path: '/connections/:id/device-groups/sync-all',
    url: '/connections/c1/device-groups/sync-all',
    action: 'device-group:write',
    call: 'deviceGroups.syncAll',
    args: ['c1', { dryRun: true, rename: false }],
    status: 200,
    target: c1,
    body: { dryRun: true }
  },
  {
    method: 'POST',
    path: '/connections/:id/device-groups/ensure/:id',
    url: '/connections/c1/device-groups/ensure/client-1',
    action: 'device-group:write',
    call: 'deviceGroups.ensure',
    args: ['c1', 'client-1'],
    status: 200,
    target: { ...c1, clientRef: 'client-1' }
  },
  {
    method: 'GET',
    path: '/connections/:id/device-groups/status',
    url: '/connections/c1/device-groups/status',
    action: 'device-group:read',
    call: 'deviceGroups.status',
    args: ['c1'],
    status: 200,
    target: c1
  },
  {
    method: 'PUT',
    path: '/connections/:id/device-groups/:id',
    url: '/connections/c1/device-groups/client-1',
    action: 'device-group:write',
    call: 'deviceGroups.assign',
    args: ['c1', [{ clientRef: 'client-1', groupId: 'mesh//1' }], { dryRun: true }],
    status: 200,
    target: { ...c1, clientRef: 'client-1' },
    body: { groupId: 'mesh//1', dryRun: true }
  },
  {
    method: 'POST',
    path: '/connections/:id/device-groups/import',
    url: '/connections/c1/device-groups/import',
    action: 'device-group:write',
    call: 'deviceGroups.assign',
    args: ['c1', [{ clientRef: 'client-1', groupId: 'mesh//1' }], { dryRun: false }],
    status: 200,
    target: c1,
    body: { links: [{ clientRef: 'client-1', groupId: 'mesh//1' }] }
  },
  {
    method: 'POST',
    path: '/connections/:id/device-groups/:id/accept-name',
    url: '/connections/c1/device-groups/client-1/accept-name',
    action: 'device-group:write',
    call: 'deviceGroups.acceptName',
    args: ['c1', 'client-1'],
    status: 200,
    target: { ...c1, clientRef: 'client-1' }
  },
  {
    method: 'POST',
    path: '/connections/:id/device-groups/:id/install-link',
    url: '/connections/c1/device-groups/client-1/install-link',
    action: 'device-group:write',
    call: 'deviceGroups.installLink',
    args: ['c1', 'client-1', { hours: 24 }],
    status: 201,
    target: { ...c1, clientRef: 'client-1' },
    body: { hours: 24 }
  },
  {
    method: 'GET',
    path: '/connections/:id/webhook',
    url: '/connections/c1/webhook',
    action: 'connection:read',
    call: 'webhooks.info',
    args: ['c1'],
    status: 200,
    target: c1
  },
  {
    method: 'POST',
    path: '/connections/:id/webhook/rotate',
    url: '/connections/c1/webhook/rotate',
    action: 'connection:write',
    call: 'webhooks.rotate',
    args: ['c1', { graceMinutes: 60 }],
    status: 200,
    target: c1,
    body: {}
  },
  {
    method: 'GET',
    path: '/connections/:id/deliveries',
    url: '/connections/c1/deliveries',
    action: 'connection:read',
    call: 'webhooks.deliveries',
    args: ['c1', page],
    status: 200,
    target: c1
  },
  {
    method: 'POST',
    path: '/deliveries/:id/replay',
    url: '/deliveries/v1/replay',
    action: 'sync:run',
    call: 'webhooks.replay',
    args: ['v1'],
    status: 200,
    target: { deliveryId: 'v1' }
  },
  {
    method: 'PUT',
    path: '/connections/:id/mappings/move',
    url: '/connections/c1/mappings/move',
    body: { from: 'client-1', to: 'client-2' },
    action: 'mapping:write',
    target: { connectionId: 'c1' },
    call: 'organizations.move',
    args: ['c1', { from: 'client-1', to: 'client-2' }],
    status: 200
  },
  {
    method: 'POST',
    path: '/runs/:id/apply',
    url: '/runs/r1/apply',
    body: { only: ['7'] },
    action: 'sync:run',
    target: { runId: 'r1' },
    call: 'sync.apply',
    args: ['r1', { only: ['7'] }],
    status: 202
  },
  {
    method: 'POST',
    path: '/connections/:id/handover',
    url: '/connections/c1/handover',
    body: { clientRef: 'client-1', deviceIds: ['d1'], onlyWithoutAsset: true },
    action: 'sync:run',
    target: { connectionId: 'c1' },
    call: 'sync.handOver',
    args: ['c1', { clientRef: 'client-1', deviceIds: ['d1'], onlyWithoutAsset: true }],
    status: 202
  },
  {
    method: 'GET',
    path: '/runs/:id/changes',
    url: '/runs/r1/changes?kind=update&state=applied&clientRef=client-1&entity=device',
    action: 'sync:read',
    target: { runId: 'r1' },
    call: 'changes.ofRun',
    args: ['r1', { ...page, kind: 'update', state: 'applied', clientRef: 'client-1', entity: 'device' }],
    status: 200
  },
  {
    method: 'GET',
    path: '/connections/:id/changes',
    url: '/connections/c1/changes?state=held',
    action: 'sync:read',
    target: { connectionId: 'c1' },
    call: 'changes.list',
    args: ['c1', { ...page, state: 'held' }],
    status: 200
  },
  {
    method: 'GET',
    path: '/devices/:id/changes',
    url: '/devices/d1/changes',
    action: 'device:read',
    target: { deviceId: 'd1' },
    call: 'changes.ofDevice',
    args: ['d1', page],
    status: 200
  },
  {
    method: 'GET',
    path: '/activity',
    url: '/activity?actor=u1&type=RMM_MAPPING_CHANGED&since=2026-01-02T03:04:05Z',
    action: 'activity:read',
    call: 'activity.list',
    args: [{ ...page, actor: 'u1', type: 'RMM_MAPPING_CHANGED', since: '2026-01-02T03:04:05Z' }],
    status: 200
  },
  { method: 'GET', path: '/health', url: '/health', action: 'health:read', call: 'health', args: [], status: 200 }
]

/** Without prototypes: a query string has none. */
export const plain = (value: unknown): unknown => JSON.parse(JSON.stringify(value))

export interface Call {
  name: string
  args: unknown[]
}

/**
 * An `Rmm` that answers from a table and records what it was asked; an Error in the table is thrown, a function is
 * called.
 */
export function stubRmm(overrides: Record<string, unknown> = {}) {
  const calls: Call[] = []
  const table = { ...answers, ...overrides }
  const answering =
    (name: string) =>
    (...args: unknown[]) => {
      calls.push({ name, args })
      const answer = table[name]
      if (typeof answer === 'function') return answer(...args)
      return answer instanceof Error ? Promise.reject(answer) : Promise.resolve(answer)
    }
  const group = (name: string) => new Proxy({}, { get: (_target, method) => answering(`${name}.${String(method)}`) })
  const rmm = Object.fromEntries(
    [
      'providers',
      'connections',
      'organizations',
      'sync',
      'changes',
      'inventory',
      'alerts',
      'deviceGroups',
      'webhooks',
      'activity'
    ].map(name => [name, group(name)])
  )
  return { rmm: { ...rmm, health: answering('health') } as unknown as Rmm, calls }
}

export interface BuildOptions {
  prefix?: string
  server?: FastifyServerOptions
  /** What the host does before it registers us. */
  host?: (app: FastifyInstance) => void | Promise<void>
  answers?: Record<string, unknown>
  options?: Partial<RouteOptions>
}

/** A host with our routes. `log` holds, in order, what tenant, authorize and the services were asked. */
export async function build(
  t: Pick<Test, 'teardown'>,
  { prefix = '/rmm', server = {}, host, answers, options = {} }: BuildOptions = {}
) {
  const app = Fastify(server)
  t.teardown(() => app.close())
  await host?.(app)
  const { rmm, calls } = stubRmm(answers)
  const asked: Array<{ action: string; target: unknown }> = []
  const order: string[] = []
  await app.register(routes, {
    prefix,
    rmm,
    tenant: () => {
      order.push('tenant')
      return 'tenant-1'
    },
    authorize: (_request: unknown, action: string, target: unknown) => {
      order.push('authorize')
      asked.push({ action, target })
    },
    locate: async (_tenantId, { externalId: _, ...named }) => named,
    actor: () => null,
    actors: createActors(),
    trustedOrigins: [],
    streams: { perTenant: 50, rightsMs: 20_000 },
    webhooks: { bodyLimit: 1024 },
    signal: new AbortController().signal,
    ...options
  })
  return { app, calls, asked, order }
}
