import t from 'tap'
import type { Organization } from '../../src/types.ts'
import { ApiError, createApi } from '../../src/ui/api.ts'
import { formatter } from '../../src/ui/format.ts'
import { type Choice, effectsOf, place, rowsOf, treeOf } from '../../src/ui/mapping/model.ts'
import { readEvents } from '../../src/ui/sse.ts'
import { strings } from '../../src/ui/strings.ts'
import { translator } from '../../src/ui/translate.ts'

const organization = (
  id: string,
  parent: string | null,
  deviceCount: number,
  more: Partial<Organization> = {}
): Organization => ({
  id: `id-${id}`,
  externalId: id,
  name: id,
  parentExternalId: parent,
  path: id,
  depth: 0,
  deviceCount,
  descendantDeviceCount: deviceCount,
  mapping: { mode: 'inherit', clientRef: null, by: null, status: 'ok' },
  effectiveClientRef: null,
  autoSync: true,
  removedAt: null,
  outOfSightSince: null,
  ...more
})
const mapped = (clientRef: string): Choice => ({ mode: 'mapped', clientRef })

t.test('the preview tells what a draft does to how many devices, and which choice does it', t => {
  const all = [
    organization('a', null, 1, {
      mapping: { mode: 'mapped', clientRef: 'c1', by: 'operator' as const, status: 'ok' as const }
    }),
    organization('b', 'a', 2),
    organization('c', 'b', 4),
    organization('d', null, 8),
    organization('e', 'd', 16),
    organization('f', 'e', 32, { autoSync: false })
  ]
  const nodes = treeOf(all, 'en')
  const effects = (draft: Array<[string, Choice]>) =>
    effectsOf(nodes, new Map(draft), place(all, new Map()), place(all, new Map(draft)))
  t.same(effects([]).total, { gained: 0, moved: 0, lost: 0, held: 0 })
  t.same(
    effects([['id-d', mapped('c2')]]).total,
    { gained: 24, moved: 0, lost: 0, held: 32 },
    'below it, but where sync is off'
  )
  t.same(effects([['id-b', mapped('c2')]]).total, { gained: 0, moved: 6, lost: 0, held: 0 })
  t.same(effects([['id-b', { mode: 'excluded', clientRef: null }]]).total, { gained: 0, moved: 0, lost: 6, held: 0 })
  t.same(
    effects([
      ['id-a', { mode: 'inherit', clientRef: null }],
      ['id-c', mapped('c1')]
    ]).total,
    { gained: 0, moved: 0, lost: 3, held: 0 },
    'c stays with its client'
  )
  const two = effects([
    ['id-a', mapped('c2')],
    ['id-c', mapped('c3')]
  ])
  t.same([two.by.get('id-a')?.moved, two.by.get('id-c')?.moved], [3, 4], 'each choice has its own')
  t.same(effects([['id-d', mapped('')]]).total.gained, 24, 'whatever the reference is')
  t.end()
})

t.test('the tree survives cycles, lost parents and removed groups, and hides what is collapsed', t => {
  const all = [
    organization('x', 'y', 0),
    organization('y', 'x', 0),
    organization('z10', 'lost', 0),
    organization('z2', null, 0),
    organization('gone', null, 0, { removedAt: '2026-01-01T00:00:00Z' }),
    organization('child', 'z2', 0),
    organization('deep', 'child', 0)
  ]
  const nodes = treeOf(all, 'en')
  t.same(
    nodes.map(node => node.organization.externalId),
    ['z2', 'child', 'deep', 'z10', 'x', 'y'],
    'parents first, numbers as numbers'
  )
  const rows = (filter: Partial<Parameters<typeof rowsOf>[1]>, match = (_id: string): boolean => true) =>
    rowsOf(nodes, { query: '', shown: 'all', collapsed: new Set(), ...filter }, node =>
      match(node.organization.externalId)
    ).map(node => node.organization.externalId)
  t.same(rows({ collapsed: new Set(['id-z2']) }), ['z2', 'z10', 'x', 'y'])
  t.same(
    rows({ query: 'dee', collapsed: new Set(['id-z2']) }, id => id === 'deep'),
    ['z2', 'child', 'deep'],
    'a match shows with everything above it'
  )
  t.end()
})

t.test('texts follow the language: plurals, numbers, and English where a translation is missing', t => {
  const english = translator({}, 'en')
  t.equal(english('countDevices', { count: 1 }), '1 device')
  t.equal(english('countDevices', { count: 1234 }), '1,234 devices')
  const polish = translator(
    { countDevices: '{count} urządzeń', countDevices_few: '{count} urządzenia', save: 'Zapisz' },
    'pl'
  )
  t.same(
    [5, 2].map(count => polish('countDevices', { count })),
    ['5 urządzeń', '2 urządzenia']
  )
  t.equal(polish('save'), 'Zapisz')
  t.equal(polish('cancel'), 'Cancel')
  t.equal(
    english('connectTo', { name: '{count} $& <b>' }),
    'Connect {count} $& <b>',
    'what is filled in is not read again'
  )
  for (const [key, text] of Object.entries(strings)) t.match(text, /\S/, key)
  t.end()
})

t.test('times and sizes are written as the reader writes them', t => {
  const iso = '2026-03-05T14:07:00.000Z'
  t.match(formatter('de-DE').time(iso), /05\.03\.2026/)
  t.match(formatter('ja-JP').time(iso), /2026\/03\/05/)
  t.equal(formatter('en').ago(iso, Date.parse(iso) + 3 * 3600_000), '3 hours ago')
  t.equal(formatter('de').ago(iso, Date.parse(iso) - 2 * 86_400_000), 'übermorgen')
  t.equal(formatter('de').bytes(1.5 * 2 ** 40), '1,5 TiB')
  t.equal(formatter('en').bytes(0), '0 B')
  t.equal(formatter('en').duration(90_061), '1 day 1 hr')
  t.equal(formatter('en').duration(0), '0 sec')
  t.end()
})

t.test('events are read whole, however the bytes are cut, and heartbeats are none', async t => {
  const bytes = new TextEncoder().encode(
    ': heartbeat\n\nevent: progress\ndata: {"name":\ndata: "Zürich"}\n\nevent: done\r\ndata: 1\r\n\r\nevent: cut\ndata: off'
  )
  for (const size of [1, 2, 7, 1000]) {
    const stream = new ReadableStream<Uint8Array>({
      start(controller) {
        for (let at = 0; at < bytes.length; at += size) controller.enqueue(bytes.slice(at, at + size))
        controller.close()
      }
    })
    const events = []
    for await (const event of readEvents(stream)) events.push(event)
    t.same(
      events,
      [
        { event: 'progress', data: '{"name":\n"Zürich"}' },
        { event: 'done', data: '1' }
      ],
      `${size} bytes at a time`
    )
  }
})

t.test('failures are told apart, whoever answers', async t => {
  const answers: Array<[Response | Error, string, string]> = [
    [new TypeError('Failed to fetch'), 'network', ''],
    [Response.json({ code: 'RMM_ERR_TENANT', message: 'No tenant' }, { status: 401 }), 'session', 'No tenant'],
    [Response.json({ error: { status: 403, message: 'Not for you' } }, { status: 403 }), 'forbidden', 'Not for you'],
    [Response.json({ code: 'RMM_ERR_PLATFORM', message: 'Level failed' }, { status: 502 }), 'refused', 'Level failed'],
    [new Response('<html>Bad gateway</html>', { status: 502 }), 'network', ''],
    [Response.json({ code: 'RMM_ERR_PLATFORM_BUSY', message: 'Later' }, { status: 503 }), 'busy', 'Later'],
    [Response.json({ message: 'Oops' }, { status: 500 }), 'server', 'Oops'],
    [new Response('not json', { status: 200 }), 'network', '']
  ]
  const real = globalThis.fetch
  t.teardown(() => {
    globalThis.fetch = real
  })
  for (const [answer, kind, message] of answers) {
    let refused = 0
    const sent: Headers[] = []
    globalThis.fetch = async (_url, init) => {
      sent.push(new Headers(init?.headers))
      if (answer instanceof Error) throw answer
      return answer
    }
    const api = createApi(
      new URL('http://127.0.0.1/rmm/'),
      () => async () => 'fresh',
      () => {
        refused++
      }
    )
    const error = await api.get('connections').then(
      () => null,
      error => error
    )
    t.ok(error instanceof ApiError)
    t.same([error.kind, error.message], [kind, message])
    t.equal(refused, kind === 'session' ? 1 : 0)
    t.equal(sent[0]?.get('authorization'), 'Bearer fresh')
  }
})
