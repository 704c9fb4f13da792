import { createCipheriv, createDecipheriv, createHash, randomBytes } from 'node:crypto'
import type { SecretBox } from '../types.ts'

/**
 * A secret box for tests: needs no key management, opens in every process that names the same `passphrase`,
 * and keeps the one promise that matters: a sealed text opens only with the `aad` it was sealed with.
 * The default passphrase is public, so never use it for real secrets.
 *
 * @throws Error from `open` on another `aad`, another passphrase or a text that was not sealed here.
 */
export function memorySecretBox(passphrase = 'a public passphrase for tests'): SecretBox {
  const key = createHash('sha256').update(passphrase).digest()
  return {
    seal(plain, aad) {
      const iv = randomBytes(12)
      const cipher = createCipheriv('aes-256-gcm', key, iv).setAAD(Buffer.from(aad))
      const sealed = Buffer.concat([cipher.update(plain, 'utf8'), cipher.final()])
      return `memory.${Buffer.concat([iv, cipher.getAuthTag(), sealed]).toString('base64url')}`
    },
    open(sealed, aad) {
      const bytes = Buffer.from(sealed.startsWith('memory.') ? sealed.slice(7) : '', 'base64url')
      if (bytes.length < 28) throw new Error('not sealed by this box')
      const decipher = createDecipheriv('aes-256-gcm', key, bytes.subarray(0, 12))
        .setAAD(Buffer.from(aad))
        .setAuthTag(bytes.subarray(12, 28))
      return decipher.update(bytes.subarray(28), undefined, 'utf8') + decipher.final('utf8')
    }
  }
}
