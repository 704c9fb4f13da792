import { randomBytes } from 'node:crypto'
import { rights, type FakeMeshAccount, type FakeMeshNode, type MeshDoc } from './documents.ts'
import type { MeshWorld } from './world.ts'

/** One logged-in socket. */
export interface MeshSession {
  account: FakeMeshAccount
  send(frame: MeshDoc): void
  /** This socket dies without a word. */
  drop(): void
  /** What the last `nodes` asked for: the server keeps it per socket. */
  page: { skip: number; limit: number; visible: Set<string> | null }
}

export interface ActionContext {
  world: MeshWorld
  session: MeshSession
  maxDeviceView: number | null
  guestSharing: boolean
  baseUrl: string
  /** Runs later, in no certain order. */
  later(work: () => void): void
  /** The whole server dies, as the real one does of some inputs. */
  crash(why: string): void
}

type Handler = (command: MeshDoc, context: ActionContext) => void

const echo = (command: MeshDoc) =>
  typeof command['responseid'] === 'string' ? { responseid: command['responseid'] } : {}
const tagged = (command: MeshDoc) => (command['tag'] === undefined ? {} : { tag: command['tag'] })
const isText = (value: unknown, min: number, max: number): value is string =>
  typeof value === 'string' && value.length >= min && value.length <= max

function createmesh(command: MeshDoc, { world, session, later }: ActionContext) {
  const refuse = (result: string) => session.send({ action: 'createmesh', ...echo(command), result })
  const { account } = session
  if (account.siteadmin !== rights.all && (account.siteadmin & 64) !== 0) return refuse('Permission denied')
  if (!isText(command['meshname'], 1, 128)) return refuse('Invalid group name')
  if (command['desc'] != null && !isText(command['desc'], 0, 1024)) return refuse('Invalid group description')
  const { meshname, meshtype, desc } = command
  later(() => {
    // The pushes go out before the reply.
    const group = world.addGroup(meshname, { account, mtype: Number(meshtype), desc: desc as string | undefined })
    session.send({
      action: 'createmesh',
      ...echo(command),
      result: 'ok',
      meshid: group._id,
      links: world.links(group._id)
    })
  })
}

function editmesh(command: MeshDoc, { world, session }: ActionContext) {
  const group = world.groups.get(String(command['meshid']))
  if (!group) return session.send({ action: 'editmesh', ...echo(command), result: 'Invalid group identifier ' })
  // No right: no answer at all. Who manages all groups may change deleted ones too.
  if (!world.seesAll(session.account) && (world.rightsOf(session.account, group._id) & rights.edit) === 0) return
  const change = {
    ...(isText(command['meshname'], 1, 128) && command['meshname'] !== group.name ? { name: command['meshname'] } : {}),
    ...(isText(command['desc'], 0, 1024) && command['desc'] !== group.desc ? { desc: command['desc'] } : {})
  }
  if (Object.keys(change).length > 0) world.changeGroup(group._id, change)
  session.send({ action: 'editmesh', ...echo(command), result: 'ok' })
}

function deletemesh(command: MeshDoc, { world, session }: ActionContext) {
  const group = world.groups.get(String(command['meshid']))
  const reply = (result: string) => session.send({ action: 'deletemesh', ...echo(command), result })
  if (!group) return reply('Unknown device group')
  if (world.rightsOf(session.account, group._id) !== rights.all) return reply('Access denied')
  world.removeGroup(group._id)
  reply('ok')
}

function meshes(command: MeshDoc, { world, session }: ActionContext) {
  const list = world.visibleGroups(session.account).map(group => ({ ...group, links: world.links(group._id) }))
  session.send({ action: 'meshes', meshes: list, ...tagged(command) })
}

function nodes(command: MeshDoc, { world, session, maxDeviceView }: ActionContext) {
  const { page } = session
  if (maxDeviceView !== null) {
    if (typeof command['skip'] === 'number' && command['skip'] >= 0) page.skip = command['skip']
    if (typeof command['limit'] === 'number' && command['limit'] > 0)
      page.limit = Math.min(command['limit'], maxDeviceView)
  }
  const all = world
    .visibleNodes(session.account)
    .filter(
      node =>
        (command['id'] === undefined || node._id === command['id']) &&
        (command['meshid'] === undefined || node.meshid === command['meshid'])
    )
  const shown = maxDeviceView === null ? all : all.slice(page.skip, page.skip + page.limit)
  const byGroup = Object.fromEntries(
    [...Map.groupBy(shown, node => node.meshid)].map(([id, members]) => [id, members.map(node => world.listed(node))])
  )
  const frame: MeshDoc = { action: 'nodes', ...echo(command), nodes: byGroup, ...tagged(command) }
  if (maxDeviceView !== null) {
    frame['skip'] = page.skip
    frame['limit'] = page.limit
    page.visible = shown.length < page.limit && page.skip === 0 ? null : new Set(shown.map(node => node._id))
    if (page.visible !== null) frame['totalcount'] = shown.length < page.limit ? page.skip + shown.length : all.length
  }
  session.send(frame)
}

/** The node, where the account may see it. */
function nodeFor(command: MeshDoc, { world, session }: ActionContext): { node: FakeMeshNode; bits: number } | null {
  const node = world.nodes.get(String(command['nodeid']))
  const bits = node ? world.rightsOf(session.account, node.meshid) : 0
  return node && bits !== 0 ? { node, bits } : null
}

function getsysinfo(command: MeshDoc, context: ActionContext) {
  const found = nodeFor(command, context)
  const hardware = found && (found.bits & rights.details) !== 0 ? context.world.sysinfo.get(found.node._id) : undefined
  context.later(() => {
    if (!hardware)
      context.session.send({
        action: 'getsysinfo',
        nodeid: command['nodeid'],
        ...tagged(command),
        noinfo: true,
        result: 'Invalid device id'
      })
    else
      context.session.send({
        action: 'getsysinfo',
        nodeid: command['nodeid'],
        ...tagged(command),
        time: Date.now(),
        hash: 'B3025B',
        hardware
      })
  })
}

function getnetworkinfo(command: MeshDoc, context: ActionContext) {
  const found = nodeFor(command, context)
  const nodeid = command['nodeid']
  context.later(() => {
    if (!found || (found.bits & rights.details) === 0)
      return context.session.send({
        action: 'getnetworkinfo',
        nodeid,
        ...tagged(command),
        noinfo: true,
        result: 'Invalid device id'
      })
    const netif2 = context.world.network.get(found.node._id) ?? null
    context.session.send({
      action: 'getnetworkinfo',
      nodeid,
      netif: null,
      netif2,
      ...(netif2 ? { updateTime: Date.now() } : {})
    })
  })
}

function lastconnect(command: MeshDoc, context: ActionContext) {
  const time = nodeFor(command, context) && context.world.lastConnects.get(String(command['nodeid']))
  if (time) context.session.send({ action: 'lastconnect', nodeid: command['nodeid'], time, addr: '127.0.0.1:43943' })
  else
    context.session.send({
      action: 'lastconnect',
      nodeid: command['nodeid'],
      ...tagged(command),
      noinfo: true,
      result: 'No data'
    })
}

function lastconnects(command: MeshDoc, { world, session }: ActionContext) {
  const visible = world
    .visibleNodes(session.account)
    .map(node => node._id)
    .filter(id => session.page.visible?.has(id) ?? true)
  const times = Object.fromEntries(
    visible.filter(id => world.lastConnects.has(id)).map(id => [id, world.lastConnects.get(id)])
  )
  session.send({ action: 'lastconnects', lastconnects: times, ...tagged(command) })
}

function createInviteLink(command: MeshDoc, { world, session, baseUrl }: ActionContext) {
  const reply = (rest: MeshDoc) =>
    session.send({ action: 'createInviteLink', ...echo(command), ...tagged(command), ...rest })
  if (!Number.isInteger(command['expire'])) return reply({ result: 'Invalid expire time' })
  const known = world.groups.has(String(command['meshid'])) && world.seesAll(session.account)
  if (!known && world.rightsOf(session.account, String(command['meshid'])) === 0)
    return reply({ result: 'Invalid group id' })
  const cookie = randomBytes(32).toString('base64url')
  reply({ meshid: command['meshid'], url: `${baseUrl}agentinvite?c=${cookie}`, expire: command['expire'], cookie })
}

function createDeviceShareLink(command: MeshDoc, context: ActionContext) {
  const { session, guestSharing, baseUrl } = context
  if (!guestSharing) return
  if (!isText(command['guestname'], 1, 128))
    return session.send({ action: 'createDeviceShareLink', ...echo(command), result: 'Invalid guest name' })
  if (typeof command['expire'] !== 'number')
    return session.send({ action: 'createDeviceShareLink', ...echo(command), result: 'No time specified' })
  const found = nodeFor(command, context)
  // Errors after the validation come under another action's name.
  const refuse = (result: string) => session.send({ action: 'deviceShares', ...echo(command), result })
  if (!found) return refuse('Invalid node id')
  const { bits } = found
  if (
    bits !== rights.all &&
    ((bits & rights.remote) === 0 || (bits & rights.limitedInput) !== 0 || (bits & rights.guestSharing) === 0)
  )
    return refuse('Access denied')
  const publicid = randomBytes(6).toString('base64url')
  session.send({
    ...command,
    start: Date.now(),
    expire: Date.now() + 60_000 * command['expire'],
    url: `${baseUrl}sharing?c=${randomBytes(24).toString('base64url')}`,
    publicid,
    result: 'OK'
  })
}

/** Everything else gets no answer, as on the real server. */
export const handlers: Record<string, Handler> = {
  createmesh,
  editmesh,
  deletemesh,
  meshes,
  nodes,
  getsysinfo,
  getnetworkinfo,
  lastconnect,
  lastconnects,
  createInviteLink,
  createDeviceShareLink,
  ping: (_command, { session }) => session.send({ action: 'pong' }),
  runcommands(command, { world, crash }) {
    const ids = Array.isArray(command['nodeids']) ? command['nodeids'] : []
    if (ids.some(id => world.nodes.get(String(id))?.['agent'] === undefined))
      crash('runcommands for a node without agent')
  },
  webrelay: (_command, { crash }) => crash('webrelay'),
  events(command, { crash }) {
    if (command['nodeid'] !== undefined && typeof command['nodeid'] !== 'string')
      crash('events with a nodeid that is not text')
  },
  getDeviceDetails(command, { world, session, crash }) {
    const ids = command['nodeids']
    if (!Array.isArray(ids) && session.page.visible !== null) return crash('getDeviceDetails while paged')
    const chosen = world.visibleNodes(session.account).filter(node => !Array.isArray(ids) || ids.includes(node._id))
    const data = chosen.map(node => ({
      node: { ...world.listed(node), meshid: node.meshid },
      sys: { hardware: world.sysinfo.get(node._id) },
      net: { netif2: world.network.get(node._id) }
    }))
    session.send({ action: 'getDeviceDetails', type: 'json', data: JSON.stringify(data) })
  }
}
