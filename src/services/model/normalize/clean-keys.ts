import {
  fillerManufacturers,
  fillerModels,
  fillers,
  fillerSerials,
  sharedMacPrefixes,
  sharedMacs
} from './filler-keys.ts'

/**
 * Clean keys: what a machine can be told by, one rule for all providers. What many machines have in common is none.
 */

/** Case, blanks and punctuation say nothing: they differ between the firmware's tables of one machine. */
function folded(value: string): string {
  const lower = value.toLowerCase()
  return /[^a-z0-9]/.test(lower) ? lower.replace(/[^\p{L}\p{N}]+/gu, '') : lower
}

const everywhere = fillers.map(folded)
const noSerial = new Set([...everywhere, ...fillerSerials.map(folded)])
const noModel = new Set([...everywhere, ...fillerModels.map(folded)])
const noManufacturer = new Set([...everywhere, ...fillerManufacturers.map(folded)])

/** Of letters or of digits alone; a shorter one of both may be somebody's own number. */
const shortestSerial = 4
const shortestCount = 5

/** `xxxxxxxx`, `0000000`. */
const isRun = (value: string): boolean => /^(.)\1*$/u.test(value)

const stepBetween = (digits: string, at: number): number => (Number(digits[at]) - Number(digits[at - 1]) + 10) % 10

/**
 * Digits that somebody typed in a row: `12345`, `0123456789`, `9876543210`, going round after nine. Up from 0 or 1, or
 * down from 9 or to 1 or 0: others may be a maker's.
 */
function isCount(value: string): boolean {
  if (value.length < shortestCount || !/^\d+$/.test(value)) return false
  const step = stepBetween(value, 1)
  if (step === 1 ? !/^[01]/.test(value) : step !== 9 || !/^9|[01]$/.test(value)) return false
  for (let at = 2; at < value.length; at++) if (stepBetween(value, at) !== step) return false
  return true
}

/** What boards put in front of digits that count: `SYS-1234567890`, `MB-1234567890`, `SN-12345`. */
const countPrefix = /^(sys|system|sn|mb|nb|bb|bsn|bss|eb|chassis|board|serial|serialnumber)(?=\d)/

function isFillerSerial(serial: string): boolean {
  const key = folded(serial)
  if (key === '' || noSerial.has(key)) return true
  // Words: a phrase of them, such as "Chassis Serial Number" or a vendor's name, is no number.
  if (!/\d/.test(key)) return key.length < shortestSerial || isRun(key) || /\s/.test(serial.trim())
  if (!/^\d+$/.test(key))
    // What begins with the hypervisor's name is its own invention: it moves with copies of the machine.
    return key.startsWith('vmware') || isCount(key.replace(countPrefix, ''))
  return key.length < shortestSerial || isRun(key) || isCount(key) || /^[01]+$/.test(key) || isVersion(serial)
}

/** `1.0`, `1.2.3`: what stands next to the serial number in the firmware. */
const isVersion = (serial: string): boolean => /^\d(\.\d){1,2}$/.test(serial.trim())

/** A serial number that can tell machines apart, or null. */
export function cleanSerial(serial: string | null): string | null {
  return serial === null || isFillerSerial(serial) ? null : serial
}

const isFiller = (value: string, known: ReadonlySet<string>): boolean => {
  const key = folded(value)
  return key === '' || known.has(key) || (key.length > 2 && isRun(key))
}

export function cleanModel(model: string | null): string | null {
  return model === null || isFiller(model, noModel) ? null : model
}

export function cleanManufacturer(manufacturer: string | null): string | null {
  return manufacturer === null || isFiller(manufacturer, noManufacturer) ? null : manufacturer
}

const byLength = Map.groupBy(Object.keys(sharedMacPrefixes), prefix => prefix.length)
const prefixes = [...byLength].map(([length, same]) => ({ length, known: new Set(same) }))
const shared = new Set(sharedMacs)
/** Second-lowest bit of the first byte: given by software, not by a maker. The lowest: a group, not an adapter. */
const notByMaker = 0b11

/** `AA:BB:CC:DD:EE:FF` in any spelling; null for what is no address of six bytes. */
export function macOf(value: string): string | null {
  if (/^[0-9A-F]{2}(:[0-9A-F]{2}){5}$/.test(value)) return value
  const digits = value.replace(/[:.\-\s]/g, '').toUpperCase()
  return /^[0-9A-F]{12}$/.test(digits) ? digits.match(/../g)!.join(':') : null
}

/** Whether only one machine can have it. */
export function isOwnMac(mac: string): boolean {
  if (mac === '00:00:00:00:00:00' || (Number.parseInt(mac.slice(0, 2), 16) & notByMaker) !== 0) return false
  // The tail " RAS" spelled in bytes: made up by Windows.
  if (shared.has(mac) || mac.endsWith(':20:52:41:53')) return false
  return !prefixes.some(({ length, known }) => known.has(mac.slice(0, length)))
}

/** The addresses by which a machine can be told, upper case with colons, each once, in the order they came. */
export function cleanMacs(values: readonly string[]): string[] {
  const macs: string[] = []
  for (const value of values) {
    const mac = macOf(value)
    if (mac !== null && isOwnMac(mac) && !macs.includes(mac)) macs.push(mac)
  }
  return macs
}
