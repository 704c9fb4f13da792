import type { DeviceRecord } from '../src/index.ts'

/**
 * A device as full as Level tells it, about 1 KB of details. `revision` changes what a change of the device changes.
 */
export function makeDevice(n: number, revision = 0): DeviceRecord {
  return {
    externalId: `Z2lkOi8vbGV2ZWwvRGV2aWNlL${n}==`,
    organizationExternalId: `group-${n % 50}`,
    displayName: `HOST-${n}`,
    hostname: `HOST-${n}`,
    assetType: n % 9 === 0 ? 'server' : 'workstation',
    serialNumber: `SN${n * 7919}`,
    manufacturer: 'Dell Inc.',
    model: 'OptiPlex 7010',
    osType: 'Windows',
    osVersion: `Microsoft Windows 11 Pro 10.0.${22000 + revision}`,
    lastRebootAt: new Date(Date.UTC(2026, 10, 1 + (n % 20))),
    currentUser: `ACME\\user${n % 400}`,
    lanIp: `10.${(n >> 16) & 255}.${(n >> 8) & 255}.${n & 255}`,
    wanIp: '198.51.100.7',
    macAddresses: [
      `D4:BE:D9:${[n >> 16, n >> 8, n].map(part => (part & 255).toString(16).padStart(2, '0').toUpperCase()).join(':')}`
    ],
    cpuModel: 'Intel Core i5-13500T',
    cpuCores: 14,
    ramBytes: 16_900_157_440,
    volumes: [
      { name: 'C:', totalBytes: 254_356_226_048, freeBytes: 121_332_826_112 },
      { name: 'D:', totalBytes: 1_000_204_886_016, freeBytes: 512_110_190_592 }
    ],
    antivirus: { provider: 'Windows Defender', status: 'enabled' },
    location: 'Bristol, United Kingdom',
    tags: ['win11', 'vip'],
    maintenanceMode: false,
    online: n % 5 !== 0,
    lastSeenAt: new Date(Date.UTC(2026, 10, 22, 8, n % 60)),
    uptimeSeconds: 100_000 + n,
    details: {
      groupId: `group-${n % 50}`,
      architecture: 'x86_64',
      memorySlots: 2,
      security: { score: 78, risk: 'medium', patchCompliance: false, firewallEnabled: true, osEndOfLife: false },
      operatingSystem: {
        fullOperatingSystem: 'Microsoft Windows 11 Pro',
        majorVersion: '10',
        minorVersion: '0',
        architecture: '64-bit',
        installDate: '2025-03-04T10:00:00.000Z'
      },
      networkInterfaces: [
        {
          description: 'Intel I219-LM',
          interface: 'Ethernet',
          ipAddresses: ['192.0.2.41', 'fe80::1'],
          gateway: '192.0.2.1',
          dnsServers: ['192.0.2.1']
        }
      ],
      memory: [
        {
          location: 'DIMM1',
          manufacturer: 'Hynix',
          type: 'DDR5',
          clockSpeed: 4800,
          size: 17_179_869_184,
          partNumber: 'HMA-EX-1'
        }
      ],
      disks: [{ type: 'SSD', model: 'PC801 NVMe 256GB', size: 256_060_514_304 }],
      motherboard: { manufacturer: 'Dell Inc.', model: '0W3XYZ', biosVersion: '1.21.0' }
    }
  }
}
