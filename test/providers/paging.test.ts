import fc from 'fast-check'
import t, { type Test } from 'tap'
import { ProviderError } from '../../src/providers/define.ts'
import * as paging from '../../src/providers/paging.ts'

const { signal } = new AbortController()
const what = "Acme's list of devices"

async function collect<T>(pages: AsyncIterable<T>): Promise<T[]> {
  const all: T[] = []
  for await (const page of pages) all.push(page)
  return all
}

const throws = async (t: Test, pages: AsyncIterable<unknown>, sentence: RegExp, name = String(sentence)) => {
  await t.rejects(collect(pages), { name: 'ProviderError', kind: 'protocol', message: sentence }, name)
}

/** 0 to `count - 1` in pages of `size`; a cursor is the number to go on with. */
const numbers = (count: number, size: number) => (cursor: string | null) => {
  const at = Number(cursor ?? 0)
  const rows = Array.from({ length: Math.max(0, Math.min(size, count - at)) }, (_, n) => at + n)
  return Promise.resolve({ rows, next: at + size < count ? String(at + size) : null })
}

t.test('every way of paging gives every record once, and goes on from each of its checkpoints', async () => {
  await fc.assert(
    fc.asyncProperty(fc.nat(40), fc.integer({ min: 1, max: 9 }), async (count, size) => {
      const expected = Array.from({ length: count }, (_, n) => n)
      const page = numbers(count, size)
      const pages = Math.max(1, Math.ceil(count / size))
      const ways: Array<(from: never) => AsyncIterable<paging.RawPage<number, unknown>>> = [
        from => paging.cursorPages({ what, signal, from, ask: page }),
        from =>
          paging.pageNumberPages({
            what,
            signal,
            from,
            ask: async number => ({ ...(await page(String((number - 1) * size))), pages })
          }),
        from =>
          paging.pageNumberPages({
            what,
            signal,
            from,
            first: 0,
            ask: async number => ({ rows: (await page(String(number * size))).rows })
          }),
        from =>
          paging.linkPages({
            what,
            signal,
            from,
            url: 'https://acme.example/devices?limit=5',
            ask: async url => {
              const { rows, next } = await page(url.searchParams.get('after'))
              return { rows, next: next === null ? null : `/devices?after=${next}`, total: count }
            }
          })
      ]
      for (const way of ways) {
        const whole = await collect(way(null as never))
        if (JSON.stringify(whole.flatMap(({ rows }) => rows)) !== JSON.stringify(expected)) return false
        for (const [n, { next }] of whole.entries()) {
          if ((next === null) !== (n === whole.length - 1)) return false
          if (next === null) continue
          const rest = await collect(way(next as never))
          const both = [...whole.slice(0, n + 1), ...rest].flatMap(({ rows }) => rows)
          if (JSON.stringify(both) !== JSON.stringify(expected)) return false
        }
      }
      return true
    })
  )
})

t.test('a list that contradicts itself throws, and says that nothing is removed', async t => {
  const cursor = (ask: (cursor: string | null) => unknown, mostPages = 50) =>
    paging.cursorPages({ what, signal, from: null, mostPages, ask: async at => ask(at) as never })
  await throws(
    t,
    cursor(at => (at === null ? { rows: [1], next: 'a' } : { rows: [], next: 'b' })),
    /its page is empty\. Nothing is removed/
  )
  await throws(
    t,
    cursor(() => ({ rows: [1], next: null, more: true })),
    /not where it goes on/
  )
  await throws(
    t,
    cursor(() => ({ rows: [1], next: 'a' })),
    /runs in circles/
  )
  await throws(
    t,
    cursor(at => ({ rows: [1], next: at === 'a' ? 'b' : 'a' })),
    /runs in circles/
  )
  let n = 0
  await throws(
    t,
    cursor(() => ({ rows: [1], next: String(++n) })),
    /did not end after 50 pages/
  )
  for (const nothing of [undefined, null, {}, { rows: '<html>' }, { rows: { 0: 1 } }])
    await throws(
      t,
      cursor(() => nothing),
      /something that is not a list/,
      JSON.stringify(nothing)
    )
  await throws(
    t,
    cursor(() => ({ rows: [1, 2], next: null, total: 3 })),
    /ended after 2 of 3 records/
  )
  await throws(
    t,
    paging.pageNumberPages({ what, signal, from: null, ask: async () => ({ rows: [1, 2] }) }),
    /the same page came twice/
  )
  await throws(
    t,
    paging.pageNumberPages({
      what,
      signal,
      from: null,
      ask: async page => ({ rows: page < 3 ? [page] : [], pages: 5 })
    }),
    /its page is empty/
  )
  const link = (next: string) =>
    paging.linkPages({
      what,
      signal,
      from: null,
      url: 'https://acme.example/a',
      ask: async () => ({ rows: [1], next })
    })
  await throws(t, link('https://acme.example/b'), /runs in circles/)
  await throws(t, link('http://['), /no address/)
  await throws(t, paging.oneList({ what, signal, ask: async () => ({ rows: [1], total: 9 }) }), /ended after 1 of 9/)
  t.match(await collect(paging.oneList({ what, signal, ask: async () => ({ rows: [1, 2] }) })), [
    { rows: [1, 2], next: null }
  ])
})

t.test(
  'the clock is read before the request, an abort ends the walk, and errors of the platform come out as they are',
  async t => {
    let asked = 0
    const [page] = await collect(
      paging.oneList({
        what,
        signal,
        ask: async () => {
          asked = Date.now()
          return { rows: [] }
        }
      })
    )
    t.ok(page!.observedAt.getTime() <= asked)
    const stop = new AbortController()
    let requests = 0
    const walk = paging.cursorPages({
      what,
      signal: stop.signal,
      from: null,
      ask: async () => {
        requests++
        stop.abort(new Error('enough'))
        return { rows: [1], next: String(requests) }
      }
    })
    await t.rejects(collect(walk), { message: 'enough' })
    t.equal(requests, 1)
    const gone = new ProviderError('gone', 'the cursor expired')
    await t.rejects(
      collect(paging.cursorPages({ what, signal, from: 'x', ask: async () => Promise.reject(gone) })),
      gone
    )
  }
)

t.test('the next page of a Link header', async t => {
  const next = 'https://acme.example/devices?page=2'
  for (const header of [
    `<${next}>; rel="next"`,
    `<https://acme.example/devices?page=9>; rel="last", <${next}>; rel="next"; title="more, and more"`,
    `<${next}>; title="a"; rel=next, <x>; rel=prev`,
    `<${next}>;rel="next last"`
  ])
    t.equal(paging.nextLink(header), next, header)
  for (const header of [undefined, '', '<x>; rel="prev"', '<x>; title="next"', '<x>; rel="nextish"', 'nonsense'])
    t.equal(paging.nextLink(header), null, String(header))
})
