/**
 * What manufacturers, hypervisors and docks leave where an identity should be. Facts, put together for this project
 * from: the default blacklist of GLPI (`Blacklist::getDefaults()`, glpi-project/glpi), the "common MAC addresses" of
 * Dell OpenManage Enterprise, the prefixes that IEEE registered (MA-L) for makers of virtual adapters, of docks and
 * of USB adapters, and what Level's and MeshCentral's users reported.
 */

/** Words and phrases, compared without case, blanks and punctuation: for serial numbers, models and manufacturers. */
export const fillers: readonly string[] = [
  '(null string)',
  '$(DEFAULT_STRING)',
  '0x00000000',
  'Default',
  'Default string',
  'Empty',
  'Fill by OEM',
  'INVALID',
  'N/A',
  'nil',
  'None',
  'Not applicable',
  'Not available',
  'Not defined',
  'Not present',
  'Not provided',
  'Not set',
  'Not specified',
  'Null',
  'O.E.M.',
  'OEM default',
  'String',
  'TBD',
  'To be defined by O.E.M.',
  'To be filled by O.E.M.',
  'To be filled',
  'Undefined',
  'Unknow',
  'Unknown',
  'Unspecified'
]

/** Only where a serial number should be. A phrase without any digit needs no entry, and neither do runs of digits. */
export const fillerSerials: readonly string[] = [
  '0123',
  '1234',
  '123456789000',
  'Asset',
  'AssetTag',
  'BaseBoardSerialNumber',
  'BoardSerialNumber',
  'ChassisSerialNumber',
  'EVAL',
  'IATPASS',
  'OEM_Serial',
  'Number',
  'Serial',
  'SerialNumber',
  'SN-123456fvgv3i0b8o5n6n7k',
  'System',
  'SystemSerialNumb',
  'SystemSerialNumber',
  'Type2 - Board Serial Number'
]

/** Only where a model should be. */
export const fillerModels: readonly string[] = [
  '*',
  'All Series',
  'OEM Product',
  'Product',
  'Product Name',
  'System',
  'System Model',
  'System Name',
  'System Product Name',
  'System Version',
  'Type1ProductConfigId',
  'x.x'
]

/** Only where a manufacturer should be. */
export const fillerManufacturers: readonly string[] = ['Manufacturer', 'OEM Manufacturer', 'System manufacturer']

/** Prefixes of makers of virtual network adapters, docks and USB adapters: several machines share what these have. */
export const sharedMacPrefixes: Readonly<Record<string, string>> = {
  '00:03:FF': 'Microsoft Virtual PC',
  '00:05:69': 'VMware',
  '00:0C:29': 'VMware',
  '00:0F:4B': 'Virtual Iron',
  '00:15:5D': 'Microsoft Hyper-V',
  '00:16:3E': 'Xen',
  '00:1C:14': 'VMware',
  '00:1C:42': 'Parallels',
  '00:21:F6': 'Oracle VM',
  '00:50:56': 'VMware',
  '08:00:27': 'VirtualBox',
  '58:9C:FC': 'bhyve',
  'BC:24:11': 'Proxmox',
  '00:00:5E': 'IANA: virtual routers and the like',
  '00:05:9A:3C:7': 'Cisco AnyConnect, the same on every machine',
  '00:FF': 'TAP-Windows, made up by its driver',
  '00:0E:C6': 'ASIX: USB adapters and docks',
  'F8:E4:3B': 'ASIX: USB adapters and docks',
  '00:13:3B': 'Speed Dragon: USB adapters',
  '00:1A:7D': 'cyber-blue: Bluetooth dongles, many with one address',
  '00:24:9B': 'Action Star: docks',
  '00:50:B6': 'Good Way: docks',
  '00:E0:4C': 'Realtek: USB adapters, and what was never programmed',
  '3C:18:A0': 'Luxshare: USB adapters and docks',
  '64:4B:F0': 'CalDigit: docks',
  '6C:6E:07': 'CE Link: USB adapters',
  '90:DE:80': 'Century Xinyang: USB adapters',
  '9C:EB:E8': 'BizLink: docks',
  'A0:CE:C8': 'CE Link: USB adapters',
  'F4:4D:AD': 'Cable Matters: USB adapters'
}

/** Single addresses that drivers make up, the same on every machine. */
export const sharedMacs: readonly string[] = [
  '00:00:FF:FF:FF:FF',
  '00:0B:CA:FE:00:00', // Juniper
  '00:0B:CA:FE:00:01',
  '00:53:45:00:00:00', // dial-up
  '00:A0:C6:00:00:00', // Qualcomm Gobi
  '20:41:53:59:4E:FF', // RAS asynchronous adapter
  '24:B6:20:52:41:53', // WAN miniports
  '44:45:53:54:00:00', // dial-up
  '44:45:53:54:42:00',
  '50:50:54:50:30:30' // WAN miniport, PPTP
]
