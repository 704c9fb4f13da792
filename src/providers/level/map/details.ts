import * as values from '../../values.ts'

type Raw = Record<string, unknown>

/** Any scalar as it came, cleaned so that it can be stored as JSON. */
function scalar(value: unknown): string | number | boolean | null {
  if (typeof value === 'boolean') return value
  if (typeof value === 'number') return Number.isFinite(value) ? value : null
  return values.text(value) ?? null
}

const camel = (name: string) => name.replace(/_([a-z])/g, (_, letter: string) => letter.toUpperCase())

/** The named scalars of a record under camel-case names, absent ones left out. */
export function pick({ raw }: Pick<values.Reader, 'raw'>, names: readonly string[]): Raw {
  const picked: Raw = {}
  for (const name of names) {
    const value = scalar(raw[name])
    if (value !== null) picked[camel(name)] = value
  }
  return picked
}

const textOrNumber = (value: unknown) => values.text(value, undefined, { numbers: true }) ?? null

/** Strings of a list without repeats; entries with a `name` count by it. Undefined where it is not a list. */
export function texts(value: unknown, wrong?: values.Wrong): string[] | null | undefined {
  const read = values.list(
    value,
    (entry, wrong) => values.text(values.isObject(entry) ? entry['name'] : entry, wrong),
    wrong
  )
  return read && [...new Set(read)]
}

const dnsServers = (value: unknown) =>
  texts(value) ??
  values
    .text(value)
    ?.split(/[\s,;]+/)
    .filter(Boolean) ??
  []

function adapters(value: unknown): Raw[] | null {
  return (
    values.list(value, adapter => {
      if (!values.isObject(adapter)) return null
      return {
        ...pick({ raw: adapter }, [
          'description',
          'interface',
          'label',
          'mac_address',
          'gateway',
          'domain',
          'dhcp_server'
        ]),
        ipAddresses: texts(adapter['ip_addresses']) ?? [],
        dnsServers: dnsServers(adapter['dns_servers'])
      }
    }) ?? null
  )
}

function operatingSystem(raw: Raw): Raw {
  return {
    ...pick({ raw }, ['full_operating_system', 'architecture', 'install_date', 'end_of_life']),
    majorVersion: textOrNumber(raw['major_version']),
    minorVersion: textOrNumber(raw['minor_version'])
  }
}

/** Of the device itself. */
const own = [
  'role',
  'group_id',
  'group_name',
  'maintenance_mode',
  'notes',
  'manufacturer',
  'model',
  'architecture',
  'serial_number',
  'memory_slots',
  'city',
  'country'
]
const memory = [
  'location',
  'manufacturer',
  'memory_type',
  'clock_speed',
  'size',
  'serial_number',
  'part_number',
  'form_factor'
]
/** `patch_compliance` comes as a boolean from some accounts and as a percentage from others: kept as told. */
const security = [
  'patch_compliance',
  'patch_security_risk',
  'os_end_of_life',
  'primary_partition_encrypted',
  'firewall_provider',
  'firewall_enabled',
  'firewall_status',
  'antivirus_provider',
  'antivirus_status',
  'user_account_control_enabled',
  'auto_update',
  'admin_accounts_count'
]

const objectOf = (value: unknown): Raw => (values.isObject(value) ? value : {})

/**
 * A device's facts without a column of their own, as they were told. Nothing that changes by itself, such as free
 * space, or every read would be a change.
 */
export function toDetails({ raw }: values.Reader): Raw {
  const lists = (name: string, fields: readonly string[]) =>
    values.list(raw[name], entry => (values.isObject(entry) ? pick({ raw: entry }, fields) : null)) ?? null
  const protection = objectOf(raw['security'])
  return {
    ...pick({ raw }, own),
    tags: texts(raw['tags']) ?? null,
    flag: scalar(raw['flag']),
    securityScore: scalar(raw['security_score']) ?? scalar(protection['score']),
    securityRisk: scalar(protection['risk']),
    operatingSystem: operatingSystem(objectOf(raw['operating_system'])),
    cpus: lists('cpus', ['model', 'clock_speed', 'cores']),
    memory: lists('memory', memory),
    disks: lists('disks', ['disk_type', 'model', 'serial_number', 'size']),
    partitions: lists('disk_partitions', ['label', 'mount_point', 'encrypted', 'primary', 'size', 'file_system']),
    networkInterfaces: adapters(raw['network_interfaces']),
    motherboard: pick({ raw: objectOf(raw['motherboard']) }, ['manufacturer', 'model', 'bios_version']),
    security: pick({ raw: protection }, security)
  }
}
