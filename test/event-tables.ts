import type { TSchema } from '@sinclair/typebox'
import { eventPayloads } from '../src/events.ts'

/** A field's type in the reader's words. */
function typeOf(schema: TSchema): string {
  const types = [schema['type']].flat() as string[]
  const [type] = types
  const named =
    schema['enum'] !== undefined
      ? (schema['enum'] as Array<string | null>)
          .filter(word => word !== null)
          .map(word => `\`${word}\``)
          .join(', ')
      : type === 'array'
        ? `list of ${schema['items'].type === 'object' ? 'objects' : typeOf(schema['items'] as TSchema)}`
        : schema['format'] === 'date-time'
          ? 'time'
          : ({ string: 'text', integer: 'number' }[type!] ?? type!)
  return types.includes('null') ? `${named} or null` : named
}

/** One row per field, those of inner objects below it. */
function rowsOf(schema: TSchema, above = ''): string[] {
  const required = new Set(schema['required'] as string[] | undefined)
  return Object.entries(schema['properties'] as Record<string, TSchema>).flatMap(([name, field]) => {
    const path = above + name
    const absent = required.has(name) ? '' : ', may be missing'
    const inner = field['type'] === 'array' ? (field['items'] as TSchema) : field
    return [
      `| \`${path}\` | ${typeOf(field)}${absent} | ${field.description} |`,
      ...(inner['properties'] === undefined ? [] : rowsOf(inner, `${path}${inner === field ? '.' : '[].'}`))
    ]
  })
}

/** Every payload of docs/events.md; types that carry the same share a table. */
export function eventTables(): string {
  const tables = new Map<string, string[]>()
  for (const [type, schema] of Object.entries(eventPayloads)) {
    const table = `| Field | Type | |\n|---|---|---|\n${rowsOf(schema).join('\n')}\n`
    tables.set(table, [...(tables.get(table) ?? []), `**\`${type}\`**: ${lower(schema.description!)}`])
  }
  return `${[...tables].map(([table, types]) => `\n${types.join('  \n')}\n\n${table}`).join('')}\n`
}

const lower = (sentence: string) => sentence.charAt(0).toLowerCase() + sentence.slice(1)
