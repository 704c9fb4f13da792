import { randomBytes } from 'node:crypto'
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import { createServer as createTlsServer } from 'node:https'
import type { AddressInfo } from 'node:net'
import { ControlChannel } from './channel.ts'
import type { LoginTokens } from './login.ts'
import { seedMesh } from './seed.ts'
import type { FakeMeshCentral, FakeMeshOptions } from './types.ts'
import { rights } from './documents.ts'
import { MeshWorld } from './world.ts'

export { interfaces as meshInterfaces, linuxHardware, windowsHardware } from './seed.ts'
export type { MeshFault, MeshFaultKind } from './faults.ts'
export type { FakeMeshCentral, FakeMeshOptions, MeshCounts } from './types.ts'
export { rights as meshRights } from './documents.ts'
export { MeshWorld } from './world.ts'
export type { FakeMeshAccount, FakeMeshGroup, FakeMeshNode, MeshDoc } from './documents.ts'

type Server = ReturnType<typeof createServer>

async function listenOn(server: Server, port: number): Promise<number> {
  await new Promise<void>((resolve, reject) => server.once('error', reject).listen(port, '127.0.0.1', resolve))
  return (server.address() as AddressInfo).port
}

function httpServer(options: FakeMeshOptions, path: string, channel: ControlChannel): Server {
  const answer = (request: IncomingMessage, response: ServerResponse) => {
    const { pathname } = new URL(request.url ?? '/', 'http://fake')
    // The one page that asks for no login key.
    const found = pathname === `${path}health.ashx`
    response.writeHead(found ? 200 : 404, { 'content-type': 'text/html' }).end(found ? 'ok' : 'not found')
  }
  const server = options.tls ? createTlsServer(options.tls, answer) : createServer(answer)
  return server.on('upgrade', (request, socket, head) => {
    channel.upgrade(request, socket, head)
  })
}

/** The accounts, what they see, and a login token of the integration's account. */
function makeWorld(options: FakeMeshOptions) {
  const {
    domain = '',
    username = 'sync',
    password = 'mesh-test-password',
    siteadmin = rights.all,
    manageAllDeviceGroups = true,
    groups = 3,
    devices = 12,
    twoFactor
  } = options
  const world = new MeshWorld(domain)
  const account = world.addAccount({
    name: username,
    password,
    siteadmin,
    manager: manageAllDeviceGroups,
    ...(twoFactor === undefined ? {} : { twoFactor })
  })
  const other = world.addAccount({ name: 'otheradmin', password: 'other-password', siteadmin: rights.all })
  seedMesh(world, { groups, devices, owner: account })
  const loginToken = { username: `~t:${randomBytes(8).toString('hex')}`, password: randomBytes(10).toString('hex') }
  return { world, account, other, username, password, loginToken }
}

/**
 * A MeshCentral server to test against: control channel with header log-in, groups, nodes, inventory, pushes and
 * links, with the habits of the real one (answers without ids, in any order or not at all, refusals that keep the
 * socket open, soft deletes). Needs the package `ws`; throws where it is not installed.
 */
export async function startFakeMeshCentral(options: FakeMeshOptions = {}): Promise<FakeMeshCentral> {
  const made = makeWorld(options)
  const { world, account, loginToken } = made
  const path = world.domain === '' ? '/' : `/${world.domain}/`
  let port = 0
  let server: Server
  const fake: FakeMeshCentral = {
    ...made,
    get url() {
      return `${options.tls ? 'https' : 'http'}://127.0.0.1:${port}`
    },
    get port() {
      return port
    },
    counts: { logins: 0, refusals: 0, lists: 0, writes: 0, actions: {} },
    crashed: null,
    fault: null,
    intercept: null,
    resetCounts() {
      fake.counts = { logins: 0, refusals: 0, lists: 0, writes: 0, actions: {} }
    },
    sockets: () => channel.peers.size,
    refuseLogins(frame) {
      channel.refusal = frame
    },
    silence(action) {
      if (action === null) channel.silent.clear()
      else channel.silent.add(action)
    },
    broadcast(frame) {
      for (const peer of channel.peers) peer.send(typeof frame === 'string' ? frame : JSON.stringify(frame))
    },
    dropConnections() {
      for (const peer of channel.peers) peer.terminate()
    },
    async stop() {
      channel.sessions.clear()
      world.connected.clear()
      await new Promise<void>(resolve => {
        server.close(() => resolve())
        fake.dropConnections()
        server.closeAllConnections()
      })
    },
    async start() {
      server = httpServer(options, path, channel)
      port = await listenOn(server, port === 0 ? (options.port ?? 0) : port)
    },
    migrate() {
      world.agentCertHash = randomBytes(48).toString('base64')
      world.loseDatabase()
      fake.dropConnections()
    },
    close: () => fake.stop()
  }
  const tokens: LoginTokens = new Map([[loginToken.username, { password: loginToken.password, account }]])
  const channel = await ControlChannel.create(fake, options, tokens, path)
  world.publish = event => channel.publish(event)
  await fake.start()
  return fake
}
