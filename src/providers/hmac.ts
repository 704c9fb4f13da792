import { createHash, createHmac, timingSafeEqual } from 'node:crypto'

const digest = (value: string | Buffer) => createHash('sha256').update(value).digest()

/**
 * Compares a value from outside with a secret in constant time; neither content nor length shows in the time taken.
 * False where either is missing or empty.
 */
export function equalsSecret(given: string | undefined, secret: string): boolean {
  const equal = timingSafeEqual(digest(given ?? ''), digest(secret))
  return equal && secret !== ''
}

/**
 * True where `signature` is the hex HMAC-SHA256 of the raw body under one of `secrets`.
 * Every secret is tried, so that the time does not tell which one fits. An empty secret or list never fits.
 * @param signature the header's value, without a scheme such as `sha256=`
 */
export function verifyHmacSha256(rawBody: Buffer, signature: string | undefined, secrets: readonly string[]): boolean {
  const given = signature?.toLowerCase()
  let valid = false
  for (const secret of secrets) {
    const expected = createHmac('sha256', secret).update(rawBody).digest('hex')
    valid = (equalsSecret(given, expected) && secret !== '') || valid
  }
  return valid
}

/** True where `given` is one of `secrets`; for platforms that send the secret itself in a header. */
export function verifySharedSecret(given: string | undefined, secrets: readonly string[]): boolean {
  let valid = false
  for (const secret of secrets) valid = equalsSecret(given, secret) || valid
  return valid
}
