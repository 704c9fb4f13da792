import { type StringKey, type Strings, strings } from './strings.ts'

export type Translate = (key: StringKey, values?: Record<string, string | number>) => string

/** Texts in the reader's language: the host's where it gave any, ours otherwise. Numbers are written by locale. */
export function translator(given: Partial<Strings>, locale: string): Translate {
  const plural = new Intl.PluralRules(locale)
  const numbers = new Intl.NumberFormat(locale)
  const find = (key: string): string | undefined =>
    (given as Record<string, string>)[key] ?? (strings as Record<string, string>)[key]
  return (key, values = {}) => {
    const form = typeof values['count'] === 'number' ? find(`${key}_${plural.select(values['count'])}`) : undefined
    return (form ?? find(key) ?? key).replace(/\{(\w+)\}/g, (whole, name: string) => {
      const value = values[name]
      return value === undefined ? whole : typeof value === 'number' ? numbers.format(value) : value
    })
  }
}
