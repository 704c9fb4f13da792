import { HostError } from '../../errors.ts'
import { messageOf } from '../../log.ts'
import type { Client, Directory, SecretBox } from '../../types.ts'
import { createRedact } from '../egress/index.ts'
import { cleanError } from './door.ts'
import type { Available } from './registry.ts'

/**
 * What the host's functions answer, looked at where it comes in: a mistake of theirs is `RMM_ERR_HOST`, with the
 * function and the rule it broke, in runs and in answers. `onChanges` has its own (`sync/host-answer.ts`).
 */

/** What was thrown, as a part of a sentence: anything can be. */
export function thrownText(error: unknown): string {
  if (error instanceof Error) return messageOf(error) || error.name
  if (typeof error === 'string') return messageOf(error)
  const kind = error === null || error === undefined ? String(error) : `a value of type ${typeof error}`
  return `it threw ${kind}, which is no Error`
}

function failed(member: string, error: unknown): Error {
  if (error instanceof HostError) return error
  return Object.assign(new HostError(`The host's ${member} failed: ${thrownText(error)}`), { cause: error })
}

const broke = (member: string, rule: string): Error => new HostError(`The host's ${member} broke a rule: ${rule}`)

async function ask<T>(member: string, work: () => T | Promise<T>): Promise<T> {
  try {
    return await work()
  } catch (error) {
    throw failed(member, error)
  }
}

const isClient = (value: unknown): value is Client => {
  const { id, name } = (value ?? {}) as Partial<Client>
  return typeof id === 'string' && id !== '' && typeof name === 'string'
}

/** The directory, whose answers are lists of `{ id, name }`. Throws `RMM_ERR_HOST`. */
export function checkedDirectory(directory: Directory): Directory {
  const { clientsByIds } = directory
  return {
    ...(clientsByIds === undefined
      ? {}
      : {
          async clientsByIds(tenantId: string, ids: string[]) {
            const clients: unknown = await ask('directory.clientsByIds', () =>
              clientsByIds.call(directory, tenantId, ids)
            )
            if (!Array.isArray(clients) || !clients.every(isClient))
              throw broke('directory.clientsByIds', 'it returns a list of { id, name }')
            return clients as Client[]
          }
        }),
    async clients(tenantId, query) {
      const clients: unknown = await ask('directory.clients', () => directory.clients(tenantId, query))
      if (!Array.isArray(clients)) throw broke('directory.clients', 'it returns a list of { id, name }')
      const at = clients.findIndex(client => !isClient(client))
      if (at >= 0) throw broke('directory.clients', `it returns a list of { id, name }, two texts; entry ${at} is none`)
      return clients as Client[]
    },
    async client(tenantId, id) {
      const client: unknown = await ask('directory.client', () => directory.client(tenantId, id))
      if (client === null || client === undefined) return null
      if (!isClient(client)) throw broke('directory.client', 'it returns { id, name }, two texts, or null')
      return client
    }
  }
}

/** Whether a tenant may use a provider. Throws `RMM_ERR_HOST`. */
export function checkedAvailable(available: Available): Available {
  return async (provider, tenantId) => {
    const may: unknown = await ask('available', () => available(provider, tenantId))
    if (typeof may !== 'boolean') throw broke('available', 'it returns true or false')
    return may
  }
}

/** Texts in what is sealed: what a box says of its failure may repeat them. */
function textsIn(plain: string): string[] {
  const texts = (value: unknown): string[] =>
    typeof value === 'string'
      ? [value]
      : typeof value === 'object' && value !== null
        ? Object.values(value).flatMap(texts)
        : []
  try {
    return [plain, ...texts(JSON.parse(plain))]
  } catch {
    return [plain]
  }
}

/**
 * The secret box. That something does not open is no mistake: its errors go through as they are. What it says about
 * texts that it should seal is told without them.
 */
export function checkedBox(box: SecretBox): SecretBox {
  return {
    async seal(plain, aad) {
      let sealed: unknown
      try {
        sealed = await box.seal(plain, aad)
      } catch (error) {
        throw failed('secrets.seal', cleanError(error, createRedact(textsIn(plain))))
      }
      if (typeof sealed !== 'string' || sealed === '') throw broke('secrets.seal', 'it returns the sealed text')
      if (sealed.includes('\0')) throw broke('secrets.seal', 'it returns a text that can be stored, without NUL')
      return sealed
    },
    async open(sealed, aad) {
      const plain: unknown = await box.open(sealed, aad)
      if (typeof plain !== 'string')
        throw broke('secrets.open', 'it returns the text that was sealed, or throws where it does not open')
      return plain
    },
    ...(box.keyId === undefined
      ? {}
      : {
          keyId(sealed: string) {
            let id: unknown
            try {
              id = box.keyId!(sealed)
            } catch (error) {
              throw failed('secrets.keyId', error)
            }
            if (id !== null && typeof id !== 'string')
              throw broke('secrets.keyId', 'it returns the id of the key at once, a text, or null')
            return id
          }
        })
  }
}
