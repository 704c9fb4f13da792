import { ConnectionDisconnectedError, HostError, SecretsRequiredError, SecretsUnreadableError } from '../../errors.ts'
import type { Core } from '../core.ts'
import { destinationOf, leadsElsewhere } from '../egress/index.ts'
import { type ConnectionRow, replaceSealed, type SealedColumn, sealedColumns, setStatus } from '../store/index.ts'

/** What only opens and seals needs no more of the core. */
export type Sealing = Pick<Core, 'secrets'>

/** What a sealed value is for; one never opens as another. */
export type Purpose = 'connection' | 'hook' | 'session'

interface Owner {
  id: string
  tenant_id: string
}

/** The additional data of what a connection keeps sealed. */
const boundTo = (purpose: Purpose, { tenant_id, id }: Owner): string => `${purpose}:${tenant_id}:${id}`
/** That of version 0.1. */
const formerlyBoundTo = ({ tenant_id, id }: Owner): string => `${tenant_id}:${id}`

/** What is sealed as a connection's secrets: them, and the config they were given with. */
interface Contents {
  $rmm: 2
  secrets: Record<string, unknown>
  config: Record<string, unknown>
}

export interface Opened {
  plain: string
  /** Sealed by version 0.1: for no purpose of its own. */
  old: boolean
}

/** The id of the key that sealed a value, where the box tells. */
export function keyIdOf(core: Sealing, sealed: string): string | null {
  return core.secrets.keyId?.(sealed) ?? null
}

export async function seal(core: Sealing, purpose: Purpose, owner: Owner, plain: string): Promise<string> {
  return await core.secrets.seal(plain, boundTo(purpose, owner))
}

/** Throws `RMM_ERR_SECRETS_UNREADABLE`, and `RMM_ERR_HOST` where the box is at fault. */
export async function unseal(core: Sealing, purpose: Purpose, owner: Owner, sealed: string): Promise<Opened> {
  try {
    return { plain: await core.secrets.open(sealed, boundTo(purpose, owner)), old: false }
  } catch (error) {
    if (error instanceof HostError) throw error
    try {
      return { plain: await core.secrets.open(sealed, formerlyBoundTo(owner)), old: true }
    } catch {
      throw unreadable(core, sealed, error)
    }
  }
}

function unreadable(core: Sealing, sealed: string, cause: unknown): Error {
  const keyId = keyIdOf(core, sealed)
  const key = keyId === null ? '' : ` (they were sealed with the key '${keyId}')`
  return Object.assign(
    new SecretsUnreadableError(
      `The stored secrets cannot be opened with the keys of this system${key}. Have its administrator give that key back to the secret box, or enter the secrets again`
    ),
    { cause: kindOf(cause) }
  )
}

/** What went wrong in the box, without its words: nobody knows whether they repeat what it had opened. */
function kindOf(error: unknown): Error {
  const { name, code } = (error ?? {}) as { name?: unknown; code?: unknown }
  const told = [name, code].filter(part => typeof part === 'string' && /^\w{1,60}$/.test(part))
  return new Error(`the secret box failed: ${told.join(' ') || 'without a name'}`)
}

/** Secrets as they are stored: together with the config they are meant for. */
export async function sealSecrets(
  core: Sealing,
  owner: Owner,
  secrets: Record<string, unknown>,
  config: Record<string, unknown>
): Promise<string> {
  return await seal(core, 'connection', owner, JSON.stringify({ $rmm: 2, secrets, config } satisfies Contents))
}

/**
 * A connection's secrets, for the address they were given for and no other: whatever changed the row since, they do
 * not open for a config that leads elsewhere. Those of version 0.1 are bound to the config they are found with.
 * Throws `RMM_ERR_CONNECTION_DISCONNECTED`, `RMM_ERR_SECRETS_UNREADABLE` or `RMM_ERR_SECRETS_REQUIRED`.
 */
export async function openSecrets(core: Core, row: ConnectionRow): Promise<Record<string, unknown>> {
  if (row.sealed_secrets === null) throw new ConnectionDisconnectedError()
  try {
    return await openBound(core, row, row.sealed_secrets)
  } catch (error) {
    if (isAboutSecrets(error)) await setStatus(core.database, row, 'error', error.message)
    throw error
  }
}

/** There are no secrets that could be used: nothing was asked of the platform. */
export function isAboutSecrets(error: unknown): error is Error {
  return (
    error instanceof ConnectionDisconnectedError ||
    error instanceof SecretsUnreadableError ||
    error instanceof SecretsRequiredError
  )
}

async function openBound(core: Core, row: ConnectionRow, sealed: string): Promise<Record<string, unknown>> {
  const opened = await unseal(core, 'connection', row, sealed)
  const contents = readContents(core, sealed, opened.plain)
  if (contents.config === null) {
    await renew(core, row, 'sealed_secrets', () => sealSecrets(core, row, contents.secrets, row.config))
    return contents.secrets
  }
  const provider = core.registry.get(row.provider)
  if (
    provider !== undefined &&
    leadsElsewhere(destinationOf(provider, contents.config), destinationOf(provider, row.config))
  )
    throw new SecretsRequiredError(
      'The stored secrets were given for another address than the one this connection has now. Enter them again; nothing was sent'
    )
  return contents.secrets
}

/** What a sealed text says; the config is null in those of version 0.1. */
export function readContents(
  core: Sealing,
  sealed: string,
  plain: string
): { secrets: Record<string, unknown>; config: Record<string, unknown> | null } {
  try {
    const value = JSON.parse(plain) as Partial<Contents> & Record<string, unknown>
    if (value.$rmm !== 2) return { secrets: value, config: null }
    return { secrets: value.secrets!, config: value.config! }
  } catch (error) {
    // Not what JSON.parse says: it quotes the text.
    throw unreadable(core, sealed, new Error((error as Error).name))
  }
}

/** A webhook secret of a connection. Throws `RMM_ERR_SECRETS_UNREADABLE`. */
export async function openHookSecret(
  core: Core,
  owner: Owner,
  column: 'hook_secret' | 'hook_secret_previous',
  sealed: string
): Promise<{ secret: string; sealed: string }> {
  const { plain, old } = await unseal(core, 'hook', owner, sealed)
  const renewed = old
    ? await renew(core, { ...owner, [column]: sealed }, column, () => seal(core, 'hook', owner, plain))
    : null
  return { secret: plain, sealed: renewed ?? sealed }
}

/**
 * Puts a value of version 0.1 under its purpose; null where another has done it, or it could not be stored. It stays
 * readable either way.
 */
async function renew(
  core: Core,
  row: Owner & Partial<Record<SealedColumn, string | null>>,
  column: SealedColumn,
  sealAgain: () => Promise<string>
): Promise<string | null> {
  try {
    const to = await sealAgain()
    return (await replaceSealed(core.database, row.id, column, row[column]!, to)) ? to : null
  } catch (error) {
    core.log.warn(
      { err: error, connectionId: row.id, of: sealedColumns[column] },
      'a sealed value could not be renewed'
    )
    return null
  }
}
