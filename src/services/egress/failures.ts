import { ProviderError } from '../../providers/define.ts'
import type { Redact } from './redact.ts'

interface Cause {
  /** What the operator reads after the host's name. */
  text: string
  /** Trying again cannot help. */
  permanent?: boolean
}

const timedOut = (what: string): Cause => ({
  text: `${what} in time. Check that the server is up and that a firewall lets us through`
})
const unknownAuthority: Cause = {
  text: 'has a certificate from an authority that is not trusted here (self-signed or an unknown CA). Install a certificate of a public authority, or give the connection the CA certificate',
  permanent: true
}
const untrusted = new Set([
  'DEPTH_ZERO_SELF_SIGNED_CERT',
  'SELF_SIGNED_CERT_IN_CHAIN',
  'UNABLE_TO_VERIFY_LEAF_SIGNATURE',
  'UNABLE_TO_GET_ISSUER_CERT',
  'UNABLE_TO_GET_ISSUER_CERT_LOCALLY',
  'CERT_SIGNATURE_FAILURE'
])
const doesNotFit = (ownCa: string): Cause => ({
  text: `has a certificate that does not come from the CA certificate given to this connection (${ownCa}). Give it the one that issued the server's certificate, or leave it out where that is of a public authority`,
  permanent: true
})
const dropped: Cause = { text: 'dropped the connection. Check the server, and any proxy in between' }
const noRoute: Cause = { text: 'cannot be reached: no route to it. Check the network and the firewall' }
const noTls: Cause = {
  text: 'does not speak TLS on this port. Check the port, and whether the address should start with http:// or https://',
  permanent: true
}

const causes: Record<string, Cause> = {
  RMM_PRIVATE_ADDRESS: {
    text: 'is a private or reserved network address, which is not allowed here. Use the public address, or have the host application allow private networks for this provider',
    permanent: true
  },
  RMM_PLAIN_ADDRESS: {
    text: 'is on a public network, to which nothing is sent unencrypted. Use an address that starts with https://',
    permanent: true
  },
  RMM_UNRESOLVED: {
    text: 'has no public address: DNS does not know the name or does not answer, or the address is a private one, which is not allowed here. Check the spelling; for a server inside, have the host application allow private networks for this provider'
  },
  ECONNREFUSED: {
    text: 'refused the connection: nothing listens there. Check the address and the port, and that the server runs'
  },
  ENOTFOUND: { text: 'is not known to DNS. Check the spelling of the address' },
  EAI_AGAIN: { text: 'could not be looked up: DNS does not answer. Check the name servers of this machine' },
  EHOSTUNREACH: noRoute,
  ENETUNREACH: noRoute,
  ECONNRESET: dropped,
  EPIPE: dropped,
  UND_ERR_SOCKET: dropped,
  ETIMEDOUT: timedOut('did not accept the connection'),
  UND_ERR_CONNECT_TIMEOUT: timedOut('did not accept the connection'),
  UND_ERR_HEADERS_TIMEOUT: timedOut('did not answer'),
  UND_ERR_BODY_TIMEOUT: timedOut('did not finish its answer'),
  RMM_TOTAL_TIMEOUT: timedOut('did not finish its answer'),
  DEPTH_ZERO_SELF_SIGNED_CERT: {
    text: 'has a self-signed certificate that is not trusted here. Give the connection that certificate as its CA, or install one of a public authority',
    permanent: true
  },
  SELF_SIGNED_CERT_IN_CHAIN: unknownAuthority,
  UNABLE_TO_VERIFY_LEAF_SIGNATURE: unknownAuthority,
  UNABLE_TO_GET_ISSUER_CERT: unknownAuthority,
  UNABLE_TO_GET_ISSUER_CERT_LOCALLY: unknownAuthority,
  CERT_HAS_EXPIRED: { text: 'has an expired certificate. Renew it', permanent: true },
  CERT_NOT_YET_VALID: {
    text: 'has a certificate that is not valid yet. Check the clocks on both machines',
    permanent: true
  },
  CERT_REVOKED: { text: 'has a revoked certificate. Renew it', permanent: true },
  ERR_TLS_CERT_ALTNAME_INVALID: {
    text: 'shows a certificate for another host name. Use the name that the certificate is for',
    permanent: true
  },
  EPROTO: noTls,
  ERR_SSL_WRONG_VERSION_NUMBER: noTls,
  ERR_SSL_PACKET_LENGTH_TOO_LONG: noTls
}

const pathCodes = [
  'ECONNRESET',
  'EPIPE',
  'UND_ERR_SOCKET',
  'UND_ERR_HEADERS_TIMEOUT',
  'UND_ERR_BODY_TIMEOUT',
  'RMM_TOTAL_TIMEOUT'
]

/**
 * Nobody answers at that address, or somebody else: not only the path that was asked for is broken. A dropped
 * connection or a late answer may be the path's alone.
 */
export function isAddressFault(code: unknown): boolean {
  if (typeof code !== 'string') return false
  return (Object.hasOwn(causes, code) && !pathCodes.includes(code)) || code.startsWith('HPE_')
}

/** The code that says why: of the error itself, of its causes, or of the first address that was tried. */
function codeOf(error: unknown): string {
  for (let at: any = error, depth = 0; at && depth < 5; at = at.cause ?? at.errors?.[0], depth++) {
    if (at.name === 'HTTPParserError') return at.code || 'HPE_INVALID'
    if (typeof at.code === 'string' && at.code !== 'UND_ERR_ABORTED') return at.code
  }
  return ''
}

export interface Failure {
  error: ProviderError
  permanent: boolean
}

/**
 * Turns what undici, node:net or node:tls threw into a sentence for the operator. `ownCa` names the authorities that
 * were given to the connection: where they do not fit, that is what has to be mended. The original stays out of `cause`:
 * parser errors carry raw bytes of the answer.
 */
export function describeFailure(error: unknown, host: string, redact: Redact, ownCa: string | null = null): Failure {
  if (error instanceof ProviderError) return { error, permanent: true }
  const code = codeOf(error)
  // What is told alike is told apart in the log.
  const inner = code === 'RMM_UNRESOLVED' ? codeOf((error as Error).cause) : ''
  const said = (error as Error)?.message ?? String(error)
  const cause = Object.assign(new Error(redact(inner === '' ? said : `${said} (${inner})`)), { code })
  const known =
    ownCa !== null && untrusted.has(code) ? doesNotFit(ownCa) : Object.hasOwn(causes, code) ? causes[code]! : null
  if (code === 'RMM_PRIVATE_ADDRESS' || code === 'RMM_PLAIN_ADDRESS')
    return { error: new ProviderError('forbidden', `${host} ${known!.text}`, { cause }), permanent: true }
  if (known)
    return {
      error: new ProviderError('unreachable', `${host} ${known.text} (${code})`, { cause }),
      permanent: known.permanent === true
    }
  if (code.startsWith('HPE_'))
    return {
      error: new ProviderError(
        'protocol',
        `${host} did not answer with HTTP. Check the port of the address (${code})`,
        { cause }
      ),
      permanent: true
    }
  if (code === 'UND_ERR_INVALID_ARG') {
    return {
      error: new ProviderError(
        'protocol',
        `The request to ${host} could not be built: a credential or an address contains characters that cannot be sent. Enter it again`,
        { cause }
      ),
      permanent: true
    }
  }
  return {
    error: new ProviderError(
      'unreachable',
      `${host} could not be reached${code ? ` (${code})` : ''}. Check the address and the network`,
      { cause }
    ),
    permanent: false
  }
}

/**
 * Redirects are never followed: the credential would go along. Says where the address should point, without path or
 * query.
 */
export function redirectFailure(from: URL, location: string | undefined, redact: Redact): ProviderError {
  const target = location && URL.canParse(location, from.href) ? new URL(location, from.href) : null
  const same = target?.host === from.host && target.protocol === from.protocol
  const where = !target
    ? 'elsewhere'
    : same
      ? 'another path of the same server'
      : redact(target.origin === 'null' ? target.protocol : target.origin)
  const advice =
    !target || same
      ? 'Check the address of this connection; it may be a sign-in page or a proxy'
      : `If that server is yours, set the address of this connection to it`
  return new ProviderError('protocol', `${from.host} redirects to ${where}, which is not followed. ${advice}`)
}
