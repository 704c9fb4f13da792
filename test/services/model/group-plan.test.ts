import fc from 'fast-check'
import t from 'tap'
import type { DeviceGroup } from '../../../src/providers/define.ts'
import { sanitizeName } from '../../../src/providers/meshcentral/groups.ts'
import { describe, groupName, marker, markOf } from '../../../src/services/model/group-names.ts'
import type { GroupLink, GroupStep, PlanInput } from '../../../src/services/model/group-ground.ts'
import { planGroups } from '../../../src/services/model/group-plan.ts'

const tenantId = 't1'
const client = (id: string, name: string) => ({ id, name })
const group = (id: string, name: string, description: string | null = null, created?: number): DeviceGroup => ({
  id,
  name,
  description,
  ...(created === undefined ? {} : { createdAt: new Date(created) })
})
const marked = (id: string, name: string, clientRef: string, created?: number) =>
  group(id, name, describe(null, marker(tenantId, clientRef)), created)
const link = (clientRef: string, externalId: string, more: Partial<GroupLink> = {}): GroupLink => ({
  clientRef,
  externalId,
  name: 'G',
  clientName: 'C',
  server: 's1',
  missingSince: null,
  ...more
})
const plan = (input: Partial<PlanInput>) =>
  planGroups({ tenantId, clients: [], links: [], groups: [], server: 's1', complete: true, sanitizeName, ...input })
const kinds = (steps: GroupStep[]) =>
  steps.map(step =>
    step.kind === 'link' || step.kind === 'existing'
      ? `${step.kind} ${step.group.id}`
      : step.kind === 'create'
        ? `create ${step.name}`
        : step.kind
  )
const reasons = (steps: GroupStep[]) => steps.map(step => ('reason' in step ? step.reason : ''))

t.test('the ladder: stored id, mark, exact names, contained name, a new one', async t => {
  const groups = [
    group('g1', 'Something else'),
    marked('g2', 'Renamed on the platform', 'c2'),
    group('g3', 'globex devices'),
    group('g4', 'Initech'),
    group('g5', 'The Umbrella (all) devices, London'),
    group('g6', 'Umbrellas Devices'),
    group('g7', 'Stark Industries')
  ]
  const clients = [
    client('c1', 'Acme'),
    client('c2', 'Wonka'),
    client('c3', 'Globex'),
    client('c4', 'Initech'),
    client('c5', 'Umbrella'),
    client('c6', 'Hooli'),
    client('c7', 'Stark')
  ]
  t.strictSame(kinds(plan({ clients, groups, links: [link('c1', 'g1')] })), [
    'existing g1',
    'link g2',
    'link g3',
    'link g4',
    'link g5',
    'create Hooli Devices',
    'create Stark Devices'
  ])
  t.strictSame(
    kinds(plan({ clients: [client('c1', 'A'), client('c1', 'Again')], groups: [] })),
    ['create Again Devices'],
    'a client that is listed twice is one client'
  )
})

t.test('a client whose id cannot be stored fails with that reason', async t => {
  const steps = plan({ clients: [client('a\u001fb', 'Acme'), client('c', 'Globex')], groups: [] })
  t.strictSame(kinds(steps), ['failed', 'create Globex Devices'])
  t.match(reasons(steps)[0], /characters that cannot be stored/)
})

t.test('a name is taken only where exactly one group fits and nobody else could mean it', async t => {
  const acme = client('a', 'Acme')
  const east = client('e', 'Acme East')
  const cases: Array<[string, Partial<PlanInput>, string[]]> = [
    [
      "what is exactly another client's is not what a part of its name fits",
      { clients: [acme, east], groups: [group('g', 'Acme East Devices')] },
      ['create Acme Devices', 'link g']
    ],
    [
      'also where that client has its group already',
      { clients: [acme, east], groups: [group('g', 'Acme East Devices'), marked('x', 'East', 'e')] },
      ['create Acme Devices', 'link x']
    ],
    [
      'two clients in one name',
      { clients: [acme, east], groups: [group('g', 'Acme East Branch Devices')] },
      ['conflict', 'conflict']
    ],
    [
      'two groups of the same name',
      { clients: [acme], groups: [group('g', 'Acme Devices'), group('h', 'acme devices')] },
      ['conflict']
    ],
    [
      'two that contain it',
      { clients: [acme], groups: [group('g', 'Acme West Devices'), group('h', 'Acme North Devices')] },
      ['conflict']
    ],
    [
      'a part of a word is no match',
      { clients: [acme], groups: [group('g', 'Acmeville Devices')] },
      ['create Acme Devices']
    ],
    [
      'a client that is called Devices does not fit everything',
      { clients: [client('d', 'Devices')], groups: [group('g', 'Acme Devices')] },
      ['create Devices Devices']
    ],
    [
      'letters with marks are whole letters',
      { clients: [client('h', 'क')], groups: [group('g', 'कि Devices')] },
      ['create क Devices']
    ],
    [
      'one group, "{client} Devices" for one and "{client}" for another: the better rung has it',
      { clients: [acme, client('d', 'Acme Devices')], groups: [group('g', 'Acme Devices')] },
      ['link g', 'create Acme Devices Devices']
    ],
    ['signs only', { clients: [client('s', '🏢')], groups: [group('g', 'Devices')] }, ['create 🏢 Devices']]
  ]
  for (const [name, input, expected] of cases) t.strictSame(kinds(plan(input)), expected, name)
})

t.test('a group is held by one client only', async t => {
  const acme = client('a', 'Acme')
  t.strictSame(
    kinds(
      plan({ clients: [acme], groups: [group('g', 'Acme Devices', describe(null, marker('another tenant', 'a')))] })
    ),
    ['create Acme Devices'],
    "another tenant's mark is never taken by name"
  )
  t.strictSame(
    kinds(
      plan({
        clients: [acme, client('z', 'Zeta')],
        groups: [group('g', 'Acme Devices')],
        mappings: new Map([['g', 'z']])
      })
    ),
    ['create Acme Devices', 'link g'],
    'nor what an operator mapped to another client'
  )
  t.strictSame(
    kinds(plan({ clients: [acme], groups: [group('g', 'Acme Devices')], mappings: new Map([['g', null]]) })),
    ['create Acme Devices'],
    'or excluded'
  )
  t.strictSame(
    kinds(plan({ clients: [acme], groups: [group('g', 'Acme Devices')], mappings: new Map([['g', 'a']]) })),
    ['link g']
  )
  const taken = plan({
    clients: [acme, client('b', 'Bolt')],
    groups: [group('g', 'Acme Devices')],
    links: [link('b', 'g')]
  })
  t.strictSame(
    kinds(taken),
    ['conflict', 'existing g'],
    'no second group of the same name beside the one another client has'
  )
  t.match(reasons(taken)[0], /"Acme Devices" \(g\) is linked to another client \(b\)/)
  const gone = { clients: [acme], links: [link('left', 'g')] }
  t.strictSame(
    kinds(plan({ ...gone, groups: [marked('g', 'Acme Devices', 'left')] })),
    ['conflict'],
    'a client that is not in the directory keeps its group'
  )
  t.strictSame(
    kinds(plan({ ...gone, groups: [group('g', 'Acme Devices')] })),
    ['link g'],
    'until its mark is taken away'
  )
  const swapped = plan({
    clients: [acme, client('b', 'Bolt')],
    groups: [marked('g', 'One', 'b')],
    links: [link('a', 'g')]
  })
  t.strictSame(kinds(swapped), ['conflict', 'conflict'], "a mark that was copied is nobody's proof")
  t.match(reasons(swapped), [/carries the mark of another client/, /is linked to the client a/])
})

t.test('two clients with one name are both in conflict, until one is renamed', async t => {
  const twins = [client('a', 'Acme'), client('b', 'ACME')]
  const both = plan({ clients: twins, groups: [group('g', 'Acme Devices')] })
  t.strictSame(kinds(both), ['conflict', 'conflict'])
  t.match(reasons(both), [
    /2 clients have this name \(a, b\); groups that could be meant: "Acme Devices" \(g\); rename one/,
    /"Acme Devices" \(g\)/
  ])
  t.strictSame(
    kinds(plan({ clients: twins, groups: [marked('g', 'Acme Devices', 'a')] })),
    ['link g', 'conflict'],
    'one that has its group keeps it; the other is told of it'
  )
  t.strictSame(kinds(plan({ clients: [twins[0]!, client('b', 'Bolt')], groups: [group('g', 'Acme Devices')] })), [
    'link g',
    'create Bolt Devices'
  ])
  const long = 'x'.repeat(126)
  t.strictSame(
    kinds(plan({ clients: [client('a', long), client('b', `${long}y`)], groups: [] })),
    ['conflict', 'conflict'],
    'names that are one after the cut'
  )
})

t.test('the mark finds a group whose creation was never answered; of several the oldest is kept', async t => {
  const groups = [
    marked('g3', 'Acme Devices', 'a', 3000),
    marked('g1', 'Acme Devices', 'a', 2000),
    marked('g2', 'Acme Devices', 'a', 1000),
    marked('g0', 'Acme Devices', 'a')
  ]
  const [step] = plan({ clients: [client('a', 'Acme')], groups })
  t.match(step, {
    kind: 'link',
    group: { id: 'g2' },
    note: /the same mark is also on "Acme Devices" \(g1\), "Acme Devices" \(g3\), "Acme Devices" \(g0\)/
  })
  const [linked] = plan({ clients: [client('a', 'Acme')], groups, links: [link('a', 'g1')] })
  t.match(
    linked,
    { kind: 'existing', group: { id: 'g1' }, marked: true, drift: /the same mark is also on/ },
    'the stored id comes first'
  )
  const same = ['b', 'a'].map(id => marked(id, 'Acme Devices', 'a', 5))
  t.match(
    plan({ clients: [client('a', 'Acme')], groups: same })[0],
    { group: { id: 'a' } },
    'made at the same time: the lower id'
  )
})

t.test('a group that vanished is missing until a second complete list confirms it', async t => {
  const acme = client('a', 'Acme')
  const stored = link('a', 'gone', { name: 'Acme Devices' })
  const confirmed = { ...stored, missingSince: new Date(0) }
  t.strictSame(
    kinds(plan({ clients: [acme], links: [stored], groups: [group('g', 'Acme Devices')] })),
    ['missing'],
    'not even a group of its name is taken yet'
  )
  t.strictSame(kinds(plan({ clients: [acme], links: [confirmed] })), ['create Acme Devices'])
  t.strictSame(kinds(plan({ clients: [acme], links: [confirmed], groups: [group('g', 'Acme Devices')] })), ['link g'])
  const hidden = plan({ clients: [acme], links: [confirmed], complete: false })
  t.strictSame(kinds(hidden), ['missing'], 'a list that hides groups proves nothing, however often')
  t.match(reasons(hidden)[0], /does not see all groups/)
  t.strictSame(
    kinds(plan({ clients: [acme], links: [confirmed], complete: false, insist: 'a' })),
    ['create Acme Devices'],
    "then it takes the operator's word"
  )
  t.strictSame(
    kinds(plan({ clients: [acme], links: [stored], complete: false, insist: 'a' })),
    ['missing'],
    'and even that only the second time'
  )
})

t.test('on another server stored ids say nothing', async t => {
  const clients = [client('a', 'Acme'), client('b', 'Bolt'), client('c', 'Cat')]
  const links = [link('a', 'ga'), link('b', 'gb'), link('c', 'gc')]
  const groups = [group('ga', 'Not Acme at all'), marked('new-b', 'Bolt (moved)', 'b')]
  t.strictSame(kinds(plan({ clients, links, groups, server: 's2' })), [
    'create Acme Devices',
    'link new-b',
    'create Cat Devices'
  ])
  t.strictSame(
    kinds(plan({ clients, links, groups, server: null })),
    ['existing ga', 'link new-b', 'missing'],
    'a server that does not tell is taken for the same'
  )
})

t.test('renames are drift; a name that is taken blocks them', async t => {
  const stored = link('a', 'g', { name: 'Acme Devices', clientName: 'Acme' })
  const step = (name: string, groups: DeviceGroup[], others: Array<{ id: string; name: string }> = []) =>
    plan({ clients: [client('a', name), ...others], links: [stored], groups })[0]
  t.match(step('Acme', [marked('g', 'Acme Devices', 'a')]), {
    kind: 'existing',
    marked: true,
    drift: null,
    rename: null
  })
  t.match(
    step('Acme', [group('g', 'Acme Devices')]),
    { marked: false, drift: null },
    'a mark that was removed is put back'
  )
  t.match(step('Bolt', [marked('g', 'Acme Devices', 'a')]), {
    drift: /client was renamed from "Acme" to "Bolt"; the group is still "Acme Devices"/,
    rename: { to: 'Bolt Devices', blocked: null }
  })
  t.match(step('Acme', [marked('g', 'Mine', 'a')]), {
    drift: /renamed on the platform from "Acme Devices" to "Mine"/,
    rename: { to: 'Acme Devices', blocked: null }
  })
  t.match(step('Bolt', [marked('g', 'Acme Devices', 'a'), group('h', 'bolt devices')]), {
    rename: { blocked: /a group of that name already: "bolt devices" \(h\)/ }
  })
  t.match(step('Bolt', [marked('g', 'Acme Devices', 'a')], [client('z', 'bolt')]), {
    rename: { blocked: /another client has this name/ }
  })
  t.match(
    step('\u0000', [marked('g', 'Acme Devices', 'a')]),
    { kind: 'existing', drift: null },
    'a name of which nothing is left changes nothing'
  )
})

t.test('a name of which nothing is left fails with the reason, and only that client', async t => {
  const steps = plan({ clients: [client('a', ' \r\n\u200b'), client('b', ''), client('c', 'Cat')] })
  t.strictSame(kinds(steps), ['failed', 'failed', 'create Cat Devices'])
  t.match(reasons(steps)[0], /rename the client/)
})

t.test('names and marks', async t => {
  t.equal(groupName(client('a', 'x'.repeat(200)), sanitizeName), `${'x'.repeat(120)} Devices`)
  t.equal(
    groupName(client('a', `${'x'.repeat(119)}🏢🏢`), sanitizeName),
    `${'x'.repeat(119)} Devices`,
    'no half of a character'
  )
  t.not(marker('t1', 'a'), marker('t2', 'a'))
  t.not(marker('t1', '\0a'), marker('t1\0', 'a').slice(1))
  const described = describe('Written by a person', marker('t1', 'a'))
  t.match(described, /^Written by a person \[psa:/)
  t.equal(markOf(group('g', 'n', described)), marker('t1', 'a'))
  t.equal(describe(described, marker('t1', 'b')).match(/\[psa:/g)!.length, 1, 'one mark only')
})

const words = fc.constantFrom('Acme', 'East', 'Devices', 'acme', 'Bolt', '🏢', '"', '\u0000')
const anyName = fc.oneof(
  fc.array(words, { maxLength: 3 }).map(parts => parts.join(' ')),
  fc.string({ maxLength: 12 })
)
const world = fc.record({
  clients: fc.uniqueArray(fc.record({ id: fc.constantFrom('a', 'b', 'c', 'd', 'e'), name: anyName }), {
    selector: ({ id }) => id,
    maxLength: 5
  }),
  groups: fc.uniqueArray(
    fc.record({
      id: fc.constantFrom('g1', 'g2', 'g3', 'g4', 'g5', 'g6'),
      name: anyName,
      mark: fc.option(fc.constantFrom('a', 'b', 'c', 'gone', 'foreign'))
    }),
    { selector: ({ id }) => id, maxLength: 6 }
  ),
  links: fc.uniqueArray(
    fc.record({
      clientRef: fc.constantFrom('a', 'b', 'c', 'gone'),
      externalId: fc.constantFrom('g1', 'g2', 'g3', 'g4', 'old'),
      server: fc.constantFrom('s1', 's1', 's0', null),
      missing: fc.boolean()
    }),
    { selector: ({ clientRef }) => clientRef }
  ),
  complete: fc.boolean(),
  mappings: fc.array(
    fc.tuple(
      fc.constantFrom('g1', 'g2', 'g3', 'g4', 'g5', 'g6'),
      fc.constantFrom<string | null>('a', 'b', 'c', 'gone', null)
    ),
    { maxLength: 3 }
  ),
  adopted: fc.array(fc.tuple(fc.constantFrom('g1', 'g2', 'g3', 'g4', 'g5', 'g6'), fc.constantFrom('a', 'b', 'gone')), {
    maxLength: 2
  }),
  decided: fc.uniqueArray(fc.tuple(fc.constantFrom('a', 'b', 'c'), fc.constantFrom('g1', 'g2', 'g3', 'none')), {
    selector: ([, groupId]) => groupId,
    maxLength: 2
  })
})

/** What the platform and the database look like after a plan was carried out. */
function apply(input: PlanInput, steps: GroupStep[]): PlanInput {
  const groups = new Map(input.groups.map(group => [group.id, group]))
  let links = [...input.links]
  const put = (step: GroupStep, externalId: string, name: string) => {
    links = links.filter(link => link.clientRef !== step.client.id && link.externalId !== externalId)
    links.push(link(step.client.id, externalId, { name, clientName: step.client.name }))
  }
  for (const step of steps) {
    const mark = marker(tenantId, step.client.id)
    if (step.kind === 'create') {
      groups.set(`new-${step.client.id}`, group(`new-${step.client.id}`, step.name, describe(null, mark)))
      put(step, `new-${step.client.id}`, step.name)
    } else if (step.kind === 'link' || (step.kind === 'existing' && !step.marked)) {
      groups.set(step.group.id, { ...step.group, description: describe(step.group.description, mark) })
      put(step, step.group.id, step.group.name)
    } else if (step.kind === 'missing') {
      links = links.map(link =>
        link.clientRef === step.client.id ? { ...link, missingSince: link.missingSince ?? new Date(1) } : link
      )
    }
  }
  return { ...input, groups: [...groups.values()], links }
}

t.test(
  'whatever there is: no group goes to two clients, none that is held is taken, and a plan that was carried out stays',
  async t => {
    let linked = 0
    fc.assert(
      fc.property(world, ({ clients, groups, links, complete, mappings, adopted, decided }) => {
        const input: PlanInput = {
          tenantId,
          clients,
          complete,
          server: 's1',
          sanitizeName,
          mappings: new Map(mappings),
          adopted: new Map(adopted),
          decided: new Map(decided),
          groups: groups.map(({ id, name, mark }) =>
            group(
              id,
              sanitizeName(name) || 'unnamed',
              mark === null
                ? null
                : mark === 'foreign'
                  ? describe(null, marker('t9', 'a'))
                  : describe(null, marker(tenantId, mark))
            )
          ),
          links: [
            ...new Map(
              links.map(({ clientRef, externalId, server, missing }) => [
                externalId,
                link(clientRef, externalId, { server, missingSince: missing ? new Date(0) : null })
              ])
            ).values()
          ]
        }
        const steps = planGroups(input)
        if (steps.length !== clients.length) throw new Error('not one step per client')
        const given = steps.flatMap(step => (step.kind === 'link' || step.kind === 'existing' ? step.group.id : []))
        if (new Set(given).size !== given.length) throw new Error(`one group for two clients: ${kinds(steps).join()}`)
        const names = steps.flatMap(step => (step.kind === 'create' ? step.name.toLowerCase() : []))
        if (new Set(names).size !== names.length) throw new Error(`two new groups of one name: ${names.join()}`)
        for (const step of steps) {
          if (step.kind !== 'link') continue
          linked++
          const mark = markOf(step.group)
          const ofGone =
            input.decided!.get(step.client.id) === step.group.id &&
            input.links.some(
              ({ externalId, clientRef }) =>
                externalId === step.group.id &&
                mark === marker(tenantId, clientRef) &&
                !clients.some(({ id }) => id === clientRef)
            )
          if (mark !== null && mark !== marker(tenantId, step.client.id) && !ofGone)
            throw new Error("a group with another's mark was taken")
          const mapped = input.mappings!.get(step.group.id)
          if (mapped && mapped !== step.client.id && clients.some(({ id }) => id === mapped) && mark === null)
            throw new Error(`a person mapped ${step.group.id} to ${mapped}`)
          const holder = input.links.find(
            ({ externalId, server, clientRef }) =>
              externalId === step.group.id && server !== 's0' && clients.some(({ id }) => id === clientRef)
          )
          if (holder !== undefined && holder.clientRef !== step.client.id)
            throw new Error(`${step.group.id} was held by ${holder.clientRef}`)
        }
        const after = apply(input, steps)
        const again = planGroups(after)
        for (const [at, step] of steps.entries()) {
          const then = again[at]!
          if (
            (step.kind === 'create' || step.kind === 'link' || step.kind === 'existing') &&
            !(then.kind === 'existing' && then.marked)
          )
            throw new Error(`${step.kind} became ${then.kind}`)
        }
        const settled = planGroups(apply(after, again))
        for (const [at, step] of again.entries())
          if (step.kind === 'existing' && settled[at]!.kind !== 'existing')
            throw new Error(`existing became ${settled[at]!.kind}`)
      }),
      { numRuns: 3000 }
    )
    t.ok(linked > 100, 'and it does link')
  }
)
