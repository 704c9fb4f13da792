import type { MeshSession } from './actions.ts'
import type { FakeMeshOptions } from './types.ts'
import { rights, type FakeMeshAccount, type MeshDoc } from './documents.ts'
import type { MeshWorld } from './world.ts'

export type LoginTokens = Map<string, { password: string; account: FakeMeshAccount }>

/** Who the header `x-meshauth` proves, or the frame that refuses. */
export function logIn(header: string | undefined, world: MeshWorld, tokens: LoginTokens): FakeMeshAccount | MeshDoc {
  const refused = (msg: string) => ({ action: 'close', cause: 'noauth', msg })
  if (header === undefined) return refused('noauth')
  const parts = header.split(',').map(part => Buffer.from(part, 'base64').toString('utf8'))
  const [user = '', password, code] = parts
  if (parts.length < 2 || parts.length > 3) return refused('noauth-2c')
  const token = tokens.get(user)
  if (token) return token.password === password ? token.account : refused('noauth-2d')
  const account = world.accounts.get(`user/${world.domain}/${user.toLowerCase()}`)
  if (!account || account.password !== password) return refused('noauth-2d')
  if (account.twoFactor !== undefined && account.twoFactor !== code)
    return { ...refused('tokenrequired'), email2fa: false, sms2fa: false, msg2fa: false, twoFactorCookieDays: 30 }
  return account
}

export function isFrame(value: FakeMeshAccount | MeshDoc): value is MeshDoc {
  return 'action' in value
}

export function serverinfo(world: MeshWorld, account: FakeMeshAccount, options: FakeMeshOptions): MeshDoc {
  return {
    domain: world.domain,
    name: '127.0.0.1',
    serverTime: Date.now() + (options.skewMs ?? 0),
    agentCertHash: world.agentCertHash,
    tlshash: '04E7',
    https: true,
    ...(world.seesAll(account) ? { manageAllDeviceGroups: true } : {}),
    ...(options.maxDeviceView === undefined ? {} : { maxdeviceview: options.maxDeviceView }),
    ...(options.guestSharing === false ? { guestdevicesharing: false } : {}),
    ...(options.consent === undefined ? {} : { consent: options.consent })
  }
}

/** Which sessions the real server pushes an event to: site administrators, members of the group, the account itself. */
export function mayReceive(world: MeshWorld, { account, page }: MeshSession, event: MeshDoc): boolean {
  if (event['action'] === 'accountchange') return event['userid'] === account._id
  const nodeid = event['nodeid'] ?? (event['node'] as MeshDoc | undefined)?.['_id']
  if (typeof nodeid === 'string' && page.visible !== null && !page.visible.has(nodeid)) return false
  const meshid = event['meshid'] ?? world.nodes.get(String(nodeid))?.meshid
  return account.siteadmin === rights.all || account.links.has(String(meshid))
}
