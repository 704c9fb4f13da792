import { createHash } from 'node:crypto'
import type { DeviceGroup } from '../providers/define.ts'
import type { Client } from '../types.ts'

/** The stored association of a client with a group. */
export interface GroupLink {
  clientRef: string
  externalId: string
  /** The group's name when we last saw it. */
  name: string
  /** The client's name when we last named the group. */
  clientName: string
  missingSince: Date | null
}

export type GroupStep =
  { kind: 'existing', client: Client, group: DeviceGroup, drift: string | null, marked: boolean } |
  { kind: 'link', client: Client, group: DeviceGroup } |
  { kind: 'create', client: Client, name: string } |
  { kind: 'conflict', client: Client, reason: string } |
  { kind: 'missing', client: Client, link: GroupLink } |
  { kind: 'failed', client: Client, reason: string }

const suffix = ' Devices'

/** In the description of every group of ours: survives renames, restores and migrations, and says nothing about the host. */
export function marker (tenantId: string, clientRef: string): string {
  return `[psa:${createHash('sha256').update(`${tenantId}\0${clientRef}`).digest('base64url').slice(0, 22)}]`
}

const anyMarker = /\[psa:[\w-]{22}\]/

export function describe (description: string | null, mark: string): string {
  const text = (description ?? '').replace(anyMarker, '').trim()
  return text === '' ? `Devices of one client, kept by the PSA ${mark}` : `${text.slice(0, 900)} ${mark}`
}

export function groupName (client: Client, sanitizeName: (name: string) => string): string {
  const name = sanitizeName(client.name)
  if (name === '') return ''
  const whole = sanitizeName(name + suffix)
  // Cut the client's name, not the word that tells what the group is for.
  return whole.endsWith(suffix) ? whole : sanitizeName(name.slice(0, Math.max(1, whole.length - suffix.length))).trimEnd() + suffix
}

export interface PlanInput {
  tenantId: string
  /** All clients of the tenant: also those that are not asked for decide what is ambiguous. */
  clients: Client[]
  links: GroupLink[]
  groups: DeviceGroup[]
  /** The server is another one than before: ids say nothing any more. */
  migrated: boolean
  sanitizeName: (name: string) => string
}

/**
 * Finds each client's group: its stored id → our marker → exactly "{client} Devices" → exactly "{client}" → the client's name as whole words
 * together with "Devices". By name only among groups that nobody holds, only when exactly one fits, and never for clients that share a name.
 */
export function planGroups (input: PlanInput): GroupStep[] {
  const { tenantId, clients, links, groups, sanitizeName } = input
  const byId = new Map(groups.map(group => [group.id, group]))
  const linkOf = new Map(links.map(link => [link.clientRef, link]))
  const markerOf = new Map(clients.map(client => [client.id, marker(tenantId, client.id)]))
  const marked = byMarker(groups)
  const held = new Set(links.filter(link => byId.has(link.externalId)).map(link => link.externalId))
  for (const group of groups) if (anyMarker.test(group.description ?? '')) held.add(group.id)
  const free = groups.filter(group => !held.has(group.id))
  const settled = new Set(clients.filter(client => byId.has(linkOf.get(client.id)?.externalId ?? '') || marked.has(markerOf.get(client.id)!)).map(client => client.id))
  const names = sharedNames(clients.filter(client => !settled.has(client.id)), sanitizeName)
  const claims = claimsByName(clients.filter(client => !settled.has(client.id)), free, sanitizeName)

  return clients.map((client): GroupStep => {
    const link = linkOf.get(client.id)
    const stored = link === undefined ? undefined : byId.get(link.externalId)
    if (link !== undefined && stored !== undefined) {
      return { kind: 'existing', client, group: stored, drift: driftOf(client, link, stored, sanitizeName), marked: stored.description?.includes(markerOf.get(client.id)!) === true }
    }
    const own = marked.get(markerOf.get(client.id)!)
    if (own !== undefined) return own.length === 1 ? { kind: 'link', client, group: own[0]! } : { kind: 'conflict', client, reason: `several groups carry its mark: ${list(own)}; remove the mark from all but one` }
    const name = groupName(client, sanitizeName)
    if (name === '') return { kind: 'failed', client, reason: 'nothing usable is left of the client\'s name for a group; rename the client' }
    const twins = names.get(key(sanitizeName(client.name)))!
    const candidates = claims.get(client.id)!
    if (twins > 1) return { kind: 'conflict', client, reason: `${twins} clients have this name; ${candidates.length > 0 ? `groups that could be meant: ${list(candidates)}; ` : ''}rename one of them, then ensure each` }
    if (candidates.length === 1 && contenders(candidates[0]!, claims) === 1) return { kind: 'link', client, group: candidates[0]! }
    if (candidates.length > 0) return { kind: 'conflict', client, reason: `more than one match: ${list(candidates)}; rename or delete the wrong ones` }
    if (link !== undefined && !input.migrated && link.missingSince === null) return { kind: 'missing', client, link }
    return { kind: 'create', client, name }
  })
}

function list (groups: DeviceGroup[]): string {
  const shown = groups.slice(0, 10).map(group => `"${group.name}" (${group.id})`).join(', ')
  return groups.length > 10 ? `${shown} and ${groups.length - 10} more` : shown
}

function key (name: string): string {
  return name.normalize('NFC').toLowerCase()
}

function byMarker (groups: DeviceGroup[]): Map<string, DeviceGroup[]> {
  const found = new Map<string, DeviceGroup[]>()
  for (const group of groups) {
    const mark = group.description?.match(anyMarker)?.[0]
    if (mark !== undefined) found.set(mark, [...found.get(mark) ?? [], group])
  }
  return found
}

function sharedNames (clients: Client[], sanitizeName: (name: string) => string): Map<string, number> {
  const names = new Map<string, number>()
  for (const client of clients) {
    const name = key(sanitizeName(client.name))
    names.set(name, (names.get(name) ?? 0) + 1)
  }
  return names
}

/** The groups each client could mean, from the first rung of the ladder that has any. */
function claimsByName (clients: Client[], free: DeviceGroup[], sanitizeName: (name: string) => string): Map<string, DeviceGroup[]> {
  const exact = new Map<string, DeviceGroup[]>()
  for (const group of free) exact.set(key(group.name), [...exact.get(key(group.name)) ?? [], group])
  const wordy = free.map(group => ({ group, words: words(group.name) })).filter(({ words }) => words.includes('devices'))
  return new Map(clients.map(client => {
    const name = sanitizeName(client.name)
    if (name === '') return [client.id, []]
    return [client.id, exact.get(key(groupName(client, sanitizeName))) ?? exact.get(key(name)) ?? containing(words(name), wordy)]
  }))
}

function containing (name: string[], groups: Array<{ group: DeviceGroup, words: string[] }>): DeviceGroup[] {
  if (name.length === 0) return []
  return groups.filter(({ words }) => words.some((_, at) => name.every((word, i) => words[at + i] === word))).map(({ group }) => group)
}

function words (name: string): string[] {
  return key(name).split(/[^\p{L}\p{N}]+/u).filter(word => word !== '')
}

/** "Acme" and "Acme East" both fit "Acme East Devices": then it is nobody's by name. */
function contenders (group: DeviceGroup, claims: Map<string, DeviceGroup[]>): number {
  let count = 0
  for (const candidates of claims.values()) if (candidates.some(candidate => candidate.id === group.id)) count++
  return count
}

function driftOf (client: Client, link: GroupLink, group: DeviceGroup, sanitizeName: (name: string) => string): string | null {
  const wanted = groupName(client, sanitizeName)
  if (wanted === '' || group.name === wanted) return null
  if (link.clientName !== client.name) return `the client was renamed from "${link.clientName}" to "${client.name}"; the group is still "${group.name}"`
  if (link.name !== group.name) return `the group was renamed on the platform from "${link.name}" to "${group.name}"`
  return null
}
