import { createCipheriv, createDecipheriv, randomBytes } from 'node:crypto'
import { OptionError } from '../../errors.ts'
import type { SecretBox } from '../../types.ts'

/**
 * Seals with AES-256-GCM; the additional data binds the text to its tenant and connection, so that a sealed secret
 * copied to another row does not open.
 *
 * @param options.keys base64 of 32 random bytes by key id (letters, digits, `_`, `-`); keep old keys for as long as
 * rows are sealed with them
 * @param options.current id of the key that seals from now on
 * @throws `RMM_ERR_OPTION` when a key is not 32 bytes or `current` is not among them
 */
export function aesGcmSecretBox(options: { keys: Record<string, string>; current: string }): SecretBox {
  if (typeof options?.keys !== 'object' || options.keys === null)
    throw new OptionError("aesGcmSecretBox: pass { keys: { k1: '32 bytes in base64' }, current: 'k1' }")
  const keys = new Map(Object.entries(options.keys).map(([id, key]) => [id, readKey(id, key)]))
  const current = keys.get(options.current)
  if (current === undefined)
    throw new OptionError(
      `aesGcmSecretBox: 'current' is '${options.current}', which is not among the ids of 'keys' (${[...keys.keys()].join(', ')})`
    )
  return {
    keyId: sealed => /^v1\.([\w-]{1,40})\./.exec(sealed)?.[1] ?? null,
    seal(plain, aad) {
      const iv = randomBytes(12)
      const cipher = createCipheriv('aes-256-gcm', current, iv).setAAD(Buffer.from(aad))
      const sealed = Buffer.concat([cipher.update(plain, 'utf8'), cipher.final()])
      return [
        'v1',
        options.current,
        iv.toString('base64url'),
        sealed.toString('base64url'),
        cipher.getAuthTag().toString('base64url')
      ].join('.')
    },
    open(sealed, aad) {
      const [version, id = '', iv = '', text = '', tag = ''] = sealed.split('.')
      const key = keys.get(id)
      if (version !== 'v1' || key === undefined)
        throw new Error(`sealed with the key '${id}', which is not among the keys given to aesGcmSecretBox`)
      const decipher = createDecipheriv('aes-256-gcm', key, Buffer.from(iv, 'base64url'), { authTagLength: 16 })
        .setAAD(Buffer.from(aad))
        .setAuthTag(Buffer.from(tag, 'base64url'))
      return Buffer.concat([decipher.update(Buffer.from(text, 'base64url')), decipher.final()]).toString('utf8')
    }
  }
}

function readKey(id: string, key: string): Buffer {
  if (!/^[\w-]{1,40}$/.test(id))
    throw new OptionError(`aesGcmSecretBox: the key id '${id}' must be 1 to 40 letters, digits, '_' or '-'`)
  if (typeof key !== 'string')
    throw new OptionError(
      `aesGcmSecretBox: the key '${id}' is missing or no text; make one with: openssl rand -base64 32`
    )
  const bytes = Buffer.from(key, 'base64')
  if (bytes.length !== 32)
    throw new OptionError(
      `aesGcmSecretBox: the key '${id}' has ${bytes.length} bytes, AES-256 needs 32; make one with: openssl rand -base64 32`
    )
  return bytes
}
