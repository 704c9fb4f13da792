import { setImmediate as breathe } from 'node:timers/promises'
import { ProviderError } from '../define.ts'
import type { Command, Frame } from './correlate.ts'
import { isObject } from './frames.ts'
import { connectedOf, type NodeDetails, type RawNode } from './map.ts'
import { essentialsOf, NodeList } from './node-list.ts'
import type { Session } from './session.ts'

/** Tries to read a paged list without it changing meanwhile. */
const pagedAttempts = 3
/** Nodes looked at between two breaths: while a long list is, others get their turn. */
const breath = 500

function parseNode(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch (error) {
    throw new ProviderError('protocol', 'MeshCentral sent a list of devices with something in it that is not JSON', {
      cause: error
    })
  }
}

/** The nodes of a reply; those of a long one are texts, see `parseFrame`. */
function* nodesIn(reply: Frame): Generator<RawNode> {
  if (!isObject(reply['nodes']))
    throw new ProviderError('protocol', 'MeshCentral answered the list of devices without a list')
  for (const [meshid, nodes] of Object.entries(reply['nodes'])) {
    for (const item of Array.isArray(nodes) ? nodes : []) {
      const node: unknown = typeof item === 'string' ? parseNode(item) : item
      // What is no document stays as one without an id: a list with it is not known to be whole.
      yield essentialsOf(isObject(node) ? node : {}, meshid)
    }
  }
}

/** Adds the nodes of one reply, with the times of another that was read after it; returns how many. */
async function addNodes(list: NodeList, nodes: Frame, times: Frame): Promise<number> {
  const changes = isObject(times['lastconnects']) ? times['lastconnects'] : {}
  let count = 0
  for (const node of nodesIn(nodes)) {
    const time = changes[String(node['_id'])]
    list.add({ node, lastChange: typeof time === 'number' ? time : null })
    if (++count % breath === 0) await breathe()
  }
  return count
}

/**
 * The server remembers the page per socket, also for the pushes it lets through: a page without devices opens them
 * again.
 */
async function leavePage(session: Session, signal: AbortSignal): Promise<void> {
  await session.request({ action: 'nodes', id: `node/${session.info.domain}/-`, skip: 0, limit: 2 }, { signal })
}

async function readPages(session: Session, limit: number, signal: AbortSignal): Promise<NodeList | null> {
  const list = new NodeList()
  let skip = 0
  for (;;) {
    const reply = await session.request({ action: 'nodes', skip, limit }, { signal })
    const count = await addNodes(list, reply, await session.request({ action: 'lastconnects' }, { signal }))
    skip += count
    const total = typeof reply['totalcount'] === 'number' ? reply['totalcount'] : skip
    if (count === 0 || skip >= total) return list.arrange() === total ? list : null
  }
}

async function listPaged(session: Session, limit: number, signal: AbortSignal): Promise<NodeList> {
  return await session.alone(async () => {
    try {
      for (let attempt = 0; attempt < pagedAttempts; attempt++) {
        const read = await readPages(session, limit, signal)
        if (read) return read
      }
    } finally {
      if (!session.ended && !signal.aborted) await leavePage(session, signal)
    }
    throw new ProviderError(
      'protocol',
      `MeshCentral shows at most ${limit} devices at a time (maxDeviceView) and its list kept changing while it was read: remove that setting`
    )
  })
}

/** Every device the account can see. */
export async function listNodes(session: Session, signal: AbortSignal): Promise<NodeList> {
  if (session.info.maxDeviceView !== null) return await listPaged(session, session.info.maxDeviceView, signal)
  const list = new NodeList()
  await addNodes(
    list,
    await session.request({ action: 'nodes' }, { signal }),
    await session.request({ action: 'lastconnects' }, { signal })
  )
  list.arrange()
  return list
}

/** One device, or null where it is not (or not visible any more). */
export async function readNode(
  session: Session,
  id: string,
  signal: AbortSignal
): Promise<{ node: RawNode; lastChange: number | null } | null> {
  const command: Command = {
    action: 'nodes',
    id,
    ...(session.info.maxDeviceView === null ? {} : { skip: 0, limit: session.info.maxDeviceView })
  }
  const node = [...nodesIn(await session.alone(() => session.request(command, { signal })))].find(
    node => node['_id'] === id
  )
  if (!node) return null
  if (connectedOf(node) === true) return { node, lastChange: null }
  const { time } = await session.request({ action: 'lastconnect', nodeid: id }, { signal })
  return { node, lastChange: typeof time === 'number' ? time : null }
}

const detailsRight = 0x100000

/** False where "nothing" in a device's details may only mean that the account lacks the right to see them. */
export function maySeeDetails({ info, account }: Session, node: RawNode): boolean {
  return info.manageAllDeviceGroups || ((account.links.get(String(node['meshid'])) ?? 0) & detailsRight) !== 0
}

/**
 * Hardware and network of one device. Per device and not by `getDeviceDetails`: that walks the whole list for every
 * call, its reply carries no mark of the request, and it crashes the server (1.1.55) while the list is paged.
 */
export async function readDetails(session: Session, nodeid: string, signal: AbortSignal): Promise<NodeDetails> {
  const [sysinfo, network] = await Promise.all([
    session.request({ action: 'getsysinfo', nodeid }, { signal }),
    session.request({ action: 'getnetworkinfo', nodeid }, { signal })
  ])
  return { sysinfo: sysinfo['noinfo'] === true ? null : sysinfo, network: network['noinfo'] === true ? null : network }
}
