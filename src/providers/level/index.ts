import { Type } from '@sinclair/typebox'
import { defineProvider } from '../define.ts'
import type { RmmProvider } from '../define.ts'
import { createClient, type LevelClient } from './client.ts'
import { alerts, devices, organizations, resolveAlert, updates } from './resources.ts'
import { webhook } from './webhook.ts'

export interface LevelOptions {
  /** Lets connections use `http:` and private addresses: for a fake server in tests. Default false. */
  allowPrivateNetwork?: boolean
  /**
   * Hard cap for each connection; Level's limit is account-wide and shared with every other tool on it. Default none:
   * paced once Level says 429.
   */
  requestsPerMinute?: number
  /** Pages of 100 resolved alerts read after the active ones. Default 10. */
  resolvedAlertPages?: number
}

export interface LevelConfig {
  baseUrl?: string
}

export interface LevelSecrets {
  apiKey: string
}

const defaultBaseUrl = 'https://api.level.io'

const configSchema = Type.Object(
  {
    baseUrl: Type.Optional(
      Type.String({
        title: 'API address',
        description: 'Leave as it is unless Level gave you another address.',
        format: 'uri',
        default: defaultBaseUrl
      })
    )
  },
  { additionalProperties: false }
)

const secretSchema = Type.Object(
  {
    apiKey: Type.String({
      title: 'API key',
      description:
        'Created in Level under Settings → API keys. "Read-only" is enough to sync; "Read & write" also lets alerts be resolved from here.',
      minLength: 1
    })
  },
  { additionalProperties: false }
)

function atLeast(name: string, value: number | undefined, least: number) {
  if (value !== undefined && !(Number.isInteger(value) && value >= least))
    throw new TypeError(`level({ ${name} }) must be a whole number of at least ${least}`)
}

/**
 * Level (level.io): groups as organizations, devices, available updates, alerts that can be resolved, and webhooks.
 * @example providers: [level({ requestsPerMinute: 60 })]
 * @throws TypeError on an option out of range
 */
export function level(options: LevelOptions = {}): RmmProvider<LevelConfig, LevelSecrets, LevelClient> {
  const { allowPrivateNetwork = false, requestsPerMinute, resolvedAlertPages = 10 } = options
  atLeast('requestsPerMinute', requestsPerMinute, 1)
  atLeast('resolvedAlertPages', resolvedAlertPages, 0)
  return defineProvider({
    id: 'levelio',
    name: 'Level',
    description: 'Groups, devices, available updates and alerts from Level (level.io)',
    homepage: 'https://level.io',
    configSchema,
    secretSchema,
    allowPrivateNetwork,
    limits: { concurrency: 1, ...(requestsPerMinute === undefined ? {} : { perMinute: requestsPerMinute }) },
    open: ({ config, secrets, fetch }) =>
      createClient({
        fetch,
        baseUrl: config.baseUrl ?? defaultBaseUrl,
        apiKey: secrets.apiKey
      }),
    async check(client, signal) {
      const groups = await client.probe(signal)
      const warnings: string[] = []
      if (groups.length === 0)
        warnings.push('This account has no groups yet: devices cannot be mapped to clients until they are in a group')
      if (!client.encrypted) warnings.push('The address is not encrypted (http): the API key travels in the clear')
      return { account: `Level (${client.host})`, warnings }
    },
    resources: { organizations, devices, updates, alerts: alerts(resolvedAlertPages) },
    resolveAlert,
    webhook
  })
}
