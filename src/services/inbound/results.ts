import type { Core } from '../core.ts'
import { isList, type Outcome, retryAfter, type Setback } from '../model/index.ts'
import {
  type Claim,
  type ConnectionRow,
  type DeliveryRow,
  type Failing,
  failSubject,
  forgetSubject,
  platformWorks,
  postponeSubject,
  releaseSubject,
  settleDeliveries
} from '../store/index.ts'
import type { Batch, Known } from './batch.ts'
import { settle } from './settled.ts'

/** Deliveries that are worked on together. */
export interface Round {
  connection: ConnectionRow
  claim: Claim
  rows: DeliveryRow[]
  /** How often the platform was down in a row. */
  platformFailures: number
  /** The subject that is tried alone. */
  only?: Failing
}

/** Writes what a round finds out, as it finds it out. */
export interface Results {
  settle(known: Known[]): Promise<void>
  tell(subject: string, outcome: Outcome): Promise<void>
  /** A subject is in order. */
  done(subject: string): Promise<void>
  /** What asking for a subject came to; null: it is in order. */
  told(subject: string, setback: Setback | null): Promise<void>
  /** The platform is to be left alone, and so is what is left. */
  down(setback: Setback): Promise<void>
}

const jitter = (ms: number): number => ms * (0.75 + Math.random() / 2)

export function createResults(core: Core, round: Round, batch: Batch): Results {
  const { database } = core
  const { connection, claim, only } = round
  const { id: connectionId, tenant_id: tenantId } = connection
  let wasDown = round.platformFailures > 0

  const settleKnown = async (known: Known[]): Promise<void> =>
    await settle(core, connection, known, settled => settleDeliveries(database, claim, settled))
  const tell = async (subject: string, outcome: Outcome): Promise<void> =>
    await settleKnown(batch.tell(subject, outcome))

  async function done(subject: string): Promise<void> {
    await tell(subject, { kind: 'done' })
    if (only !== undefined) await releaseSubject(database, connectionId, subject)
  }

  async function failed(subject: string, setback: Setback, fault: 'silent' | 'answered' | 'ours'): Promise<void> {
    const failures = (only?.failures ?? 0) + 1
    const retryMs = jitter(retryAfter(failures, setback, false))
    await failSubject(database, { connectionId, tenantId, subject, failures, retryMs, error: setback.reason })
    core.log[failures === 1 ? 'info' : 'debug'](
      { connectionId, subject, failures, reason: setback.reason },
      'what a delivery is about could not be read; it is tried again alone'
    )
    await tell(subject, { kind: 'failed', reason: setback.reason, fault })
    if (only !== undefined) await forgetSubject(database, connectionId, subject)
  }

  return {
    settle: settleKnown,
    tell,
    done,
    async told(subject, setback) {
      if (setback === null) {
        // A list is read by a run later on: that it was asked for says nothing about the platform.
        if (wasDown && !isList(subject)) {
          await platformWorks(database, connectionId)
          wasDown = false
        }
        await done(subject)
      } else if (setback.fault === 'wait') {
        if (only !== undefined) await postponeSubject(database, connectionId, subject, setback.retryMs)
        await tell(subject, { kind: 'wait', reason: setback.reason, retryMs: setback.retryMs })
      } else await failed(subject, setback, setback.fault === 'account' ? 'answered' : setback.fault)
    },
    async down(setback) {
      const failures = round.platformFailures + 1
      const retryMs = jitter(retryAfter(failures, setback, true))
      await failSubject(database, { connectionId, tenantId, subject: null, failures, retryMs, error: setback.reason })
      if (only !== undefined) await postponeSubject(database, connectionId, only.subject, retryMs)
      core.log[failures === 1 ? 'info' : 'debug'](
        { connectionId, failures, reason: setback.reason },
        'the platform does not answer; deliveries are worked on again later'
      )
      await settleKnown(batch.rest({ kind: 'down', reason: setback.reason }))
    }
  }
}
