import { ninjaone } from '../../../src/providers/ninjaone/index.ts'
import {
  type ContractFault,
  type ContractWorld,
  type NinjaAnswer,
  type NinjaCall,
  type NinjaWorld,
  startFakeNinjaOne
} from '../../../src/testing/index.ts'
import type { ResourceName } from '../../../src/types.ts'

const lists: Record<ResourceName, RegExp> = {
  organizations: /^\/v2\/organizations-detailed$/,
  devices: /^\/v2\/devices-detailed$/,
  updates: /^\/v2\/queries\/os-patches$/,
  alerts: /^\/v2\/alerts$/
}

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
    if (fault === 'cursor-gone' && resource === 'updates') return 'the place in a report is kept by the platform'
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
        fake.fail(
          altered.has(fault)
            ? lie(fault, place === 'later' ? 1 : 0, lists[resource], world)
            : after(place === 'later' ? 1 : 0, fault === 'fetchOne-500' ? /./ : lists[resource], fault)
        ),
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

type Row = Record<string, unknown>

const altered: ReadonlySet<ContractFault> = new Set([
  'malformed-record',
  'unidentified-record',
  'short-list',
  'cursor-gone',
  'moving-list'
])

const rowsOf = ({ body }: NinjaAnswer): Row[] => (Array.isArray(body) ? body : (body as { results: Row[] }).results)
const withRows = (answer: NinjaAnswer, rows: Row[]): NinjaAnswer => ({
  ...answer,
  body: Array.isArray(answer.body) ? rows : { ...(answer.body as object), results: rows }
})

/** What identifies a row stays, everything else is of no documented type. */
function nonsense(row: Row): Row {
  const kept = ['id', 'uid', 'results' in row ? '' : 'deviceId'].filter(field => field in row)
  return Object.fromEntries(Object.keys(row).map(field => [field, kept.includes(field) ? row[field] : { odd: true }]))
}

/** Half a truth about one page; a list that was cut ends there. */
function lie(fault: ContractFault, pages: number, list: RegExp, world: NinjaWorld) {
  let seen = 0
  let before: Row | undefined
  return (call: NinjaCall, truth: () => NinjaAnswer): NinjaAnswer | undefined => {
    if (!list.test(call.path)) return undefined
    const at = seen++
    // Alerts come in one answer: there is no next page that could be missing.
    const cut = fault === 'short-list' && !list.source.includes('alerts')
    if (at > pages + (cut ? 1 : 0)) return undefined
    const answer = truth()
    const rows = rowsOf(answer)
    const last = before
    before = rows.at(-1)
    if (at < pages) return answer
    if (at > pages) return withRows(answer, [])
    if (fault === 'short-list') return withRows(answer, rows.slice(0, Math.floor(rows.length / 2)))
    if (fault === 'moving-list') return withRows(answer, [last!, ...rows])
    if (fault === 'cursor-gone') {
      world.devices.delete(Number(rows.at(-1)!['id']))
      if (list.source.includes('organizations')) world.organizations.splice(rows.length - 1, 1)
      return answer
    }
    const change = fault === 'malformed-record' ? nonsense : ({ id: _, uid: _uid, ...row }: Row) => row
    return withRows(
      answer,
      rows.map((row, n) => (n === 1 ? change(row) : row))
    )
  }
}
