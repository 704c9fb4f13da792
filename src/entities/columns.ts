import { type EntitySchema, p } from '@mikro-orm/core'

/**
 * The column types of our tables. Every one names its column, so that the naming strategy of a host that lists
 * our entities in its own ORM changes nothing.
 */
export const uuid = (column: string) => p.uuid().fieldName(column)
export const generatedId = () => p.uuid().fieldName('id').primary().defaultRaw('gen_random_uuid()')
export const sequence = (column: string) =>
  p.bigint('number').fieldName(column).autoincrement().generated('by default as identity')
export const text = (column: string) => p.text().fieldName(column)
export const int = (column: string) => p.integer().fieldName(column)
export const bool = (column: string) => p.boolean().fieldName(column)
/** Bytes and seconds: they outgrow 32 bits, and stay within what a number holds exactly. */
export const bigint = (column: string) => p.bigint('number').fieldName(column)
export const time = (column: string) => p.datetime(3).fieldName(column)
export const texts = (column: string) => p.array().$type<string[]>().columnType('text[]').fieldName(column)
export const json = <T>(column: string) => p.json<T>().fieldName(column)
export const oneOf = <const T extends string>(column: string, values: readonly T[]) =>
  p.enum(values).columnType('text').fieldName(column)

/**
 * Ties the properties of a schema to the members of its class: a member without a column, or of another type, does
 * not compile.
 */
export type Columns<E> = {
  [K in Exclude<keyof E, symbol>]-?: { '~type'?: { value: unknown extends E[K] ? unknown : NonNullable<E[K]> } }
}

/** A foreign key whose value is the id it points to: a row goes with its parent. */
export const belongsTo = <T extends object>(parent: EntitySchema<T>, table: string, column: string) =>
  p
    .manyToOne(parent)
    .$type<string>()
    .fieldName(column)
    .mapToPk()
    .index(false)
    .deleteRule('cascade')
    .updateRule('no action')
    .foreignKeyName(`${table}_${column}_fkey`)
