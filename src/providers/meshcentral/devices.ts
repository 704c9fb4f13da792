import {
  misreadings,
  ProviderError,
  type DeviceRecord,
  type KnownRevisions,
  type Page,
  type RejectedRecord,
  type Resource
} from '../define.ts'
import type { MeshClient } from './client.ts'
import { isId, isObject } from './frames.ts'
import { visibilityOf } from './groups.ts'
import { connectedOf, isAgentNode, toDevice, type MarkedDetails, type NodeStatus, type RawNode } from './map.ts'
import type { ListedNode, NodeList } from './node-list.ts'
import { listNodes, maySeeDetails, readDetails, readNode } from './nodes.ts'
import { isCurrent, revisionOf, stateOf } from './revision.ts'
import { NoReplyError, type Session } from './session.ts'

const pageSize = 200
const inFlight = 16

/** `now`: our clock when the connection state was read. */
function statusOf(
  client: MeshClient,
  session: Session,
  node: RawNode,
  lastChange: number | null,
  now: number
): NodeStatus {
  const connected = connectedOf(node)
  const { presence } = client.state
  const online =
    connected === null ? null : presence.judge(String(node['_id']), connected, lastChange, now, session.info.skewMs)
  const seen = connected === true ? now : lastChange === null ? null : Math.min(now, lastChange - session.info.skewMs)
  return { online, lastSeenAt: seen === null ? null : new Date(seen), now }
}

/**
 * True where every agent came within the grace: so they do after a restart, and the others may still be on their way.
 * Where there is none at all, in the first grace of this process, which may have seen nothing of a restart.
 */
function looksRestarted(client: MeshClient, session: Session, { connectedSince }: NodeList): boolean {
  const { presence } = client.state
  const now = Date.now()
  if (connectedSince === null) return presence.firstGraceEnds(now) !== null
  return connectedSince > now + session.info.skewMs - presence.graceMs
}

/** Runs `work` over all items, a bounded number at a time; results in order. The first failure ends it. */
async function eachBounded<T, R>(items: readonly T[], limit: number, work: (item: T) => Promise<R>): Promise<R[]> {
  const results: R[] = []
  let next = 0
  const lane = async () => {
    while (next < items.length) {
      const index = next++
      results[index] = await work(items[index]!)
    }
  }
  await Promise.all(Array.from({ length: Math.min(limit, items.length) }, lane))
  return results
}

/**
 * The details of an agent, unless they were read at this very state of it and not too long ago; null for a device
 * without agent.
 */
async function detailsOf(
  client: MeshClient,
  session: Session,
  node: RawNode,
  lastChange: number | null,
  known: string | undefined,
  signal: AbortSignal
): Promise<MarkedDetails | null> {
  const id = node['_id']
  if (!isAgentNode(node) || !isId(session.info, 'node', id)) return null
  const state = stateOf(node, lastChange, maySeeDetails(session, node))
  const now = Date.now()
  if (known !== undefined && isCurrent(known, state, id, now, client.timings.inventoryMaxAgeMs))
    return { revision: known, details: null }
  return {
    revision: revisionOf(state, node, now, session.info.skewMs),
    details: await readDetails(session, id, signal)
  }
}

/** One reading under way. */
interface Reading {
  client: MeshClient
  session: Session
  known: KnownRevisions | undefined
  restarted: boolean
  observedAt: Date
}

async function readPage(
  { client, session, known, restarted, observedAt }: Reading,
  nodes: ListedNode[],
  signal: AbortSignal
): Promise<Page<DeviceRecord>> {
  const now = observedAt.getTime()
  const rejected: RejectedRecord[] = []
  const misread = misreadings()
  const revisions = await known?.(nodes.map(({ node }) => node['_id']).filter(id => isId(session.info, 'node', id)))
  const records = await eachBounded(nodes, inFlight, async ({ node, lastChange }) => {
    const id = typeof node['_id'] === 'string' ? node['_id'] : null
    try {
      const details = await detailsOf(client, session, node, lastChange, revisions?.get(String(id)), signal)
      const status = statusOf(client, session, node, lastChange, now)
      const isOpen = restarted && status.online === false
      if (isOpen) client.state.presence.leaveOpen()
      return toDevice(node, isOpen ? { ...status, online: null } : status, details, misread.of(id))
    } catch (error) {
      // The session's end and the abort end the read; one device that cannot be read or mapped does not.
      if (signal.aborted || session.ended || (error instanceof ProviderError && !(error instanceof NoReplyError)))
        throw error
      rejected.push({ externalId: id, reason: (error as Error).message })
      return null
    }
  })
  // Only an id of the server's is a place to go on from; behind the last of them nothing but rejected ones is read
  // again.
  const last = nodes.findLast(({ node }) => isId(session.info, 'node', node['_id']))?.node['_id']
  return {
    observedAt,
    visibility: visibilityOf(session),
    records: records.filter(record => record !== null),
    rejected,
    misread: misread.list(),
    checkpoint: typeof last === 'string' ? { after: last } : null
  }
}

/**
 * Devices with hardware and network facts, which are read again only where something happened to the agent. There are
 * no pages on the platform: the checkpoint is the last id handled, in sorted order over a fresh list. All pages carry
 * the time of the list, as what was read later may only make them newer.
 */
export const devices: Resource<MeshClient, DeviceRecord> = {
  deletes: 'snapshot',
  async *pull(client, from, signal, known) {
    const observedAt = new Date()
    const session = await client.session(signal)
    const list = await listNodes(session, signal)
    if (isObject(from) && typeof from['after'] === 'string') list.skipUntil(from['after'])
    const reading = { client, session, known, restarted: looksRestarted(client, session, list), observedAt }
    for (let nodes = list.take(pageSize); nodes.length > 0; nodes = list.take(pageSize))
      yield await readPage(reading, nodes, signal)
  },
  async fetchOne(client, externalId, signal) {
    const session = await client.session(signal)
    if (!isId(session.info, 'node', externalId)) return null
    const now = Date.now()
    const read = await readNode(session, externalId, signal)
    if (read === null) {
      client.state.presence.forget(externalId)
      return null
    }
    const details = await detailsOf(client, session, read.node, read.lastChange, undefined, signal)
    const status = statusOf(client, session, read.node, read.lastChange, now)
    const { presence } = client.state
    const isOpen = status.online === false && presence.firstGraceEnds(now) !== null && !presence.anyOnline()
    if (isOpen) presence.leaveOpen()
    return toDevice(read.node, isOpen ? { ...status, online: null } : status, details)
  }
}
