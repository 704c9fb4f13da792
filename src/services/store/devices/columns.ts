/**
 * Fields of a device record, their columns and types, in the order of the model's `deviceRow`: the insert and the
 * update are made from them.
 */
export const deviceColumns = [
  ['organizationExternalId', 'organization_external_id', 'text'],
  ['displayName', 'display_name', 'text'],
  ['assetType', 'asset_type', 'text'],
  ['kind', 'kind', 'text'],
  ['hostname', 'hostname', 'text'],
  ['serialNumber', 'serial_number', 'text'],
  ['manufacturer', 'manufacturer', 'text'],
  ['model', 'model', 'text'],
  ['osType', 'os_type', 'text'],
  ['osVersion', 'os_version', 'text'],
  ['currentUser', 'current_user_name', 'text'],
  ['lanIp', 'lan_ip', 'text'],
  ['wanIp', 'wan_ip', 'text'],
  ['macAddresses', 'mac_addresses', 'jsonb'],
  ['cpuModel', 'cpu_model', 'text'],
  ['cpuCores', 'cpu_cores', 'int'],
  ['ramBytes', 'ram_bytes', 'bigint'],
  ['volumes', 'volumes', 'jsonb'],
  ['antivirus', 'antivirus', 'jsonb'],
  ['location', 'location', 'text'],
  ['tags', 'tags', 'jsonb'],
  ['maintenanceMode', 'maintenance_mode', 'boolean'],
  ['details', 'details', 'jsonb'],
  ['lastRebootAt', 'last_reboot_at', 'timestamptz']
] as const

/** What a column that must not be null starts with when the platform did not tell. */
export const initialValues: Readonly<Record<string, unknown>> = {
  asset_type: 'workstation',
  kind: 'workstation',
  mac_addresses: [],
  volumes: [],
  tags: [],
  maintenance_mode: false,
  details: {}
}
