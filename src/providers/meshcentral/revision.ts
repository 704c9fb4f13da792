import { hash } from 'node:crypto'
import { isObject } from './frames.ts'
import { connectedOf, type RawNode } from './map.ts'

/** Of how inventory is mapped: another one makes every revision another, so that all is read again. */
const mapping = 2
/**
 * After a connect an agent takes about ten seconds to tell its hardware and network, a slow one minutes: what was
 * read before may be half of it.
 */
const settleMs = 5 * 60_000

/**
 * What of a node moves whenever its details may have: when its agent connected or, while it is away, when it last did
 * either; what the details are mixed with; and whether the account may see them. Read by list or alone, it is the
 * same.
 */
export function stateOf(node: RawNode, lastChange: number | null, told: boolean): string {
  const since = connectedOf(node) === true ? (node['agct'] ?? null) : lastChange
  const build = isObject(node['agent']) ? node['agent']['id'] : null
  return hash(
    'md5',
    JSON.stringify([mapping, since, told, build, node['osdesc'], node['ip'], node['lastbootuptime']]),
    'base64url'
  )
}

/**
 * The mark of details read now. Those of an agent that has only just come are marked as never read: the next list
 * reads them once more.
 */
export function revisionOf(state: string, node: RawNode, now: number, skewMs: number): string {
  const connectedAt = node['agct']
  const settled = typeof connectedAt !== 'number' || now + skewMs - connectedAt >= settleMs
  return `${state}.${settled ? now : 0}`
}

/**
 * Whether the details were read at this state, and since the device last had its turn. A turn comes every `maxAgeMs`
 * at a time of the device's own, so that those that were read together are not due together again.
 */
export function isCurrent(revision: string, state: string, id: string, now: number, maxAgeMs: number): boolean {
  const [readState, readAt] = revision.split('.')
  if (readState !== state || readAt === '0' || maxAgeMs <= 0) return false
  const offset = Number.parseInt(hash('md5', id, 'hex').slice(0, 8), 16) / 2 ** 32
  const turn = (time: number) => Math.floor(time / maxAgeMs + offset)
  return turn(Number(readAt)) === turn(now)
}
