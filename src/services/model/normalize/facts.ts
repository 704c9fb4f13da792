import { type DeviceFacts, type NetworkInterface, type Note, nullErases } from '../../../providers/define.ts'
import { type DeviceKind, deviceKinds } from '../../../words.ts'
import { stableJson } from '../stable-json.ts'
import { cleanMacs, cleanManufacturer, cleanModel, cleanSerial } from './clean-keys.ts'
import { isObject, maxInt, maxNameLength, moment, none, text, texts, truth, whole } from './field-values.ts'
import { addressOf, lanAddressOf, macsOf, tellsNetwork } from './network.ts'

/**
 * What a device tells about itself as it is stored. Null: not told. That there is none is told where `nullErases`
 * says so: by `none` in texts, by the empty list of tags, by a maintenance mode that is off.
 */
export interface NormalFacts {
  assetType: 'workstation' | 'server' | null
  kind: DeviceKind | null
  hostname: string | null
  serialNumber: string | null
  manufacturer: string | null
  model: string | null
  osType: string | null
  osVersion: string | null
  lastRebootAt: string | null
  currentUser: string | null
  lanIp: string | null
  wanIp: string | null
  macAddresses: string[] | null
  cpuModel: string | null
  cpuCores: number | null
  ramBytes: number | null
  volumes: Array<{ name: string; totalBytes: number | null }> | null
  antivirus: { provider: string | null; status: string | null } | null
  location: string | null
  tags: string[] | null
  maintenanceMode: boolean | null
  /** JSON. */
  details: string | null
}

type Field = keyof typeof nullErases

export function factsOf(
  told: DeviceFacts,
  observedAt: Date,
  note: Note
): { facts: NormalFacts; freeBytes: Array<number | null> | null } {
  const { volumes, freeBytes } = volumesOf(told, note)
  return {
    freeBytes,
    facts: {
      ...kindOf(told, note),
      hostname: name(told.hostname, 'hostname', note),
      serialNumber: firstClean(told, 'serialNumber', cleanSerial, note),
      manufacturer: firstClean(told, 'manufacturer', cleanManufacturer, note),
      model: firstClean(told, 'model', cleanModel, note),
      osType: name(told.osType, 'osType', note),
      osVersion: name(told.osVersion, 'osVersion', note),
      lastRebootAt: bootOf(told.lastRebootAt, observedAt, note),
      currentUser: name(told.currentUser, 'currentUser', note),
      ...networkOf(told, note),
      cpuModel: name(told.cpuModel, 'cpuModel', note),
      cpuCores: whole(told.cpuCores, maxInt, 'cpuCores', note) || null,
      ramBytes: whole(told.ramBytes, undefined, 'ramBytes', note) || null,
      volumes,
      antivirus: antivirusOf(told.antivirus, note),
      location: name(told.location, 'location', note),
      tags: told.tags === null && nullErases.tags ? [] : texts(told.tags, 'tags', note),
      maintenanceMode:
        told.maintenanceMode === null && nullErases.maintenanceMode
          ? false
          : truth(told.maintenanceMode, 'maintenanceMode', note),
      details: detailsOf(told.details, note)
    }
  }
}

/** The first of what is told of a field that is no filler. */
function firstClean(
  told: DeviceFacts,
  field: 'serialNumber' | 'manufacturer' | 'model',
  clean: (text: string | null) => string | null,
  note: Note
): string | null {
  const own = clean(text(told[field], maxNameLength, field, note))
  const others = own === null && isObject(told.alternatives) ? texts(told.alternatives[field], field, note) : null
  return own ?? others?.find(other => clean(other) !== null) ?? null
}

function name(value: unknown, field: Field, note: Note): string | null {
  return value === null && nullErases[field] ? none : text(value, maxNameLength, field, note)
}

/** Either is made from the other where only one is told. */
function kindOf(told: DeviceFacts, note: Note): Pick<NormalFacts, 'assetType' | 'kind'> {
  const assetType = oneOf(told.assetType, ['workstation', 'server'] as const, 'assetType', note)
  const kind = oneOf(told.kind, deviceKinds, 'kind', note)
  const derived = kind === null ? null : kind === 'server' || kind === 'vm-host' ? 'server' : 'workstation'
  return { assetType: assetType ?? derived, kind: kind ?? assetType }
}

function oneOf<W extends string>(value: unknown, words: readonly W[], field: Field, note: Note): W | null {
  if (words.includes(value as W)) return value as W
  if (value !== null && value !== undefined) note(field, value)
  return null
}

/** A machine has not booted yet that will in the future: not told. */
function bootOf(value: DeviceFacts['lastRebootAt'], observedAt: Date, note: Note): string | null {
  const booted = moment(value, 'lastRebootAt', note)
  return booted === null || booted > observedAt ? null : booted.toISOString()
}

type Network = Pick<NormalFacts, 'lanIp' | 'wanIp' | 'macAddresses'>

function networkOf(told: DeviceFacts, note: Note): Network {
  const adapters = adaptersOf(told.interfaces, note)
  const given = texts(told.macAddresses, 'macAddresses', note)
  const macs = given === null ? macsOf(adapters) : cleanMacs(given)
  const wanIp = ipOf(told.wanIp, 'wanIp', note)
  const lanIp = ipOf(told.lanIp, 'lanIp', note) ?? lanAddressOf(adapters)
  return {
    lanIp: lanIp ?? (nullErases.lanIp && tellsOthers(told, adapters, wanIp) ? none : null),
    wanIp,
    macAddresses: macs.length === 0 ? null : macs
  }
}

/** Whether other addresses are told beside one that is not there. */
function tellsOthers(told: DeviceFacts, adapters: NetworkInterface[], wanIp: string | null): boolean {
  return tellsNetwork(adapters) || (told.lanIp === null && (wanIp !== null || (told.macAddresses?.length ?? 0) > 0))
}

function ipOf(value: unknown, field: Field, note: Note): string | null {
  const told = text(value, maxNameLength, field, note)
  return told === null ? null : addressOf(told)
}

const noAdapters: NetworkInterface[] = []

function adaptersOf(value: unknown, note: Note): NetworkInterface[] {
  if (value === null || value === undefined) return noAdapters
  if (!Array.isArray(value)) {
    note('interfaces', value)
    return noAdapters
  }
  return value.filter(isObject).map(adapter => ({
    name: text(adapter['name'], maxNameLength, 'interfaces.name', note),
    description: text(adapter['description'], maxNameLength, 'interfaces.description', note),
    macAddress: text(adapter['macAddress'], maxNameLength, 'interfaces.macAddress', note),
    addresses: texts(adapter['addresses'], 'interfaces.addresses', note),
    gateway: adapter['gateway'] as NetworkInterface['gateway'],
    up: adapter['up'] as NetworkInterface['up']
  }))
}

function antivirusOf(value: DeviceFacts['antivirus'], note: Note): NormalFacts['antivirus'] {
  if (value === null || value === undefined) return null
  if (!isObject(value)) {
    note('antivirus', value)
    return null
  }
  return {
    provider: text(value.provider, maxNameLength, 'antivirus.provider', note),
    status: text(value.status, maxNameLength, 'antivirus.status', note)
  }
}

/** A volume of no size is a drive without a medium; a list of nothing but those says nothing. */
function volumesOf({ volumes }: DeviceFacts, note: Note) {
  const nothing = { volumes: null, freeBytes: null }
  if (volumes === null || volumes === undefined) return nothing
  if (!Array.isArray(volumes)) {
    note('volumes', volumes)
    return nothing
  }
  const usable = volumes
    .filter(isObject)
    .map(volume => ({
      name: text(volume.name, maxNameLength, 'volumes.name', note) ?? '',
      totalBytes: whole(volume.totalBytes, undefined, 'volumes.totalBytes', note),
      freeBytes: whole(volume.freeBytes, undefined, 'volumes.freeBytes', note)
    }))
    .filter(({ totalBytes }) => totalBytes !== 0)
  if (usable.length === 0) return nothing
  return {
    volumes: usable.map(({ name, totalBytes }) => ({ name, totalBytes })),
    freeBytes: usable.map(({ freeBytes }) => freeBytes)
  }
}

function detailsOf(value: unknown, note: Note): string | null {
  if (value === null || value === undefined) return null
  if (isObject(value) && !(value instanceof Date)) return stableJson(value)
  note('details', value)
  return null
}
