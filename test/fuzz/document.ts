import type { Ids } from './host.ts'

type Schema = Record<string, any>

const noSuchRoute = {
  type: 'object',
  required: ['message', 'statusCode'],
  properties: { message: { type: 'string', pattern: '^Route ' } },
  not: { required: ['code'] }
}

/** Half of what is made up for this field is something that exists: made-up ids alone would only ever be 404. */
function mixed(schema: Schema, known: string[]): Schema {
  const { description, ...own } = schema
  return { ...(description === undefined ? {} : { description }), anyOf: [{ type: 'string', enum: known }, own] }
}

/** The same for every field of a body with a name that we know ids for. */
function mixFields(schema: Schema, known: Ids): void {
  for (const [name, field] of Object.entries<Schema>(schema['properties'] ?? {})) {
    if (known[name] !== undefined && [field['type']].flat().includes('string'))
      schema['properties'][name] = mixed(field, known[name])
    else mixFields(field, known)
  }
  if (schema['items'] !== undefined) mixFields(schema['items'], known)
}

/** The OpenAPI document as a fuzzer reads it: the routes of the plugin, with ids that exist beside the made-up ones. */
export function fuzzDocument(document: object, known: Ids): object {
  const copy = structuredClone(document) as Schema
  copy['paths'] = Object.fromEntries(Object.entries<Schema>(copy['paths']).filter(([path]) => path.startsWith('/rmm/')))
  for (const methods of Object.values<Schema>(copy['paths'])) {
    for (const operation of Object.values<Schema>(methods)) {
      for (const parameter of operation['parameters'] ?? [])
        if (known[parameter.name] !== undefined) parameter.schema = mixed(parameter.schema, known[parameter.name]!)
      // Node's own answer to a URL of more than 16 KB; it never reaches a route.
      operation['responses']['431'] = { description: 'Request Header Fields Too Large' }
      // An id with a question mark in it is another URL, which Fastify answers itself.
      const notFound = operation['responses']['404']?.content?.['application/json']
      if (notFound !== undefined) notFound.schema = { anyOf: [notFound.schema, noSuchRoute] }
      const body = operation['requestBody']?.content?.['application/json']?.schema
      if (body === undefined) continue
      // @fastify/swagger calls every body required; one whose fields may all be left out may be left out itself.
      operation['requestBody'].required = (body['required'] ?? []).length > 0
      mixFields(body, known)
    }
  }
  return copy
}
