import { BlockList, isIP } from 'node:net'
import { type Reach, specialIpv4, specialIpv6, translatedIpv4, unicastIpv6 } from './special-addresses.ts'

function addTo(list: BlockList, block: string): void {
  const [net, prefix] = block.split('/') as [string, string]
  list.addSubnet(net, Number(prefix), net.includes(':') ? 'ipv6' : 'ipv4')
}

/** An IPv4 block as translators spell it in IPv6. */
function translated(block: string): string {
  const [net, prefix] = block.split('/') as [string, string]
  return translatedIpv4.replace(/\/.*/, `${net}/${96 + Number(prefix)}`)
}

function listOf(...reaches: Reach[]): BlockList {
  const list = new BlockList()
  for (const [block, reach] of [...specialIpv4, ...specialIpv6]) if (reaches.includes(reach)) addTo(list, block)
  for (const [block, reach] of specialIpv4) if (reaches.includes(reach)) addTo(list, translated(block))
  return list
}

const closed = listOf('inside', 'special')
const inside = listOf('inside')
const exceptions = listOf('reachable')
const unicast = new BlockList()
for (const block of [unicastIpv6, translatedIpv4, '::ffff:0:0/96']) addTo(unicast, block)

function within(address: string, lists: { of: BlockList; butNot?: BlockList }): boolean {
  const bare = address.replace(/%.*$/, '')
  const family = isIP(bare) === 4 ? 'ipv4' : 'ipv6'
  return lists.of.check(bare, family) && lists.butNot?.check(bare, family) !== true
}

/**
 * True for what is not on the public Internet, and for what is no address. IPv4 in IPv6 (mapped, or translated with the
 * well-known prefix) counts as its IPv4; 6to4 and Teredo, which lead through an IPv4 address of their own, are never
 * public.
 */
export function isPrivateAddress(address: string): boolean {
  const family = isIP(address.replace(/%.*$/, ''))
  if (family === 0) return true
  return (family === 6 && !within(address, { of: unicast })) || within(address, { of: closed, butNot: exceptions })
}

/** True for what is in a network of the machine itself, where nobody else reads along. */
export function isInsideAddress(address: string): boolean {
  return isIP(address.replace(/%.*$/, '')) !== 0 && within(address, { of: inside })
}
