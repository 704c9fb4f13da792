import { readFileSync } from 'node:fs'
import { Ajv2020 } from 'ajv/dist/2020.js'
import { parse } from 'yaml'

interface Operation {
  operationId: string
  responses: Record<string, object>
}

const document = parse(readFileSync(new URL('../fixtures/level-openapi.yaml', import.meta.url), 'utf8')) as {
  paths: Record<string, Record<string, Operation>>
}

const ajv = new Ajv2020({
  strict: false,
  allErrors: true,
  formats: {
    'date-time': /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)$/,
    uuid: /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/
  }
})
ajv.addSchema(document, 'level')

/** Every operation of the description, by its id. */
export const operations = new Map(
  Object.entries(document.paths).flatMap(([path, item]) =>
    Object.entries(item)
      .filter(([method]) => method !== 'parameters')
      .map(([method, operation]) => [operation.operationId, { method: method.toUpperCase(), path, operation }] as const)
  )
)

function errorsBy(pointer: string, value: unknown): string[] {
  const validate = ajv.getSchema(`level#${pointer}`) ?? ajv.compile({ $ref: `level#${pointer}` })
  return validate(value) ? [] : (validate.errors ?? []).map(error => `${error.instancePath} ${error.message}`)
}

/** What is wrong with a value by a schema of the description; empty = nothing. */
export const schemaErrors = (name: string, value: unknown): string[] => errorsBy(`/components/schemas/${name}`, value)

/** What is wrong with the answer of an operation; empty = nothing. Answers without a described body must be empty. */
export function answerErrors(operationId: string, status: number, body: unknown): string[] {
  const found = operations.get(operationId)
  const response = found?.operation.responses[status] as { $ref?: string; content?: object } | undefined
  if (!found || !response) return [`${operationId} does not describe status ${status}`]
  const pointer =
    response.$ref?.slice(1) ??
    `/paths/${found.path.replaceAll('/', '~1')}/${found.method.toLowerCase()}/responses/${status}`
  if (!response.$ref && !response.content) return body === undefined ? [] : ['an undescribed body']
  return errorsBy(`${pointer}/content/application~1json/schema`.replaceAll('{', '%7B').replaceAll('}', '%7D'), body)
}
