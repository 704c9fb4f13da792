import { ProviderError } from '../define.ts'
import type { Frame } from './correlate.ts'

/** What `serverinfo` tells, as far as it matters here. */
export interface ServerInfo {
  /** Empty for the default domain; part of every id. */
  domain: string
  /** Identifies the server installation; another one means "migrated". */
  agentCertHash: string | null
  /** The account sees and manages every group of the server. */
  manageAllDeviceGroups: boolean
  /** Set where the server cuts `nodes` into pages. */
  maxDeviceView: number | null
  guestSharing: boolean
  /** What the person at a device is told or asked on the whole server, as flags. */
  consent: number
  /** The server's clock minus ours, in milliseconds. */
  skewMs: number
}

export interface Account {
  id: string
  name: string
  siteadmin: number
  /** Rights by group id (or user group id) that the account is a member of. */
  links: Map<string, number>
}

const minute = 60_000

export function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

const printable = /^[\x21-\x7e]+$/

/** Whether `id` is one of `type` in this server's domain. Nothing else is ever sent: some inputs crash the server. */
export function isId(info: ServerInfo, type: 'mesh' | 'node', id: unknown): id is string {
  const prefix = `${type}/${info.domain}/`
  return (
    typeof id === 'string' &&
    id.startsWith(prefix) &&
    id.length > prefix.length &&
    id.length <= 128 &&
    printable.test(id) &&
    !id.includes('/', prefix.length)
  )
}

export function readServerInfo(info: Record<string, unknown>, now: number): ServerInfo {
  const { agentCertHash, maxdeviceview, serverTime, domain } = info
  return {
    domain: typeof domain === 'string' ? domain : '',
    agentCertHash: typeof agentCertHash === 'string' && agentCertHash !== '' ? agentCertHash : null,
    manageAllDeviceGroups: info['manageAllDeviceGroups'] === true,
    maxDeviceView: typeof maxdeviceview === 'number' && maxdeviceview > 0 ? maxdeviceview : null,
    guestSharing: info['guestdevicesharing'] !== false,
    consent: typeof info['consent'] === 'number' ? info['consent'] : 0,
    skewMs: typeof serverTime === 'number' && Number.isFinite(serverTime) ? serverTime - now : 0
  }
}

export function readAccount(user: Record<string, unknown>): Account {
  const links = new Map<string, number>()
  for (const [id, link] of isObject(user['links']) ? Object.entries(user['links']) : []) {
    if (isObject(link)) links.set(id, typeof link['rights'] === 'number' ? link['rights'] : 0)
  }
  return {
    id: typeof user['_id'] === 'string' ? user['_id'] : '',
    name: typeof user['name'] === 'string' ? user['name'] : '',
    siteadmin: typeof user['siteadmin'] === 'number' ? user['siteadmin'] : 0,
    links
  }
}

const loginTokenHint =
  'Create a login token for the account in MeshCentral (My Account, Manage login tokens) and use its user name "~t:…" and password here'

/** The server's words, short and printable: they end up in an operator's message. */
function words(value: unknown): string {
  return typeof value === 'string' ? value.replace(/[^\x20-\x7e]/g, '').slice(0, 80) : ''
}

/**
 * The failure that a `close` or `stopped` frame stands for, null for every other frame.
 * The server leaves the socket open for another 30 seconds after it, so the frame itself has to be acted on.
 * @param codeGiven whether the log-in had a 2FA code: the server refuses a wrong one as it does a missing one
 */
export function endOf(frame: Frame, codeGiven = false): ProviderError | null {
  if (frame['action'] === 'stopped') {
    return new ProviderError(
      'rate_limited',
      `MeshCentral allows this account no further session (${words(frame['msg'])}): close other sessions of it or raise maxSingleUserSessions`,
      { retryAfterMs: minute }
    )
  }
  if (frame['action'] !== 'close') return null
  const cause = words(frame['cause'])
  const msg = words(frame['msg'])
  if (cause === 'banned' || msg.startsWith('banned')) {
    return new ProviderError(
      'rate_limited',
      'MeshCentral has locked out our network for a while after failed log-ins in its web page; it is tried again in 10 minutes. An administrator can end it with "badlogins reset" in the server console',
      { retryAfterMs: 10 * minute }
    )
  }
  if (msg === 'tokenrequired') {
    if (codeGiven)
      return new ProviderError(
        'auth',
        `MeshCentral did not accept the 2FA code: it is wrong or has expired. ${loginTokenHint}`
      )
    return new ProviderError(
      'auth',
      `This MeshCentral account needs a 2FA code or login token. ${loginTokenHint}; a 2FA code in "token" is good for one minute only`
    )
  }
  if (msg === 'nokey')
    return new ProviderError(
      'forbidden',
      'MeshCentral wants its login key in every address, and this connection has none or a wrong one: enter it as the login key, among the secrets'
    )
  if (cause === 'notools' || msg === 'notools') {
    return new ProviderError(
      'forbidden',
      'This MeshCentral account has the restriction "No Tools": an administrator has to remove it from the account'
    )
  }
  if (cause === 'invalidorigin')
    return new ProviderError(
      'forbidden',
      'MeshCentral refused the origin of the connection: check allowedOrigin in its config.json'
    )
  if (msg.startsWith('emailvalidation'))
    return new ProviderError(
      'auth',
      'MeshCentral wants the e-mail address of this account confirmed first: do it in its web page'
    )
  if (cause === 'noauth' && (msg === '' || msg.startsWith('noauth'))) {
    return new ProviderError(
      'auth',
      `MeshCentral refused the user name or password (${msg || cause}). Use the bare user name, not "user//name" and not the e-mail address; a locked account and an expired or revoked login token look the same`
    )
  }
  return new ProviderError(
    'auth',
    `MeshCentral ended the session (${cause} ${msg}): log in to its web page with this account to see what it asks for`
  )
}
