/** Takes the secrets of one connection out of a text, however they are written in it, and queries out of addresses. */
export interface Redact {
  (text: string): string
  /** Hides these too from now on: what a session brought. */
  add(secrets: readonly string[]): void
}

const hidden = '[redacted]'
/** Shorter values are not looked for: they would tear holes into ordinary words. */
const shortest = 4
/** Shorter values are looked for as words of their own: `admin` is not hidden in `administrator`. */
const wordsBelow = 8

/**
 * So much of a form in a row is as bad as the whole: platforms and providers cut texts anywhere. Of words alone it is
 * not: a sentence with a hole where everybody would say "password" tells what the password is made of.
 */
function* piecesOf(form: string): Generator<string> {
  yield form
  const size = Math.min(16, Math.max(10, Math.ceil(form.length * 0.6)))
  for (let at = 0; at + size <= form.length; at++) {
    const piece = form.slice(at, at + size)
    if (/[^\p{L}\s]/u.test(piece)) yield piece
  }
}

/** The base64 of a text at every place it may have among others: as it is, or behind one or two bytes. */
function base64Forms(text: string): string[] {
  const bytes = Buffer.from(text)
  return [0, 1, 2].flatMap(before => {
    const encoded = Buffer.concat([Buffer.alloc(before), bytes])
      .toString('base64')
      .replace(/=+$/, '')
    // What it shares a character with belongs to its neighbours too.
    const inner = encoded.slice(Math.ceil((before * 8) / 6), (before + bytes.length) % 3 === 0 ? undefined : -1)
    return before === 0 ? [bytes.toString('base64'), inner] : [inner]
  })
}

const entities: Readonly<Record<string, string>> = {
  '&': '&amp;',
  '<': '&lt;',
  '>': '&gt;',
  '"': '&quot;',
  "'": '&#39;'
}

/** How a value may be written: in addresses, headers, JSON, HTML, or without the blanks it was pasted with. */
function formsOf(secret: string): string[] {
  const values = new Set([secret, secret.trim(), secret.replace(/\s+/g, '')])
  const forms = [...values].flatMap(value => {
    const url = encodeURIComponent(value)
    const base64 = base64Forms(value)
    return [
      value,
      url,
      url.replace(/%[0-9A-F]{2}/g, triplet => triplet.toLowerCase()),
      encodeURIComponent(url),
      new URLSearchParams([['', value]]).toString().slice(1),
      JSON.stringify(value).slice(1, -1),
      value.replace(/[&<>"']/g, char => entities[char]!),
      ...base64,
      ...base64.map(text => text.replaceAll('+', '-').replaceAll('/', '_')),
      Buffer.from(value).toString('hex'),
      Buffer.from(value).toString('hex').toUpperCase()
    ]
  })
  return [...new Set(forms)].filter(form => form.length >= shortest)
}

const escaped = (text: string): string => text.replace(/[.*+?^${}()|[\]\\]/g, '\\$&')
const query = /((?:https?|wss?):\/\/[^\s?#'"]*)[?#][^\s'"]*/gi

interface Search {
  /** What is looked for anywhere, by its length. */
  pieces: Map<number, Set<string>>
  words: RegExp | null
}

function searchFor(secrets: readonly string[]): Search {
  const forms = secrets.filter(secret => secret.trim().length >= shortest && secret.isWellFormed()).flatMap(formsOf)
  const pieces = new Map<number, Set<string>>()
  for (const piece of forms.filter(form => form.length >= wordsBelow).flatMap(form => [...piecesOf(form)]))
    pieces.set(piece.length, (pieces.get(piece.length) ?? new Set()).add(piece))
  const short = forms.filter(form => form.length < wordsBelow).map(escaped)
  return {
    pieces,
    words: short.length === 0 ? null : new RegExp(`(?<![\\p{L}\\p{N}])(?:${short.join('|')})(?![\\p{L}\\p{N}])`, 'gu')
  }
}

function hide(text: string, { pieces, words }: Search): string {
  let covered: Uint8Array | null = null
  for (const [size, known] of pieces) {
    for (let at = 0; at + size <= text.length; at++) {
      if (known.has(text.slice(at, at + size))) (covered ??= new Uint8Array(text.length)).fill(1, at, at + size)
    }
  }
  let clean = text
  if (covered !== null) {
    clean = ''
    for (let at = 0; at < text.length; at++) {
      if (covered[at] === 0) clean += text[at]
      else if (at === 0 || covered[at - 1] === 0) clean += hidden
    }
  }
  return words === null ? clean : clean.replace(words, hidden)
}

/** Secrets shorter than four characters are left alone. The search is made when the first text comes. */
export function createRedact(secrets: readonly string[]): Redact {
  const values = new Set(secrets)
  let search: Search | undefined
  const redact = (text: string): string => {
    search ??= searchFor([...values])
    return hide(text.replace(query, '$1'), search)
  }
  return Object.assign(redact, {
    add(more: readonly string[]) {
      const fresh = more.filter(value => !values.has(value))
      for (const value of fresh) values.add(value)
      if (fresh.length > 0) search = undefined
    }
  })
}
