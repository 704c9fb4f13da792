import { deviceAt } from './seed-device.ts'
import { chance, pick, random } from './random.ts'
import {
  type LevelAlert,
  type LevelDevice,
  type LevelGroup,
  levelId,
  levelNumber,
  type LevelTag,
  type LevelUpdate,
  type LevelWorld,
  type Source
} from './types.ts'

export interface SeedOptions {
  /** Default 25. 100,000 is fine: records are made when they are read. */
  devices?: number
  /** Groups in a tree of three levels. Default a tenth of the devices, at least 1. */
  groups?: number
  /** Alerts, about one in four of them resolved. Default a tenth of the devices. */
  alerts?: number
  /** Updates for every device, about one in eight installed. Default 2. */
  updatesPerDevice?: number
  /** Devices with values of the wrong kind, spread over the list. Their ids are in `brokenIds`. Default 0. */
  broken?: number
  /** Same options and seed, same account. Default 1. */
  seed?: number
}

export interface SeededWorld extends LevelWorld {
  groups: Source<LevelGroup>
  devices: Source<LevelDevice>
  alerts: Source<LevelAlert>
  updates: Source<LevelUpdate>
  tags: LevelTag[]
  /** Devices whose values have the wrong kind. */
  brokenIds: string[]
}

const tagNames = ['vip', 'win11', 'server', 'kiosk', 'field', 'loaner', 'backup', 'do-not-reboot']

/** Makes an account of any size; see `SeedOptions`. Throws `RangeError` on a count that is none. */
export function seedLevel(options: SeedOptions = {}): SeededWorld {
  const devices = options.devices ?? 25
  const groups = options.groups ?? Math.max(1, Math.ceil(devices / 10))
  const alerts = options.alerts ?? Math.ceil(devices / 10)
  const updatesPerDevice = options.updatesPerDevice ?? 2
  const broken = Math.min(options.broken ?? 0, devices)
  for (const [name, count] of Object.entries({ devices, groups, alerts, updatesPerDevice, broken })) {
    if (!Number.isInteger(count) || count < 0)
      throw new RangeError(`seedLevel: '${name}' must be a whole number from 0, got ${count}`)
  }
  const seed = options.seed ?? 1
  const every = broken > 0 ? Math.floor(devices / broken) : 0
  const isBroken = (index: number) => every > 0 && index % every === every - 1 && Math.floor(index / every) < broken
  // One in twenty devices is in no group.
  const groupIdOf = (index: number) => {
    const next = random(seed, 2, index)
    return groups === 0 || chance(next, 0.05) ? null : groupId(Math.floor(next() * groups))
  }
  const device = (index: number) => deviceAt(seed, index, groupIdOf(index), tagNames, isBroken(index))
  return {
    groups: numbered('Group', firstGroup, groups, index => groupAt(seed, index)),
    devices: { ...numbered('Device', firstDevice, devices, device), groupIdOf },
    alerts: numbered('Alert', firstAlert, devices === 0 ? 0 : alerts, index =>
      alertAt(seed, index, device(Math.floor(random(seed, 3, index)() * devices)))
    ),
    updates: numbered('Update', firstUpdate, devices * updatesPerDevice, index =>
      updateAt(seed, index, device(Math.floor(index / updatesPerDevice)))
    ),
    tags: tagNames.map((name, index) => ({ id: levelId('Tag', index + 1), name })),
    brokenIds: Array.from({ length: broken }, (_, index) => levelId('Device', firstDevice + (index + 1) * every - 1))
  }
}

// Six digits pad the base64 with two equals signs: ids that break where they are not encoded.
const firstDevice = 100001
const firstGroup = 7101
const firstAlert = 5550001
const firstUpdate = 33000001

const groupId = (index: number) => levelId('Group', firstGroup + index)

function numbered<T extends { id: string }>(
  type: string,
  first: number,
  count: number,
  at: (index: number) => T
): Source<T> {
  return {
    count,
    at,
    indexOf(id) {
      const index = levelNumber(type, id) - first
      return index >= 0 && index < count ? index : -1
    }
  }
}

const clientNames = [
  'Harbour',
  'Northgate',
  'Elm Street',
  'Riverside',
  'Kestrel',
  'Old Mill',
  'Summit',
  'Juniper',
  'Castle',
  'Beacon',
  'Fairview',
  'Orchard',
  'Müller',
  'Saint-Étienne',
  "O'Brien"
]
const trades = [
  'Dental',
  'Accounting',
  'Legal',
  'Logistics',
  'Veterinary',
  'Architects',
  'Bakery',
  'Pharmacy',
  'Engineering',
  'School',
  'Print & Copy'
]
const sites = ['Head office', 'Quayside', 'Warehouse', 'North branch', 'High Street', 'Clinic', 'Home workers']
const rooms = ['Reception', 'Servers', 'Back office', 'Floor 2', 'Workshop', 'Meeting rooms']

/** Blocks of seven: one client, its two sites, two departments in each. */
function groupAt(seed: number, index: number): LevelGroup {
  const next = random(seed, 1, index)
  const place = index % 7
  const block = Math.floor(index / 7)
  const id = groupId(index)
  if (place === 0) {
    const name = `${clientNames[block % clientNames.length]} ${trades[Math.floor(block / clientNames.length) % trades.length]}`
    const repeat = Math.floor(block / (clientNames.length * trades.length))
    return { id, name: repeat === 0 ? name : `${name} ${repeat + 1}`, parent_id: null }
  }
  if (place <= 2) return { id, name: `${pick(next, sites)} ${place}`, parent_id: groupId(block * 7) }
  return { id, name: `${pick(next, rooms)} ${(place % 2) + 1}`, parent_id: groupId(block * 7 + (place <= 4 ? 1 : 2)) }
}

const monitors: Array<[name: string, description: string, severity: string]> = [
  ['Disk space low', 'C: has less than 10 percent free', 'warning'],
  ['Device offline', 'No contact for 15 minutes', 'critical'],
  ['Backup failed', 'The last three backups did not finish', 'emergency'],
  ['Reboot pending', 'Updates wait for a restart', 'information'],
  ['Antivirus disabled', 'Real-time protection is off', 'critical'],
  ['CPU above 95 %', 'For 30 minutes', 'warning']
]
const day = 24 * 60 * 60 * 1000
const now = Date.UTC(2026, 10, 21, 14, 0, 0)

function alertAt(seed: number, index: number, device: LevelDevice): LevelAlert {
  const next = random(seed, 4, index)
  const [name, description, severity] = pick(next, monitors)
  const startedAt = now - Math.floor(next() * 20 * day)
  const resolved = chance(next, 0.25)
  return {
    id: levelId('Alert', firstAlert + index),
    device_id: device.id,
    device_hostname: typeof device.hostname === 'string' ? device.hostname : null,
    name,
    description,
    payload: chance(next, 0.3) ? `exit code ${Math.floor(next() * 5)}\nsecond line` : null,
    severity,
    is_resolved: resolved,
    started_at: new Date(startedAt).toISOString(),
    resolved_at: resolved ? new Date(startedAt + Math.floor(next() * day)).toISOString() : null
  }
}

function updateAt(seed: number, index: number, device: LevelDevice): LevelUpdate {
  const next = random(seed, 5, index)
  const kb = `KB${5000000 + Math.floor(next() * 99999)}`
  const installed = chance(next, 0.125)
  return {
    id: levelId('Update', firstUpdate + index),
    device_id: device.id,
    device_hostname: typeof device.hostname === 'string' ? device.hostname : null,
    name: `2026-11 ${pick(next, ['Cumulative Update', 'Security Intelligence Update', 'Servicing Stack Update'])} (${kb})`,
    description: chance(next, 0.5) ? 'Security fixes' : null,
    category: pick(next, ['Security Updates', 'Definition Updates', 'Drivers', null]),
    version: null,
    size: chance(next, 0.8) ? Math.floor(next() * 900_000_000) : null,
    kb_ids: [kb],
    is_available: !installed,
    error: chance(next, 0.03) ? 'Install failed: 0x80070643' : null,
    published_on: new Date(now - 12 * day).toISOString(),
    installed_on: installed ? new Date(now - 3 * day).toISOString() : null
  }
}
