import type { MeshSession } from './actions.ts'
import type { MeshFault } from './faults.ts'
import type { FakeMeshAccount, MeshDoc } from './documents.ts'
import type { MeshWorld } from './world.ts'

export interface FakeMeshOptions {
  /** Default 0 = any free port. Always on 127.0.0.1. */
  port?: number
  /** Default '' as on the real server. */
  domain?: string
  /**
   * The integration's account. Default `sync` / `mesh-test-password`, full site administrator in
   * `manageAllDeviceGroups`.
   */
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
  /** `userConsentFlags` of config.json: what the person at every device is told or asked. Default none. */
  consent?: number
  /** The control channel needs `?key=`: `secrets.loginKey` of the connection. */
  loginKey?: string
  /** More sessions than this get `stopped`. */
  maxSessions?: number
  /** Added to the clock the server tells. */
  skewMs?: number
  /** PEM; the server then speaks https and wss. */
  tls?: { key: string; cert: string }
}

/** Counts since the start; set `counts.… = 0` or call `resetCounts` to begin anew. */
export interface MeshCounts {
  /** Log-ins that succeeded. */
  logins: number
  /** Log-ins that were refused. */
  refusals: number
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
  loginToken: { username: string; password: string }
  /** The integration's account. */
  account: FakeMeshAccount
  /** Another administrator, who works on the same server. */
  other: FakeMeshAccount
  world: MeshWorld
  counts: MeshCounts
  resetCounts(): void
  /** Why the server died of an input; null while it lives. */
  crashed: string | null
  /** Sockets that are open. */
  sockets(): number
  /**
   * The next log-ins are refused with this frame, e.g. `{ action: 'close', cause: 'banned', msg: 'banned-1' }`; null
   * takes it back.
   */
  refuseLogins(frame: MeshDoc | null): void
  /** Frames of this action get no answer any more; null takes it back for all. */
  silence(action: string | null): void
  /** What is wrong with the next list it gives, HTML: with every one; null takes it back. */
  fault: MeshFault | null
  /** Called for every frame received; true = swallowed. */
  intercept: ((command: MeshDoc, session: MeshSession) => boolean) | null
  /** Sends any frame to every session. */
  broadcast(frame: MeshDoc | string): void
  /** Sockets die without a word, the server stays. */
  dropConnections(): void
  /** Not there until `start` is called; the state stays, agents are away. */
  stop(): Promise<void>
  start(): Promise<void>
  /** Another installation at the same address: other certificate, no groups, no nodes. */
  migrate(): void
  close(): Promise<void>
}
