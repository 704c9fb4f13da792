import { BlockList, isIP, isIPv4 } from 'node:net'
import type { NetworkInterface } from '../define.ts'
import { isObject } from './frames.ts'

const privateRanges = new BlockList()
for (const [net, bits] of [
  ['10.0.0.0', 8],
  ['172.16.0.0', 12],
  ['192.168.0.0', 16]
] as const)
  privateRanges.addSubnet(net, bits, 'ipv4')

/** Of a carrier's network or a tunnel's: neither the device's own address nor the one it is seen under. */
const shared = new BlockList()
shared.addSubnet('100.64.0.0', 10, 'ipv4')

export type AddressKind = 'private' | 'public' | 'shared'

/** The address that the server saw a device under, without zone, and what it says; null for what is none. */
export function seenAddress(value: unknown): { address: string; kind: AddressKind } | null {
  if (typeof value !== 'string') return null
  const address = value
    .trim()
    .toLowerCase()
    .replace(/^::ffff:/, '')
    .replace(/%.*$/, '')
  if (isIP(address) === 0) return null
  if (!isIPv4(address)) return { address, kind: /^f[cd]/.test(address) ? 'private' : 'public' }
  const kind = shared.check(address) ? 'shared' : privateRanges.check(address) ? 'private' : 'public'
  return { address, kind }
}

const text = (value: unknown): string | undefined => (typeof value === 'string' && value !== '' ? value : undefined)

/**
 * The adapters that `getnetworkinfo` tells, interface name → addresses on it, in the order of their names. Undefined
 * where the server has no network facts.
 */
export function interfacesOf(reply: Record<string, unknown>): NetworkInterface[] | undefined {
  if (!isObject(reply['netif2'])) return undefined
  return Object.entries(reply['netif2'])
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .flatMap(([name, told]): NetworkInterface[] => {
      const entries = (Array.isArray(told) ? told : []).filter(isObject).filter(entry => entry['type'] !== 'loopback')
      if (entries.length === 0) return []
      const up = entries.filter(entry => entry['status'] !== 'down')
      return [
        {
          name,
          description: entries.map(entry => text(entry['desc'])).find(Boolean),
          macAddress: entries.map(entry => text(entry['mac'])).find(Boolean),
          addresses: up.flatMap(entry => text(entry['address']) ?? []),
          gateway: up.map(entry => text(entry['gateway'])).find(Boolean)
        }
      ]
    })
}
