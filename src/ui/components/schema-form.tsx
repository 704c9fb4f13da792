import { useEffect, useRef, useState } from 'preact/hooks'
import { ApiError } from '../api.ts'
import { useUi } from '../context.ts'
import { Check, Field } from './field.tsx'

/** What is understood of a field's JSON Schema. */
export interface FieldSchema {
  type?: string
  title?: string
  description?: string
  format?: string
  default?: unknown
  enum?: string[]
  pattern?: string
  minLength?: number
  maxLength?: number
  minimum?: number
  maximum?: number
}

/** The `configSchema` or `secretSchema` of a provider. */
export interface ObjectSchema {
  properties?: Record<string, FieldSchema>
  required?: string[]
}
export type Values = Record<string, unknown>

const entries = (schema: object) => Object.entries((schema as ObjectSchema).properties ?? {})
const isRequired = (schema: object, name: string) => (schema as ObjectSchema).required?.includes(name) ?? false
const titleOf = (name: string, field: FieldSchema) => field.title ?? name

/** What the form starts with: the stored values, else the defaults. */
export function initial(schema: object, stored: Values = {}): Values {
  return Object.fromEntries(
    entries(schema).map(([name, field]) => [
      name,
      stored[name] ?? field.default ?? (field.type === 'boolean' ? false : '')
    ])
  )
}

/** What is sent: fields that are empty and need not be filled are left out. */
export function filled(schema: object, values: Values): Values {
  return Object.fromEntries(
    entries(schema).flatMap(([name, field]) => {
      const value = values[name]
      if (value === '' || value === undefined) return []
      return [[name, field.type === 'number' || field.type === 'integer' ? Number(value) : value]]
    })
  )
}

export type Wrong = Record<string, string>

/** What can be told without asking the server; the server checks everything again. */
export function check(schema: object, values: Values, t: ReturnType<typeof useUi>['t']): Wrong {
  const wrong: Wrong = {}
  for (const [name, field] of entries(schema)) {
    const value = values[name]
    if (value === '' || value === undefined) {
      if (isRequired(schema, name)) wrong[name] = t('required')
    } else if (typeof value === 'string' && !fits(field, value)) {
      wrong[name] = t('invalid')
    }
  }
  return wrong
}

function fits(field: FieldSchema, value: string): boolean {
  if (field.format === 'uri' && !URL.canParse(value)) return false
  if (field.minLength !== undefined && value.length < field.minLength) return false
  if (field.maxLength !== undefined && value.length > field.maxLength) return false
  if (field.type === 'number' || field.type === 'integer') {
    const number = Number(value)
    return (
      Number.isFinite(number) && !(number < (field.minimum ?? -Infinity)) && !(number > (field.maximum ?? Infinity))
    )
  }
  try {
    return field.pattern === undefined || new RegExp(field.pattern, 'u').test(value)
  } catch {
    return true
  }
}

/**
 * Finds the field that the server's sentence is about: by its key ("secrets.apiKey must …") or its title ("Level
 * refused the API key: …"). A sentence about no field belongs to the whole form.
 */
export function locate(
  error: unknown,
  schemas: Array<[prefix: string, schema: object]>
): { part: string; name: string; message: string } | null {
  if (!(error instanceof ApiError) || (error.status !== 422 && error.status !== 400)) return null
  const text = error.message.toLowerCase()
  const fields = schemas.flatMap(([part, schema]) => entries(schema).map(([name, field]) => ({ part, name, field })))
  const byKey = fields.find(
    ({ part, name }) =>
      text.startsWith(`${part}.${name.toLowerCase()} `) ||
      text.startsWith(`${part} must have required property '${name.toLowerCase()}'`)
  )
  const byTitle = fields
    .map(candidate => ({ ...candidate, at: mentioned(text, titleOf(candidate.name, candidate.field)) }))
    .filter(({ at }) => at >= 0)
    .sort((a, b) => a.at - b.at)[0]
  const found = byKey ?? byTitle
  return found ? { part: found.part, name: found.name, message: error.message } : null
}

/** Where a title, or its last word ("API address": "the address"), is named as a word of its own. */
function mentioned(text: string, title: string): number {
  for (const words of [title, title.split(' ').at(-1)!]) {
    const at = text.search(
      new RegExp(`(?<![\\p{L}\\p{N}])${words.toLowerCase().replace(/[^\p{L}\p{N} ]/gu, '\\$&')}(?![\\p{L}\\p{N}])`, 'u')
    )
    if (at >= 0) return at
  }
  return -1
}

export interface SchemaFieldsProps {
  schema: object
  values: Values
  wrong: Wrong
  /** Secrets are hidden as they are typed and never filled in by us or by the browser. */
  secret?: boolean
  onChange: (values: Values) => void
}

/** The fields of a form, drawn from a JSON Schema: titles, descriptions, formats, defaults. */
export function SchemaFields({ schema, values, wrong, secret = false, onChange }: SchemaFieldsProps) {
  const { t } = useUi()
  const box = useRef<HTMLDivElement>(null)
  const [told, setTold] = useState(wrong)
  useEffect(() => {
    if (wrong === told) return
    setTold(wrong)
    box.current?.querySelector<HTMLElement>('[aria-invalid=true]')?.focus()
  }, [wrong, told])
  return (
    <div ref={box} class='fields'>
      {entries(schema).map(([name, field]) => {
        const label =
          titleOf(name, field) + (isRequired(schema, name) || field.type === 'boolean' ? '' : ` (${t('optional')})`)
        const change = (value: unknown) => onChange({ ...values, [name]: value })
        if (field.type === 'boolean')
          return <Check key={name} label={label} checked={values[name] === true} onChange={change} />
        return (
          <Field
            key={name}
            label={label}
            help={
              <>
                {field.description}
                {secret && <span class='block'>{t('secretWrite')}</span>}
              </>
            }
            error={wrong[name]}
          >
            {props => (
              <Input
                props={props}
                name={name}
                field={field}
                secret={secret}
                required={isRequired(schema, name)}
                value={String(values[name] ?? '')}
                onInput={change}
              />
            )}
          </Field>
        )
      })}
    </div>
  )
}

interface InputProps {
  props: object
  name: string
  field: FieldSchema
  secret: boolean
  required: boolean
  value: string
  onInput: (value: string) => void
}

function Input({ props, name, field, secret, required, value, onInput }: InputProps) {
  const common = { ...props, name, value, 'aria-required': required || undefined, spellcheck: false }
  if (field.enum) {
    return (
      <select {...common} onChange={event => onInput(event.currentTarget.value)}>
        {!required && <option value='' />}
        {field.enum.map(option => (
          <option key={option} value={option}>
            {option}
          </option>
        ))}
      </select>
    )
  }
  // Certificates and keys have lines; hiding them as a password would lose these.
  if ((field.maxLength ?? 0) > 2000)
    return <textarea {...common} rows={4} onInput={event => onInput(event.currentTarget.value)} />
  const hidden = secret && name !== 'username'
  const type = hidden
    ? 'password'
    : field.format === 'uri'
      ? 'url'
      : field.type === 'integer' || field.type === 'number'
        ? 'number'
        : 'text'
  return (
    <input
      {...common}
      type={type as 'text'}
      autocomplete={hidden ? 'new-password' : 'off'}
      onInput={event => onInput(event.currentTarget.value)}
    />
  )
}
