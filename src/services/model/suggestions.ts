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
  words: Set<string>
  key: string
  gramCount: number
}

/** Finds the clients that an organization may be, without looking at each of them. */
export interface ClientIndex {
  add(client: Client): void
  /**
   * Proposes clients for an organization; nothing is applied. The same name after normalising scores 1, all words of one
   * within the other up to 0.9, similar spelling by shared letter pairs. Equally good clients are all named, five at
   * most: choosing is the operator's.
   */
  suggest(organization: { id: string; name: string }): MappingSuggestion[]
}

/** Shared letter pairs that a proposal by spelling needs, as a share of all pairs of both names: rounds to `leastScore`. */
const spellingWeight = 0.85
const leastDice = (leastScore - 0.005) / spellingWeight

export function createClientIndex(): ClientIndex {
  const named: Named[] = []
  const byWord = new Map<string, number[]>()
  const byGram = new Map<string, number[]>()
  /** How often each client was met, for one question at a time; all zero in between. */
  let met = new Uint16Array(1_024)

  function post(index: Map<string, number[]>, key: string, at: number): void {
    const list = index.get(key)
    if (list === undefined) index.set(key, [at])
    else list.push(at)
  }

  /** Calls `found` with every client in the lists, and in how many of them it is. */
  function tally(lists: readonly number[][], found: (at: number, times: number) => void): void {
    const touched: number[] = []
    for (const list of lists) for (const at of list) if (met[at]!++ === 0) touched.push(at)
    for (const at of touched) {
      const times = met[at]!
      met[at] = 0
      found(at, times)
    }
  }

  function contained(words: Set<string>, key: string): Map<number, Score> {
    const scores = new Map<number, Score>()
    const lists = [...words].flatMap(word => [byWord.get(word) ?? []])
    tally(lists, (at, both) => {
      const theirs = named[at]!
      if (theirs.key === key) scores.set(at, { score: 1, reason: 'same name' })
      else if (both === Math.min(words.size, theirs.words.size))
        scores.set(at, {
          score: round(0.6 + (0.3 * (2 * both)) / (words.size + theirs.words.size)),
          reason: words.size < theirs.words.size ? "the client's name contains it" : "it contains the client's name"
        })
    })
    return scores
  }

  /** Whoever shares enough pairs shares one of the rarest: only those lists are read. */
  function spelledAlike(grams: Set<string>, scores: Map<number, Score>): void {
    const lists = [...grams].map(gram => byGram.get(gram) ?? []).sort((a, b) => a.length - b.length)
    const least = Math.max(1, Math.ceil((leastDice * grams.size) / (2 - leastDice)))
    const rarest = lists.slice(0, lists.length - least + 1)
    const others = lists.length - rarest.length
    tally(rarest, (at, times) => {
      const { gramCount } = named[at]!
      if (scores.has(at) || times + others < (leastDice * (grams.size + gramCount)) / 2) return
      const common = times + lists.slice(rarest.length).filter(list => includes(list, at)).length
      const score = round(((2 * common) / (grams.size + gramCount)) * spellingWeight)
      if (score >= leastScore) scores.set(at, { score, reason: 'similar spelling' })
    })
  }

  return {
    add(client) {
      const words = normalizeName(client.name)
      if (words.length === 0) return
      const at = named.length
      if (at === met.length) met = new Uint16Array(2 * at)
      const grams = pairs(words.join(''))
      named.push({ client, words: new Set(words), key: words.join(' '), gramCount: grams.size })
      for (const word of new Set(words)) post(byWord, word, at)
      for (const gram of grams) post(byGram, gram, at)
    },
    suggest(organization) {
      const words = normalizeName(organization.name)
      const scores = contained(new Set(words), words.join(' '))
      const certain = [...scores.values()].some(({ score }) => score === 1)
      if (!certain) spelledAlike(pairs(words.join('')), scores)
      const top = Math.max(...[...scores.values()].map(({ score }) => score))
      return [...scores]
        .filter(([, { score }]) => score === top)
        .sort(([a], [b]) => a - b)
        .slice(0, 5)
        .map(([at, { score, reason }]) => {
          const { id, name } = named[at]!.client
          return { organizationId: organization.id, clientRef: id, clientName: name, score, reason }
        })
    }
  }
}

interface Score {
  score: number
  reason: string
}

/** Lists grow in order. */
function includes(list: readonly number[], wanted: number): boolean {
  let low = 0
  let high = list.length
  while (low < high) {
    const middle = (low + high) >>> 1
    if (list[middle]! < wanted) low = middle + 1
    else high = middle
  }
  return list[low] === wanted
}

function pairs(text: string): Set<string> {
  const grams = new Set<string>()
  for (let i = 0; i < text.length - 1; i++) grams.add(text.slice(i, i + 2))
  return grams
}

function round(value: number): number {
  return Math.round(value * 100) / 100
}
