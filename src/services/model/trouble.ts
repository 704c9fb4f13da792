import { DatabaseBusyError, DatabaseSettingsError, DatabaseUnavailableError } from '../../errors.ts'

/**
 * What a failed statement means, decided here and nowhere else.
 * - `repeat`: others were in the way, and the same work may succeed at once
 * - `interrupt`: the database is away, full or not taking work; nothing is wrong with the work
 * - `settings`: the database ended it by a setting of its own, and will again
 */
export type TroubleKind = 'repeat' | 'interrupt' | 'settings'

export interface Trouble {
  kind: TroubleKind
  /** What happened, for the operator; begins a sentence. */
  what: string
  /** The settings whose values tell more, by their names in PostgreSQL. */
  settings: readonly string[]
  /** Not even the failure can be written down. */
  noWrites?: boolean
}

const repeat = (what: string, settings: readonly string[] = []): Trouble => ({ kind: 'repeat', what, settings })
const interrupt = (what: string): Trouble => ({ kind: 'interrupt', what, settings: [] })
const limits = (what: string, ...settings: string[]): Trouble => ({ kind: 'settings', what, settings })

/** By SQLSTATE; the longest prefix counts. */
const bySqlState: Readonly<Record<string, Trouble>> = {
  '08': interrupt('The connection to the database broke'),
  '25006': {
    ...limits('The database takes no writes', 'default_transaction_read_only', 'in_hot_standby'),
    noWrites: true
  },
  '25P03': interrupt('The database ended a session that was silent for too long'),
  '25P04': limits('The database ended a transaction that took too long', 'transaction_timeout'),
  '28': interrupt('The database refused the log-in'),
  '3D000': interrupt('The database is not there'),
  '40001': repeat('Other work on the same rows was in the way'),
  '40003': interrupt('The connection to the database broke'),
  '40P01': repeat('Other work on the same rows was in the way'),
  '53': interrupt('The database has no resources left'),
  '53100': interrupt('The database has no disk space left'),
  '53200': interrupt('The database has no memory left'),
  '53300': interrupt('The database has no connection left'),
  '53400': interrupt('The database reached a configured limit'),
  '55P03': repeat('The database gave up waiting for a lock', ['lock_timeout']),
  '57014': limits('The database cancelled a statement', 'statement_timeout'),
  '57P': interrupt('The database is being shut down or started')
}

const gone = interrupt('The database cannot be reached')
const socketCodes = ['ECONNREFUSED', 'ECONNRESET', 'EPIPE', 'ENOENT', 'ETIMEDOUT', 'EHOSTUNREACH', 'ENOTFOUND']
/** Drivers say these without a code. */
const brokenMessage = /connection terminated|client has encountered a connection error|not queryable/i
const lostMessage = /connection ended|timeout exceeded when trying to connect/i
const tooSlowMessage = /^Query read timeout/

const sqlState = /^[0-9A-Z]{5}$/

/** Of an SQLSTATE; null for what is a fault of the statement. */
export function troubleOfSqlState(code: string): Trouble | null {
  if (!sqlState.test(code)) return null
  for (let length = code.length; length >= 2; length--) {
    const found = bySqlState[code.slice(0, length)]
    if (found !== undefined) return found
  }
  return null
}

/**
 * What a failure of the database means; null for anything else. The host's functions work in our transactions, and may
 * be the first to notice: then it is the cause of their error. Their own network troubles are not that.
 */
export function troubleOf(error: unknown): Trouble | null {
  if (!(error instanceof Error)) return null
  const { code } = error as { code?: unknown }
  const found = ofDriver(error) ?? (socketCodes.includes(String(code)) || lostMessage.test(error.message) ? gone : null)
  if (found !== null && !isOurs(error)) return found
  let cause = error.cause
  for (let depth = 0; depth < 5 && cause instanceof Error; depth++, cause = cause.cause) {
    const found = ofDriver(cause)
    if (found !== null) return found
  }
  return null
}

function ofDriver(error: Error): Trouble | null {
  if (isOurs(error)) return null
  const bySqlState = troubleOfSqlState(String((error as { code?: unknown }).code))
  if (bySqlState !== null) return bySqlState
  if (tooSlowMessage.test(error.message))
    return limits("The host's driver gave up on a statement: the query_timeout of its pool is too short for it")
  return brokenMessage.test(error.message) ? gone : null
}

const isOurs = (error: Error): boolean => String((error as { code?: unknown }).code).startsWith('RMM_ERR_')

const retryAfterMs = 2_000

/** It has come out of a transaction or a statement before. */
export function isTold(error: unknown): boolean {
  return String((error as { code?: unknown } | null)?.code).startsWith('RMM_ERR_DATABASE_')
}

/** The trouble as an error that routes answer with and runs show. `values`: the settings as they are. */
export function troubleError(trouble: Trouble, cause: unknown, values: Readonly<Record<string, string>>): Error {
  return Object.assign(errorFor(trouble, values), { cause, retryAfterMs })
}

function errorFor({ kind, what, settings }: Trouble, values: Readonly<Record<string, string>>): Error {
  const named = settings.filter(name => values[name] !== undefined && !['0', 'off'].includes(values[name]))
  const list = named.map(name => `${name} is ${values[name]}`).join(' and ')
  if (named.length > 0)
    return new DatabaseSettingsError(
      `${what}: ${list}. Change that for the role the plugin connects as, or nothing can be done here; nothing was changed`
    )
  if (kind === 'settings')
    return new DatabaseSettingsError(
      `${what}; nothing was changed${settings.length > 0 ? '. Its log tells who or what did it' : ''}`
    )
  if (kind === 'repeat') return new DatabaseBusyError(`${what}, again and again; nothing was changed, try again`)
  return new DatabaseUnavailableError(`${what}; nothing was changed, try again later`)
}
