import assert from 'node:assert/strict'
import type { ResourceName } from '../../types.ts'
import { casesOf } from './cases.ts'
import { expectedOf, idsOf, read, resourceOf, type Session, type Subject } from './session.ts'
import type { ContractCase } from './world.ts'

/** The rules of a resource whose deletions are told: `deletes: 'explicit'`. */
export function incrementalCases(subject: Subject, name: ResourceName): ContractCase[] {
  if (resourceOf(subject, name).deletes !== 'explicit') return []
  const rule = casesOf(subject, 'reading-a-resource', name)
  return [
    rule('a read from the last checkpoint gives what changed and what was deleted since', session =>
      incremental(subject, name, session)
    )
  ]
}

async function incremental(subject: Subject, name: ResourceName, session: Session) {
  const { world, signal } = session
  if (world.change === undefined) assert.fail(`the world must be able to change and delete one of '${name}'`)
  const client = await session.open()
  const whole = await read(subject, name, client, { signal })
  const from = whole.at(-1)?.checkpoint ?? null
  assert(from !== null, "with deletes: 'explicit' the last page needs a checkpoint, where the next read goes on")
  const before = expectedOf(session, name).length
  const { changed, deleted } = world.change(name)
  const since = await read(subject, name, await session.open(), { from, signal })
  const ids = idsOf(since)
  const gone = since.flatMap(page => page.deletedIds ?? []).map(String)
  assert(ids.includes(changed), 'a record that changed since the checkpoint must come with the next read')
  assert(gone.includes(deleted), 'a record that was deleted since the checkpoint must be among deletedIds')
  assert(!ids.includes(deleted), 'a record that was deleted must not come as one that is there')
  assert(!gone.includes(changed), 'a record that is there must not be among deletedIds')
  assert(new Set(ids).size < before, 'a read from a checkpoint must not give everything again')
  const next = since.at(-1)?.checkpoint ?? null
  assert(next !== null, 'the last page of such a read needs a checkpoint, too')
  const idle = await read(subject, name, await session.open(), { from: next, signal })
  assert(
    idle.every(page => (page.deletedIds ?? []).length === 0) && !idsOf(idle).includes(deleted),
    'what was told once must not be told as deleted again from a later checkpoint'
  )
}
