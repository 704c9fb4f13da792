import type { RmmProvider } from '../../providers/define.ts'
import { addressesIn, declaredAddresses } from '../model/index.ts'

/** Where the secrets of a connection may go, and whose word is taken for it. */
export interface Destination {
  /** As `URL.origin` writes them: `https://mesh.example.com`, `http://10.0.0.5:8080`. */
  origins: string[]
  /** Certificates that are trusted beside the system's. */
  trust: string[]
}

type Located = Pick<RmmProvider, 'hosts' | 'ca' | 'configSchema'>

const plain = ['http:', 'ws:']

/** Null for what is no address of the web. */
function originOf(text: string): string | null {
  if (!URL.canParse(text)) return null
  const { protocol, host } = new URL(text)
  if (host === '' || !['https:', 'wss:', ...plain].includes(protocol)) return null
  return new URL(`${plain.includes(protocol) ? 'http' : 'https'}://${host}`).origin
}

/** The entries of `provider.hosts`: those without a scheme have that of the config's own address, or are encrypted. */
function originsOfHosts(hosts: string[], known: string[]): string[] {
  return hosts.flatMap(entry => {
    if (entry.includes('://')) return originOf(entry) ?? []
    const encrypted = originOf(`https://${entry}`)
    const same = known.filter(origin => origin === encrypted || origin === originOf(`http://${entry}`))
    return same.length > 0 ? same : (encrypted ?? [])
  })
}

const certificate = /-----BEGIN CERTIFICATE-----([^-]*)-----END CERTIFICATE-----/g

/** The certificates in a text, each without line breaks; a text without any as it is. */
function certificatesIn(text: string): string[] {
  const found = [...text.matchAll(certificate)].map(([, body]) => body!.replace(/\s+/g, ''))
  return found.length > 0 || text.trim() === '' ? found : [text.trim()]
}

function textsIn(value: unknown): string[] {
  if (typeof value === 'string') return [value]
  return typeof value === 'object' && value !== null ? Object.values(value).flatMap(textsIn) : []
}

/** Where this config points to. The same place in another spelling is the same destination. */
export function destinationOf(provider: Located, config: Record<string, unknown>): Destination {
  const origins = (addresses: Array<{ text: string }>) => addresses.flatMap(({ text }) => originOf(text) ?? [])
  const found =
    provider.hosts === undefined
      ? origins(declaredAddresses(provider.configSchema, config))
      : originsOfHosts(provider.hosts(config), origins(addressesIn(provider.configSchema, config)))
  const trusted = [provider.ca?.(config) ?? '', ...textsIn(config).filter(text => text.includes('BEGIN CERTIFICATE'))]
  return {
    origins: [...new Set(found)].sort(),
    trust: [...new Set(trusted.flatMap(certificatesIn))].sort()
  }
}

/**
 * Whether secrets that were given for one destination would leave it: for another host, port or scheme, or to whoever
 * another certificate vouches for. A path is no place of its own, and fewer places are no new ones.
 */
export function leadsElsewhere(from: Destination, to: Destination): boolean {
  return to.origins.some(origin => !from.origins.includes(origin)) || from.trust.join() !== to.trust.join()
}
