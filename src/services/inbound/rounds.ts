import { randomUUID } from 'node:crypto'
import type { Core } from '../core.ts'
import { subjectOf, type UsableHint } from '../model/index.ts'
import {
  type Claim,
  claimDeliveries,
  claimSubject,
  type ConnectionRow,
  failingSubjects,
  forgetSubject,
  ownAlertsOf,
  platformTrouble,
  renewClaim,
  sameCondition
} from '../store/index.ts'
import { type Batch, createBatch } from './batch.ts'
import { type Hints, setbackOf } from './hints.ts'
import { readAgain, type ShownAlerts, toTold } from './shown-alerts.ts'
import { createResults, type Results, type Round } from './results.ts'

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

  /** Tells what is known before anything is asked; what is left is for the platform. */
  async function prepare({ connection, only }: Round, batch: Batch, results: Results, failures: Map<string, unknown>) {
    await results.settle(batch.empty())
    const others = batch.open().filter(subject => subject !== only?.subject)
    if (only !== undefined)
      for (const subject of others) await results.tell(subject, { kind: 'wait', reason: null, retryMs: 0 })
    else
      for (const { subject, error } of (await failingSubjects(database, connection.id, others)).values())
        await results.tell(subject, { kind: 'parked', reason: error })
    for (const [subject, error] of failures)
      if (batch.open().includes(subject)) await results.told(subject, setbackOf(error))
    for (const subject of batch.open()) if (batch.hints(subject).length === 0) await results.done(subject)
    return new Map(batch.open().map(subject => [subject, batch.hints(subject)]))
  }

  /** Resolves with whether the platform is to be left alone. */
  async function work(round: Round): Promise<boolean> {
    const { byRow, failures } = await subjectsOf(round)
    const batch = createBatch(round.rows, byRow)
    const results = createResults(core, round, batch)
    const open = await prepare(round, batch, results, failures)
    const failing = round.platformFailures > 0
    const ended = await hints.follow(round.connection, open, { signal: core.signal, failing, told: results.told })
    if (ended === null) return false
    if (ended.fault === 'wait') await results.settle(batch.rest({ kind: 'wait', reason: null, retryMs: ended.retryMs }))
    else await results.down(ended)
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
