import {
  type DeviceRecord,
  defineProvider,
  mapRecords,
  type Page,
  type ProviderContext,
  ProviderError,
  Type,
  verifyHmacSha256
} from '../../src/provider.ts' // 'fastify-rmm-sync/provider' in a package of your own

interface Agent {
  uid: string
  computer: string
  site?: string | null
  os?: string
  connected?: boolean
  checkedInAt?: string
}
type Client = ProviderContext<{ baseUrl: string }, { token: string }>

/** Asks the platform; what fails says what the operator can do about it. */
async function get(client: Client, path: string, signal: AbortSignal): Promise<unknown> {
  const response = await client.fetch(client.config.baseUrl + path, {
    headers: { authorization: `Bearer ${client.secrets.token}` },
    signal
  })
  if (response.status === 401)
    throw new ProviderError('auth', 'Northwatch refused the token: make a new one under Settings, Integrations')
  if (response.status === 404) return null
  if (response.status !== 200)
    throw new ProviderError('protocol', `Northwatch answered ${response.status}: check the address`)
  return response.json()
}

/** A missing field stays missing: "not told" never erases what is known. */
function toDevice(agent: Agent): DeviceRecord {
  if (typeof agent?.uid !== 'string') throw new Error('the agent has no uid')
  return {
    externalId: agent.uid,
    displayName: agent.computer,
    hostname: agent.computer,
    organizationExternalId: agent.site,
    osType: agent.os,
    online: agent.connected,
    lastSeenAt: agent.checkedInAt ? new Date(agent.checkedInAt) : null
  }
}

export const northwatch = defineProvider({
  id: 'northwatch',
  name: 'Northwatch',
  description: 'An RMM that exists only in this example',
  configSchema: Type.Object({
    baseUrl: Type.String({ title: 'Address', description: 'e.g. https://acme.northwatch.example', format: 'uri' })
  }),
  secretSchema: Type.Object({
    token: Type.String({ title: 'API token', description: 'Settings, Integrations, New token', minLength: 1 })
  }),
  allowPrivateNetwork: true, // This platform is hosted in the MSP's own network.
  open: (context): Client => context,
  async check(client, signal) {
    await get(client, '/agents?page=1', signal)
    return { account: `Northwatch (${new URL(client.config.baseUrl).host})`, warnings: [] }
  },
  resources: {
    devices: {
      deletes: 'snapshot', // A complete list is all there is: what it does not show is gone.
      async *pull(client, from, signal): AsyncGenerator<Page<DeviceRecord>> {
        for (let page: number | null = typeof from === 'number' ? from : 1; page !== null; ) {
          const observedAt = new Date() // Before the request: decides which of two writes is newer.
          const answer = (await get(client, `/agents?page=${page}`, signal)) as {
            agents: Agent[]
            nextPage: number | null
          } | null
          if (!Array.isArray(answer?.agents)) throw new ProviderError('protocol', 'Northwatch sent no list of agents')
          if (answer.nextPage !== null && (answer.agents.length === 0 || answer.nextPage <= page))
            throw new ProviderError('protocol', 'The list of agents runs in a circle')
          page = answer.nextPage
          yield { observedAt, ...mapRecords(answer.agents, agent => agent.uid, toDevice), checkpoint: page }
        }
      },
      async fetchOne(client, externalId, signal) {
        const agent = (await get(client, `/agents/${encodeURIComponent(externalId)}`, signal)) as Agent | null
        return agent === null ? null : toDevice(agent)
      }
    }
  },
  webhook: {
    verify: ({ headers, rawBody }, secrets) => verifyHmacSha256(rawBody, headers['x-northwatch-signature'], secrets),
    parse({ rawBody }) {
      const { id, kind, agent } = JSON.parse(rawBody.toString('utf8')) as { id: string; kind: string; agent?: string }
      if (typeof id !== 'string' || typeof kind !== 'string') throw new Error('the body is no Northwatch event')
      return { id, type: kind, occurredAt: null, hints: agent ? [{ resource: 'devices', externalId: agent }] : [] }
    },
    setup: {
      signatureHeader: 'X-Northwatch-Signature',
      secretHeader: null,
      events: ['agent.changed', 'agent.removed'],
      payloadTemplate: null,
      instructions: [
        'In Northwatch, open Settings, Integrations, Webhooks.',
        'Add a webhook with this address and secret, for all agent events.'
      ]
    }
  }
})
