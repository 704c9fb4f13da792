import { lookup as resolve } from 'node:dns'
import { isIP } from 'node:net'
import type { LookupFunction, Socket } from 'node:net'
import { buildConnector } from 'undici'
import type { SecureContext } from 'node:tls'
import { ProviderError } from '../../providers/define.ts'
import type { RmmProvider } from '../../providers/define.ts'
import { declaredAddresses } from '../model/index.ts'
import { isInsideAddress, isPrivateAddress } from './addresses.ts'

/** The connector's own refusals. */
class RefusedAddress extends Error {
  readonly code: 'RMM_PRIVATE_ADDRESS' | 'RMM_PLAIN_ADDRESS' | 'RMM_UNRESOLVED'
  constructor(code: RefusedAddress['code'], message: string, cause?: unknown) {
    super(message, cause === undefined ? undefined : { cause })
    this.code = code
  }
}

/** Why nothing may be sent to an address; null where it may. */
type Judge = (address: string) => RefusedAddress | null

const publicOnly: Judge = address =>
  isPrivateAddress(address) ? new RefusedAddress('RMM_PRIVATE_ADDRESS', 'a private address') : null
/** Credentials travel with every request: where they would travel in the clear, they stay inside. */
const insideOnly: Judge = address =>
  isInsideAddress(address) ? null : new RefusedAddress('RMM_PLAIN_ADDRESS', 'a public address, unencrypted')

const nowhere: Judge = address => publicOnly(address) ?? insideOnly(address)

/** Resolves and refuses in one step, so that a name cannot point elsewhere between check and connect. */
function lookupFor(judge: Judge): LookupFunction {
  // That a name is not known, and that it is known inside only, must look alike to whoever typed it: or the answers
  // would draw a map of the network. The log has the difference.
  const unresolved = (why: Error): Error =>
    judge === insideOnly || (why as RefusedAddress).code === 'RMM_PLAIN_ADDRESS'
      ? why
      : new RefusedAddress('RMM_UNRESOLVED', 'no public address', why)
  return (hostname, options, callback) => {
    resolve(hostname, { ...options, all: true }, (error, addresses) => {
      if (error) return callback(unresolved(error), [])
      const refusal = addresses.map(({ address }) => judge(address)).find(refusal => refusal !== null)
      if (refusal) return callback(unresolved(refusal), [])
      if (options.all) return callback(null, addresses)
      callback(null, addresses[0]!.address, addresses[0]!.family)
    })
  }
}

/** Returns the socket that is still connecting, so that it can be destroyed before it is handed over. */
type Connector = (...args: Parameters<buildConnector.connector>) => Socket | undefined

/**
 * A connector of HTTP/1.1 sockets that opens none towards a private address unless that is allowed, and none without
 * TLS towards any other.
 */
export function guardedConnector(options: {
  allowPrivateNetwork: boolean
  timeout: number
  secureContext?: SecureContext | undefined
}): Connector {
  const { allowPrivateNetwork, timeout, secureContext } = options
  const connector = (judge: Judge | null) => ({
    judge,
    connect: buildConnector({
      timeout,
      allowH2: false,
      ...(secureContext ? { secureContext } : {}),
      ...(judge === null ? {} : { lookup: lookupFor(judge) })
    } as buildConnector.BuildOptions)
  })
  const encrypted = connector(allowPrivateNetwork ? null : publicOnly)
  const plain = connector(allowPrivateNetwork ? insideOnly : nowhere)
  return (target, callback) => {
    const { judge, connect } = target.protocol === 'http:' ? plain : encrypted
    const literal = target.hostname.replace(/^\[|\]$/g, '')
    const refusal = judge !== null && isIP(literal) ? judge(literal) : null
    if (refusal !== null) {
      callback(refusal, null)
      return undefined
    }
    return connect(target, callback) as unknown as Socket | undefined
  }
}

const schemesOf: Readonly<Record<string, string>> = { 'ws:': 'http:', 'wss:': 'https:' }

/** Every origin that an entry lets through: `https://host:port` only that one, `host:port` it with either scheme. */
function originsOf(entry: string): string[] {
  const given = entry.trim()
  const addresses = given.includes('://') ? [given] : [`https://${given}`, `http://${given}`]
  return addresses.flatMap(address => (URL.canParse(address) ? new URL(address).origin : []))
}

/**
 * Parses the address of a request and refuses, before any socket opens, what is not this connection's: another host,
 * another port, another scheme. Throws `ProviderError('forbidden')`.
 */
export function createHostCheck(hosts: string[], schemes: string[]): (address: string | URL) => URL {
  const allowed = new Set(hosts.flatMap(originsOf))
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
    const scheme = schemesOf[url.protocol] ?? url.protocol
    const { origin } = new URL(`${scheme}//${url.host}`)
    if (!allowed.has(origin)) {
      throw new ProviderError(
        'forbidden',
        `This connection may not talk to ${origin}: it is bound to ${[...allowed].join(', ') || 'no host'}`
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
  return declaredAddresses(provider.configSchema, config).flatMap(({ text }) =>
    URL.canParse(text) ? new URL(text).host : []
  )
}
