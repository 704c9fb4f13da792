import type { DeviceFacts, DeviceRecord, Note } from '../define.ts'
import * as values from '../values.ts'
import { isObject } from './frames.ts'
import { assetTypeOf, bootTimeOf, inventoryOf, textOf, timeOf } from './inventory.ts'
import { interfacesOf, seenAddress } from './network.ts'

/**
 * What is kept of a node: fields of the server's document, and its group's id in `meshid`. Everything else stays out,
 * credentials above all.
 */
export type RawNode = Record<string, unknown>

/** What is read per node; null where the server has nothing or does not tell. */
export interface NodeDetails {
  sysinfo: Record<string, unknown> | null
  network: Record<string, unknown> | null
}

/** An agent's details, or null where they were not read again, with the mark of what they were read at. */
export interface MarkedDetails {
  revision: string
  details: NodeDetails | null
}

export interface NodeStatus {
  online: boolean | null
  lastSeenAt: Date | null
  now: number
}

const kinds: Record<number, string> = { 1: 'amt', 2: 'agent', 3: 'local', 4: 'ipkvm' }

export function isAgentNode(node: RawNode): boolean {
  return node['mtype'] === undefined || node['mtype'] === 2
}

/**
 * Whether something of the device is connected: its agent, or for Intel AMT and IP-KVM devices their own channel.
 * Null for devices that have nothing to connect.
 */
export function connectedOf(node: RawNode): boolean | null {
  const conn = typeof node['conn'] === 'number' ? node['conn'] : 0
  if (isAgentNode(node)) return (conn & 1) !== 0
  return node['mtype'] === 3 && conn === 0 ? null : conn !== 0
}

/** Agent builds by number; every other one is a Linux. */
const families: Array<[string, number[]]> = [
  ['Windows', [1, 2, 3, 4, 21, 22, 34, 42, 43]],
  ['macOS', [11, 16, 29, 10005]],
  ['Android', [12, 14]],
  ['FreeBSD', [30, 31, 37]]
]

function osFamilyOf(node: RawNode, hw: unknown): string | null {
  if (!isAgentNode(node)) return null
  const build = isObject(node['agent']) ? node['agent']['id'] : undefined
  for (const [family, builds] of families) if (typeof build === 'number' && builds.includes(build)) return family
  const text = textOf(node['osdesc']) ?? ''
  if (/windows/i.test(text) || (isObject(hw) && isObject(hw['windows']))) return 'Windows'
  if (/mac ?os|os x/i.test(text) || (isObject(hw) && isObject(hw['darwin']))) return 'macOS'
  return typeof build === 'number' && build > 0 ? 'Linux' : null
}

function osVersionOf(node: RawNode, hw: unknown): string | null {
  const windows =
    isObject(hw) && isObject(hw['windows']) && isObject(hw['windows']['osinfo']) ? hw['windows']['osinfo'] : {}
  const told = [textOf(windows['Caption']), textOf(windows['Version'])].filter(part => part !== null).join(' ')
  return textOf(node['osdesc']) ?? (told === '' ? null : told)
}

/** Windows workstations tell their products, Windows servers only Defender's switches. */
function antivirusOf(node: RawNode): DeviceRecord['antivirus'] {
  const products = Array.isArray(node['av']) ? node['av'].filter(isObject) : []
  const product = products.find(av => av['enabled'] === true) ?? products[0]
  if (product) {
    const status =
      product['enabled'] === false
        ? 'disabled'
        : product['updated'] === false
          ? 'outdated'
          : product['enabled'] === true
            ? 'enabled'
            : null
    return { provider: textOf(product['product']), status }
  }
  const defender = isObject(node['defender']) ? node['defender'] : null
  if (!defender) return null
  const on = defender['RealTimeProtection']
  return { provider: 'Microsoft Defender', status: on === true ? 'enabled' : on === false ? 'disabled' : null }
}

function securityOf(node: RawNode): Record<string, string | null> | null {
  if (!isObject(node['wsc'])) return null
  const { antiVirus, firewall, autoUpdate } = node['wsc']
  return { antivirus: textOf(antiVirus), firewall: textOf(firewall), autoUpdate: textOf(autoUpdate) }
}

function nodeDetails(node: RawNode): Record<string, unknown> {
  const agent = isObject(node['agent']) ? node['agent'] : {}
  return {
    kind: kinds[typeof node['mtype'] === 'number' ? node['mtype'] : 2] ?? 'agent',
    description: textOf(node['desc']),
    firstSeenAt: timeOf(node['firstconnect'])?.toISOString() ?? null,
    agentCore: textOf(agent['core']),
    agentElevated: typeof agent['root'] === 'boolean' ? agent['root'] : null,
    security: securityOf(node)
  }
}

function idsOf(node: RawNode): { id: string; meshid: string | null } {
  const { _id: id, meshid } = node
  if (typeof id !== 'string' || !id.startsWith('node/') || id.length > 200) throw new Error('the node has no id')
  return { id, meshid: typeof meshid === 'string' && meshid.startsWith('mesh/') ? meshid : null }
}

/**
 * What needs the details, and what only falls back to the node where they lack it: one of the two cannot be told
 * without the other. Nothing of it is told by a read without details.
 */
function factsOf(node: RawNode, { sysinfo, network }: NodeDetails): DeviceFacts {
  const hw = sysinfo?.['hardware']
  const inventory = sysinfo ? inventoryOf(sysinfo) : null
  const interfaces = network ? interfacesOf(network) : undefined
  const osType = osFamilyOf(node, hw)
  const osVersion = osVersionOf(node, hw)
  const seen = seenAddress(node['ip'])
  return {
    ...inventory?.record,
    assetType: assetTypeOf(osType, osVersion, hw) ?? undefined,
    osType,
    osVersion,
    lastRebootAt: bootTimeOf(node, hw) ?? undefined,
    interfaces,
    lanIp: interfaces === undefined && seen?.kind === 'private' ? seen.address : undefined,
    details: inventory?.details ?? undefined
  }
}

/**
 * Who is logged in, of whom the first counts. The server leaves the field away where it does not know, and keeps what it
 * knew of a device that is away: only an empty list of a device that is online says that nobody is.
 */
function currentUserOf(read: values.Reader, online: boolean | null): string | null | undefined {
  const users = read.list('users', (entry, wrong) => values.text(entry, wrong, { line: true }))
  if (!users) return undefined
  return users[0] ?? (online === true ? null : undefined)
}

/** Devices without an agent have no details to read: what there is, the node tells. */
const noDetails: NodeDetails = { sysinfo: null, network: null }

/**
 * Throws where the node cannot be a device; anything else about it may be missing or wrong.
 * @param note hears of fields that are of another type than the server's
 */
export function toDevice(
  node: RawNode,
  { online, lastSeenAt, now }: NodeStatus,
  details: MarkedDetails | null,
  note?: Note
): DeviceRecord {
  const { id, meshid } = idsOf(node)
  const read = values.of(node, note)
  const line = (field: string) => read.text(field, { line: true }) ?? null
  const hostname = line('rname') ?? (isAgentNode(node) ? null : line('host'))
  const seen = seenAddress(node['ip'])
  const facts = details === null ? factsOf(node, noDetails) : details.details && factsOf(node, details.details)
  const bootedAt = facts?.lastRebootAt ?? bootTimeOf(node, null)
  return {
    ...(details === null ? facts : null),
    externalId: id,
    displayName: line('name') ?? hostname ?? id.slice(-8),
    // A node is always in a group: one without is a node whose group was not told.
    organizationExternalId: meshid ?? undefined,
    hostname,
    currentUser: currentUserOf(read, online),
    wanIp: seen?.kind === 'public' ? seen.address : undefined,
    antivirus: antivirusOf(node) ?? undefined,
    // The server leaves an empty list away.
    tags:
      node['tags'] === undefined ? [] : read.list('tags', (entry, wrong) => values.text(entry, wrong, { line: true })),
    details: nodeDetails(node),
    inventory: details && { revision: details.revision, facts },
    online,
    lastSeenAt,
    uptimeSeconds: online === true && bootedAt && bootedAt.getTime() <= now ? uptimeOf(bootedAt, now) : undefined
  }
}

const uptimeOf = (bootedAt: Date, now: number): number => Math.floor((now - bootedAt.getTime()) / 1000)
