import type { NetworkInterface } from '../../../providers/define.ts'

/**
 * Which network adapters lead to a machine's own network. Names are those of Windows, Linux and macOS; descriptions
 * those of drivers.
 */

/** Better first. `none`: its addresses say nothing of where the machine is, and several machines share them. */
export const adapterRanks = { physical: 0, switch: 1, innerSwitch: 2, none: 3 } as const
export type AdapterKind = keyof typeof adapterRanks

/** Names that the operating system gives. */
const tunnelName =
  /^((tun|tap|wg|ppp|utun|ipsec|vti|gre|gretap|sit|ip6tnl|tailscale|nordlynx|cscotun|gpd|warp|nebula|wt)([-_.]?\d.*)?|(wg|tun|tap)[-_].+|zt[a-z0-9]{6,12})$/i
const innerName =
  /^(lo\d*|(docker|podman|cni|cni-podman|virbr|lxcbr|lxdbr|incusbr|vmnet|vboxnet|ifb|dummy|vnet|awdl|llw|anpi|ap)\d*([-_.].*)?|docker_gwbridge|flannel.*|cali[0-9a-f]+|veth(?!ernet).*|br-[0-9a-f]{12}|kube-.*|nodelocaldns|weave.*|cilium.*|fwbr.*|fwpr.*|fwln.*|bridge1\d\d)$/i
const switchName = /^(vethernet\b.*|(br|vmbr|bridge|ovs|virtual)[-_a-z]*\d*)$/i

/** What drivers call their adapters. */
const tunnelDriver =
  /vpn|tunnel|wireguard|wintun|\btap\b|\btap-|tailscale|zerotier|hamachi|anyconnect|pangp|globalprotect|forti(net|client)|netextender|sonicwall|nordlynx|softether|pulse secure|juniper networks|check ?point|citrix|zscaler|netbird|twingate|cloudflare|wan miniport|teredo|isatap|6to4|\bppp\b/i
const innerDriver =
  /vmware virtual ethernet|vmnet\d|host-?only|loopback|pseudo-interface|wi-?fi direct|npcap|docker|podman|container|kernel debug/i
const virtualDriver = /\bvirtual\b/i
/** Switches of Hyper-V that a Windows machine has for itself, with addresses behind its own. */
const innerSwitch = /default switch|\bwsl\b|\(nat\)|\binternal\b/i

export function adapterKind({ name, description }: Pick<NetworkInterface, 'name' | 'description'>): AdapterKind {
  const called = name?.trim() ?? ''
  const driver = `${called} ${description ?? ''}`
  if (tunnelName.test(called) || innerName.test(called)) return 'none'
  if (tunnelDriver.test(driver) || innerDriver.test(driver)) return 'none'
  if (/vethernet|hyper-v virtual/i.test(driver)) return innerSwitch.test(driver) ? 'innerSwitch' : 'switch'
  return switchName.test(called) || virtualDriver.test(driver) ? 'switch' : 'physical'
}
