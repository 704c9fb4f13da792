import {
  mapRecords,
  ProviderError,
  type DeviceGroup,
  type DeviceGroups,
  type OrganizationRecord,
  type Resource,
  type Visibility
} from '../define.ts'
import type { MeshClient } from './client.ts'
import type { Frame } from './correlate.ts'
import { isId, isObject } from './frames.ts'
import type { Session } from './session.ts'

const maxName = 128
const maxDescription = 1024
const agentGroup = 2
const noNewGroups = 64
const fullAdmin = 0xffffffff
/**
 * Control characters, line and paragraph separators, text direction overrides, zero-width blanks, halves of surrogate
 * pairs.
 */
const invisible = /[\p{Cc}\u00ad\u200b\u200e\u200f\u2028-\u202e\u2060\u2066-\u2069\ufeff\ufffd]/gu

/** At most `max` UTF-16 units, no surrogate pair cut in two. */
export function cut(text: string, max: number): string {
  if (text.length <= max) return text
  const end = /[\ud800-\udbff]/.test(text[max - 1]!) ? max - 1 : max
  return text.slice(0, end)
}

/**
 * The name as MeshCentral is to store it: NFC, one line, no control or direction characters, at most 128 UTF-16 units.
 * The server takes anything and copies it raw into every agent's settings file, where a line break injects settings.
 */
export function sanitizeName(name: string): string {
  const oneLine = name.toWellFormed().normalize('NFC').replace(/\s+/gu, ' ').replace(invisible, '')
  const result = cut(oneLine.replace(/ {2,}/g, ' ').trim(), maxName).trim()
  return result.replace(/\u200c|\u200d|\ufe0f/g, '').trim() === '' ? '' : result
}

function sanitizeDescription(text: string): string {
  return cut(
    text
      .toWellFormed()
      .normalize('NFC')
      // Lines are a person's; other control characters are nobody's.
      .replace(/\r\n?/g, '\n')
      .replace(/[^\P{Cc}\n\t]+/gu, ' ')
      .trim(),
    maxDescription
  ).trim()
}

/** Every group the account can see, as the server tells them. */
export async function listMeshes(session: Session, signal: AbortSignal): Promise<Frame[]> {
  const { meshes } = await session.request({ action: 'meshes' }, { signal })
  if (!Array.isArray(meshes))
    throw new ProviderError('protocol', 'MeshCentral answered the list of device groups without a list')
  // What is no document stays as one without an id: a list with it is not known to be whole.
  return meshes.map(mesh => (isObject(mesh) ? mesh : {}))
}

function toOrganization(mesh: Frame): OrganizationRecord {
  if (typeof mesh['_id'] !== 'string' || !mesh['_id'].startsWith('mesh/')) throw new Error('the device group has no id')
  const name = typeof mesh['name'] === 'string' ? sanitizeName(mesh['name']) : ''
  return { externalId: mesh['_id'], name: name === '' ? mesh['_id'].slice(-8) : name, parentExternalId: null }
}

/** Device groups of every kind; MeshCentral has no tree. */
export const organizations: Resource<MeshClient, OrganizationRecord> = {
  deletes: 'snapshot',
  async *pull(client, _from, signal) {
    const observedAt = new Date()
    const session = await client.session(signal)
    const meshes = await listMeshes(session, signal)
    // Rights that were lost meanwhile were told before the list.
    const told = { visibility: visibilityOf(session), server: serverOf(session) }
    yield { observedAt, ...told, ...mapRecords(meshes, mesh => mesh['_id'], toOrganization) }
  },
  async fetchOne(client, externalId, signal) {
    const session = await client.session(signal)
    const mesh = (await listMeshes(session, signal)).find(mesh => mesh['_id'] === externalId)
    return mesh === undefined ? null : toOrganization(mesh)
  }
}

function toGroup(mesh: Frame): DeviceGroup | null {
  const { _id, name, desc, mtype, creation } = mesh
  if (mtype !== agentGroup || typeof _id !== 'string' || typeof name !== 'string') return null
  return {
    id: _id,
    name,
    description: typeof desc === 'string' && desc !== '' ? desc : null,
    ...(typeof creation === 'number' ? { createdAt: new Date(creation) } : {})
  }
}

/** True where no group of the server can be hidden from the account. */
export function seesAllGroups(session: Session): boolean {
  return session.info.manageAllDeviceGroups && session.account.siteadmin === fullAdmin
}

/** What is missing may be gone only for an account from which nothing is hidden. */
export function visibilityOf(session: Session): Visibility {
  return seesAllGroups(session) ? 'all' : 'partial'
}

/** Identifies the installation: another one means "migrated". */
function serverOf({ info: { agentCertHash, domain } }: Session): string | null {
  return agentCertHash === null || domain === '' ? agentCertHash : `${agentCertHash}/${domain}`
}

export function mayCreateGroups(session: Session): boolean {
  return session.account.siteadmin === fullAdmin || (session.account.siteadmin & noNewGroups) === 0
}

function creationFailure(result: string): ProviderError {
  if (/permission|denied/i.test(result))
    return new ProviderError(
      'forbidden',
      'The MeshCentral account may not create device groups: take the restriction "No New Device Groups" from it'
    )
  if (/verification/i.test(result))
    return new ProviderError(
      'forbidden',
      'MeshCentral wants the e-mail address of the account confirmed before it may create device groups'
    )
  return new ProviderError('protocol', `MeshCentral did not create the device group: ${cut(result, 100)}`)
}

function wanted(value: string, sanitize: (text: string) => string): string {
  const result = typeof value === 'string' ? sanitize(value) : ''
  if (result === '')
    throw new ProviderError(
      'protocol',
      "Nothing usable is left of the device group's name after control characters and blanks are taken away"
    )
  return result
}

async function create(
  client: MeshClient,
  group: { name: string; description: string },
  signal: AbortSignal
): Promise<DeviceGroup> {
  const name = wanted(group.name, sanitizeName)
  const desc = sanitizeDescription(group.description ?? '')
  const session = await client.session(signal)
  const reply = await session.request({ action: 'createmesh', meshname: name, meshtype: agentGroup, desc }, { signal })
  if (reply['result'] !== 'ok') throw creationFailure(String(reply['result'] ?? 'no result'))
  if (!isId(session.info, 'mesh', reply['meshid']))
    throw new ProviderError('protocol', 'MeshCentral created a device group without telling its id')
  return { id: reply['meshid'], name, description: desc === '' ? null : desc }
}

const editRight =
  'The MeshCentral account may not change this device group: give it the right "Edit Device Group" there'

/** Sends the change; false where the server keeps silent, which is how it refuses. */
async function sendEdit(
  session: Session,
  edit: { meshid: string; meshname?: string; desc?: string },
  signal: AbortSignal
): Promise<boolean> {
  const giveUp = new AbortController()
  const answered = session.request(
    { action: 'editmesh', ...edit },
    { signal: AbortSignal.any([signal, giveUp.signal]) }
  )
  answered.catch(() => {})
  try {
    // The server handles the frames of one socket in order and answers an edit before it reads on: once the pong is
    // here, no reply will come.
    await session.request({ action: 'ping' }, { signal })
    const reply = await Promise.race([answered, null])
    if (reply === null) return false
    if (reply['result'] === 'ok') return true
    throw new ProviderError(
      'gone',
      `The device group is not on the MeshCentral server any more (${cut(String(reply['result']).trim(), 60)})`
    )
  } finally {
    giveUp.abort()
  }
}

function matches(group: DeviceGroup, name: string | undefined, description: string | undefined): boolean {
  return (
    (name === undefined || group.name === name) &&
    (description === undefined || (group.description ?? '') === description)
  )
}

/** The group as the server lists it now; null where it is not there or not visible. */
export async function findGroup(session: Session, id: string, signal: AbortSignal): Promise<DeviceGroup | null> {
  return (await listMeshes(session, signal)).filter(mesh => mesh['_id'] === id).map(toGroup)[0] ?? null
}

/** The group as a push or the list shows it; null where it is not there or not visible. */
async function lookUp(session: Session, id: string, signal: AbortSignal): Promise<DeviceGroup | null> {
  const shown = session.groups.get(id)
  return (shown && toGroup(shown)) ?? (await findGroup(session, id, signal))
}

/**
 * The push of the change, or else the list, tells what is stored: "ok" is also the answer to values that were
 * ignored, and an administrator who manages all groups may even change one that is deleted.
 */
async function rename(
  client: MeshClient,
  id: string,
  change: { name?: string; description?: string },
  signal: AbortSignal
): Promise<DeviceGroup> {
  const meshname = change.name === undefined ? undefined : wanted(change.name, sanitizeName)
  const desc = change.description === undefined ? undefined : sanitizeDescription(change.description)
  const session = await client.session(signal)
  if (!isId(session.info, 'mesh', id))
    throw new ProviderError('gone', 'This is not the id of a device group on this MeshCentral server')
  const accepted = await sendEdit(
    session,
    { meshid: id, ...(meshname === undefined ? {} : { meshname }), ...(desc === undefined ? {} : { desc }) },
    signal
  )
  let stored = await lookUp(session, id, signal)
  if (!accepted && stored) throw new ProviderError('forbidden', editRight)
  if (stored && !matches(stored, meshname, desc)) stored = await findGroup(session, id, signal)
  if (!stored)
    throw new ProviderError(
      'gone',
      'The device group is not on the MeshCentral server any more, or not visible to the account'
    )
  if (!matches(stored, meshname, desc))
    throw new ProviderError('protocol', 'MeshCentral accepted the change of the device group but did not store it')
  return stored
}

export const deviceGroups: DeviceGroups<MeshClient> = {
  async list(client, signal) {
    const session = await client.session(signal)
    const groups = (await listMeshes(session, signal)).map(toGroup).filter(group => group !== null)
    return { groups, server: serverOf(session), complete: seesAllGroups(session) }
  },
  create,
  rename,
  sanitizeName
}
