import { randomBytes } from 'node:crypto'
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import { createServer as createTlsServer } from 'node:https'
import type { AddressInfo } from 'node:net'
import type { Duplex } from 'node:stream'
import { handlers, type MeshSession } from './actions.ts'
import { seedMesh } from './seed.ts'
import { MeshWorld, rights, type FakeMeshAccount, type MeshDoc } from './world.ts'

export { interfaces as meshInterfaces, linuxHardware, windowsHardware } from './seed.ts'
export { MeshWorld, rights as meshRights } from './world.ts'
export type { FakeMeshAccount, FakeMeshGroup, FakeMeshNode, MeshDoc } from './world.ts'

export interface FakeMeshOptions {
  /** Default 0 = any free port. Always on 127.0.0.1. */
  port?: number
  /** Default '' as on the real server. */
  domain?: string
  /** The integration's account. Default `sync` / `mesh-test-password`, full site administrator in `manageAllDeviceGroups`. */
  username?: string
  password?: string
  siteadmin?: number
  manageAllDeviceGroups?: boolean
  /** Asked for after the password; the login token does not need it. */
  twoFactor?: string
  /** Default 3 groups and 12 devices. */
  groups?: number
  devices?: number
  /** The domain setting: `nodes` comes in pages of at most this many. */
  maxDeviceView?: number
  /** The domain setting `guestDeviceSharing`. Default true. */
  guestSharing?: boolean
  /** Every address needs `?key=`. */
  loginKey?: string
  /** More sessions than this get `stopped`. */
  maxSessions?: number
  /** Added to the clock the server tells. */
  skewMs?: number
  /** PEM; the server then speaks https and wss. */
  tls?: { key: string, cert: string }
}

/** Counts since the start; set `counts.… = 0` or call `resetCounts` to begin anew. */
export interface MeshCounts {
  /** Log-ins that succeeded. */
  logins: number
  /** Requests for all groups or all devices. */
  lists: number
  /** createmesh, editmesh, deletemesh and every other change. */
  writes: number
  /** Frames received, by action. */
  actions: Record<string, number>
}

export interface FakeMeshCentral {
  /** For the config's `url`. */
  readonly url: string
  readonly port: number
  username: string
  password: string
  /** A login token of the same account: needs no 2FA code. */
  loginToken: { username: string, password: string }
  /** The integration's account. */
  account: FakeMeshAccount
  /** Another administrator, who works on the same server. */
  other: FakeMeshAccount
  world: MeshWorld
  counts: MeshCounts
  resetCounts (): void
  /** Why the server died of an input; null while it lives. */
  crashed: string | null
  /** Sockets that are open. */
  sockets (): number
  /** The next log-ins are refused with this frame, e.g. `{ action: 'close', cause: 'banned', msg: 'banned-1' }`; null takes it back. */
  refuseLogins (frame: MeshDoc | null): void
  /** Frames of this action get no answer any more; null takes it back for all. */
  silence (action: string | null): void
  /** Called for every frame received; true = swallowed. */
  intercept: ((command: MeshDoc, session: MeshSession) => boolean) | null
  /** Sends any frame to every session. */
  broadcast (frame: MeshDoc | string): void
  /** Sockets die without a word, the server stays. */
  dropConnections (): void
  /** Not there until `start` is called; the state stays, agents are away. */
  stop (): Promise<void>
  start (): Promise<void>
  /** Another installation at the same address: other certificate, no groups, no nodes. */
  migrate (): void
  close (): Promise<void>
}

/** What is used of the package `ws`. */
interface Peer {
  send (text: string): void
  close (): void
  terminate (): void
  on (event: 'message', listener: (data: Buffer) => void): void
  on (event: 'close' | 'error', listener: () => void): void
}
interface UpgradeServer {
  handleUpgrade (request: IncomingMessage, socket: Duplex, head: Buffer, done: (peer: Peer) => void): void
}

async function upgradeServer (): Promise<UpgradeServer> {
  try {
    const { WebSocketServer } = await import('ws')
    return new WebSocketServer({ noServer: true }) as unknown as UpgradeServer
  } catch (error) {
    throw new Error('startFakeMeshCentral needs the package "ws": npm install --save-dev ws', { cause: error })
  }
}

const listActions = new Set(['meshes', 'nodes', 'getDeviceDetails'])
const readActions = new Set(['meshes', 'nodes', 'getDeviceDetails', 'getsysinfo', 'getnetworkinfo', 'lastconnect', 'lastconnects', 'ping', 'events'])
/** How long the real server leaves a socket open after it refused the log-in. */
const refusedHangMs = 30_000

/** Who the header `x-meshauth` proves, or the frame that refuses. */
function logIn (header: string | undefined, world: MeshWorld, tokens: Map<string, { password: string, account: FakeMeshAccount }>): FakeMeshAccount | MeshDoc {
  const refused = (msg: string) => ({ action: 'close', cause: 'noauth', msg })
  if (header === undefined) return refused('noauth')
  const parts = header.split(',').map(part => Buffer.from(part, 'base64').toString('utf8'))
  const [user = '', password, code] = parts
  if (parts.length < 2 || parts.length > 3) return refused('noauth-2c')
  const token = tokens.get(user)
  if (token) return token.password === password ? token.account : refused('noauth-2d')
  const account = world.accounts.get(`user/${world.domain}/${user.toLowerCase()}`)
  if (!account || account.password !== password) return refused('noauth-2d')
  if (account.twoFactor !== undefined && account.twoFactor !== code) return { ...refused('tokenrequired'), email2fa: false, sms2fa: false, msg2fa: false, twoFactorCookieDays: 30 }
  return account
}

function isFrame (value: FakeMeshAccount | MeshDoc): value is MeshDoc {
  return 'action' in value
}

function serverinfo (world: MeshWorld, account: FakeMeshAccount, options: FakeMeshOptions): MeshDoc {
  return {
    domain: world.domain, name: '127.0.0.1', serverTime: Date.now() + (options.skewMs ?? 0), agentCertHash: world.agentCertHash, tlshash: '04E7', https: true,
    ...(world.seesAll(account) ? { manageAllDeviceGroups: true } : {}),
    ...(options.maxDeviceView === undefined ? {} : { maxdeviceview: options.maxDeviceView }),
    ...(options.guestSharing === false ? { guestdevicesharing: false } : {})
  }
}

/** Which sessions the real server pushes an event to: site administrators, members of the group, the account itself. */
function mayReceive (world: MeshWorld, { account, page }: MeshSession, event: MeshDoc): boolean {
  if (event['action'] === 'accountchange') return event['userid'] === account._id
  const nodeid = event['nodeid'] ?? (event['node'] as MeshDoc | undefined)?.['_id']
  if (typeof nodeid === 'string' && page.visible !== null && !page.visible.has(nodeid)) return false
  const meshid = event['meshid'] ?? world.nodes.get(String(nodeid))?.meshid
  return account.siteadmin === rights.all || account.links.has(String(meshid))
}

/**
 * A MeshCentral server to test against: control channel with header log-in, groups, nodes, inventory, pushes and links, with the
 * habits of the real one (answers without ids, in any order or not at all, refusals that keep the socket open, soft deletes).
 * Needs the package `ws`.
 */
export async function startFakeMeshCentral (options: FakeMeshOptions = {}): Promise<FakeMeshCentral> {
  const { domain = '', username = 'sync', password = 'mesh-test-password', siteadmin = rights.all, manageAllDeviceGroups = true, groups = 3, devices = 12 } = options
  const upgrades = await upgradeServer()
  const world = new MeshWorld(domain)
  const account = world.addAccount({ name: username, password, siteadmin, manager: manageAllDeviceGroups, ...(options.twoFactor === undefined ? {} : { twoFactor: options.twoFactor }) })
  const other = world.addAccount({ name: 'otheradmin', password: 'other-password', siteadmin: rights.all })
  seedMesh(world, { groups, devices, owner: account })
  const loginToken = { username: `~t:${randomBytes(8).toString('hex')}`, password: randomBytes(10).toString('hex') }
  const tokens = new Map([[loginToken.username, { password: loginToken.password, account }]])
  const sessions = new Set<MeshSession>()
  const peers = new Set<Peer>()
  const silent = new Set<string>()
  let refusal: MeshDoc | null = null
  let server = makeServer()
  let port = await listenOn(server, options.port ?? 0)
  const path = domain === '' ? '/' : `/${domain}/`
  const scheme = options.tls ? 'https' : 'http'
  const baseUrl = () => `${scheme}://127.0.0.1:${port}${path}`

  world.publish = event => {
    for (const session of sessions) if (mayReceive(world, session, event)) session.send({ action: 'event', event })
  }

  function makeServer () {
    const answer = (request: IncomingMessage, response: ServerResponse) => {
      const { pathname, searchParams } = new URL(request.url ?? '/', 'http://fake')
      const found = pathname === `${path}health.ashx` && (options.loginKey === undefined || searchParams.get('key') === options.loginKey)
      response.writeHead(found ? 200 : 404, { 'content-type': 'text/html' }).end(found ? 'ok' : 'not found')
    }
    const made = options.tls ? createTlsServer(options.tls, answer) : createServer(answer)
    return made.on('upgrade', (request, socket, head) => upgrades.handleUpgrade(request, socket, head, peer => { welcome(request, peer) }))
  }

  function welcome (request: IncomingMessage, peer: Peer) {
    const { pathname, searchParams } = new URL(request.url ?? '/', 'http://fake')
    peers.add(peer)
    peer.on('error', () => peer.terminate())
    peer.on('close', () => peers.delete(peer))
    // Any path is upgraded; only one of them leads anywhere.
    if (pathname !== `${path}control.ashx`) return peer.close()
    const send = (frame: MeshDoc) => { if (peers.has(peer)) peer.send(JSON.stringify(frame)) }
    const refuse = (frame: MeshDoc) => {
      send(frame)
      setTimeout(() => peer.close(), refusedHangMs).unref()
    }
    if (refusal) return refuse(refusal)
    if (options.loginKey !== undefined && searchParams.get('key') !== options.loginKey) return refuse({ action: 'close', cause: 'noauth', msg: 'nokey' })
    const who = logIn(request.headers['x-meshauth'] as string | undefined, world, tokens)
    if (isFrame(who)) return refuse(who)
    if ((who.siteadmin & 128) !== 0 && who.siteadmin !== rights.all) return refuse({ action: 'close', cause: 'notools', msg: 'notools' })
    if (options.maxSessions !== undefined && sessions.size >= options.maxSessions) return refuse({ action: 'stopped', msg: 'Session count exceed' })
    serve(peer, { account: who, send, page: { skip: 0, limit: options.maxDeviceView ?? 0, visible: null } })
  }

  function serve (peer: Peer, session: MeshSession) {
    sessions.add(session)
    fake.counts.logins++
    peer.on('close', () => sessions.delete(session))
    session.send({ action: 'serverinfo', serverinfo: serverinfo(world, session.account, options) })
    session.send({ action: 'userinfo', userinfo: world.userDoc(session.account) })
    session.send({ action: 'traceinfo', traceSources: [] })
    peer.on('message', data => { receive(session, data.toString('utf8')) })
  }

  function receive (session: MeshSession, text: string) {
    let command: MeshDoc
    try { command = JSON.parse(text) as MeshDoc } catch { return }
    const action = command?.['action']
    if (typeof action !== 'string') return
    const { counts } = fake
    counts.actions[action] = (counts.actions[action] ?? 0) + 1
    if (listActions.has(action) && command['id'] === undefined && command['nodeids'] === undefined) counts.lists++
    if (!readActions.has(action)) counts.writes++
    if (silent.has(action) || fake.intercept?.(command, session)) return
    handlers[action]?.(command, {
      world, session, baseUrl: baseUrl(), maxDeviceView: options.maxDeviceView ?? null, guestSharing: options.guestSharing !== false,
      // Two kinds of delay: answers of requests sent together come in another order.
      later: work => { if (Math.random() < 0.5) setImmediate(work); else setTimeout(work, 1) },
      crash (why) {
        fake.crashed = why
        void fake.stop()
      }
    })
  }

  const fake: FakeMeshCentral = {
    get url () { return `${scheme}://127.0.0.1:${port}${options.loginKey === undefined ? '' : `/?key=${options.loginKey}`}` },
    get port () { return port },
    username, password, loginToken, account, other, world,
    counts: { logins: 0, lists: 0, writes: 0, actions: {} },
    crashed: null,
    intercept: null,
    resetCounts () { fake.counts = { logins: 0, lists: 0, writes: 0, actions: {} } },
    sockets: () => peers.size,
    refuseLogins (frame) { refusal = frame },
    silence (action) {
      if (action === null) silent.clear()
      else silent.add(action)
    },
    broadcast (frame) {
      for (const peer of peers) peer.send(typeof frame === 'string' ? frame : JSON.stringify(frame))
    },
    dropConnections () {
      for (const peer of peers) peer.terminate()
    },
    async stop () {
      sessions.clear()
      for (const id of world.connected.keys()) world.connected.delete(id)
      await new Promise<void>(resolve => {
        server.close(() => resolve())
        for (const peer of peers) peer.terminate()
        server.closeAllConnections()
      })
    },
    async start () {
      server = makeServer()
      port = await listenOn(server, port)
    },
    migrate () {
      world.agentCertHash = randomBytes(48).toString('base64')
      world.loseDatabase()
      fake.dropConnections()
    },
    close: () => fake.stop()
  }
  return fake
}

async function listenOn (server: ReturnType<typeof createServer>, port: number): Promise<number> {
  await new Promise<void>((resolve, reject) => server.once('error', reject).listen(port, '127.0.0.1', resolve))
  return (server.address() as AddressInfo).port
}
