import { randomUUID } from 'node:crypto'
import type { Core } from '../core.ts'
import { type Outcome, retryAfter, subjectOf, type Setback, type UsableHint } from '../model/index.ts'
import {
  type Claim,
  claimDeliveries,
  claimSubject,
  type ConnectionRow,
  type DeliveryRow,
  type Failing,
  failingSubjects,
  failSubject,
  forgetSubject,
  ownAlertsOf,
  platformTrouble,
  platformWorks,
  postponeSubject,
  releaseSubject,
  renewClaim,
  sameCondition,
  settleDeliveries
} from '../store/index.ts'
import { createBatch, type Known } from './batch.ts'
import { type Hints, setbackOf } from './hints.ts'
import { readAgain, type ShownAlerts, toTold } from './shown-alerts.ts'
import { settle } from './settled.ts'

const batchSize = 2_000
/** Deliveries that are looked at to ask a platform that was down whether it still is. */
const probeSize = 20

/** One piece of the inbox's work for one connection; true where there is more. */
export interface Rounds {
  /** Everything that is due, but for subjects that failed before. */
  together(connection: ConnectionRow): Promise<boolean>
  /** One subject that failed before, for all deliveries that wait for it. */
  alone(connection: ConnectionRow): Promise<boolean>
}

interface Round {
  connection: ConnectionRow
  claim: Claim
  rows: DeliveryRow[]
  /** How often the platform was down in a row. */
  platformFailures: number
  /** The subject that is tried alone. */
  only?: Failing
}

const jitter = (ms: number): number => ms * (0.75 + Math.random() / 2)

export function createRounds(core: Core, hints: Hints, shown: ShownAlerts): Rounds {
  const { database, settings } = core

  /** Shows what the payloads tell, and finds out what else is to be read. */
  async function subjectsOf({ connection, rows }: Round) {
    const told = rows.filter(row => row.alert !== null).map(toTold)
    const failures = await shown.apply(connection, told)
    const derived = told.flatMap(({ alert }) => (alert.derived ? [alert] : []))
    const own = await ownAlertsOf(database.db, database.t, connection.id, derived)
    const byRow = new Map<string, Map<string, UsableHint[]>>()
    for (const row of rows) {
      const subjects = hints.subjects(connection, row.hints)
      if (row.alert !== null) {
        const { externalId, deviceExternalId, name } = row.alert
        const subject = subjectOf('alerts', externalId)
        const ownId = own.get(sameCondition(deviceExternalId ?? null, name) ?? '')
        const more: UsableHint[] = ownId === undefined ? [] : [{ resource: 'alerts', externalId: ownId }]
        subjects.set(subject, [...(subjects.get(subject) ?? []), ...more])
      }
      byRow.set(row.id, subjects)
    }
    return { byRow, failures }
  }

  /** Resolves with whether the platform is to be left alone. */
  async function work(round: Round): Promise<boolean> {
    const { connection, claim, only } = round
    const { byRow, failures } = await subjectsOf(round)
    const batch = createBatch(round.rows, byRow)
    const done = (known: Known[]) =>
      settle(core, connection, known, settled => settleDeliveries(database, claim, settled))
    const tell = async (subject: string, outcome: Outcome): Promise<void> => await done(batch.tell(subject, outcome))
    let platformWas = round.platformFailures > 0

    async function told(subject: string, trouble: Setback | null): Promise<void> {
      if (trouble === null) {
        if (platformWas) await platformWorks(database, connection.id)
        platformWas = false
        await tell(subject, { kind: 'done' })
        if (only !== undefined) await releaseSubject(database, connection.id, subject)
      } else if (trouble.fault === 'wait') {
        if (only !== undefined) await postponeSubject(database, connection.id, subject, trouble.retryMs)
        await tell(subject, { kind: 'wait', reason: trouble.reason, retryMs: trouble.retryMs })
      } else await failed(subject, trouble, trouble.fault === 'account' ? 'answered' : trouble.fault)
    }

    async function failed(subject: string, trouble: Setback, fault: 'silent' | 'answered' | 'ours'): Promise<void> {
      const failures = (only?.failures ?? 0) + 1
      const retryMs = jitter(retryAfter(failures, trouble, false))
      const { id: connectionId, tenant_id: tenantId } = connection
      await failSubject(database, { connectionId, tenantId, subject, failures, retryMs, error: trouble.reason })
      core.log[failures === 1 ? 'info' : 'debug'](
        { connectionId, subject, failures, reason: trouble.reason },
        'what a delivery is about could not be read; it is tried again alone'
      )
      await tell(subject, { kind: 'failed', reason: trouble.reason, fault })
      if (only !== undefined) await forgetSubject(database, connectionId, subject)
    }

    async function platformDown(trouble: Setback): Promise<void> {
      const { id: connectionId, tenant_id: tenantId } = connection
      const failures = round.platformFailures + 1
      const retryMs = jitter(retryAfter(failures, trouble, true))
      await failSubject(database, { connectionId, tenantId, subject: null, failures, retryMs, error: trouble.reason })
      if (only !== undefined) await postponeSubject(database, connectionId, only.subject, retryMs)
      core.log[failures === 1 ? 'info' : 'debug'](
        { connectionId, failures, reason: trouble.reason },
        'the platform does not answer; deliveries are worked on again later'
      )
      await done(batch.rest({ kind: 'down', reason: trouble.reason }))
    }

    await done(batch.empty())
    const others = batch.open().filter(subject => subject !== only?.subject)
    if (only !== undefined)
      for (const subject of others) await tell(subject, { kind: 'wait', reason: null, retryMs: 0 })
    else
      for (const { subject, error } of (await failingSubjects(database, connection.id, others)).values())
        await tell(subject, { kind: 'parked', reason: error })
    for (const [subject, error] of failures) if (batch.open().includes(subject)) await told(subject, setbackOf(error))
    for (const subject of batch.open()) if (batch.hints(subject).length === 0) await told(subject, null)
    const open = new Map(batch.open().map(subject => [subject, batch.hints(subject)]))
    const ended = await hints.follow(connection, open, { signal: core.signal, failing: platformWas, told })
    if (ended === null) return false
    if (ended.fault === 'wait') await done(batch.rest({ kind: 'wait', reason: null, retryMs: ended.retryMs }))
    else await platformDown(ended)
    return true
  }

  async function holding(round: Round): Promise<boolean> {
    const renewal = setInterval(() => {
      renewClaim(database, round.connection.id, round.claim, round.only?.subject).catch(() => {})
    }, settings.leaseMs / 3)
    try {
      return await work(round)
    } finally {
      clearInterval(renewal)
    }
  }

  const newClaim = (): Claim => ({ id: randomUUID(), leaseMs: settings.leaseMs })

  return {
    async together(connection) {
      const trouble = await platformTrouble(database, connection.id)
      if (trouble?.isDue === false) return false
      const random = trouble !== null
      const limit = random ? probeSize : batchSize
      const claim = newClaim()
      const claimed = await claimDeliveries(database, connection.id, claim, { limit, random })
      if (claimed.length === 0) return false
      const rows = claimed.map(row => readAgain(core, connection, row))
      const platformFailures = trouble?.failures ?? 0
      return !(await holding({ connection, claim, rows, platformFailures })) && claimed.length === limit
    },
    async alone(connection) {
      const trouble = await platformTrouble(database, connection.id)
      if (trouble !== null && (!trouble.isDue || trouble.hasOthers)) return false
      const platformFailures = trouble?.failures ?? 0
      const claim = newClaim()
      const claimed = await claimSubject(database, connection.id, claim, batchSize)
      if (claimed === null) return false
      const { failing: only, rows } = claimed
      if (rows.length === 0) await forgetSubject(database, connection.id, only.subject)
      else if (await holding({ connection, claim, rows, platformFailures, only })) return false
      return true
    }
  }
}
