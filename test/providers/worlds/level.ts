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

const lists: Record<ResourceName, RegExp> = {
  organizations: /^\/v2\/groups$/,
  devices: /^\/v2\/devices$/,
  updates: /^\/v2\/updates$/,
  alerts: /^\/v2\/alerts$/
}

const faults: Record<ContractFault, FaultOptions> = {
  'server-error-mid-list': { status: 500, times: Infinity },
  'empty-page': { kind: 'empty-page', times: Infinity },
  'repeated-cursor': { kind: 'repeated-cursor', times: Infinity },
  'rate-limited': { kind: 'rate-limited', retryAfter: 1 },
  redirect: { kind: 'redirect', times: Infinity }
}

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
  world: levelWorld(undefined, { native, automation })
})

/** A small account on a fake Level whose pages hold five records at most. */
export function levelWorld(
  plays: ContractWorld['plays'] = () => true,
  webhooks: ContractWorld['webhooks'] = { native }
): ContractWorld {
  return {
    plays,
    webhooks,
    async start() {
      const account = seedLevel({ devices: 13, groups: 11, alerts: 12, updatesPerDevice: 1 })
      // The answers take a moment, so that "before the request" and "after the answer" are different times.
      const fake = await startFakeLevel({
        world: account,
        maxLimit: 5,
        latencyMs: 4,
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
        fail(fault, resource) {
          fake.heal()
          fake.fail({ path: lists[resource], after: 1, ...faults[fault] })
        },
        close: fake.close
      }
    }
  }
}
