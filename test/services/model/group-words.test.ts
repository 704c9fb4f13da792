import fc from 'fast-check'
import t from 'tap'
import type { DeviceGroup } from '../../../src/providers/define.ts'
import { sanitizeName } from '../../../src/providers/meshcentral/groups.ts'
import type { GroupLink, PlanInput } from '../../../src/services/model/group-ground.ts'
import { describe, marker, unmarked } from '../../../src/services/model/group-names.ts'
import { planGroups } from '../../../src/services/model/group-plan.ts'
import { inTheWayOf } from '../../../src/services/model/group-renames.ts'

/** What a person says wins over what names suggest, and names that are exchanged come out right. */

const tenantId = 't1'
const client = (id: string, name: string) => ({ id, name })
const group = (id: string, name: string, description: string | null = null): DeviceGroup => ({ id, name, description })
const marked = (id: string, name: string, clientRef: string, tenant = tenantId) =>
  group(id, name, describe(null, marker(tenant, clientRef)))
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
const step = (input: Partial<PlanInput>) => plan(input)[0]

t.test('a group that a person mapped to a client is its group, whatever it is called', async t => {
  const clients = [client('a', 'Acme'), client('b', 'Bolt')]
  t.match(step({ clients, groups: [group('g', 'Old stock')], mappings: new Map([['g', 'a']]) }), {
    kind: 'link',
    group: { id: 'g' }
  })
  const two = [group('g', 'Acme Devices'), group('h', 'acme devices')]
  t.match(step({ clients, groups: two }), { kind: 'conflict' }, 'two fit')
  t.match(step({ clients, groups: two, mappings: new Map([['h', 'a']]) }), { kind: 'link', group: { id: 'h' } })
  const several = [group('g', 'Berlin'), group('h', 'Acme'), group('i', 'Munich')]
  const all = new Map(several.map(({ id }) => [id, 'a']))
  t.match(
    step({ clients, groups: several, mappings: all }),
    { kind: 'link', group: { id: 'h' } },
    'the one of its name'
  )
  t.match(step({ clients, groups: several.toSpliced(1, 1), mappings: all }), {
    kind: 'conflict',
    reason: /more than one group is mapped to it by hand/
  })
})

t.test('what was mapped to a client that is gone is not made a second time', async t => {
  const groups = [group('g', 'Acme Devices')]
  t.match(step({ clients: [client('new', 'Acme')], groups, mappings: new Map([['g', 'old']]) }), {
    kind: 'conflict',
    reason: /mapped by hand to a client that the directory no longer knows/
  })
})

t.test(
  'a client that was deleted and made again gets its group once the mark is removed, as the message says',
  async t => {
    const clients = [client('new', 'Acme')]
    const links = [link('old', 'g', { name: 'Acme Devices', clientName: 'Acme' })]
    t.match(step({ clients, links, groups: [marked('g', 'Acme Devices', 'old')] }), {
      kind: 'conflict',
      reason: /remove the mark/
    })
    t.match(step({ clients, links, groups: [group('g', 'Acme Devices', 'Devices of one client')] }), {
      kind: 'link',
      group: { id: 'g' }
    })
  }
)

t.test('the better rung has the group: "{client} Devices" comes before the plain name of another', async t => {
  const clients = [client('d', 'Gadget Devices'), client('g', 'Gadget')]
  t.match(plan({ clients, groups: [group('x', 'Gadget Devices')] }), [
    { kind: 'create', name: 'Gadget Devices Devices' },
    { kind: 'link', group: { id: 'x' } }
  ])
})

t.test('names that are alike only after the cut are said to be', async t => {
  const names = ['a', 'b'].map(end => `${'x'.repeat(125)}${end}`)
  const steps = plan({ clients: names.map((name, n) => client(String(n), name)) })
  for (const one of steps) t.match(one, { kind: 'conflict', reason: /2 clients have this name after it is cut/ })
})

t.test('a person who asks for a client gets a group at once where the account sees them all', async t => {
  const links = [link('a', 'gone', { name: 'Acme Devices', clientName: 'Acme' })]
  const clients = [client('a', 'Acme')]
  t.match(step({ clients, links }), { kind: 'missing' })
  t.match(step({ clients, links, insist: 'a' }), { kind: 'create', name: 'Acme Devices' })
  t.match(step({ clients, links, insist: 'a', complete: false }), { kind: 'missing' }, 'it may only be hidden')
})

t.test('groups of a predecessor are adopted after the mark and before names', async t => {
  const clients = [client('a', 'Acme'), client('b', 'Bolt')]
  const groups = [group('old', 'AC-0005', 'Device group for Acme (tenant:5)'), group('named', 'Acme Devices')]
  t.match(step({ clients, groups, adopted: new Map([['old', 'a']]) }), { kind: 'link', group: { id: 'old' } })
  t.match(
    step({ clients, groups: [...groups, marked('m', 'x', 'a')], adopted: new Map([['old', 'a']]) }),
    { kind: 'link', group: { id: 'm' } },
    'the mark first'
  )
  const twice = new Map([
    ['old', 'a'],
    ['named', 'a']
  ])
  t.match(step({ clients, groups, adopted: twice }), { kind: 'conflict', reason: /more than one group is adopted/ })
  t.match(
    plan({ clients, groups: [group('named', 'Acme Devices')], adopted: new Map([['named', 'b']]) }),
    [{ kind: 'create' }, { kind: 'link', group: { id: 'named' } }],
    'what is adopted for one is not taken by name for another'
  )
  t.match(step({ clients, groups, adopted: new Map([['old', 'nobody']]) }), { kind: 'link', group: { id: 'named' } })
})

t.test("a person's word is above everything but another client's hold", async t => {
  const clients = [client('a', 'Acme'), client('b', 'Bolt')]
  const groups = [marked('mine', 'Acme Devices', 'a'), group('other', 'Whatever'), marked('bolts', 'Bolt Devices', 'b')]
  const links = [link('a', 'mine'), link('b', 'bolts')]
  const say = (groupId: string, more: Partial<PlanInput> = {}) =>
    step({ clients, groups, links, decided: new Map([['a', groupId]]), ...more })
  t.match(say('other'), { kind: 'link', group: { id: 'other' }, release: { id: 'mine' } })
  t.match(say('mine'), { kind: 'existing' }, 'what is so already')
  t.match(say('bolts'), { kind: 'conflict', reason: /held by the client b/ })
  t.match(say('bolts', { links: [link('a', 'mine')] }), {
    kind: 'conflict',
    reason: /held by the client b \(its mark\)/
  })
  t.match(say('other', { mappings: new Map([['other', 'b']]) }), { kind: 'conflict', reason: /held by the client b/ })
  t.match(say('none'), { kind: 'failed', reason: /no group with the id none/ })
  t.match(say('x', { groups: [marked('x', 'Acme Devices', 'a', 'another tenant')] }), {
    kind: 'conflict',
    reason: /another tenant or installation/
  })
  t.match(
    say('left', { groups: [marked('left', 'Gone Devices', 'gone')], links: [link('gone', 'left')] }),
    { kind: 'link', group: { id: 'left' } },
    'that of a client which is gone'
  )
})

t.test('a description that a person wrote is kept, and our mark comes and goes', async t => {
  const mark = marker(tenantId, 'a')
  fc.assert(
    fc.property(fc.string({ maxLength: 1200 }), text => {
      const written = text.trim()
      const with_ = describe(text, mark)
      const fits = written.length <= 1024 - mark.length - 1
      if (with_.length > 1024 || !with_.includes(mark)) throw new Error('too long, or without the mark')
      if (fits && written !== '' && !/\[psa:/.test(text) && unmarked(with_) !== written) throw new Error('not kept')
      if (describe(with_, mark) !== with_) throw new Error('it grows')
    })
  )
  t.equal(describe('line one\nline two', mark), `line one\nline two ${mark}`)
})

/** Carries the renames out as the executor does: names in the way are left first. */
function renamed(input: PlanInput): PlanInput {
  const steps = planGroups(input)
  const renames = steps.flatMap(one =>
    one.kind === 'existing' && one.rename !== null && one.rename.blocked === null
      ? [{ client: one.client, group: one.group, to: one.rename.to }]
      : []
  )
  const names = new Map(input.groups.map(({ id, name }) => [id, name]))
  const free = (name: string) => ![...names.values()].some(other => other.toLowerCase() === name.toLowerCase())
  for (const { id, name } of inTheWayOf(renames)) names.set(id, sanitizeName(`(${id.slice(-6)}) ${name}`))
  for (const { group, to } of renames) {
    const own = names.get(group.id)!
    names.set(group.id, '')
    if (!free(to)) throw new Error(`${own} is renamed onto ${to}, which is taken`)
    names.set(group.id, to)
  }
  const done = new Map(renames.map(({ client, to }) => [client.id, { name: to, clientName: client.name }]))
  return {
    ...input,
    groups: input.groups.map(one => ({ ...one, name: names.get(one.id)! })),
    links: input.links.map(one => ({ ...one, ...done.get(one.clientRef) }))
  }
}

t.test('clients that exchange names, in circles and chains, have their groups named right in one call', async t => {
  const words = ['Acme', 'Bolt', 'Crux', 'Dyne', 'Echo']
  fc.assert(
    fc.property(fc.shuffledSubarray(words, { minLength: 1 }), fc.infiniteStream(fc.integer()), (before, random) => {
      const draw = [...random.take(words.length)]
      const after = words.slice(0, before.length).sort((a, b) => draw[words.indexOf(a)]! - draw[words.indexOf(b)]!)
      const clients = before.map((_, n) => client(`c${n}`, after[n]!))
      const groups = before.map((name, n) => marked(`g${n}`, `${name} Devices`, `c${n}`))
      const links = before.map((name, n) => link(`c${n}`, `g${n}`, { name: `${name} Devices`, clientName: name }))
      const input: PlanInput = { tenantId, clients, groups, links, server: 's1', complete: true, sanitizeName }
      const result = renamed(input)
      for (const [n, { name }] of clients.entries())
        if (result.groups[n]!.name !== `${name} Devices`) throw new Error(`${result.groups[n]!.name} for ${name}`)
      for (const one of planGroups(result)) if (one.kind !== 'existing' || one.drift !== null) throw new Error('drift')
    }),
    { numRuns: 500 }
  )
  t.pass('500 exchanges')
})

t.test('a name that somebody keeps blocks its taker and whoever waits for the taker', async t => {
  const input = {
    clients: [client('a', 'Bolt'), client('b', 'Crux')],
    groups: [marked('ga', 'Acme Devices', 'a'), marked('gb', 'Bolt Devices', 'b'), group('gc', 'Crux Devices')],
    links: [
      link('a', 'ga', { name: 'Acme Devices', clientName: 'Acme' }),
      link('b', 'gb', { name: 'Bolt Devices', clientName: 'Bolt' })
    ]
  }
  t.match(plan(input), [
    { rename: { to: 'Bolt Devices', blocked: /"Bolt Devices" \(gb\)/ } },
    { rename: { to: 'Crux Devices', blocked: /"Crux Devices" \(gc\)/ } }
  ])
})
