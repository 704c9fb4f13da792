import { Type } from '@sinclair/typebox'
import { defineProvider, type RmmProvider } from '../define.ts'
import { MeshClient, ServerState, type MeshConfig, type MeshSecrets } from './client.ts'
import { devices } from './devices.ts'
import { deviceGroups, listMeshes, mayCreateGroups, organizations, seesAllGroups, visibilityOf } from './groups.ts'
import { installLink, remoteSession } from './links.ts'
import { listen } from './listen.ts'
import type { Session } from './session.ts'

export type { MeshClient, MeshConfig, MeshSecrets } from './client.ts'

export interface MeshCentralOptions {
  /**
   * Lets connections reach servers on private addresses. The host developer's decision, never the tenant's. Default
   * false.
   */
  allowPrivateNetwork?: boolean
  /** Milliseconds a request may take. Default 30 000. */
  requestTimeoutMs?: number
  /** Milliseconds between two pings; proxies close sockets that are idle for a minute. Default 30 000. */
  pingMs?: number
  /**
   * Milliseconds a device must be away before it is called offline. Default 150 000, the server's own idle time for
   * agents.
   */
  offlineGraceMs?: number
  /** Milliseconds in which pushes are gathered before they are handed on. Default 1 500. */
  debounceMs?: number
  /**
   * Milliseconds after which hardware and network of a device are read again although nothing told that they changed;
   * each device has its own turn within that time. 0 reads them with every list. Default 86 400 000, a day.
   */
  inventoryMaxAgeMs?: number
}

const configSchema = Type.Object(
  {
    url: Type.String({
      title: 'URL',
      description: 'Address of the MeshCentral server, e.g. https://mesh.example.com',
      format: 'uri',
      pattern: '^https?://',
      maxLength: 500
    }),
    domain: Type.Optional(
      Type.String({
        title: 'Domain',
        description: 'Only for servers with several domains: the part of the path that names this one',
        pattern: '^[A-Za-z0-9_.-]*$',
        maxLength: 100
      })
    ),
    ca: Type.Optional(
      Type.String({
        title: 'CA certificate',
        description:
          "PEM text, for a server with a certificate of its own authority (root-cert-public.crt in MeshCentral's data folder)",
        maxLength: 100_000
      })
    )
  },
  { additionalProperties: false }
)

const secretSchema = Type.Object(
  {
    username: Type.String({
      title: 'User name',
      description:
        'Best the user name of a login token ("~t:…", My Account, Manage login tokens): it needs no 2FA code and can be revoked. Otherwise the bare name of an account',
      minLength: 1,
      maxLength: 256
    }),
    password: Type.String({
      title: 'Password',
      description: 'Password of the login token or the account',
      minLength: 1,
      maxLength: 1000
    }),
    token: Type.Optional(
      Type.String({
        title: '2FA code',
        description:
          'Only for an account with two-factor authentication and without login token; a code expires, so this does not last',
        maxLength: 100
      })
    ),
    loginKey: Type.Optional(
      Type.String({
        title: 'Login key',
        description:
          'Only for a server that wants "?key=…" in every address (loginKey in its config.json): what stands behind "key="',
        pattern: '^[A-Za-z0-9]*$',
        maxLength: 128
      })
    )
  },
  { additionalProperties: false }
)

const maxSkewMs = 5 * 60_000
const maxStates = 1000

function warningsOf(client: MeshClient, session: Session): string[] {
  const { info, account } = session
  const warnings: string[] = []
  if (!seesAllGroups(session)) {
    warnings.push(
      `The account ${account.name} sees only the device groups it is a member of: groups that others made stay hidden, and a missing group cannot be told from a lost right. Make it a full site administrator and list "${account.id}" in settings.manageAllDeviceGroups of config.json`
    )
  }
  if (!mayCreateGroups(session))
    warnings.push('The account may not create device groups: take the restriction "No New Device Groups" from it')
  if (info.maxDeviceView !== null)
    warnings.push(
      `The server shows at most ${info.maxDeviceView} devices at a time (maxDeviceView): reading takes longer, and some live events are missed while a list is read`
    )
  if (Math.abs(info.skewMs) > maxSkewMs)
    warnings.push(
      `The server's clock differs from ours by ${Math.round(Math.abs(info.skewMs) / 60_000)} minutes: times of devices will be wrong until one of them is set right`
    )
  const { username, token } = client.ctx.secrets
  if (token)
    warnings.push(
      'The connection uses a 2FA code, which is good for one minute: the next log-in will be refused. Use a login token instead (My Account, Manage login tokens)'
    )
  else if (!username.startsWith('~t:'))
    warnings.push(
      'The connection uses a password: a login token (My Account, Manage login tokens) needs no 2FA code and can be revoked on its own'
    )
  if (client.baseUrl.protocol === 'http:') warnings.push('The connection is not encrypted: use https://')
  return warnings
}

/**
 * MeshCentral: device groups as organizations, nodes as devices, pushes as hints, device groups made for clients,
 * guest links and install links. Talks to the server's control channel over one WebSocket per client.
 */
export function meshcentral(options: MeshCentralOptions = {}): RmmProvider<MeshConfig, MeshSecrets, MeshClient> {
  const {
    allowPrivateNetwork = false,
    requestTimeoutMs = 30_000,
    pingMs = 30_000,
    offlineGraceMs = 150_000,
    debounceMs = 1500,
    inventoryMaxAgeMs = 24 * 3_600_000
  } = options
  for (const [name, value] of Object.entries({
    requestTimeoutMs,
    pingMs,
    offlineGraceMs,
    debounceMs,
    inventoryMaxAgeMs
  })) {
    if (!Number.isFinite(value) || value < 0)
      throw new TypeError(`meshcentral: ${name} must be a number of milliseconds, not ${value}`)
  }
  // Clients come and go with every run; who was online before the server went away must outlive them.
  const states = new Map<string, ServerState>()
  const stateOf = ({ url, domain = '' }: MeshConfig, { username }: MeshSecrets): ServerState => {
    const key = JSON.stringify([url, domain, username])
    const state = states.get(key) ?? new ServerState(offlineGraceMs)
    states.delete(key)
    states.set(key, state)
    if (states.size > maxStates) states.delete(states.keys().next().value!)
    return state
  }
  return defineProvider({
    id: 'meshcentral',
    name: 'MeshCentral',
    description:
      'Self-hosted MeshCentral server: device groups, devices, live events, remote sessions and install links',
    homepage: 'https://meshcentral.com',
    configSchema,
    secretSchema,
    allowPrivateNetwork,
    ca: config => config.ca || undefined,
    open: ctx =>
      new MeshClient(
        ctx as ConstructorParameters<typeof MeshClient>[0],
        { requestTimeoutMs, pingMs, offlineGraceMs, inventoryMaxAgeMs },
        stateOf(ctx.config as MeshConfig, ctx.secrets as MeshSecrets)
      ),
    async check(client: MeshClient, signal) {
      const session = await client.session(signal)
      await listMeshes(session, signal)
      return { account: `${session.account.name} on ${client.host}`, warnings: warningsOf(client, session) }
    },
    resources: { organizations, devices },
    visibility: async (client, signal) => visibilityOf(await client.session(signal)),
    deviceGroups,
    remoteSession,
    remoteSessionOptions: { viewOnly: true, consent: ['none', 'notify', 'prompt'] },
    installLink,
    listen: (client, signal, subscribed) => listen(client, debounceMs, signal, subscribed),
    close: async client => client.close()
  }) as RmmProvider<MeshConfig, MeshSecrets, MeshClient>
}
