import { readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'

export const root = fileURLToPath(new URL('..', import.meta.url))

/** Everything a reader is given, by its path from the root. */
export const documents = [
  ...readdirSync(root),
  ...readdirSync(join(root, 'docs')).map(name => `docs/${name}`),
  ...readdirSync(join(root, 'examples'), { recursive: true, encoding: 'utf8' }).map(name => `examples/${name}`),
  'bench/README.md'
].filter(path => path.endsWith('.md'))
export const textOf = (path: string) => readFileSync(join(root, path), 'utf8')

const between = (name: string) => new RegExp(`(<!-- ${name}: [^>]*-->\\n)([\\s\\S]*?)(<!-- /${name} -->)`)

function documentWith(name: string): string {
  const found = documents.filter(path => between(name).test(textOf(path)))
  if (found.length !== 1) throw new Error(`the part '${name}' stands in ${found.length} documents`)
  return found[0]!
}

/** What stands between the two marks of a part that must not drift, in whichever document that is. */
export const part = (name: string): string => between(name).exec(textOf(documentWith(name)))![2]!

/** Writes such a part anew: what `UPDATE_DOCS=1` does to those that are made from the code. */
export function writePart(name: string, text: string): void {
  const path = documentWith(name)
  writeFileSync(
    join(root, path),
    textOf(path).replace(between(name), (_, start: string, _old: string, end: string) => start + text + end)
  )
}

/** Rows of a part's table without its head, cells trimmed. A `|` of a cell is written `\|`. */
export const rowsOf = (name: string): string[][] =>
  part(name)
    .trim()
    .split('\n')
    .slice(2)
    .map(row =>
      row
        .split(/(?<!\\)\|/)
        .slice(1, -1)
        .map(cell => cell.trim())
    )

/** Where a document's relative links lead, as paths from the root, each with its anchor. */
export const linksOf = (
  path: string,
  text: string
): Array<{ link: string; target: string; anchor: string | undefined }> =>
  [...text.matchAll(/\]\((?!\w+:)([^)\s]+)\)/g)].map(([, link]) => {
    const [to, anchor] = link!.split('#') as [string, string?]
    return { link: link!, target: to === '' ? path : join(dirname(path), to), anchor }
  })

/** The anchors of a document's headings, as npm and the usual hosts make them. */
export const anchorsOf = (text: string): string[] =>
  [...text.matchAll(/^#+ (.+)$/gm)].map(([, heading]) =>
    heading!
      .toLowerCase()
      .replace(/[^\p{L}\p{N}\s_-]/gu, '')
      .trim()
      .replaceAll(' ', '-')
  )

export const codeOf = (cell: string): string[] => [...cell.matchAll(/`([^`]+)`/g)].map(([, code]) => code!)

/** The code of a document's fenced blocks in one language. */
export const blocksOf = (path: string, language: string): string[] =>
  [...textOf(path).matchAll(new RegExp(`\`\`\`${language}\\n([\\s\\S]*?)\`\`\``, 'g'))].map(([, code]) => code!)
