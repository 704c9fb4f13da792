import { ProviderError } from '../define.ts'
import type { Command, Frame } from './correlate.ts'
import { isObject } from './frames.ts'
import { connectedOf, withoutSecrets, type NodeDetails, type RawNode } from './map.ts'
import type { Session } from './session.ts'

/** One reading of which devices there are. */
export interface NodeList {
  /** In the order of their ids. */
  nodes: RawNode[]
  /** When each last connected or disconnected: ms of the server's clock. */
  lastChange: Map<string, number>
}

/** Tries to read a paged list without it changing meanwhile. */
const pagedAttempts = 3

function nodesIn (reply: Frame): RawNode[] {
  if (!isObject(reply['nodes'])) throw new ProviderError('protocol', 'MeshCentral answered the list of devices without a list')
  return Object.entries(reply['nodes']).flatMap(([meshid, nodes]) =>
    Array.isArray(nodes) ? nodes.filter(isObject).map(node => ({ ...withoutSecrets(node), meshid })) : [])
}

function keep (lastChange: Map<string, number>, reply: Frame): void {
  if (!isObject(reply['lastconnects'])) return
  for (const [id, time] of Object.entries(reply['lastconnects'])) if (typeof time === 'number') lastChange.set(id, time)
}

/** The server remembers the page per socket, also for the pushes it lets through: a page without devices opens them again. */
async function leavePage (session: Session, signal: AbortSignal): Promise<void> {
  await session.request({ action: 'nodes', id: `node/${session.info.domain}/-`, skip: 0, limit: 2 }, { signal })
}

async function readPages (session: Session, limit: number, signal: AbortSignal): Promise<{ byId: Map<string, RawNode>, lastChange: Map<string, number> } | null> {
  const byId = new Map<string, RawNode>()
  const lastChange = new Map<string, number>()
  let skip = 0
  for (;;) {
    const reply = await session.request({ action: 'nodes', skip, limit }, { signal })
    const nodes = nodesIn(reply)
    for (const node of nodes) byId.set(String(node['_id']), node)
    keep(lastChange, await session.request({ action: 'lastconnects' }, { signal }))
    skip += nodes.length
    const total = typeof reply['totalcount'] === 'number' ? reply['totalcount'] : skip
    if (nodes.length === 0 || skip >= total) return byId.size === total ? { byId, lastChange } : null
  }
}

async function listPaged (session: Session, limit: number, signal: AbortSignal) {
  return await session.alone(async () => {
    try {
      for (let attempt = 0; attempt < pagedAttempts; attempt++) {
        const read = await readPages(session, limit, signal)
        if (read) return read
      }
    } finally {
      if (!session.ended && !signal.aborted) await leavePage(session, signal)
    }
    throw new ProviderError('protocol', `MeshCentral shows at most ${limit} devices at a time (maxDeviceView) and its list kept changing while it was read: remove that setting`)
  })
}

/** Every device the account can see. */
export async function listNodes (session: Session, signal: AbortSignal): Promise<NodeList> {
  const sorted = (nodes: RawNode[]) => nodes.sort((a, b) => String(a['_id']) < String(b['_id']) ? -1 : 1)
  if (session.info.maxDeviceView !== null) {
    const { byId, lastChange } = await listPaged(session, session.info.maxDeviceView, signal)
    return { nodes: sorted([...byId.values()]), lastChange }
  }
  const lastChange = new Map<string, number>()
  const nodes = nodesIn(await session.request({ action: 'nodes' }, { signal }))
  keep(lastChange, await session.request({ action: 'lastconnects' }, { signal }))
  return { nodes: sorted(nodes), lastChange }
}

/** One device, or null where it is not (or not visible any more). */
export async function readNode (session: Session, id: string, signal: AbortSignal): Promise<{ node: RawNode, lastChange: number | null } | null> {
  const command: Command = { action: 'nodes', id, ...(session.info.maxDeviceView === null ? {} : { skip: 0, limit: session.info.maxDeviceView }) }
  const node = nodesIn(await session.alone(() => session.request(command, { signal }))).find(node => node['_id'] === id)
  if (!node) return null
  if (connectedOf(node) === true) return { node, lastChange: null }
  const { time } = await session.request({ action: 'lastconnect', nodeid: id }, { signal })
  return { node, lastChange: typeof time === 'number' ? time : null }
}

const detailsRight = 0x100000

/** False where "nothing" in a device's details may only mean that the account lacks the right to see them. */
export function maySeeDetails ({ info, account }: Session, node: RawNode): boolean {
  return info.manageAllDeviceGroups || ((account.links.get(String(node['meshid'])) ?? 0) & detailsRight) !== 0
}

/**
 * Hardware and network of one device. Per device and not by `getDeviceDetails`: that walks the whole list for every call, its
 * reply carries no mark of the request, and it crashes the server (1.1.55) while the list is paged.
 */
export async function readDetails (session: Session, nodeid: string, signal: AbortSignal): Promise<NodeDetails> {
  const [sysinfo, network] = await Promise.all([
    session.request({ action: 'getsysinfo', nodeid }, { signal }),
    session.request({ action: 'getnetworkinfo', nodeid }, { signal })
  ])
  return { sysinfo: sysinfo['noinfo'] === true ? null : sysinfo, network: network['noinfo'] === true ? null : network }
}
