import type { FastifyBaseLogger } from 'fastify'

/**
 * The one place where errors become text: for log lines, for rows, for health. A database repeats the values of rows
 * and statements in what it adds to an error, and in some of its messages; a platform's payload belongs into none.
 */

/** What an error may tell beside its message: what happened and where, never what with. */
const told: ReadonlySet<string> = new Set([
  'code',
  'errno',
  'syscall',
  'hostname',
  'address',
  'port',
  'status',
  'statusCode',
  'kind',
  'retryAfterMs',
  'severity',
  'schema',
  'table',
  'column',
  'constraint',
  'dataType',
  'routine'
])
const deepestCause = 3

/** An error of PostgreSQL, by whichever driver or ORM it comes. */
function isOfDatabase(error: Error): boolean {
  const { code } = error as { code?: unknown }
  const marks = ['severity', 'routine', 'detail']
  return typeof code === 'string' && /^[0-9A-Z]{5}$/.test(code) && marks.some(mark => mark in error)
}

/** Bad data, broken syntax, raised by a function, internal: these quote what they are about; others name tables only. */
const quoting = /^(22|42601|P0|XX|F0|HV)/

/** An error's message; the database's without the values it quotes. */
function textOf(error: Error): string {
  if (!isOfDatabase(error) || !quoting.test((error as Error & { code: string }).code)) return error.message
  const [first = ''] = error.message.split('\n')
  return first.replace(/"[^"]*"?|'[^']*'?|(?<=: ).*$/g, '[…]')
}

/** Only where in the code it happened: the first lines of a stack repeat the message. */
function framesOf({ stack = '', message }: Error): string {
  const after = message === '' ? -1 : stack.indexOf(message)
  const rest = after < 0 ? stack : stack.slice(after + message.length)
  const at = rest.search(/\n\s+at /)
  return at < 0 ? '' : rest.slice(at)
}

/** An error as our log lines carry it (`err`): type, message, stack, code and causes, without anything that repeats data. */
export function errorForLog(error: unknown, depth = 0): unknown {
  if (!(error instanceof Error)) return error
  const message = textOf(error)
  const fields = Object.fromEntries(
    Object.entries(error).filter(([name, value]) => told.has(name) && (typeof value !== 'object' || value === null))
  )
  const cause = error.cause === undefined || depth >= deepestCause ? {} : { cause: errorForLog(error.cause, depth + 1) }
  return { type: error.name, message, stack: `${error.name}: ${message}${framesOf(error)}`, ...fields, ...cause }
}

/** An error in one line, as rows, health and answers tell it. */
export function messageOf(error: unknown): string {
  return (error instanceof Error ? textOf(error) : String(error)).slice(0, 500)
}

const levels: ReadonlySet<unknown> = new Set(['fatal', 'error', 'warn', 'info', 'debug', 'trace'])

/** A logger to which no error goes as it is, whatever the host's logger would make of it. */
export function safeLog<L extends Pick<FastifyBaseLogger, 'error' | 'child'>>(log: L): L {
  return new Proxy(log, {
    get(target, name) {
      const member: unknown = Reflect.get(target, name, target)
      if (typeof member !== 'function') return member
      if (name === 'child')
        return (...args: Parameters<FastifyBaseLogger['child']>) => safeLog(target.child(...args) as unknown as L)
      if (!levels.has(name)) return member.bind(target)
      return (first: unknown, ...rest: unknown[]) =>
        first instanceof Error
          ? member.call(target, { err: errorForLog(first) }, ...(rest.length > 0 ? rest : [messageOf(first)]))
          : member.call(target, safeFields(first), ...rest)
    }
  })
}

function safeFields(fields: unknown): unknown {
  if (typeof fields !== 'object' || fields === null) return fields
  return Object.fromEntries(Object.entries(fields).map(([name, value]) => [name, errorForLog(value)]))
}
