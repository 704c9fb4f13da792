import { isDeepStrictEqual } from 'node:util'
import fc from 'fast-check'
import t from 'tap'
import { parseFrame } from '../../src/providers/meshcentral/large-frame.ts'
import { NodeList } from '../../src/providers/meshcentral/node-list.ts'

const padding = 'p'.repeat(70_000)
const key = fc.oneof(fc.constantFrom('mesh//a', 'mesh//b', '__proto__', 'nodes', '"[{,}]\\'), fc.string())
const value = fc.oneof(
  { depthSize: 'small' },
  fc.jsonValue(),
  fc.constantFrom('"', '\\', '\\"', '[{', '}],', 'ü🏢'),
  fc.record({ _id: fc.string(), name: fc.string({ unit: 'binary' }) })
)
const groups = fc.dictionary(key, fc.oneof(fc.array(value), fc.jsonValue()), { maxKeys: 4 })
const frame = fc.record({
  action: fc.constant('nodes'),
  before: fc.jsonValue(),
  nodes: fc.oneof({ weight: 4, arbitrary: groups }, { weight: 1, arbitrary: fc.jsonValue() }),
  after: fc.jsonValue(),
  tag: fc.constant(padding)
})
const spacing = fc.constantFrom(undefined, 2, '\t')

/** What `parseFrame` gives, its nodes parsed as well. */
function parsed(text: string): unknown {
  const result = parseFrame(text) as Record<string, unknown>
  if (typeof result !== 'object' || result === null || Object.getPrototypeOf(result['nodes'] ?? {}) !== null)
    return result
  const nodes = Object.entries(result['nodes'] as object).map(([id, list]) => [
    id,
    Array.isArray(list) ? list.map(item => JSON.parse(item as string)) : list
  ])
  return { ...result, nodes: Object.fromEntries(nodes) }
}

const plainly = (text: string): unknown => JSON.parse(text)

t.test('a long frame says the same as if it were parsed as a whole, its nodes each by itself', async t => {
  let split = 0
  fc.assert(
    fc.property(frame, spacing, (content, space) => {
      const text = JSON.stringify(content, null, space)
      const expected = plainly(text)
      if (!isDeepStrictEqual(parsed(text), expected)) return false
      const { nodes } = parseFrame(text) as { nodes: unknown }
      if (nodes !== null && typeof nodes === 'object' && Object.getPrototypeOf(nodes) === null) split++
      return true
    }),
    { numRuns: 400 }
  )
  t.ok(split > 200, `${split} were split`)
})

t.test('a long frame that is not JSON is refused, wherever it is broken', async t => {
  let refused = 0
  fc.assert(
    fc.property(
      frame,
      fc.double({ min: 0, max: 1, noNaN: true }),
      fc.constantFrom('', '"', '\\', '{', '}', '[', ']', ',', ':', 'x', '\u0001'),
      (content, where, instead) => {
        const text = JSON.stringify(content)
        const broken = text.replace(padding, '')
        const at = Math.floor(where * broken.length)
        const mutated = (broken.slice(0, at) + instead + broken.slice(at + 1)).replace('"tag":""', `"tag":"${padding}"`)
        let expected: unknown
        try {
          expected = plainly(mutated)
        } catch {
          expected = SyntaxError
        }
        let found: unknown
        try {
          found = parsed(mutated)
        } catch (error) {
          found = error instanceof SyntaxError ? SyntaxError : error
        }
        if (expected === SyntaxError) refused++
        return isDeepStrictEqual(found, expected)
      }
    ),
    { numRuns: 2000 }
  )
  t.ok(refused > 500, `${refused} were broken`)
})

t.test('a short frame is parsed as it is', async t => {
  t.strictSame(parseFrame('{"action":"nodes","nodes":{"mesh//a":[{"_id":"node//a"}]}}'), {
    action: 'nodes',
    nodes: { 'mesh//a': [{ _id: 'node//a' }] }
  })
  t.throws(() => parseFrame('nonsense'), SyntaxError)
  t.throws(() => parseFrame(`{"action":"nodes"${' '.repeat(70_000)}`), SyntaxError)
})

t.test(
  'nodes are handed out in the order of their ids, each once, also behind a place where an earlier read stopped',
  async () => {
    const id = fc.oneof(
      fc.constantFrom('node//a', 'node//a$', 'node//a@b', 'node//ab', 'a,b', 'a,c', 'a",b', 'a",c', 'a\\'),
      fc.string({ unit: 'binary' })
    )
    const node = fc.record({
      _id: id,
      name: fc.string(),
      agct: fc.option(fc.nat(), { nil: undefined }),
      tags: fc.option(fc.array(fc.string()), { nil: undefined })
    })
    fc.assert(
      fc.property(fc.array(node), fc.integer({ min: 1, max: 5 }), fc.nat(), (nodes, count, from) => {
        const listOf = () => {
          const list = new NodeList()
          for (const each of nodes) list.add({ node: each, lastChange: each.agct ?? null })
          return { list, size: list.arrange() }
        }
        const all = (list: NodeList) => {
          const taken = []
          for (let next = list.take(count); next.length > 0; next = list.take(count)) taken.push(...next)
          return taken
        }
        const { list, size } = listOf()
        const whole = all(list)
        const ids = whole.map(({ node }) => node['_id'])
        if (
          size !== whole.length ||
          !isDeepStrictEqual(new Set(ids), new Set(nodes.map(({ _id }) => _id))) ||
          new Set(ids).size !== ids.length
        )
          return false
        if (
          !whole.every(({ node, lastChange }) =>
            nodes.some(
              each =>
                isDeepStrictEqual({ ...each }, { agct: undefined, tags: undefined, ...node }) &&
                lastChange === (each.agct ?? null)
            )
          )
        )
          return false
        if (whole.length === 0) return true
        const { list: rest } = listOf()
        rest.skipUntil(String(ids[from % ids.length]))
        return isDeepStrictEqual(all(rest), whole.slice((from % ids.length) + 1))
      })
    )
  }
)
