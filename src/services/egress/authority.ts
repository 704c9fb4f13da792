import { X509Certificate } from 'node:crypto'
import { createSecureContext, getCACertificates } from 'node:tls'
import type { SecureContext } from 'node:tls'
import { ProviderError } from '../../providers/define.ts'

const begin = '-----BEGIN CERTIFICATE-----'
const end = '-----END CERTIFICATE-----'

/** The certificates in a text, in order. Throws `ProviderError` where it holds none, or one that cannot be read. */
function certificatesIn(pem: string): X509Certificate[] {
  const blocks = pem.split(begin).slice(1)
  try {
    if (blocks.length === 0 || !blocks.every(block => block.includes(end))) throw new Error('no PEM, or cut off')
    return blocks.map(block => new X509Certificate(`${begin}${block.slice(0, block.indexOf(end))}${end}`))
  } catch {
    throw new ProviderError(
      'protocol',
      `The CA certificate of this connection cannot be read${blocks.length > 0 ? '; it may have been cut off' : ''}: paste it whole, as PEM, from ${begin} to ${end}`
    )
  }
}

/**
 * Undefined where nothing but Node's own authorities is trusted. Throws `ProviderError` on something that is not a
 * certificate.
 */
export function trust(...authorities: Array<string | undefined>): SecureContext | undefined {
  const extra = authorities.filter(ca => ca !== undefined)
  if (extra.length === 0) return undefined
  const given = extra.flatMap(certificatesIn).map(certificate => certificate.toString())
  return createSecureContext({ ca: [...getCACertificates('default'), ...given] })
}

/** How the given authorities are called, for a sentence that says that they do not fit; null where none is given. */
export function namesOf(...authorities: Array<string | undefined>): string | null {
  const names = authorities
    .filter(ca => ca !== undefined)
    .flatMap(certificatesIn)
    .map(({ subject, validToDate }) => {
      const name = /^(?:CN|O)=(.+)$/m.exec(subject)?.[1] ?? 'without a name'
      return `"${name.slice(0, 100)}"${validToDate.getTime() < Date.now() ? `, which expired on ${validToDate.toISOString().slice(0, 10)}` : ''}`
    })
  return names.length === 0 ? null : names.join(', ')
}
