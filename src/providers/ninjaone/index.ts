import { Type } from '@sinclair/typebox'
import { defineProvider, type ProviderContext, ProviderError, type RemoteSession, type RmmProvider } from '../define.ts'
import * as values from '../values.ts'
import { baseOf, createClient, isNumber, type NinjaClient, type NinjaConfig, type NinjaSecrets } from './client.ts'
import { alerts, devices, organizations, resolveAlert, updates } from './resources.ts'
import { webhook } from './webhook.ts'

export type { NinjaConfig, NinjaSecrets } from './client.ts'

export interface NinjaOneOptions {
  /** Lets connections use `http:` and private addresses: for a fake server in tests. Default false. */
  allowPrivateNetwork?: boolean
  /** Hard cap for each connection; NinjaOne publishes no number. Default none: paced once it says 429. */
  requestsPerMinute?: number
}

const configSchema = Type.Object(
  {
    region: Type.Union(
      [
        Type.Literal('us', { title: 'United States (app)' }),
        Type.Literal('us2', { title: 'United States 2' }),
        Type.Literal('eu', { title: 'Europe' }),
        Type.Literal('oc', { title: 'Oceania' }),
        Type.Literal('ca', { title: 'Canada' }),
        Type.Literal('fed', { title: 'FedRAMP' })
      ],
      { title: 'Region', description: 'Where you log in: the first part of the address, with "app" for us.' }
    ),
    baseUrl: Type.Optional(
      Type.String({
        title: 'API address',
        description: 'Leave empty unless NinjaOne gave you an address of your own; it takes the place of the region’s.',
        format: 'uri'
      })
    )
  },
  { additionalProperties: false }
)

const secretSchema = Type.Object(
  {
    clientId: Type.String({
      title: 'Client ID',
      description:
        'Of an app of the kind "API services (machine-to-machine)", made in NinjaOne under Administration → Apps → API, with the scopes monitoring and management.',
      minLength: 1
    }),
    clientSecret: Type.String({
      title: 'Client secret',
      description: 'Shown once when the app was made.',
      minLength: 1
    })
  },
  { additionalProperties: false }
)

/** A link into the device's page on NinjaOne; who follows it logs in there. */
async function remoteSession(
  client: NinjaClient,
  externalId: string,
  { minutes }: { minutes: number },
  signal: AbortSignal
): Promise<RemoteSession> {
  const found = isNumber(externalId) ? await client.read(`/v2/device/${externalId}/dashboard-url`, signal) : null
  const read = values.of(found)
  const url = read.text('url')
  if (!url || !URL.canParse(url))
    throw new ProviderError('gone', 'NinjaOne has no link into this device; it may have been deleted there')
  const expiresAt = read.time('expires', { epoch: 's' }) ?? new Date(Date.now() + minutes * 60_000)
  return { url, expiresAt }
}

/**
 * NinjaOne: organizations and locations, devices of all kinds, waiting OS patches, alerts that can be reset, a link into
 * the device, and the webhook, which it sets up itself. Made from NinjaOne's public documents; never tried against the
 * live service.
 * @example providers: [ninjaone()]
 * @throws TypeError on an option out of range
 */
export function ninjaone(options: NinjaOneOptions = {}): RmmProvider<NinjaConfig, NinjaSecrets, NinjaClient> {
  const { allowPrivateNetwork = false, requestsPerMinute } = options
  if (requestsPerMinute !== undefined && !(Number.isInteger(requestsPerMinute) && requestsPerMinute >= 1))
    throw new TypeError('ninjaone({ requestsPerMinute }) must be a whole number of at least 1')
  return defineProvider({
    id: 'ninjaone',
    name: 'NinjaOne',
    description: 'Organizations and locations, devices, waiting patches and alerts from NinjaOne',
    homepage: 'https://www.ninjaone.com',
    configSchema,
    secretSchema,
    allowPrivateNetwork,
    hosts: config => [baseOf(config).origin],
    limits: { concurrency: 4, ...(requestsPerMinute === undefined ? {} : { perMinute: requestsPerMinute }) },
    open: (ctx: ProviderContext<NinjaConfig, NinjaSecrets>) => createClient(ctx),
    async check(client, signal) {
      const warnings: string[] = []
      let any = false
      for await (const { rows } of client.list('/v2/organizations-detailed', { pageSize: '1' }, signal))
        any = rows.length > 0
      if (!any) warnings.push('This account has no organizations yet: devices cannot be mapped to clients until it has')
      if (!client.encrypted)
        warnings.push('The address is not encrypted (http): the client secret travels in the clear')
      return { account: `NinjaOne (${client.host}, API client ${client.account})`, warnings }
    },
    resources: { organizations, devices, updates, alerts },
    resolveAlert,
    remoteSession,
    webhook
  })
}
