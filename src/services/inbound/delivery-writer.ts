import type { Core } from '../core.ts'
import { type NewDelivery, type Stored, storeDeliveries } from '../store/index.ts'

export interface DeliveryWriter {
  /** Resolves when the delivery is committed. */
  store(delivery: NewDelivery): Promise<Stored>
}

interface Waiting {
  delivery: NewDelivery
  resolve(stored: Stored): void
  reject(error: unknown): void
}

const statementsAtOnce = 2
const perStatement = 50

/**
 * Writes what came in at the same time, or while the last statement was under way, with one statement: one request
 * alone waits for nobody, a storm costs a fraction of the statements. Every request is answered after its own commit.
 */
export function createDeliveryWriter(core: Core): DeliveryWriter {
  const waiting: Waiting[] = []
  let underway = 0
  let gathering = false

  async function write(batch: Waiting[]): Promise<void> {
    try {
      const stored = await storeDeliveries(
        core.database,
        batch.map(({ delivery }) => delivery),
        core.sinks
      )
      if (stored.some(one => typeof one === 'object')) core.database.announce()
      for (const [n, { resolve }] of batch.entries()) resolve(stored[n]!)
    } catch (error) {
      // What one request brings must not fail the others.
      if (batch.length > 1) for (const one of batch) await write([one])
      else batch[0]!.reject(error)
    }
  }

  function pump(): void {
    while (underway < statementsAtOnce && waiting.length > 0) {
      underway++
      void write(waiting.splice(0, perStatement)).finally(() => {
        underway--
        pump()
      })
    }
  }

  return {
    store: async delivery =>
      await new Promise((resolve, reject) => {
        waiting.push({ delivery, resolve, reject })
        // After every request that can be read now has been.
        if (gathering) return
        gathering = true
        setImmediate(() => {
          gathering = false
          pump()
        })
      })
  }
}
