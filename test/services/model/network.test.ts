import fc from 'fast-check'
import t from 'tap'
import type { NetworkInterface } from '../../../src/providers/define.ts'
import { adapterKind } from '../../../src/services/model/normalize/adapters.ts'
import { addressOf, lanAddressOf, macsOf } from '../../../src/services/model/normalize/network.ts'

const nic = '00:1B:21:0A:0B:0C'
const ethernet: NetworkInterface = {
  name: 'Ethernet',
  description: 'Intel(R) Ethernet Connection I219-LM',
  macAddress: nic,
  addresses: ['fe80::1%4', '192.168.10.20/24'],
  gateway: '192.168.10.1'
}
const without = ({ gateway: _, ...adapter }: NetworkInterface): NetworkInterface => adapter

/** Never the machine's own network. */
const none: NetworkInterface[] = [
  { description: 'WireGuard Tunnel', addresses: ['10.8.0.2'], gateway: '10.8.0.1' },
  { name: 'wg0', addresses: ['10.8.0.3'] },
  { name: 'wg-office', addresses: ['10.8.0.4'] },
  { description: 'Wintun Userspace Tunnel', addresses: ['10.8.0.5'] },
  { description: 'TAP-Windows Adapter V9', macAddress: '00:FF:12:34:56:78', addresses: ['10.9.0.2'] },
  { description: 'OpenVPN Data Channel Offload', addresses: ['10.9.0.3'], gateway: '10.9.0.1' },
  { name: 'tun0', addresses: ['10.9.0.4'] },
  { name: 'tap0', macAddress: '5e:11:22:33:44:55', addresses: ['10.9.0.5'] },
  { name: 'utun4', addresses: ['100.101.1.2'] },
  { name: 'tailscale0', addresses: ['100.64.3.4', 'fd7a:115c:a1e0::1'] },
  { name: 'Tailscale', description: 'Tailscale Tunnel', addresses: ['100.64.3.5'] },
  { name: 'ztabcdef12', addresses: ['10.147.17.5'] },
  { description: 'ZeroTier Virtual Port', macAddress: 'e2:11:22:33:44:55', addresses: ['10.147.17.6'] },
  { description: 'Cisco AnyConnect Secure Mobility Client Virtual Miniport Adapter', addresses: ['10.20.0.9'] },
  { description: 'PANGP Virtual Ethernet Adapter', addresses: ['10.21.0.9'] },
  { description: 'Fortinet SSL VPN Virtual Ethernet Adapter', addresses: ['10.22.0.9'] },
  { name: 'ppp0', addresses: ['10.64.64.64'] },
  { name: 'docker0', macAddress: '02:42:aa:bb:cc:dd', addresses: ['172.17.0.1'] },
  { name: 'br-0123456789ab', macAddress: '02:42:11:22:33:44', addresses: ['172.18.0.1'] },
  { name: 'podman0', macAddress: '3e:11:22:33:44:55', addresses: ['10.88.0.1'] },
  { name: 'cni-podman0', macAddress: '3e:11:22:33:44:56', addresses: ['10.88.0.2'] },
  { name: 'virbr0', macAddress: '52:54:00:11:22:33', addresses: ['192.168.122.1'] },
  { name: 'vethabc123', macAddress: 'da:11:22:33:44:55', addresses: ['169.254.9.9'] },
  { name: 'vmnet8', addresses: ['172.16.120.1'] },
  {
    description: 'VMware Virtual Ethernet Adapter for VMnet8',
    macAddress: '00:50:56:C0:00:08',
    addresses: ['192.168.56.1']
  },
  {
    description: 'VirtualBox Host-Only Ethernet Adapter',
    macAddress: '0A:00:27:00:00:0B',
    addresses: ['192.168.56.1']
  },
  { description: 'Microsoft KM-TEST Loopback Adapter', macAddress: '02:00:4C:4F:4F:50', addresses: ['10.99.0.1'] },
  { name: 'lo', addresses: ['127.0.0.1', '10.255.255.1'] },
  { name: 'bridge100', addresses: ['192.168.64.1'] }
]

t.test("the LAN address is the physical adapter's, wherever tunnels and containers stand in the list", async t => {
  for (const adapter of none) {
    const called = `${adapter.name ?? ''} ${adapter.description ?? ''}`.trim()
    t.equal(adapterKind(adapter), 'none', called)
    t.equal(lanAddressOf([adapter]), null, `${called} alone`)
    t.equal(lanAddressOf([adapter, without(ethernet)]), '192.168.10.20', `${called} before it`)
    t.equal(lanAddressOf([ethernet, adapter]), '192.168.10.20')
    t.strictSame(macsOf([adapter]), [])
  }
  fc.assert(
    fc.property(fc.shuffledSubarray([...none, ethernet], { minLength: 1 }), adapters => {
      return lanAddressOf(adapters) === (adapters.includes(ethernet) ? '192.168.10.20' : null)
    })
  )
})

t.test('with a gateway before without, physical before virtual, IPv4 before IPv6', async t => {
  const wifi = { name: 'Wi-Fi', description: 'Intel(R) Wi-Fi 6 AX201', macAddress: '3C:52:82:01:02:03' }
  t.equal(
    lanAddressOf([without(ethernet), { ...wifi, addresses: ['10.30.0.7'], gateway: '10.30.0.1' }]),
    '10.30.0.7',
    'the one that leads out'
  )
  const vSwitch = {
    name: 'vEthernet (LAN)',
    description: 'Hyper-V Virtual Ethernet Adapter',
    macAddress: nic,
    addresses: ['10.1.1.7']
  }
  t.equal(lanAddressOf([{ ...ethernet, addresses: [] }, vSwitch]), '10.1.1.7', 'a host whose address is on its switch')
  t.equal(lanAddressOf([vSwitch, without(ethernet)]), '192.168.10.20')
  t.equal(lanAddressOf([{ ...vSwitch, gateway: '10.1.1.1' }, without(ethernet)]), '10.1.1.7')
  t.equal(
    lanAddressOf([{ ...vSwitch, name: 'vEthernet (Default Switch)', addresses: ['172.20.0.1'] }, vSwitch]),
    '10.1.1.7',
    'the switch that leads out before the one within'
  )
  t.equal(lanAddressOf([{ name: 'vmbr0', macAddress: nic, addresses: ['10.5.0.2'], gateway: true }]), '10.5.0.2')
  t.equal(
    lanAddressOf([{ description: 'Microsoft Hyper-V Network Adapter', addresses: ['10.6.0.2'] }]),
    '10.6.0.2',
    'a guest'
  )
  t.equal(lanAddressOf([{ description: 'Red Hat VirtIO Ethernet Adapter', addresses: ['10.6.0.3'] }]), '10.6.0.3')
  t.equal(
    lanAddressOf([{ name: 'office', macAddress: '00:00:00:00:00:00', addresses: ['10.8.0.9'] }, without(ethernet)]),
    '192.168.10.20',
    'a tunnel under a name of its own has no hardware'
  )
  t.equal(lanAddressOf([{ ...ethernet, addresses: ['fd12::10'] }]), 'fd12::10', 'only IPv6')
  t.equal(lanAddressOf([{ ...ethernet, addresses: ['2001:db8::7', 'fd12::10'] }]), 'fd12::10')
  t.equal(
    lanAddressOf([
      { ...ethernet, addresses: ['fd12::10'] },
      { ...wifi, addresses: ['10.30.0.7'] }
    ]),
    '10.30.0.7'
  )
  t.equal(
    lanAddressOf([
      { ...ethernet, up: false },
      { ...wifi, addresses: ['10.30.0.7'] }
    ]),
    '10.30.0.7',
    'down'
  )
  t.equal(lanAddressOf([{ ...ethernet, addresses: ['203.0.113.9', '100.64.1.1', '169.254.3.3'] }]), null)
  t.equal(lanAddressOf([]), null)
})

t.test('addresses without prefix and zone; what says nothing is none', async t => {
  t.equal(addressOf(' 10.0.0.5/24 '), '10.0.0.5')
  t.equal(addressOf('FD12::10%eth0'), 'fd12::10')
  t.equal(addressOf('::ffff:10.0.0.5'), '10.0.0.5')
  for (const nowhere of [
    '127.0.0.1',
    '169.254.1.1',
    '0.0.0.0',
    '::',
    '::1',
    'fe80::1',
    '224.0.0.1',
    '255.255.255.255',
    'ff02::1',
    'pc',
    ''
  ])
    t.equal(addressOf(nowhere), null, nowhere)
})

t.test('adapters of any kind never throw, and what is chosen is one of their addresses', async () => {
  const junk = fc.option(fc.oneof(fc.string(), fc.ipV4(), fc.ipV6()), { nil: undefined })
  const adapters = fc.array(
    fc.record({
      name: junk,
      description: junk,
      macAddress: junk,
      addresses: fc.option(fc.array(fc.oneof(fc.string(), fc.ipV4(), fc.ipV6())), { nil: null }),
      gateway: fc.oneof(junk, fc.boolean()),
      up: fc.option(fc.boolean(), { nil: undefined })
    })
  )
  fc.assert(
    fc.property(adapters, told => {
      const lan = lanAddressOf(told as NetworkInterface[])
      const all = told.flatMap(({ addresses }) => addresses ?? []).map(addressOf)
      return (lan === null || all.includes(lan)) && macsOf(told as NetworkInterface[]).every(mac => mac.length === 17)
    })
  )
})
