/**
 * The IPv4 and IPv6 Special-Purpose Address Registries of IANA (RFC 6890, RFC 8190), with what they say about global
 * reachability, as of May 2025 (the newest entry is that of RFC 9780), and the few that are kept elsewhere: multicast,
 * what became of older plans, and one of a cloud. Compare with
 * https://www.iana.org/assignments/iana-ipv4-special-registry and …/iana-ipv6-special-registry before changing it.
 *
 * - `inside`: addresses of the networks a machine is in itself.
 * - `special`: reachable nowhere, or not what it seems: never a platform's.
 * - `reachable`: an exception within a block that is not.
 */
export type Reach = 'inside' | 'special' | 'reachable'

export const specialIpv4: ReadonlyArray<readonly [block: string, reach: Reach, name: string]> = [
  ['0.0.0.0/8', 'special', 'this network (RFC 791)'],
  ['10.0.0.0/8', 'inside', 'private use (RFC 1918)'],
  ['100.64.0.0/10', 'inside', 'shared address space (RFC 6598), which overlay networks use as well'],
  ['127.0.0.0/8', 'inside', 'loopback (RFC 1122)'],
  ['169.254.0.0/16', 'inside', 'link local (RFC 3927), with the metadata of clouds'],
  ['172.16.0.0/12', 'inside', 'private use (RFC 1918)'],
  ['192.0.0.0/24', 'special', 'IETF protocol assignments (RFC 6890)'],
  ['192.0.0.9/32', 'reachable', 'Port Control Protocol anycast (RFC 7723)'],
  ['192.0.0.10/32', 'reachable', 'TURN anycast (RFC 8155)'],
  ['192.0.2.0/24', 'special', 'documentation (RFC 5737)'],
  ['192.31.196.0/24', 'reachable', 'AS112-v4 (RFC 7535)'],
  ['192.52.193.0/24', 'reachable', 'AMT (RFC 7450)'],
  ['192.88.99.0/24', 'special', 'deprecated 6to4 relay anycast (RFC 7526)'],
  ['192.168.0.0/16', 'inside', 'private use (RFC 1918)'],
  ['192.175.48.0/24', 'reachable', 'direct delegation AS112 service (RFC 7534)'],
  ['198.18.0.0/15', 'special', 'benchmarking (RFC 2544)'],
  ['198.51.100.0/24', 'special', 'documentation (RFC 5737)'],
  ['203.0.113.0/24', 'special', 'documentation (RFC 5737)'],
  ['224.0.0.0/4', 'special', 'multicast (RFC 5771)'],
  ['240.0.0.0/4', 'special', 'reserved (RFC 1112), with limited broadcast (RFC 8190)'],
  ['168.63.129.16/32', 'inside', "Azure's host channel: a public number, answered by the machine below"]
]

/** Unicast addresses of the Internet are all in here (RFC 4291, RFC 3513); what is outside is not one. */
export const unicastIpv6 = '2000::/3'

/** Carries an IPv4 address in its last 32 bits, whose reach is its own (RFC 6052). */
export const translatedIpv4 = '64:ff9b::/96'

export const specialIpv6: ReadonlyArray<readonly [block: string, reach: Reach, name: string]> = [
  ['::1/128', 'inside', 'loopback (RFC 4291)'],
  ['::/128', 'special', 'unspecified (RFC 4291)'],
  ['64:ff9b:1::/48', 'special', 'local translation of IPv4 (RFC 8215)'],
  ['100::/64', 'special', 'discard only (RFC 6666)'],
  ['100:0:0:1::/64', 'special', 'dummy prefix (RFC 9780)'],
  ['2001::/23', 'special', 'IETF protocol assignments (RFC 2928)'],
  ['2001::/32', 'special', 'Teredo (RFC 4380): leads to an IPv4 address that cannot be seen'],
  ['2001:1::1/128', 'reachable', 'Port Control Protocol anycast (RFC 7723)'],
  ['2001:1::2/128', 'reachable', 'TURN anycast (RFC 8155)'],
  ['2001:1::3/128', 'reachable', 'DNS-SD service registration anycast (RFC 9665)'],
  ['2001:2::/48', 'special', 'benchmarking (RFC 5180)'],
  ['2001:3::/32', 'reachable', 'AMT (RFC 7450)'],
  ['2001:4:112::/48', 'reachable', 'AS112-v6 (RFC 7535)'],
  ['2001:10::/28', 'special', 'deprecated ORCHID (RFC 4843)'],
  ['2001:20::/28', 'reachable', 'ORCHIDv2 (RFC 7343)'],
  ['2001:30::/28', 'reachable', 'drone remote identification (RFC 9374)'],
  ['2001:db8::/32', 'special', 'documentation (RFC 3849)'],
  ['2002::/16', 'special', '6to4 (RFC 3056): leads through an IPv4 address'],
  ['2620:4f:8000::/48', 'reachable', 'direct delegation AS112 service (RFC 7534)'],
  ['3fff::/20', 'special', 'documentation (RFC 9637)'],
  ['5f00::/16', 'special', 'segment routing (RFC 9602)'],
  ['fc00::/7', 'inside', 'unique local (RFC 4193)'],
  ['fe80::/10', 'inside', 'link local (RFC 4291)'],
  ['fec0::/10', 'inside', 'deprecated site local (RFC 3879)'],
  ['ff00::/8', 'special', 'multicast (RFC 4291)']
]
