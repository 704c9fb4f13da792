import { createHash } from 'node:crypto'
import type { DeviceGroup } from '../../providers/define.ts'
import type { Client } from '../../types.ts'

const suffix = ' Devices'
const suffixWord = 'devices'
const markPattern = /\[psa:[\w-]{22}\]/

type Sanitize = (name: string) => string

/**
 * In the description of every group of ours: survives renames, restores and migrations, and says nothing about the
 * host.
 */
export function marker(tenantId: string, clientRef: string): string {
  return `[psa:${createHash('sha256').update(`${tenantId}\0${clientRef}`).digest('base64url').slice(0, 22)}]`
}

/** The mark a group carries, whosever it is. */
export function markOf(group: DeviceGroup): string | null {
  return group.description?.match(markPattern)?.[0] ?? null
}

/** Longest description a platform of ours takes, in UTF-16 units. */
const longestDescription = 1024

/**
 * The description with our mark in it; what a person wrote there stays as it is, lines included. Only where both do not
 * fit is the end of the text cut.
 */
export function describe(description: string | null, mark: string): string {
  const text = unmarked(description)
  if (text === '') return `Devices of one client, kept by the PSA ${mark}`
  const room = longestDescription - mark.length - 1
  return `${text.length > room ? text.slice(0, room).toWellFormed() : text} ${mark}`
}

/** The description without anybody's mark. */
export function unmarked(description: string | null): string {
  return (description ?? '').replace(markPattern, '').trim()
}

/** "{client} Devices" as the platform will store it; empty where nothing usable is left of the client's name. */
export function groupName(client: Client, sanitizeName: Sanitize): string {
  const name = sanitizeName(client.name)
  // Where it is too long the client's name is cut, not the word that tells what the group is for.
  for (let length = name.length; length > 0; length--) {
    const whole = sanitizeName(name.slice(0, length)) + suffix
    if (sanitizeName(whole) === whole) return whole
  }
  return ''
}

/** Names that people take for the same. */
export function nameKey(name: string): string {
  return name.normalize('NFC').toLowerCase()
}

function words(name: string): string[] {
  return nameKey(name)
    .split(/[^\p{L}\p{M}\p{N}]+/u)
    .filter(word => word !== '')
}

/** True where the words stand in the group's name one after the other, and "Devices" stands there besides. */
function contains(group: string[], name: string[]): boolean {
  return group.some(
    (_, at) =>
      name.every((word, i) => group[at + i] === word) &&
      [...group.slice(0, at), ...group.slice(at + name.length)].includes(suffixWord)
  )
}

/** Finds the groups whose name contains a client's name as whole words together with "Devices". */
export function wordIndex(groups: DeviceGroup[]): (name: string) => DeviceGroup[] {
  const byWord = new Map<string, Array<{ group: DeviceGroup; words: string[] }>>()
  for (const group of groups) {
    const entry = { group, words: words(group.name) }
    if (!entry.words.includes(suffixWord)) continue
    for (const word of new Set(entry.words)) {
      const known = byWord.get(word)
      if (known === undefined) byWord.set(word, [entry])
      else known.push(entry)
    }
  }
  return name => {
    const wanted = words(name)
    return (byWord.get(wanted[0] ?? '') ?? []).filter(entry => contains(entry.words, wanted)).map(({ group }) => group)
  }
}
