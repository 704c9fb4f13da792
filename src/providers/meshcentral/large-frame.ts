import type { Frame } from './correlate.ts'

/** Shorter frames are parsed as a whole: splitting is for lists that would take several times their size as a tree. */
const wholeUpTo = 65_536

const [quote, comma, colon, openBrace, closeBrace, openBracket, closeBracket] = [...'",:{}[]'].map(char =>
  char.charCodeAt(0)
) as [number, number, number, number, number, number, number]

function broken(at: number): SyntaxError {
  return new SyntaxError(`not JSON near character ${at}`)
}

function skipSpace(text: string, at: number): number {
  while (' \t\n\r'.includes(text.charAt(at)) && at < text.length) at++
  return at
}

/** Where the string that begins at `at` ends: a quote with an even number of backslashes before it. */
export function endOfString(text: string, at: number): number {
  for (let end = text.indexOf('"', at + 1); end !== -1; end = text.indexOf('"', end + 1)) {
    let escapes = 0
    while (text[end - 1 - escapes] === '\\') escapes++
    if (escapes % 2 === 0) return end
  }
  throw broken(at)
}

/**
 * Where the value that begins at `at` ends, space behind it included. Only counts brackets: what is between them is
 * checked by who parses it.
 */
function endOfValue(text: string, at: number): number {
  let depth = 0
  for (let i = at; i < text.length; i++) {
    const code = text.charCodeAt(i)
    if (code === quote) i = endOfString(text, i)
    else if (code === openBrace || code === openBracket) depth++
    else if (depth > 0 && (code === closeBrace || code === closeBracket)) depth--
    else if (depth === 0 && (code === comma || code === closeBrace || code === closeBracket)) return i
  }
  throw broken(at)
}

/** A key of the object in `text` and where its value begins. */
function keyAt(text: string, at: number): { key: string; start: number } {
  if (text.charCodeAt(at) !== quote) throw broken(at)
  const end = endOfString(text, at)
  const after = skipSpace(text, end + 1)
  if (text.charCodeAt(after) !== colon) throw broken(after)
  return { key: JSON.parse(text.slice(at, end + 1)) as string, start: skipSpace(text, after + 1) }
}

/**
 * Walks over the members of the object, or with empty keys the elements of the array, that begins at `at`. `visit`
 * gets where each value begins and returns where it ends. Returns where the whole ends.
 */
function walk(text: string, at: number, visit: (key: string, start: number) => number): number {
  const close = text.charCodeAt(at) === openBrace ? closeBrace : closeBracket
  let next = skipSpace(text, at + 1)
  if (text.charCodeAt(next) === close) return skipSpace(text, next + 1)
  for (;;) {
    const { key, start } = close === closeBrace ? keyAt(text, next) : { key: '', start: next }
    const end = visit(key, start)
    if (text.charCodeAt(end) === close) return skipSpace(text, end + 1)
    if (text.charCodeAt(end) !== comma) throw broken(end)
    next = skipSpace(text, end + 1)
  }
}

/** Group id → texts of its nodes. `end` is where the object of groups ends. */
function nodeTexts(text: string, at: number): { groups: Frame; end: number } {
  const groups = Object.create(null) as Frame
  const end = walk(text, at, (group, start) => {
    if (text.charCodeAt(start) !== openBracket) {
      const end = endOfValue(text, start)
      groups[group] = JSON.parse(text.slice(start, end))
      return end
    }
    const texts: string[] = []
    groups[group] = texts
    return walk(text, start, (_, node) => {
      const end = endOfValue(text, node)
      texts.push(text.slice(node, end))
      return end
    })
  })
  return { groups, end }
}

/**
 * Parses a frame; of a long one the nodes stay what they are, each as its own JSON text. A list of devices is one
 * frame whatever their number: all of them as objects would take more than its text once more. Throws `SyntaxError`.
 */
export function parseFrame(text: string): unknown {
  if (text.length <= wholeUpTo || text.charCodeAt(0) !== openBrace) return JSON.parse(text)
  let found: { groups: Frame; start: number; end: number } | undefined
  walk(text, 0, (key, start) => {
    if (key !== 'nodes' || found !== undefined || text.charCodeAt(start) !== openBrace) return endOfValue(text, start)
    found = { start, ...nodeTexts(text, start) }
    return found.end
  })
  if (found === undefined) return JSON.parse(text)
  const { groups, start, end } = found
  return { ...(JSON.parse(`${text.slice(0, start)}null${text.slice(end)}`) as Frame), nodes: groups }
}
