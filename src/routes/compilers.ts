import AjvCompiler from '@fastify/ajv-compiler'
import SerializerSelector from '@fastify/fast-json-stringify-compiler'
import type { FastifyInstance, FastifySchemaCompiler } from 'fastify'

const strictBody = {
  coerceTypes: false,
  useDefaults: true,
  removeAdditional: false,
  allErrors: false,
  allowUnionTypes: true
} as const
/**
 * URLs carry only text: `?limit=7` has to become a number. Strict numbers would skip `maximum` for what became
 * Infinity.
 */
const coercing = { ...strictBody, coerceTypes: true, strictNumbers: false } as const

/**
 * Pins how this scope checks and writes JSON, so that the host's compilers (zod, `coerceTypes: false`, an own reply
 * serializer) change nothing below our prefix, and ours nothing outside of it.
 */
export function pinCompilers(app: FastifyInstance): void {
  const validator = validatorCompiler()
  const serializer = serializerCompiler(app)
  app.setValidatorCompiler(route => lazily(() => validator(route as never)) as never)
  app.setSerializerCompiler(route => lazily(() => serializer(route)))
  // A reply serializer of the host would go around the response schemas; undefined is how Fastify stores "none".
  app.setReplySerializer(undefined as never)
}

type Compiled = ((data: any) => any) & { errors?: unknown }

/** Compiled with its first use: a host does not wait at its start for hundreds of schemas, most of them never used. */
function lazily(compile: () => Compiled): Compiled {
  let compiled: Compiled | undefined
  const use: Compiled = data => {
    compiled ??= compile()
    const result = compiled(data)
    use.errors = compiled.errors
    return result
  }
  return use
}

export function validatorCompiler(): FastifySchemaCompiler<object> {
  const pool = AjvCompiler()
  const body = pool({}, { customOptions: strictBody })
  const url = pool({}, { customOptions: coercing })
  return route => {
    if (route.httpPart === 'body') return body(route as never) as never
    // A parent's prefix may have parameters of its own (`/t/:tenantId`): they are the host's, not unknown ones of ours.
    const schema = route.httpPart === 'params' ? { ...route.schema, additionalProperties: true } : route.schema
    return url({ ...route, schema } as never) as never
  }
}

/**
 * Answers of a service are written field by field as their schema names them: anything else is left out. Error bodies
 * pass as they are: they are built by our error handler, or they are the host's refusal in the host's own format.
 */
export function serializerCompiler(app: Pick<FastifyInstance, 'getSchemas'>) {
  const build = SerializerSelector()
  return (route: { schema: unknown; method: string; url: string; httpStatus?: string }) => {
    const httpStatus = route.httpStatus ?? ''
    if (/^[45]/.test(httpStatus)) return writeError
    return build(app.getSchemas())({ ...route, httpStatus })
  }
}

/** Fastify's own error handler hands over the error object itself, with its fields hidden from JSON. */
function writeError(payload: unknown): string {
  if (!(payload instanceof Error)) return JSON.stringify(payload)
  const { statusCode, code, error, message } = payload as Error & { statusCode?: number; code?: string; error?: string }
  return JSON.stringify({ statusCode, code, error, message })
}
