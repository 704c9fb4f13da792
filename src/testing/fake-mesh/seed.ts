import type { FakeMeshAccount, MeshDoc } from './documents.ts'
import type { MeshWorld } from './world.ts'

const hour = 3_600_000

/** Hardware as a Windows agent reports it, with what must never be stored: a BitLocker recovery password. */
export function windowsHardware(index: number): MeshDoc {
  return {
    identifiers: {
      bios_vendor: 'Dell Inc.',
      bios_version: '1.5.2',
      bios_date: '01/02/2023',
      bios_serial: `SN-${1000 + index}`,
      bios_mode: 'UEFI',
      board_name: '0GXM1W',
      board_vendor: 'Dell Inc.',
      board_serial: 'Default string',
      product_name: 'OptiPlex 7090',
      product_uuid: `00000000-0000-4000-8000-${String(index).padStart(12, '0')}`,
      cpu_name: 'Intel(R) Core(TM) i7-10700 CPU @ 2.90GHz',
      storage_devices: [{ Caption: 'Samsung SSD', Model: 'Samsung SSD 980', Size: 512_110_190_592 }]
    },
    windows: {
      osinfo: {
        Caption: 'Microsoft Windows 11 Pro',
        Version: '10.0.26100',
        BuildNumber: '26100',
        OSArchitecture: '64-bit',
        LastBootUpTime: '20261121081500.500000+060'
      },
      cpu: [{ Name: 'Intel(R) Core(TM) i7-10700 CPU @ 2.90GHz', NumberOfCores: 8 }],
      memory: [{ Capacity: '8589934592' }, { Capacity: 8_589_934_592 }],
      volumes: {
        C: {
          size: 511_000_000_000,
          sizeremaining: 200_000_000_000 + index,
          type: 'NTFS',
          protectionStatus: true,
          recoveryPassword: '111111-222222-333333-444444-555555-666666-777777-888888'
        },
        D: { size: 0, sizeremaining: 0, type: 'CD-ROM' }
      }
    },
    agentvers: { commitDate: '2022-11-03T06:01:45.000Z', commitHash: '650667126c2d' }
  }
}

/** Hardware as an agent with root rights reports it on Linux. */
export function linuxHardware(): MeshDoc {
  return {
    identifiers: {
      bios_vendor: 'Dell Inc.',
      board_vendor: 'Dell Inc.',
      product_name: 'PowerEdge R650',
      cpu_name: 'AMD EPYC',
      storage_devices: [{ Caption: 'ATA Disk', Model: 'Samsung SSD 860', Size: '465GiB (500GB)' }]
    },
    linux: {
      chassis_type: '23',
      sys_vendor: 'Dell Inc.',
      product_name: 'PowerEdge R650',
      product_serial: 'To be filled by O.E.M.',
      volumes: [
        { size: '264212084', used: '29502876', available: '76888036', mount_point: '/', type: 'ext4' },
        { size: '1024', available: '1024', mount_point: '/run', type: 'tmpfs' }
      ],
      memory: { Memory_Device: [{ Size: '16 GB' }, { Size: '8192 MB' }, { Size: 'No Module Installed' }] },
      LastBootUpTime: '2026-11-22 05:15:43'
    }
  }
}

export function interfaces(index: number): MeshDoc {
  const mac = (last: number) =>
    `d4:be:d9:00:${((index >> 8) & 255).toString(16).padStart(2, '0')}:${(last & 255).toString(16).padStart(2, '0')}`
  return {
    lo: [{ address: '127.0.0.1', family: 'IPv4', type: 'loopback', status: 'up', mac: '00:00:00:00:00:00' }],
    'vEthernet (Default Switch)': [
      { address: '172.20.0.1', family: 'IPv4', type: 'ethernet', status: 'up', mac: 'AE:00:00:00:00:01' }
    ],
    Ethernet: [
      { address: `10.1.${index >> 8}.${index & 255}`, family: 'IPv4', type: 'ethernet', status: 'up', mac: mac(index) },
      { address: 'fe80::fc:ff:fe00:1%4', family: 'IPv6', type: 'ethernet', status: 'up', mac: mac(index) }
    ]
  }
}

function seedNode(world: MeshWorld, meshid: string, index: number): void {
  const windows = index % 5 !== 4
  const node = world.addNode({
    meshid,
    name: index % 7 === 6 ? '' : `PC-${index}`,
    rname: `pc-${index}`,
    agent: { ver: 0, id: windows ? 4 : 6, caps: 31, core: 'Nov 21 2022, 2189501291', root: true },
    ip: `81.2.${(index >> 8) & 255}.${index & 255}`,
    osdesc: windows ? 'Microsoft Windows 11 Pro - 24H2/26100' : 'Debian GNU/Linux 12 (bookworm)',
    lastbootuptime: 1_795_324_543_000,
    users: [`ACME\\user${index}`],
    ...(windows
      ? {
          av: [{ product: 'Microsoft Defender', updated: true, enabled: true }],
          wsc: { antiVirus: 'OK', firewall: 'OK', autoUpdate: 'WARNING' }
        }
      : {}),
    intelamt: { user: 'admin', pass: 1, tls: 0 },
    ssh: 1,
    rdp: 1,
    pmt: 1,
    tags: ['seeded']
  })
  world.sysinfo.set(node._id, windows ? windowsHardware(index) : linuxHardware())
  world.network.set(node._id, interfaces(index))
  world.lastConnects.set(node._id, Date.now() - 24 * hour)
  // Two of three are online, and have been for longer than any grace.
  if (index % 3 !== 0) world.connected.set(node._id, Date.now() - hour)
}

/** `groups` agent groups with `devices` nodes spread over them. */
export function seedMesh(
  world: MeshWorld,
  { groups, devices, owner }: { groups: number; devices: number; owner: FakeMeshAccount }
): void {
  const ids = Array.from(
    { length: groups },
    (_, index) => world.addGroup(`Group ${index}`, { account: owner, desc: `Group number ${index}` })._id
  )
  if (ids.length === 0) return
  for (let index = 0; index < devices; index++) seedNode(world, ids[index % ids.length]!, index)
}
