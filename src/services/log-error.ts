/**
 * What PostgreSQL adds to an error repeats the values of the row or the statement: a platform's payload does not
 * belong into a log.
 */
const withheld: ReadonlySet<string> = new Set([
  'detail',
  'where',
  'hint',
  'query',
  'internalQuery',
  'parameters',
  'params',
  'stack',
  'message',
  'name',
  'cause'
])
const deepestCause = 3

/**
 * An error as our log lines carry it (`err`): type, message, stack, code and causes, without anything that repeats
 * data.
 */
export function errorForLog(error: unknown, depth = 0): unknown {
  if (!(error instanceof Error)) return error
  const fields = Object.fromEntries(
    Object.entries(error).filter(([key, value]) => !withheld.has(key) && (typeof value !== 'object' || value === null))
  )
  const cause = error.cause === undefined || depth >= deepestCause ? {} : { cause: errorForLog(error.cause, depth + 1) }
  return { type: error.name, message: error.message, stack: error.stack, ...fields, ...cause }
}

/** An error in one line, as rows and health tell it. */
export function messageOf(error: unknown): string {
  return (error instanceof Error ? error.message : String(error)).slice(0, 500)
}
