import { level } from '../../../src/providers/level/index.ts'
import {
  type ContractFault,
  type ContractWorld,
  type FaultOptions,
  levelId,
  levelWebhookRequest,
  seedLevel,
  startFakeLevel
} from '../../../src/testing/index.ts'
import type { ResourceName } from '../../../src/types.ts'

const lists: Record<ResourceName, string> = {
  organizations: 'groups',
  devices: 'devices',
  updates: 'updates',
  alerts: 'alerts'
}

const faults: Record<ContractFault, FaultOptions & { on?: 'singles' | 'both' }> = {
  'server-error-mid-list': { status: 500, times: Infinity },
  'empty-page': { kind: 'empty-page', times: Infinity },
  'repeated-cursor': { kind: 'repeated-cursor', times: Infinity },
  'rate-limited': { kind: 'rate-limited', retryAfter: 1 },
  redirect: { kind: 'redirect', times: Infinity },
  html: { kind: 'html', times: Infinity, on: 'both' },
  'malformed-record': { kind: 'malformed-record' },
  'unidentified-record': { kind: 'unidentified-record' },
  'expired-token': { status: 401, times: Infinity },
  'short-list': { kind: 'short-list' },
  'cursor-gone': { kind: 'cursor-deleted' },
  'moving-list': { kind: 'moved' },
  'fetchOne-500': { status: 500, times: Infinity, on: 'singles' }
}

/** Of a list, its single records, or both. */
const pathOf = (resource: ResourceName, on?: 'singles' | 'both'): RegExp =>
  new RegExp(`^/v2/${lists[resource]}${on === 'singles' ? '/.' : on === 'both' ? '(/|$)' : '$'}`)

const native = (secret: string) =>
  levelWebhookRequest(
    {
      event_type: 'device_updated',
      event_id: '9b2f0d3a-1111-4222-8333-444455556666',
      occurred_at: '2026-11-21T14:40:32.000Z',
      data: { id: levelId('Device', 100001) }
    },
    secret
  )

const automationBody = {
  event: 'alert.triggered',
  alert_id: levelId('Alert', 5550001),
  device_id: levelId('Device', 100001),
  hostname: 'HD-LT-1',
  name: 'Disk space low',
  severity: 'warning',
  description: 'C: is full'
}

const automation = (secret: string) => ({
  headers: { 'content-type': 'application/json', 'x-rmm-webhook-secret': secret },
  rawBody: Buffer.from(JSON.stringify(automationBody))
})

export const subject = () => ({
  provider: level({ allowPrivateNetwork: true }),
  world: levelWorld(
    undefined,
    { native, automation },
    {
      native: [{ resource: 'devices', externalId: levelId('Device', 100001) }],
      automation: [
        { resource: 'alerts', externalId: automationBody.alert_id },
        { resource: 'devices', externalId: automationBody.device_id }
      ]
    }
  )
})

/** A small account on a fake Level whose pages hold five records at most. */
export function levelWorld(
  plays: ContractWorld['plays'] = () => true,
  webhooks: ContractWorld['webhooks'] = { native },
  hints: ContractWorld['hints'] = undefined
): ContractWorld {
  return {
    plays,
    webhooks,
    ...(hints === undefined ? {} : { hints }),
    async start() {
      const account = seedLevel({ devices: 13, groups: 11, alerts: 12, updatesPerDevice: 1 })
      // The answers take a moment, so that "before the request" and "after the answer" are different times.
      const fake = await startFakeLevel({
        world: account,
        maxLimit: 5,
        latencyMs: 4,
        deletedCursor: 'refuse',
        apiKey: 'level-contract-key-4f81c0',
        readOnlyKey: 'level-contract-read-only-key-77aa'
      })
      return {
        config: { baseUrl: fake.url },
        secrets: { apiKey: fake.apiKey },
        badSecrets: { apiKey: 'level-contract-key-revoked-91d3' },
        expected: {
          organizations: fake.groups.ids(),
          devices: fake.devices.ids(),
          updates: fake.updates.ids().filter(id => fake.updates.get(id)?.is_available),
          alerts: fake.alerts.ids()
        },
        unknownId: levelId('Device', 999999999),
        requests: () => fake.requests.length,
        hosts: () => [`127.0.0.1:${fake.port}`],
        activeAlert: [...fake.alerts.ids()].find(id => fake.alerts.get(id)?.is_resolved === false)!,
        fail(fault, resource, place) {
          fake.heal()
          const { on, ...options } = faults[fault]
          fake.fail({ path: pathOf(resource, on), after: place === 'later' ? 1 : 0, ...options })
        },
        close: fake.close
      }
    }
  }
}
