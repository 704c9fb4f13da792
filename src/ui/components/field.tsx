import type { ComponentChildren } from 'preact'
import { useId } from 'preact/hooks'
import { useUi } from '../context.ts'

export interface FieldProps {
  label: string
  help?: ComponentChildren
  error?: string | null | undefined
  children: (props: {
    id: string
    'aria-describedby': string | undefined
    'aria-invalid': boolean | undefined
  }) => ComponentChildren
}

/** A labelled control with its explanation and what is wrong with it, both told to screen readers. */
export function Field({ label, help, error, children }: FieldProps) {
  const id = useId()
  const described = [help ? `${id}-help` : '', error ? `${id}-error` : ''].filter(Boolean).join(' ')
  return (
    <div class='field'>
      <label for={id}>{label}</label>
      {children({ id, 'aria-describedby': described || undefined, 'aria-invalid': error ? true : undefined })}
      {error && (
        <p class='wrong' id={`${id}-error`}>
          {error}
        </p>
      )}
      {help && (
        <p class='help' id={`${id}-help`}>
          {help}
        </p>
      )}
    </div>
  )
}

export function Select<V extends string>({
  label,
  value,
  options,
  onChange,
  help
}: {
  label: string
  value: V
  options: Array<[V, string]>
  onChange: (value: V) => void
  help?: string
}) {
  return (
    <Field label={label} help={help}>
      {props => (
        <select {...props} value={value} onChange={event => onChange(event.currentTarget.value as V)}>
          {options.map(([value, text]) => (
            <option key={value} value={value}>
              {text}
            </option>
          ))}
        </select>
      )}
    </Field>
  )
}

export function Check({
  label,
  checked,
  onChange,
  disabled = false
}: {
  label: ComponentChildren
  checked: boolean
  onChange: (checked: boolean) => void
  disabled?: boolean
}) {
  return (
    <label class='check'>
      <input
        type='checkbox'
        checked={checked}
        disabled={disabled}
        onChange={event => onChange(event.currentTarget.checked)}
      />
      <span>{label}</span>
    </label>
  )
}

export function Search({
  label,
  hint,
  value,
  onInput
}: {
  label: string
  hint?: string
  value: string
  onInput: (value: string) => void
}) {
  return (
    <Field label={label}>
      {props => (
        <input
          {...props}
          type='search'
          placeholder={hint}
          title={hint}
          autocomplete='off'
          spellcheck={false}
          value={value}
          onInput={event => onInput(event.currentTarget.value)}
        />
      )}
    </Field>
  )
}

/** A whole number between two bounds; NaN while the text is none. */
export function NumberField({
  label,
  value,
  min,
  max,
  help,
  onInput
}: {
  label: string
  value: number
  min: number
  max: number
  help?: string
  onInput: (value: number) => void
}) {
  const { t } = useUi()
  const wrong = Number.isInteger(value) && value >= min && value <= max ? null : t('invalid')
  return (
    <Field label={label} help={help} error={wrong}>
      {props => (
        <input
          {...props}
          type='number'
          inputMode='numeric'
          min={min}
          max={max}
          step={1}
          value={Number.isNaN(value) ? '' : value}
          onInput={event => onInput(event.currentTarget.value === '' ? Number.NaN : Number(event.currentTarget.value))}
        />
      )}
    </Field>
  )
}

/** Keeps the form on the page: what it does is asked of the API. */
export const submitting = (work: () => void) => (event: Event) => {
  event.preventDefault()
  work()
}
