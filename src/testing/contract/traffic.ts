import { channel } from 'node:diagnostics_channel'
import type { ClientRequest } from 'node:http'

export interface Sent {
  /** `host:port`, the port also where it is the scheme's default. */
  host: string
  /** Milliseconds since the epoch. */
  at: number
}

export interface Traffic {
  sent: Sent[]
  /** Every 429 that carried a wait. `waitMs` is what it asked for. */
  throttled: Array<Sent & { waitMs: number }>
  stop(): void
}

const ports: Record<string, string> = { 'http:': '80', 'https:': '443', 'ws:': '80', 'wss:': '443' }

export function hostOf(url: string | URL): string {
  const { hostname, port, protocol } = new URL(url)
  return `${hostname}:${port || ports[protocol] || '0'}`
}

/** Sees every HTTP request this process makes, whichever client makes it: also one that goes around the egress. */
export function watchTraffic(): Traffic {
  const sent: Sent[] = []
  const throttled: Traffic['throttled'] = []
  const onUndici = (message: unknown) => {
    const { request } = message as { request: { origin: string | URL } }
    sent.push({ host: hostOf(request.origin), at: Date.now() })
  }
  const onHeaders = (message: unknown) => {
    const { request, response } = message as {
      request: { origin: string | URL }
      response: { statusCode: number; headers: Array<Buffer | string> }
    }
    if (response.statusCode !== 429) return
    const names = response.headers.map(String)
    const value = names[names.findIndex((name, index) => index % 2 === 0 && name.toLowerCase() === 'retry-after') + 1]
    if (value !== undefined && /^\d+$/.test(value))
      throttled.push({ host: hostOf(request.origin), at: Date.now(), waitMs: Number(value) * 1000 })
  }
  const onNode = (message: unknown) => {
    const { request } = message as { request: ClientRequest }
    sent.push({
      host: hostOf(`${request.protocol}//${String(request.getHeader('host') ?? request.host)}`),
      at: Date.now()
    })
  }
  const subscriptions = [
    ['undici:request:create', onUndici],
    ['undici:request:headers', onHeaders],
    ['http.client.request.start', onNode]
  ] as const
  for (const [name, listener] of subscriptions) channel(name).subscribe(listener)
  return {
    sent,
    throttled,
    stop() {
      for (const [name, listener] of subscriptions) channel(name).unsubscribe(listener)
    }
  }
}
