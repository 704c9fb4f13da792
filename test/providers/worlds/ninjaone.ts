import { ninjaone } from '../../../src/providers/ninjaone/index.ts'
import {
  type ContractFault,
  type ContractWorld,
  type NinjaAnswer,
  type NinjaCall,
  startFakeNinjaOne
} from '../../../src/testing/index.ts'
import type { ResourceName } from '../../../src/types.ts'

const lists: Record<ResourceName, RegExp> = {
  organizations: /^\/v2\/organizations-detailed$/,
  devices: /^\/v2\/devices-detailed$/,
  updates: /^\/v2\/queries\/os-patches$/,
  alerts: /^\/v2\/alerts$/
}

const altered: readonly ContractFault[] = [
  'malformed-record',
  'unidentified-record',
  'short-list',
  'cursor-gone',
  'moving-list'
]

const activity = (secret: string) => ({
  headers: { 'content-type': 'application/json', 'x-rmm-webhook-secret': secret },
  rawBody: Buffer.from(
    JSON.stringify({
      id: 77,
      activityTime: 1_795_000_000.5,
      deviceId: 3,
      activityType: 'SYSTEM',
      statusCode: 'NODE_UPDATED'
    })
  )
})

export const subject = () => ({ provider: ninjaone({ allowPrivateNetwork: true }), world: ninjaWorld })

const ninjaWorld: ContractWorld = {
  plays(fault, resource, place) {
    if (altered.includes(fault))
      return 'the fake NinjaOne answers with a failure or with the truth, not with half of it'
    if (resource === 'alerts' && (place === 'later' || fault === 'empty-page' || fault === 'repeated-cursor'))
      return 'active alerts come in one answer'
    if (fault === 'empty-page') return 'pages do not tell whether more follow: an empty one is the end'
    if (fault === 'repeated-cursor' && resource === 'updates') return 'the place in a report is kept by the platform'
    return true
  },
  webhooks: { activity },
  async start() {
    const fake = await startFakeNinjaOne({
      devices: 23,
      organizations: 7,
      maxPage: 5,
      clientId: 'ninja-contract-client',
      clientSecret: 'ninja-contract-secret-51ab'
    })
    const { world } = fake
    for (const id of [1, 2, 3]) world.trigger(id)
    const organizations = world.organizations.flatMap(({ id, locations }) => [
      `org:${id}`,
      ...locations.map(location => `loc:${location.id}`)
    ])
    return {
      config: { region: 'eu', baseUrl: fake.url },
      secrets: { clientId: fake.clientId, clientSecret: fake.clientSecret },
      badSecrets: { clientId: fake.clientId, clientSecret: 'ninja-contract-revoked-77aa' },
      expected: {
        organizations,
        devices: [...world.devices.keys()].map(String),
        updates: world.patches.map(({ id, deviceId }) => `${deviceId}:${id}`),
        alerts: [...world.alerts.keys()]
      },
      unknownId: '999999999',
      sensitive: ['ninja-contract-secret-51ab', 'ninja-contract-revoked-77aa'],
      requests: () => fake.requests.length,
      hosts: () => [`127.0.0.1:${fake.port}`],
      activeAlert: [...world.alerts.keys()][0]!,
      remoteDevice: '1',
      linkMs: 600_000,
      fail: (fault, resource, place) =>
        fake.fail(after(place === 'later' ? 1 : 0, fault === 'fetchOne-500' ? /./ : lists[resource], fault)),
      close: fake.close
    }
  }
}

/** Lets the first page through, then plays the fault. */
function after(pages: number, list: RegExp, fault: ContractFault) {
  let seen = 0
  return (call: NinjaCall): NinjaAnswer | undefined => {
    if (!list.test(call.path) || seen++ < pages) return undefined
    if (fault === 'repeated-cursor') {
      call.query.delete('after')
      return undefined
    }
    if (fault === 'rate-limited')
      return seen === pages + 1 ? { status: 429, headers: { 'retry-after': '1' } } : undefined
    if (fault === 'redirect') return { status: 302, headers: { location: 'https://elsewhere.example/' } }
    if (fault === 'html') return { status: 200, body: '<!doctype html>' }
    if (fault === 'expired-token') return { status: 401, body: { errorMessage: 'refused' } }
    return { status: 500, body: { errorMessage: 'oops' } }
  }
}
