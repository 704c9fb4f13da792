import { existsSync, readFileSync } from 'node:fs'
import t from 'tap'

const read = (path: string) => readFileSync(new URL(path, import.meta.url), 'utf8')

/** Rows of the table of threats: who, what stops them, what does not, and the tests, as file and title. */
function threats() {
  const table = /<!-- threats:[^>]*-->\n([\s\S]*?)<!-- \/threats -->/.exec(read('../docs/security.md'))![1]!
  const rows = table.trim().split('\n').slice(2)
  return rows.map(row => {
    const [who, stops, not, shown] = row
      .split('|')
      .slice(1, -1)
      .map(cell => cell.trim()) as [string, string, string, string]
    const tests = [...shown.matchAll(/`([\w/-]+)`: (.*?)(?=; `|$)/g)].map(([, file, title]) => ({
      file: file!,
      title: title!
    }))
    return { who, stops, not, tests }
  })
}

/** Titles as they stand between quotes in the source. */
const titled = (source: string, title: string) =>
  [`'${title}'`, `"${title}"`, `\`${title}\``, `${title}\``].some(text => source.includes(text))

t.test('every threat says who, what stops them, what does not, and names tests that are there', t => {
  const all = threats()
  t.ok(all.length >= 15)
  for (const { who, stops, not, tests } of all) {
    t.ok(who.includes(':') && stops !== '' && not !== '', who)
    t.ok(tests.length > 0, `${who}: names a test`)
    for (const { file, title } of tests) {
      const path = new URL(`${file}.test.ts`, import.meta.url)
      t.ok(existsSync(path) && titled(read(`${file}.test.ts`), title), `${file}: ${title}`)
    }
  }
  t.end()
})
