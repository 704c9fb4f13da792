import { STATUS_CODES } from 'node:http'
import type { FastifyError, FastifyReply, FastifyRequest, FastifySchemaValidationError } from 'fastify'
import { BodyError, BodyTooLargeError, InternalError, MediaTypeError, ValidationError } from '../errors.ts'
import { safeLog } from '../log.ts'
import { isHandling } from './guard.ts'

type CodedError = Error & { code: string; statusCode?: number; retryAfterMs?: number; connectionId?: string }

/**
 * Answers our own errors in our own format. What the host's hooks, `tenant` or `authorize` throw is thrown on, so
 * that the host's error handler answers it in the host's format; anything unknown out of our own code is a 500
 * without internals.
 */
export function answerError(error: FastifyError, request: FastifyRequest, reply: FastifyReply): void {
  const known = ours(error)
  if (known === null && (!isHandling(request) || error.code === 'FST_ERR_HANDLER_TIMEOUT')) throw asError(error)
  const answer: CodedError = known ?? new InternalError()
  const statusCode = statusOf(answer)
  if (statusCode >= 500) safeLog(request.log).error(error)
  else request.log.info({ code: answer.code }, answer.message)
  const seconds = retryAfter(answer)
  if (seconds !== null) reply.header('retry-after', seconds)
  reply
    .code(statusCode)
    .type('application/json; charset=utf-8')
    .send({
      statusCode,
      code: answer.code,
      error: STATUS_CODES[statusCode],
      message: answer.message,
      ...(answer.connectionId === undefined ? {} : { connectionId: answer.connectionId })
    })
}

/**
 * What an error handler throws is an answer to Fastify, with status 200, unless it is an Error: a host may throw
 * anything to refuse.
 */
function asError(thrown: unknown): Error {
  if (thrown instanceof Error) return thrown
  return typeof thrown === 'object' ? Object.assign(new Error('Refused'), thrown) : new Error(String(thrown))
}

function ours(error: unknown): CodedError | null {
  if (!(error instanceof Error) || !('code' in error) || typeof error.code !== 'string') return null
  if (error.code.startsWith('RMM_ERR_')) return error as CodedError
  if (!error.code.startsWith('FST_ERR_CTP_')) return null
  if (error.code === 'FST_ERR_CTP_INVALID_MEDIA_TYPE') return new MediaTypeError()
  if (error.code === 'FST_ERR_CTP_BODY_TOO_LARGE')
    return new BodyTooLargeError('The body is larger than this route takes')
  return new BodyError(error.message)
}

function statusOf(error: CodedError): number {
  const status = error.statusCode
  return Number.isInteger(status) && status! >= 400 && status! <= 599 ? status! : 500
}

/** Whole seconds, from the error or from the platform's refusal that caused it. */
function retryAfter(error: CodedError): number | null {
  const ms = error.retryAfterMs ?? (error.cause as { retryAfterMs?: unknown } | undefined)?.retryAfterMs
  return typeof ms === 'number' && Number.isFinite(ms) && ms >= 0 ? Math.max(1, Math.ceil(ms / 1000)) : null
}

/** Turns a failed check into one sentence that names the field and what is wrong with it; values are never repeated. */
export function validationError(errors: FastifySchemaValidationError[], part: string): Error {
  const [first] = errors
  return new ValidationError(
    first === undefined ? `${part} is not valid` : sentence(first, part === 'querystring' ? 'query' : part)
  )
}

function sentence({ keyword, instancePath, params, message }: FastifySchemaValidationError, part: string): string {
  const where = part + instancePath.replaceAll('/', '.').replaceAll('~1', '/').replaceAll('~0', '~')
  if (keyword === 'additionalProperties')
    return `${where}: unknown field '${String(params['additionalProperty']).slice(0, 100)}'`
  if (keyword === 'required') return `${where}: the field '${params['missingProperty']}' is missing`
  if (keyword === 'enum') return `${where} must be one of: ${(params['allowedValues'] as string[]).join(', ')}`
  return `${where} ${message ?? 'is not valid'}`
}
