import assert from 'node:assert/strict'
import type { DeviceGroup, DeviceGroups } from '../../providers/define.ts'
import { failure } from './actions.ts'
import { casesOf } from './cases.ts'
import type { Session, Subject } from './session.ts'
import type { ContractCase } from './world.ts'

/** The rules of groups that are made for clients. */
export function groupCases(subject: Subject): ContractCase[] {
  const groups = subject.provider.deviceGroups
  if (groups === undefined) return []
  const rule = casesOf(subject, 'device-groups')
  return [
    rule('list gives every group once, and says whether it is whole', session => list(groups, session)),
    rule('a group that was created is listed with its name and description', session => create(groups, session)),
    rule('a renamed group keeps its id and the rest', session => rename(groups, session)),
    rule('rename of an unknown group throws', async session => {
      const client = await session.open()
      const id = session.world.unknownGroupId ?? session.world.unknownId ?? 'contract-unknown-id'
      await failure(
        () => groups.rename(client, id, { name: 'Contract' }, session.signal),
        'rename of a group that the platform does not know must throw'
      )
    }),
    rule('sanitizeName gives a name that the platform takes as it is', session => sanitize(groups, session))
  ]
}

async function listed(groups: DeviceGroups<unknown>, session: Session): Promise<DeviceGroup[]> {
  const answer = await groups.list(await session.open(), session.signal)
  assert(Array.isArray(answer?.groups), 'deviceGroups.list must give { groups, server, complete }')
  return answer.groups
}

function check(group: DeviceGroup) {
  assert(typeof group?.id === 'string' && group.id !== '', 'a device group needs an id, a text')
  assert(typeof group.name === 'string', `the device group ${group.id} needs a name, a text`)
  assert(
    group.description === null || typeof group.description === 'string',
    `the description of the device group ${group.id} must be a text or null`
  )
  assert(
    group.createdAt == null || (group.createdAt instanceof Date && group.createdAt.getTime() > 315_360_000_000),
    `createdAt of the device group ${group.id} must be a Date: mind the unit`
  )
}

async function list(groups: DeviceGroups<unknown>, session: Session) {
  const answer = await groups.list(await session.open(), session.signal)
  assert(Array.isArray(answer?.groups), 'deviceGroups.list must give { groups, server, complete }')
  for (const group of answer.groups) check(group)
  const ids = answer.groups.map(({ id }) => id)
  assert.equal(new Set(ids).size, ids.length, 'deviceGroups.list must give every group once')
  assert.equal(typeof answer.complete, 'boolean', 'deviceGroups.list must say with complete whether it saw every group')
  assert(
    answer.server === null || (typeof answer.server === 'string' && answer.server !== ''),
    'server of deviceGroups.list must be a text that identifies the installation, or null'
  )
  const again = await groups.list(await session.open(), session.signal)
  assert.equal(again.server, answer.server, 'server of deviceGroups.list must stay the same for one installation')
}

const description = 'made by the contract [mark:c1]'

async function create(groups: DeviceGroups<unknown>, session: Session) {
  const before = await listed(groups, session)
  const name = groups.sanitizeName('Contract & Söhne “Devices”')
  const made = await groups.create(await session.open(), { name, description }, session.signal)
  check(made)
  assert.equal(made.name, name, 'create must give the group with the name that it was given')
  assert(!before.some(({ id }) => id === made.id), 'create must make a new group')
  const found = (await listed(groups, session)).find(({ id }) => id === made.id)
  assert(found, 'a group that was created must be in the list at once')
  assert.equal(found.name, name, 'a group that was created must be listed with its name')
  assert.equal(found.description, description, 'a group that was created must be listed with its description')
}

async function rename(groups: DeviceGroups<unknown>, session: Session) {
  const client = await session.open()
  const made = await groups.create(client, { name: 'Contract before', description }, session.signal)
  const others = (await listed(groups, session)).filter(({ id }) => id !== made.id)
  for (const change of [{ name: 'Contract after' }, { description: `${description} again` }]) {
    const answer = await groups.rename(client, made.id, change, session.signal)
    check(answer)
    assert.equal(answer.id, made.id, 'rename must give the group that was renamed')
    Object.assign(made, change)
    const found = (await listed(groups, session)).find(({ id }) => id === made.id)
    assert(found, 'a renamed group must keep its id')
    assert.equal(found.name, made.name, 'rename must change the name where one is given, and only then')
    assert.equal(
      found.description,
      made.description,
      'rename must change the description where one is given, and only then'
    )
  }
  const now = await listed(groups, session)
  for (const { id, name } of others)
    assert.equal(now.find(other => other.id === id)?.name, name, 'rename must leave other groups alone')
}

const names = [
  'Müller & Söhne',
  '  two  blanks ',
  'line\nbreak\ttab',
  'nul\0bell\u0007',
  'x'.repeat(500),
  '😀'.repeat(200)
]

async function sanitize(groups: DeviceGroups<unknown>, session: Session) {
  for (const given of names) {
    const name = groups.sanitizeName(given)
    assert(typeof name === 'string' && name !== '', `sanitizeName must leave something of ${JSON.stringify(given)}`)
    assert.equal(groups.sanitizeName(name), name, 'sanitizeName must leave a name alone that it gave')
    assert(!/\p{Cc}/u.test(name) && name.isWellFormed(), 'sanitizeName must leave no control character in a name')
    const made = await groups.create(await session.open(), { name, description: 'contract' }, session.signal)
    assert.equal(made.name, name, 'sanitizeName must give a name that the platform takes as it is')
  }
  for (const empty of ['', '   ', '\n\t'])
    assert.equal(groups.sanitizeName(empty), '', 'sanitizeName must give an empty text where nothing usable is left')
}
