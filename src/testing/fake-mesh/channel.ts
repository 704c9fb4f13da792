import type { IncomingMessage } from 'node:http'
import type { Duplex } from 'node:stream'
import { handlers, type MeshSession } from './actions.ts'
import { alter } from './faults.ts'
import { isFrame, logIn, mayReceive, serverinfo, type LoginTokens } from './login.ts'
import type { FakeMeshCentral, FakeMeshOptions } from './types.ts'
import { rights, type FakeMeshAccount, type MeshDoc } from './documents.ts'

/** What is used of the package `ws`. */
interface Peer {
  send(text: string): void
  close(): void
  terminate(): void
  on(event: 'message', listener: (data: Buffer) => void): void
  on(event: 'close' | 'error', listener: () => void): void
}
interface UpgradeServer {
  handleUpgrade(request: IncomingMessage, socket: Duplex, head: Buffer, done: (peer: Peer) => void): void
}

async function upgradeServer(): Promise<UpgradeServer> {
  try {
    const { WebSocketServer } = await import('ws')
    return new WebSocketServer({ noServer: true }) as unknown as UpgradeServer
  } catch (error) {
    throw new Error('startFakeMeshCentral needs the package "ws": npm install --save-dev ws', { cause: error })
  }
}

const listActions = new Set(['meshes', 'nodes', 'getDeviceDetails'])
const readActions = new Set([
  'meshes',
  'nodes',
  'getDeviceDetails',
  'getsysinfo',
  'getnetworkinfo',
  'lastconnect',
  'lastconnects',
  'ping',
  'events'
])
/** How long the real server leaves a socket open after it refused the log-in. */
const refusedHangMs = 30_000

/** The control channel: who is connected, and what happens to the frames they send. */
export class ControlChannel {
  readonly sessions = new Set<MeshSession>()
  readonly peers = new Set<Peer>()
  readonly silent = new Set<string>()
  refusal: MeshDoc | null = null
  private readonly fake: FakeMeshCentral
  private readonly options: FakeMeshOptions
  private readonly tokens: LoginTokens
  private readonly path: string
  private readonly upgrades: UpgradeServer

  private constructor(
    fake: FakeMeshCentral,
    options: FakeMeshOptions,
    tokens: LoginTokens,
    path: string,
    upgrades: UpgradeServer
  ) {
    this.fake = fake
    this.options = options
    this.tokens = tokens
    this.path = path
    this.upgrades = upgrades
  }

  static async create(
    fake: FakeMeshCentral,
    options: FakeMeshOptions,
    tokens: LoginTokens,
    path: string
  ): Promise<ControlChannel> {
    return new ControlChannel(fake, options, tokens, path, await upgradeServer())
  }

  upgrade(request: IncomingMessage, socket: Duplex, head: Buffer): void {
    this.upgrades.handleUpgrade(request, socket, head, peer => {
      this.welcome(request, peer)
    })
  }

  publish(event: MeshDoc): void {
    for (const session of this.sessions)
      if (mayReceive(this.fake.world, session, event)) session.send({ action: 'event', event })
  }

  private welcome(request: IncomingMessage, peer: Peer): void {
    const { pathname, searchParams } = new URL(request.url ?? '/', 'http://fake')
    const { peers, options } = this
    peers.add(peer)
    peer.on('error', () => peer.terminate())
    peer.on('close', () => peers.delete(peer))
    // Any path is upgraded; only one of them leads anywhere.
    if (pathname !== `${this.path}control.ashx`) {
      peer.close()
      return
    }
    const send = (frame: MeshDoc) => {
      if (peers.has(peer)) peer.send(JSON.stringify(frame))
    }
    const who = this.admit(searchParams.get('key'), request.headers['x-meshauth'] as string | undefined)
    if (isFrame(who)) {
      this.fake.counts.refusals++
      send(who)
      setTimeout(() => peer.close(), refusedHangMs).unref()
    } else {
      this.serve(peer, {
        account: who,
        send,
        drop: () => peer.terminate(),
        page: { skip: 0, limit: options.maxDeviceView ?? 0, visible: null }
      })
    }
  }

  private admit(key: string | null, header: string | undefined): FakeMeshAccount | MeshDoc {
    const { loginKey, maxSessions } = this.options
    if (this.refusal) return this.refusal
    if (loginKey !== undefined && key !== loginKey) return { action: 'close', cause: 'noauth', msg: 'nokey' }
    const who = logIn(header, this.fake.world, this.tokens)
    if (isFrame(who)) return who
    if (who.siteadmin !== rights.all && (who.siteadmin & 128) !== 0)
      return { action: 'close', cause: 'notools', msg: 'notools' }
    return maxSessions !== undefined && this.sessions.size >= maxSessions
      ? { action: 'stopped', msg: 'Session count exceed' }
      : who
  }

  private serve(peer: Peer, session: MeshSession): void {
    const { fake, sessions } = this
    sessions.add(session)
    fake.counts.logins++
    peer.on('close', () => sessions.delete(session))
    session.send({ action: 'serverinfo', serverinfo: serverinfo(fake.world, session.account, this.options) })
    session.send({ action: 'userinfo', userinfo: fake.world.userDoc(session.account) })
    session.send({ action: 'traceinfo', traceSources: [] })
    peer.on('message', data => {
      this.receive(session, data.toString('utf8'))
    })
  }

  /** The session, through which answers go as the fault wants them. */
  private faulty(session: MeshSession): MeshSession {
    const { fault } = this.fake
    if (fault === null) return session
    return {
      ...session,
      send: frame => {
        if (frame['action'] === fault.action && fault.kind !== 'html') this.fake.fault = null
        session.send(alter(frame, fault))
      }
    }
  }

  private receive(session: MeshSession, text: string): void {
    let command: MeshDoc
    try {
      command = JSON.parse(text) as MeshDoc
    } catch {
      return
    }
    const action = command?.['action']
    if (typeof action !== 'string') return
    const { fake, options } = this
    const { counts } = fake
    counts.actions[action] = (counts.actions[action] ?? 0) + 1
    if (listActions.has(action) && command['id'] === undefined && command['nodeids'] === undefined) counts.lists++
    if (!readActions.has(action)) counts.writes++
    if (this.silent.has(action) || fake.intercept?.(command, session)) return
    handlers[action]?.(command, {
      world: fake.world,
      session: this.faulty(session),
      baseUrl: new URL(this.path, fake.url).href,
      maxDeviceView: options.maxDeviceView ?? null,
      guestSharing: options.guestSharing !== false,
      // Two kinds of delay: answers of requests sent together come in another order.
      later: work => {
        if (Math.random() < 0.5) setImmediate(work)
        else setTimeout(work, 1)
      },
      crash(why) {
        fake.crashed = why
        void fake.stop()
      }
    })
  }
}
