import type { Client, MappingSuggestion } from '../../types.ts'

/** Words that say what kind of company it is, not which. */
const legal = new Set([
  'ltd',
  'limited',
  'llc',
  'inc',
  'incorporated',
  'corp',
  'corporation',
  'co',
  'company',
  'plc',
  'gmbh',
  'ag',
  'kg',
  'ohg',
  'ug',
  'sa',
  'sas',
  'sarl',
  'srl',
  'spa',
  'bv',
  'nv',
  'ab',
  'oy',
  'as',
  'aps',
  'pty',
  'pte',
  'lp',
  'llp',
  'kk',
  'sro',
  'doo',
  'zoo'
])
const fillers = new Set(['the', 'and', 'und', 'et', 'y'])
/** Below this a proposal is noise. */
const leastScore = 0.5

/** Case, accents, punctuation, legal forms and "&" aside. */
export function normalizeName(name: string): string[] {
  const plain = name
    .normalize('NFKD')
    .replace(/\p{M}/gu, '')
    .toLowerCase()
    .replace(/ß/g, 'ss')
    .replace(/[’'`.]/g, '')
    .replace(/&|\+/g, ' and ')
  const words = plain.split(/[^\p{L}\p{N}]+/u).filter(word => word !== '')
  const telling = words.filter(word => !legal.has(word) && !fillers.has(word))
  return telling.length > 0 ? telling : words
}

interface Named {
  client: Client
  words: string[]
  key: string
  grams: Set<string>
}

/**
 * Proposes a client for each organization, best first; nothing is applied. The same name after normalising scores 1,
 * all words of one within the other up to 0.9, similar spelling by shared letter pairs. Equally good clients are all
 * named: choosing is the operator's.
 */
export function suggest(organizations: Array<{ id: string; name: string }>, clients: Client[]): MappingSuggestion[] {
  const named = clients.map(client => toNamed(client)).filter(({ words }) => words.length > 0)
  const byWord = new Map<string, Set<Named>>()
  for (const candidate of named) {
    for (const key of [...candidate.words, ...candidate.grams])
      byWord.set(key, (byWord.get(key) ?? new Set()).add(candidate))
  }
  return organizations.flatMap(organization => best(organization, byWord))
}

function toNamed(client: Client): Named {
  const words = normalizeName(client.name)
  return { client, words, key: words.join(' '), grams: pairs(words.join('')) }
}

function pairs(text: string): Set<string> {
  const grams = new Set<string>()
  for (let i = 0; i < text.length - 1; i++) grams.add(`#${text.slice(i, i + 2)}`)
  return grams
}

function best(organization: { id: string; name: string }, byWord: Map<string, Set<Named>>): MappingSuggestion[] {
  const words = normalizeName(organization.name)
  const grams = pairs(words.join(''))
  const shared = new Map<Named, number>()
  for (const gram of grams)
    for (const candidate of byWord.get(gram) ?? []) shared.set(candidate, (shared.get(candidate) ?? 0) + 1)
  for (const word of words)
    for (const candidate of byWord.get(word) ?? []) if (!shared.has(candidate)) shared.set(candidate, 0)
  const scored = [...shared]
    .map(([candidate, common]) => ({ candidate, ...score(words, grams.size, candidate, common) }))
    .filter(({ score }) => score >= leastScore)
  const top = Math.max(...scored.map(({ score }) => score))
  return scored
    .filter(({ score }) => score === top)
    .slice(0, 5)
    .map(({ candidate, score, reason }) => ({
      organizationId: organization.id,
      clientRef: candidate.client.id,
      clientName: candidate.client.name,
      score,
      reason
    }))
}

function score(
  words: string[],
  gramCount: number,
  candidate: Named,
  common: number
): { score: number; reason: string } {
  if (words.join(' ') === candidate.key) return { score: 1, reason: 'same name' }
  const own = new Set(words)
  const theirs = new Set(candidate.words)
  const both = [...own].filter(word => theirs.has(word)).length
  const smaller = Math.min(own.size, theirs.size)
  if (both === smaller && both > 0) {
    return {
      score: round(0.6 + (0.3 * (2 * both)) / (own.size + theirs.size)),
      reason: own.size < theirs.size ? "the client's name contains it" : "it contains the client's name"
    }
  }
  const dice = (2 * common) / (gramCount + candidate.grams.size)
  return { score: round(dice * 0.85), reason: 'similar spelling' }
}

function round(value: number): number {
  return Math.round(value * 100) / 100
}
