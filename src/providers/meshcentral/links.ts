import { type Consent, ProviderError, type RemoteSession } from '../define.ts'
import { cut, findGroup, listMeshes, sanitizeName } from './groups.ts'
import type { MeshClient } from './client.ts'
import { isId } from './frames.ts'
import { readNode } from './nodes.ts'
import type { Session } from './session.ts'

const desktop = 2
/**
 * What is asked of the person at the device, as the server's own page asks it: being told comes with a bar on the
 * screen. The server adds what the device group and its config.json demand.
 */
const consentFlags = { none: 0, notify: 0x41, prompt: 0x49 } as const satisfies Record<Consent, number>
/** Told, asked, bar: for the desktop. */
const anyConsent = 0x49
const minuteMs = 60_000
const hourMs = 60 * minuteMs

/** A positive whole number: 0 would mean "for ever", and a wrong type can crash the server. */
function whole(value: number, max: number, what: string): number {
  if (!Number.isFinite(value) || value < 1) throw new ProviderError('protocol', `${what} must be at least 1`)
  return Math.min(Math.round(value), max)
}

function linkOf(client: MeshClient, url: unknown): string {
  try {
    const link = new URL(String(url), client.baseUrl)
    if (typeof url === 'string' && (link.protocol === 'https:' || link.protocol === 'http:')) return link.href
  } catch {}
  throw new ProviderError('protocol', 'MeshCentral answered the request for a link without one')
}

const sharingOff = 'MeshCentral allows no guest links to devices: set guestDeviceSharing in its config.json to true'
const shareRights =
  'The MeshCentral account may not share this device: it needs the rights "Remote Control" and "Guest Sharing" on the device group, without "Limited Input" and "No Desktop"'

const keyedLink =
  'This MeshCentral server wants its login key in every address, so the link would have to carry it, and whoever got the link would have the key. Install the agent from the page of MeshCentral instead'

const goneGroup =
  'The device group is not on the MeshCentral server any more, or the account is not a member of it (any right on the group is enough)'

/**
 * A guest link to a device's desktop. Throws `ProviderError`: `forbidden` naming the missing right, `gone` for an
 * unknown device.
 */
export async function remoteSession(
  client: MeshClient,
  externalId: string,
  options: { minutes: number; viewOnly: boolean; consent?: Consent | undefined; guestName: string },
  signal: AbortSignal
): Promise<RemoteSession> {
  const expire = whole(options.minutes, 7 * 24 * 60, 'minutes')
  const guestname = sanitizeName(String(options.guestName ?? '')) || 'Technician'
  const session = await client.session(signal)
  if (!session.info.guestSharing) throw new ProviderError('forbidden', sharingOff)
  if (!isId(session.info, 'node', externalId))
    throw new ProviderError('gone', 'This is not the id of a device on this MeshCentral server')
  if (options.consent === 'none') await requireSilence(session, externalId, signal)
  const askedAt = Date.now()
  const reply = await session.request(
    {
      action: 'createDeviceShareLink',
      nodeid: externalId,
      guestname,
      p: desktop,
      consent: consentFlags[options.consent ?? 'none'],
      expire,
      viewOnly: options.viewOnly === true
    },
    { signal, silence: { kind: 'forbidden', message: sharingOff } }
  )
  const result = String(reply['result'] ?? '')
  if (/denied/i.test(result)) throw new ProviderError('forbidden', shareRights)
  if (/invalid node/i.test(result))
    throw new ProviderError(
      'gone',
      'The device is not on the MeshCentral server any more, or not visible to the account'
    )
  if (!/^ok$/i.test(result))
    throw new ProviderError('protocol', `MeshCentral made no link to the device: ${cut(result, 100)}`)
  const until =
    typeof reply['expire'] === 'number' && reply['expire'] > 1e12
      ? reply['expire'] - session.info.skewMs
      : askedAt + expire * minuteMs
  return { url: linkOf(client, reply['url']), expiresAt: new Date(until) }
}

/** Throws `forbidden` where the person at the device is told or asked whatever we say. */
async function requireSilence(session: Session, externalId: string, signal: AbortSignal): Promise<void> {
  const refuse = (who: string): never => {
    throw new ProviderError(
      'forbidden',
      `${who} that the person at the device is told or asked: a session without that is not possible, ask for "notify" or "prompt"`
    )
  }
  if ((session.info.consent & anyConsent) !== 0) refuse('The MeshCentral server demands (userConsentFlags)')
  const node = await readNode(session, externalId, signal)
  if (node === null) return
  const mesh = (await listMeshes(session, signal)).find(({ _id }) => _id === node.node['meshid'])
  const flags = mesh?.['consent']
  if (mesh === undefined) refuse('The device group cannot be seen by the account, and may demand')
  if (typeof flags === 'number' && (flags & anyConsent) !== 0) refuse('The device group demands')
}

/**
 * A page to install an agent into a group from. It cannot be revoked, not even by deleting the group: keep `hours`
 * short. Throws `ProviderError`: `forbidden` where the server has a login key, `gone` for an unknown group.
 */
export async function installLink(
  client: MeshClient,
  groupId: string,
  options: { hours: number },
  signal: AbortSignal
): Promise<RemoteSession> {
  const expire = whole(options.hours, 99_999, 'hours')
  if (client.isKeyed) throw new ProviderError('forbidden', keyedLink)
  const session = await client.session(signal)
  if (!isId(session.info, 'mesh', groupId))
    throw new ProviderError('gone', 'This is not the id of a device group on this MeshCentral server')
  // The server makes links also to groups that are deleted, and an agent installed with one brings the group back.
  if ((await findGroup(session, groupId, signal)) === null) throw new ProviderError('gone', goneGroup)
  const askedAt = Date.now()
  const reply = await session.request({ action: 'createInviteLink', meshid: groupId, expire, flags: 0 }, { signal })
  const result = reply['result']
  if (typeof result === 'string' && /invalid group/i.test(result)) throw new ProviderError('gone', goneGroup)
  if (typeof result === 'string' && !/^ok$/i.test(result))
    throw new ProviderError('protocol', `MeshCentral made no install link: ${cut(result, 100)}`)
  return { url: linkOf(client, reply['url']), expiresAt: new Date(askedAt + expire * hourMs) }
}
