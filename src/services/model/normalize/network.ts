import { BlockList, isIP, isIPv4 } from 'node:net'
import type { NetworkInterface } from '../../../providers/define.ts'
import { adapterKind, adapterRanks } from './adapters.ts'
import { cleanMacs, macOf } from './clean-keys.ts'

/** A machine's addresses out of what its adapters tell: one rule for all providers. */

/** Loopback, link-local, unspecified, multicast: they say nothing of where a machine is. */
const nowhereIpv4 = /^(0|127|22[4-9]|2[3-5]\d)\.|^169\.254\./
const nowhereIpv6 = new BlockList()
for (const [net, bits] of [
  ['::', 127],
  ['fe80::', 10],
  ['ff00::', 8]
] as const)
  nowhereIpv6.addSubnet(net, bits, 'ipv6')
/** 100.64.0.0/10 is none: it is a carrier's, or a tunnel's. */
const privateIpv4 = /^10\.|^192\.168\.|^172\.(1[6-9]|2\d|3[01])\./
const uniqueLocal = new BlockList()
uniqueLocal.addSubnet('fc00::', 7, 'ipv6')

/** An address without prefix length and zone; null for what is none, or says nothing. */
export function addressOf(value: string): string | null {
  const bare = value
    .trim()
    .toLowerCase()
    .replace(/[/%].*$/, '')
    .replace(/^::ffff:(?=\d+\.)/, '')
  if (isIPv4(bare)) return nowhereIpv4.test(bare) ? null : bare
  return isIP(bare) === 0 || nowhereIpv6.check(bare, 'ipv6') ? null : bare
}

/** Private IPv4, then IPv6; null for what is no address of a local network. */
function tierOf(address: string): number | null {
  if (isIPv4(address)) return privateIpv4.test(address) ? 0 : null
  return uniqueLocal.check(address, 'ipv6') ? 1 : 2
}

/** As many places as an order of adapters needs. */
const placeSize = 10

function rankOf(adapter: NetworkInterface, tier: number): number {
  const gateway = typeof adapter.gateway === 'string' ? addressOf(adapter.gateway) !== null : adapter.gateway === true
  // Tunnels under names of their own mostly have no address of the hardware.
  const mac = typeof adapter.macAddress === 'string' ? macOf(adapter.macAddress) : null
  const places = [tier, gateway ? 0 : 1, adapterRanks[adapterKind(adapter)], mac !== null && isUsed(mac) ? 0 : 1]
  return places.reduce((rank, place) => rank * placeSize + place, 0)
}

const isUsed = (mac: string): boolean => mac !== '00:00:00:00:00:00' && !mac.startsWith('00:FF')

/**
 * The address in the machine's own network: of an adapter with a gateway, then of a physical one, then of a virtual
 * switch; IPv4 first. Tunnels, containers and networks within the machine never count. Null where there is none.
 */
export function lanAddressOf(adapters: readonly NetworkInterface[]): string | null {
  let best: { address: string; rank: number } | null = null
  for (const adapter of adapters) {
    if (adapter.up === false || adapterKind(adapter) === 'none') continue
    for (const told of adapter.addresses ?? []) {
      const address = typeof told === 'string' ? addressOf(told) : null
      const tier = address === null ? null : tierOf(address)
      if (address === null || tier === null) continue
      const rank = rankOf(adapter, tier)
      if (best === null || rank < best.rank) best = { address, rank }
    }
  }
  return best?.address ?? null
}

/** The adapters' hardware addresses by which the machine can be told. */
export function macsOf(adapters: readonly NetworkInterface[]): string[] {
  return cleanMacs(
    adapters
      .filter(adapter => adapterKind(adapter) !== 'none')
      .flatMap(({ macAddress }) => (typeof macAddress === 'string' ? macAddress : []))
  )
}

/** Whether the adapters tell anything at all. */
export function tellsNetwork(adapters: readonly NetworkInterface[]): boolean {
  return adapters.some(
    ({ macAddress, addresses }) => (typeof macAddress === 'string' && macAddress !== '') || (addresses?.length ?? 0) > 0
  )
}
