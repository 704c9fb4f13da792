import { setTimeout as delay } from 'node:timers/promises'
import type { FastifyReply } from 'fastify'
import { TooManyStreamsError } from '../errors.ts'

export interface StreamLimits {
  /** Event streams that a tenant may have open at once, in this process. */
  perTenant: number
  /** Milliseconds after which the rights behind an open stream are looked at again. */
  rightsMs: number
}

/** How long a client that was refused a stream is asked to wait. */
const retryAfterMs = 30_000

/**
 * Counts a tenant's open streams. `take` throws `RMM_ERR_TOO_MANY_STREAMS` where there are enough; what it took is
 * given back when the response is over, however it ends.
 */
export function createStreams({ perTenant }: StreamLimits): { take(tenantId: string, reply: FastifyReply): void } {
  const open = new Map<string, number>()
  return {
    take(tenantId, reply) {
      const count = open.get(tenantId) ?? 0
      if (count >= perTenant) throw Object.assign(new TooManyStreamsError(count), { retryAfterMs })
      open.set(tenantId, count + 1)
      reply.raw.once('close', () => {
        const left = (open.get(tenantId) ?? 1) - 1
        if (left > 0) open.set(tenantId, left)
        else open.delete(tenantId)
      })
    }
  }
}

/**
 * Aborts when `allowed` no longer resolves to true: it is asked every `everyMs`, and counts as "no" when it throws or
 * does not answer within the same time again. Ends with `signal`.
 */
export function withRights(signal: AbortSignal, everyMs: number, allowed: () => Promise<boolean>): AbortSignal {
  const lost = new AbortController()
  const look = async (): Promise<void> => {
    while (!signal.aborted) {
      await delay(everyMs, undefined, { signal })
      const answer = await Promise.race([allowed().catch(() => false), delay(everyMs, false, { signal })])
      if (!answer) return lost.abort()
    }
  }
  look().catch(() => {}) // the wait ended with the stream
  return AbortSignal.any([signal, lost.signal])
}
