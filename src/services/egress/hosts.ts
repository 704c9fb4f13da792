import { lookup as resolve } from 'node:dns'
import { BlockList, isIP } from 'node:net'
import type { LookupFunction, Socket } from 'node:net'
import { domainToASCII } from 'node:url'
import { buildConnector } from 'undici'
import type { SecureContext } from 'node:tls'
import { ProviderError } from '../../providers/define.ts'
import type { RmmProvider } from '../../providers/define.ts'

/**
 * Networks that are not the public Internet: private, loopback, link-local (cloud metadata), CGNAT, reserved,
 * multicast.
 */
const closedIpv4: Array<[string, number]> = [
  ['0.0.0.0', 8],
  ['10.0.0.0', 8],
  ['100.64.0.0', 10],
  ['127.0.0.0', 8],
  ['169.254.0.0', 16],
  ['172.16.0.0', 12],
  ['192.0.0.0', 24],
  ['192.0.2.0', 24],
  ['192.168.0.0', 16],
  ['198.18.0.0', 15],
  ['198.51.100.0', 24],
  ['203.0.113.0', 24],
  ['224.0.0.0', 4],
  ['240.0.0.0', 4],
  ['168.63.129.16', 32] // Azure's host channel: a public number, answered by the machine below
]
const closedIpv6: Array<[string, number]> = [
  ['::', 96],
  ['64:ff9b:1::', 48],
  ['100::', 64],
  ['2001::', 32],
  ['2001:db8::', 32],
  ['2002::', 16],
  ['fc00::', 7],
  ['fe80::', 10],
  ['fec0::', 10],
  ['ff00::', 8]
]

const closed = new BlockList()
for (const [net, prefix] of closedIpv4) {
  closed.addSubnet(net, prefix, 'ipv4')
  // NAT64 carries IPv4 in its last 32 bits: the public part of it is how IPv6-only hosts reach the Internet.
  closed.addSubnet(`64:ff9b::${net}`, 96 + prefix, 'ipv6')
}
for (const [net, prefix] of closedIpv6) closed.addSubnet(net, prefix, 'ipv6')

/** True for an address that is not on the public Internet. IPv4-mapped IPv6 counts as its IPv4. */
export function isPrivateAddress(address: string): boolean {
  const bare = address.replace(/%.*$/, '')
  const family = isIP(bare)
  return family === 0 || closed.check(bare, family === 4 ? 'ipv4' : 'ipv6')
}

/** The connector's own refusal; never retried. */
export class PrivateAddressError extends Error {
  readonly code = 'RMM_PRIVATE_ADDRESS'
}

/** Resolves and refuses in one step, so that a name cannot point elsewhere between check and connect. */
const publicLookup: LookupFunction = (hostname, options, callback) => {
  resolve(hostname, { ...options, all: true }, (error, addresses) => {
    if (error) return callback(error, [])
    if (addresses.some(({ address }) => isPrivateAddress(address)))
      return callback(new PrivateAddressError('private address'), [])
    if (options.all) return callback(null, addresses)
    callback(null, addresses[0]!.address, addresses[0]!.family)
  })
}

/** Returns the socket that is still connecting, so that it can be destroyed before it is handed over. */
type Connector = (...args: Parameters<buildConnector.connector>) => Socket | undefined

/** A connector of HTTP/1.1 sockets that opens none towards a private address unless that is allowed. */
export function guardedConnector(options: {
  allowPrivateNetwork: boolean
  timeout: number
  secureContext?: SecureContext | undefined
}): Connector {
  const { allowPrivateNetwork, timeout, secureContext } = options
  const connect = buildConnector({
    timeout,
    allowH2: false,
    ...(secureContext ? { secureContext } : {}),
    ...(allowPrivateNetwork ? {} : { lookup: publicLookup })
  } as buildConnector.BuildOptions)
  return (target, callback) => {
    const literal = target.hostname.replace(/^\[|\]$/g, '')
    if (!allowPrivateNetwork && isIP(literal) && isPrivateAddress(literal)) {
      callback(new PrivateAddressError('private address'), null)
      return undefined
    }
    return connect(target, callback) as unknown as Socket | undefined
  }
}

const defaultPorts: Record<string, string> = { 'http:': '80', 'https:': '443', 'ws:': '80', 'wss:': '443' }

function normaliseHost(entry: string): string {
  const [, name = '', port] = /^(.*?)(?::(\d+))?$/.exec(entry.trim().toLowerCase()) ?? []
  const ascii = name.startsWith('[') ? name : domainToASCII(name)
  return port ? `${ascii}:${port}` : ascii
}

/**
 * Parses the address of a request and refuses, before any socket opens, what is not this connection's.
 * An entry without port means the scheme's default port. Throws `ProviderError('forbidden')`.
 */
export function createHostCheck(hosts: string[], schemes: string[]): (address: string | URL) => URL {
  const allowed = new Set(hosts.map(normaliseHost))
  return address => {
    const url = URL.canParse(String(address)) ? new URL(address) : null
    if (!url || !schemes.includes(url.protocol)) {
      throw new ProviderError(
        'forbidden',
        `The address must start with ${schemes.map(scheme => `${scheme}//`).join(' or ')}; correct the address of this connection`
      )
    }
    if (url.username || url.password)
      throw new ProviderError(
        'forbidden',
        `The address of ${url.hostname} must not contain a user name or password; give them as the connection's secrets`
      )
    const explicit = `${url.hostname}:${url.port || defaultPorts[url.protocol]}`
    if (!allowed.has(url.host) && !allowed.has(explicit)) {
      throw new ProviderError(
        'forbidden',
        `This connection may not talk to ${url.host}: it is bound to ${[...allowed].join(', ') || 'no host'}`
      )
    }
    return url
  }
}

/**
 * The hosts a connection with this config may talk to: `provider.hosts`, or the hosts of every config field with
 * `format: 'uri'`.
 */
export function hostsOf(
  provider: Pick<RmmProvider, 'hosts' | 'configSchema'>,
  config: Record<string, unknown>
): string[] {
  if (provider.hosts) return provider.hosts(config)
  const hosts: string[] = []
  for (const [name, schema] of Object.entries(provider.configSchema.properties)) {
    const value = config[name] ?? schema['default']
    if (schema['format'] === 'uri' && typeof value === 'string' && URL.canParse(value)) hosts.push(new URL(value).host)
  }
  return hosts
}
