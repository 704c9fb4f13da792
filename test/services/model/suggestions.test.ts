import fc from 'fast-check'
import t from 'tap'
import { createClientIndex, normalizeName } from '../../../src/services/model/suggestions.ts'
import type { Client, MappingSuggestion } from '../../../src/types.ts'

function suggest(organizations: Array<{ id: string; name: string }>, clients: Client[]): MappingSuggestion[] {
  const index = createClientIndex()
  for (const client of clients) index.add(client)
  return organizations.flatMap(organization => index.suggest(organization))
}

const pairs = (words: string[]) => {
  const text = words.join('')
  return new Set(Array.from({ length: Math.max(0, text.length - 1) }, (_, at) => text.slice(at, at + 2)))
}
const rounded = (value: number) => Math.round(value * 100) / 100

/** Every client is looked at: what the index must not differ from. */
function scoreOf(organization: string, client: string): number {
  const [own, theirs] = [normalizeName(organization), normalizeName(client)]
  if (own.length === 0 || theirs.length === 0) return 0
  if (own.join(' ') === theirs.join(' ')) return 1
  const [a, b] = [new Set(own), new Set(theirs)]
  const both = [...a].filter(word => b.has(word)).length
  if (both > 0 && both === Math.min(a.size, b.size)) return rounded(0.6 + (0.3 * 2 * both) / (a.size + b.size))
  const [x, y] = [pairs(own), pairs(theirs)]
  const common = [...x].filter(pair => y.has(pair)).length
  return rounded(((2 * common) / (x.size + y.size)) * 0.85) || 0
}

const word = fc.constantFrom(
  'north',
  'nort',
  'gate',
  'print',
  'copy',
  'dental',
  'dentel',
  'care',
  'ltd',
  'the',
  'müller',
  'muller',
  'co',
  'x',
  'data tech',
  'datatech'
)
const name = fc.oneof(
  { weight: 3, arbitrary: fc.array(word, { minLength: 1, maxLength: 4 }).map(words => words.join(' ')) },
  fc.string({ unit: 'grapheme', maxLength: 20 }),
  fc.constantFrom('Acme Ltd', 'ACME', 'Müller & Söhne GmbH', 'the and co', '', '  ', '& Co')
)
const named = (maxLength: number) =>
  fc.uniqueArray(fc.record({ id: fc.uuid(), name }), { selector: item => item.id, maxLength })

t.test('the index proposes exactly what looking at every client would', async t => {
  fc.assert(
    fc.property(named(4), named(40), (organizations, clients) => {
      for (const organization of organizations) {
        const scores = clients.map(client => scoreOf(organization.name, client.name))
        const top = Math.max(0, ...scores)
        const expected = top < 0.5 ? [] : clients.filter((_, at) => scores[at] === top).slice(0, 5)
        const found = suggest([organization], clients)
        const told = found.map(({ clientRef, clientName, score }) => ({ clientRef, clientName, score }))
        const wanted = expected.map(({ id, name }) => ({ clientRef: id, clientName: name, score: top }))
        if (JSON.stringify(told) !== JSON.stringify(wanted))
          throw new Error(`${JSON.stringify(told)} instead of ${JSON.stringify(wanted)}`)
        if (found.some(({ organizationId, reason }) => organizationId !== organization.id || reason === ''))
          throw new Error('without a reason, or for another')
      }
    }),
    { numRuns: 1_500 }
  )
  t.pass()
})

t.test('case, accents, legal forms and "&" are aside', async t => {
  t.match(suggest([{ id: 'o', name: 'MULLER und Sohne' }], [{ id: 'c', name: 'Müller & Söhne GmbH' }]), [{ score: 1 }])
})
