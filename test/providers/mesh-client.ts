import type { Test } from 'tap'
import type { DeviceRecord, ProviderLog, ProviderWebSocket, RmmProvider } from '../../src/providers/define.ts'
import { memorySession } from '../../src/services/egress/index.ts'
import type { MeshClient } from '../../src/providers/meshcentral/client.ts'
import { normalizeDevice } from '../../src/services/model/index.ts'
import { createEgress, hostsOf } from '../../src/services/egress/egress.ts'

/** A client as the plugin opens it, over the plugin's own egress, closed with the test. */
export async function openMesh(
  t: Test,
  provider: RmmProvider,
  config: Record<string, unknown>,
  secrets: Record<string, string>,
  maxMessageBytes?: number
): Promise<MeshClient> {
  const stop = new AbortController()
  const quiet = () => {}
  const log: ProviderLog = { debug: quiet, info: quiet, warn: quiet }
  const ca = provider.ca?.(config)
  const egress = createEgress({
    hosts: hostsOf(provider, config),
    allowPrivateNetwork: provider.allowPrivateNetwork === true,
    ca,
    log,
    signal: stop.signal,
    redact: Object.values(secrets),
    retry: { attempts: 2, baseMs: 5 }
  })
  const webSocket: ProviderWebSocket = (url, options) =>
    egress.webSocket(url, maxMessageBytes === undefined ? options : { ...options, maxMessageBytes })
  const client = (await provider.open({
    config,
    secrets,
    log,
    signal: stop.signal,
    fetch: egress.fetch,
    webSocket,
    session: memorySession()
  })) as MeshClient
  t.teardown(async () => {
    await provider.close?.(client)
    await egress.close()
    stop.abort()
  })
  return client
}

/** A record as it is stored: its inventory among its own fields. */
export function stored(record: DeviceRecord) {
  const { externalId, displayName, organizationExternalId, facts, status } = normalizeDevice(record, new Date())
  const { details, volumes, lastRebootAt, lanIp, currentUser, ...rest } = facts
  return {
    externalId,
    displayName,
    organizationExternalId,
    ...rest,
    lanIp: lanIp || null,
    currentUser: currentUser || null,
    lastRebootAt: lastRebootAt && new Date(lastRebootAt),
    volumes: volumes?.map((volume, n) => ({ ...volume, freeBytes: status.freeBytes?.[n] ?? null })) ?? null,
    details: details && (JSON.parse(details) as Record<string, unknown>),
    online: status.online,
    lastSeenAt: status.lastSeenAt,
    uptimeSeconds: status.uptimeSeconds
  }
}
