import { BlockList, isIP, isIPv4 } from 'node:net'
import { isObject } from './frames.ts'

/** What `getnetworkinfo` tells: interface name → addresses on it. */
export interface NetworkFacts {
  lanIp: string | null
  macAddresses: string[]
}

const privateRanges = new BlockList()
for (const [net, bits] of [
  ['10.0.0.0', 8],
  ['172.16.0.0', 12],
  ['192.168.0.0', 16],
  ['100.64.0.0', 10]
] as const)
  privateRanges.addSubnet(net, bits, 'ipv4')

const unusable = new BlockList()
for (const [net, bits] of [
  ['127.0.0.0', 8],
  ['0.0.0.0', 8],
  ['169.254.0.0', 16]
] as const)
  unusable.addSubnet(net, bits, 'ipv4')

const virtualInterface =
  /^(lo\d*$|docker|veth|br-|virbr|ifb|tun|tap|wg|zt|vmnet|vboxnet|utun|awdl|llw|bridge|cni|flannel|cali)|virtual|vethernet|hyper-v|vmware|loopback/i

export function isPrivateIpv4(address: string): boolean {
  return isIPv4(address) && privateRanges.check(address, 'ipv4')
}

/** An address that says where a device is, without zone; null for loopback, link-local and what is none. */
export function addressOf(value: unknown): string | null {
  if (typeof value !== 'string') return null
  const bare = value
    .trim()
    .replace(/^::ffff:/i, '')
    .replace(/%.*$/, '')
  if (isIP(bare) === 0) return null
  if (isIPv4(bare)) return unusable.check(bare, 'ipv4') ? null : bare
  return bare === '::1' || bare === '::' || /^fe[89ab]/i.test(bare) ? null : bare.toLowerCase()
}

function macOf(value: unknown): string | null {
  if (typeof value !== 'string') return null
  const mac = value.trim().toUpperCase().replaceAll('-', ':')
  return /^[0-9A-F]{2}(:[0-9A-F]{2}){5}$/.test(mac) && !/^(00:){5}00$/.test(mac) ? mac : null
}

/**
 * Virtual interfaces are left out: their addresses change with every container. Null where the server has no network
 * facts.
 */
export function networkOf(reply: Record<string, unknown>): NetworkFacts | null {
  if (!isObject(reply['netif2'])) return null
  const entries = Object.entries(reply['netif2'])
    .filter(([name, addresses]) => !virtualInterface.test(name) && Array.isArray(addresses))
    .flatMap(([, addresses]) => (addresses as unknown[]).filter(isObject))
    .filter(entry => entry['type'] !== 'loopback')
  const addresses = entries
    .filter(entry => entry['status'] !== 'down')
    .map(entry => addressOf(entry['address']))
    .filter(address => address !== null)
  const macs = entries.map(entry => macOf(entry['mac'])).filter(mac => mac !== null)
  return { lanIp: addresses.find(isPrivateIpv4) ?? null, macAddresses: [...new Set(macs)].sort() }
}
