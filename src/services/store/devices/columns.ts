import type { NormalFacts } from '../../model/normalize/device.ts'
import { fieldOf, joinFields } from '../row-set.ts'

/** Fields of a device record, their columns and types, in the order of `deviceRow`: the insert and the update are made from them. */
export const deviceColumns = [
  ['organizationExternalId', 'organization_external_id', 'text'], ['displayName', 'display_name', 'text'], ['assetType', 'asset_type', 'text'],
  ['hostname', 'hostname', 'text'], ['serialNumber', 'serial_number', 'text'], ['manufacturer', 'manufacturer', 'text'], ['model', 'model', 'text'],
  ['osType', 'os_type', 'text'], ['osVersion', 'os_version', 'text'], ['lastRebootAt', 'last_reboot_at', 'timestamptz'],
  ['currentUser', 'current_user_name', 'text'], ['lanIp', 'lan_ip', 'text'], ['wanIp', 'wan_ip', 'text'], ['macAddresses', 'mac_addresses', 'jsonb'],
  ['cpuModel', 'cpu_model', 'text'], ['cpuCores', 'cpu_cores', 'int'], ['ramBytes', 'ram_bytes', 'bigint'], ['volumes', 'volumes', 'jsonb'],
  ['antivirus', 'antivirus', 'jsonb'], ['location', 'location', 'text'], ['tags', 'tags', 'jsonb'], ['maintenanceMode', 'maintenance_mode', 'boolean'],
  ['details', 'details', 'jsonb']
] as const

/** What a column that must not be null starts with when the platform did not tell. */
export const initialValues: Readonly<Record<string, unknown>> = {
  asset_type: 'workstation', mac_addresses: [], volumes: [], tags: [], maintenance_mode: false, details: {}
}

/** A device as it travels to the database: what is hashed and what is written are one text. Spelled out, as a loop over `deviceColumns` takes five times as long. */
export function deviceRow (organizationExternalId: string | null, displayName: string, facts: NormalFacts): string {
  return joinFields([
    fieldOf(organizationExternalId), displayName, fieldOf(facts.assetType),
    fieldOf(facts.hostname), fieldOf(facts.serialNumber), fieldOf(facts.manufacturer), fieldOf(facts.model),
    fieldOf(facts.osType), fieldOf(facts.osVersion), fieldOf(facts.lastRebootAt),
    fieldOf(facts.currentUser), fieldOf(facts.lanIp), fieldOf(facts.wanIp), fieldOf(facts.macAddresses),
    fieldOf(facts.cpuModel), fieldOf(facts.cpuCores), fieldOf(facts.ramBytes), fieldOf(facts.volumes),
    fieldOf(facts.antivirus), fieldOf(facts.location), fieldOf(facts.tags), fieldOf(facts.maintenanceMode),
    fieldOf(facts.details)
  ])
}
