import type { DeviceRecord } from '../define.ts'
import * as values from '../values.ts'
import { isObject } from './frames.ts'

type Facts = Record<string, unknown>
type Volume = NonNullable<DeviceRecord['volumes']>[number]

/** Readers of a `sysinfo` document, which the agent collects: every part of it may be missing or of another type. */

/** Printable text, null where there is none. */
export function textOf(value: unknown): string | null {
  return values.text(value, undefined, { line: true }) ?? null
}

/** The value at `path`, undefined where any part of the way is missing. */
export function at(from: unknown, ...path: string[]): unknown {
  let value = from
  for (const key of path) value = isObject(value) && Object.hasOwn(value, key) ? value[key] : undefined
  return value
}

function list(value: unknown): Facts[] {
  return Array.isArray(value) ? value.filter(isObject) : isObject(value) ? [value] : []
}

/** Texts, best first; which of them says something is decided for all providers alike. */
function candidates(...told: unknown[]): string[] {
  return told.map(textOf).filter(text => text !== null)
}

/** Bytes or multiples as a number or digits; null for anything else. */
function amount(value: unknown): number | null {
  return values.integer(value) ?? null
}

const units: Record<string, number> = { b: 1, k: 1024, m: 1024 ** 2, g: 1024 ** 3, t: 1024 ** 4, p: 1024 ** 5 }

/** `16 GB`, `465GiB (500GB)`, `7.6Gi`: bytes, by powers of 1024 as memory and file system tools print them. */
export function sizeOf(value: unknown): number | null {
  const plain = amount(value)
  if (plain !== null || typeof value !== 'string') return plain
  const [, number, unit] = /^\s*(\d{1,15}(?:\.\d{1,6})?)\s*([bkmgtp])/i.exec(value) ?? []
  return number === undefined ? null : Math.round(Number(number) * units[unit!.toLowerCase()]!)
}

function sum(sizes: Array<number | null>): number | null {
  const total = sizes.reduce<number>((all, size) => all + (size ?? 0), 0)
  return total > 0 ? total : null
}

export function ramOf(hw: unknown): number | null {
  const windows = sum(list(at(hw, 'windows', 'memory')).map(module => amount(module['Capacity'])))
  const linux = () => sum(list(at(hw, 'linux', 'memory', 'Memory_Device')).map(module => sizeOf(module['Size'])))
  const mac = () => sum(list(at(hw, 'darwin', 'memory')).map(module => sizeOf(module['Size'])))
  return windows ?? linux() ?? mac()
}

function volume(name: unknown, totalBytes: number | null, freeBytes: number | null): Volume[] {
  const label = textOf(name)
  return label === null || !totalBytes
    ? []
    : [{ name: label, totalBytes, freeBytes: freeBytes === null ? null : Math.min(freeBytes, totalBytes) }]
}

const kib = (value: unknown) => {
  const size = amount(value)
  return size === null ? null : size * 1024
}

const notStored = new Set(['tmpfs', 'devtmpfs', 'squashfs', 'overlay'])

/** Named fields only: a Windows volume also carries its BitLocker recovery password, which must not get any further. */
export function volumesOf(hw: unknown): DeviceRecord['volumes'] {
  const windows = at(hw, 'windows', 'volumes')
  if (isObject(windows)) {
    return Object.entries(windows)
      .sort(([a], [b]) => (a < b ? -1 : 1))
      .flatMap(([letter, facts]) =>
        volume(
          /^[a-z]$/i.test(letter) ? `${letter.toUpperCase()}:` : letter,
          amount(at(facts, 'size')),
          amount(at(facts, 'sizeremaining'))
        )
      )
  }
  const linux = at(hw, 'linux', 'volumes')
  if (isObject(linux) || Array.isArray(linux)) {
    return Object.values(linux)
      .filter(isObject)
      .filter(facts => !notStored.has(String(facts['type'])))
      .flatMap(facts => volume(facts['mount_point'], kib(facts['size']), kib(facts['available'])))
  }
  const mac = at(hw, 'darwin', 'volumes')
  if (isObject(mac) || Array.isArray(mac)) {
    return Object.values(mac)
      .filter(isObject)
      .flatMap(facts =>
        volume(facts['mount_point'] ?? facts['name'], sizeOf(facts['size']), sizeOf(facts['available']))
      )
  }
  return null
}

function cpuCoresOf(hw: unknown): number | null {
  return sum(list(at(hw, 'windows', 'cpu')).map(cpu => amount(cpu['NumberOfCores'])))
}

/** CIM time `yyyymmddHHMMSS.ffffff±UUU`, the offset in minutes. */
function cimTime(value: unknown): Date | null {
  if (typeof value !== 'string') return null
  const [, year, month, day, hour, minute, second, offset] =
    /^(\d{4})(\d\d)(\d\d)(\d\d)(\d\d)(\d\d)(?:\.\d+)?([+-]\d{3})$/.exec(value) ?? []
  if (year === undefined) return null
  return timeOf(Date.UTC(+year, +month! - 1, +day!, +hour!, +minute!, +second!) - Number(offset) * 60_000)
}

/** A moment between 1990 and tomorrow, from milliseconds since 1970. */
export function timeOf(ms: unknown): Date | null {
  if (typeof ms !== 'number' || !(ms > 631_152_000_000) || ms > Date.now() + 86_400_000) return null
  return new Date(ms)
}

/** Linux tells it in the device's local time without a zone, which is no moment: left out. */
export function bootTimeOf(node: Facts, hw: unknown): Date | null {
  const mac = amount(at(hw, 'darwin', 'LastBootUpTime'))
  return (
    timeOf(node['lastbootuptime']) ??
    (mac === null ? null : timeOf(mac * 1000)) ??
    cimTime(at(hw, 'windows', 'osinfo', 'LastBootUpTime'))
  )
}

/** Rack, blade and main server chassis, as SMBIOS numbers them. */
const serverChassis = new Set(['17', '23', '25', '28', '29'])

export function assetTypeOf(osFamily: string | null, osText: string | null, hw: unknown): DeviceRecord['assetType'] {
  const productType = amount(at(hw, 'windows', 'osinfo', 'ProductType'))
  if (productType === 2 || productType === 3 || (osText !== null && /\bserver\b/i.test(osText))) return 'server'
  if (serverChassis.has(String(at(hw, 'linux', 'chassis_type')))) return 'server'
  return osFamily === 'Windows' || osFamily === 'macOS' ? 'workstation' : null
}

function storage(hw: unknown): Array<{ model: string | null; size: string | null }> {
  return list(at(hw, 'identifiers', 'storage_devices')).map(disk => ({
    model: textOf(disk['Model']) ?? textOf(disk['Caption']),
    size: typeof disk['Size'] === 'number' ? String(disk['Size']) : textOf(disk['Size'])
  }))
}

/** Without the values that move by themselves (collection time, users, power): those would make every read a change. */
function hardwareDetails(hw: unknown): Facts {
  const id = (key: string) => textOf(at(hw, 'identifiers', key))
  const osinfo = (key: string) => textOf(at(hw, 'windows', 'osinfo', key))
  return {
    os: {
      caption: osinfo('Caption'),
      version: osinfo('Version'),
      build: osinfo('BuildNumber'),
      architecture: osinfo('OSArchitecture')
    },
    bios: { vendor: id('bios_vendor'), version: id('bios_version'), date: id('bios_date'), mode: id('bios_mode') },
    uuid: id('product_uuid'),
    storage: storage(hw),
    agentVersion: textOf(at(hw, 'agentvers', 'commitDate'))
  }
}

/** What a `sysinfo` document tells about a device. */
export function inventoryOf(sysinfo: Facts): { record: Partial<DeviceRecord>; details: Facts } {
  const hw = sysinfo['hardware']
  const id = (key: string) => at(hw, 'identifiers', key)
  const makers = [at(hw, 'linux', 'sys_vendor'), id('board_vendor'), id('bios_vendor'), at(hw, 'mobile', 'brand')]
  const models = [id('product_name'), at(hw, 'linux', 'product_name'), at(hw, 'mobile', 'model'), id('board_name')]
  const serials = [id('bios_serial'), at(hw, 'linux', 'product_serial'), id('board_serial')]
  const [manufacturer, ...otherMakers] = candidates(...makers)
  const [model, ...otherModels] = candidates(...models)
  const [serialNumber, ...otherSerials] = candidates(...serials)
  return {
    record: {
      manufacturer,
      model,
      serialNumber,
      alternatives: { manufacturer: otherMakers, model: otherModels, serialNumber: otherSerials },
      cpuModel: textOf(id('cpu_name')) ?? textOf(at(list(at(hw, 'windows', 'cpu'))[0], 'Name')) ?? undefined,
      cpuCores: cpuCoresOf(hw),
      ramBytes: ramOf(hw) ?? undefined,
      volumes: volumesOf(hw) ?? undefined
    },
    details: {
      ...hardwareDetails(hw),
      pendingReboot:
        typeof sysinfo['pendingReboot'] === 'boolean' ? sysinfo['pendingReboot'] : textOf(sysinfo['pendingReboot'])
    }
  }
}
