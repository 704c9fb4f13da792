import assert from 'node:assert/strict'
import { isDeepStrictEqual } from 'node:util'
import { type Checkpoint, type DeviceRecord, ProviderError } from '../../providers/define.ts'
import type { ResourceName } from '../../types.ts'
import { casesOf } from './cases.ts'
import { knownInventory } from './inventory.ts'
import {
  type AnyPage,
  expectedOf,
  idsOf,
  read,
  rejection,
  resourceOf,
  type Session,
  show,
  type Subject
} from './session.ts'
import type { ContractCase } from './world.ts'

/** The rules of reading one resource. */
export function readingCases(subject: Subject, name: ResourceName): ContractCase[] {
  const rule = casesOf(subject, 'reading-a-resource', name)
  const known = 'fetchOne gives a known record, and null for an unknown id'
  return [
    rule('a full read gives every record once', session => fullRead(subject, name, session)),
    rule('observedAt is read before the request', session => observedAt(subject, name, session)),
    rule('a read cut after any page and resumed from its checkpoint gives the same records', session =>
      cutAndResume(subject, name, session)
    ),
    rule('a checkpoint of another version is refused or starts over', session => otherVersion(subject, name, session)),
    rule('an abort stops the read within one request, and never as complete', session =>
      aborted(subject, name, session)
    ),
    ...(name === 'devices'
      ? [rule('inventory that is known may be left out, and nothing else', session => knownInventory(subject, session))]
      : []),
    ...(resourceOf(subject, name).fetchOne
      ? [
          rule(known, session => fetchOne(subject, name, session)),
          rule('fetchOne gives the same record as the list', session => sameRecord(subject, name, session))
        ]
      : [rule.skip(known, 'the resource has no fetchOne')])
  ]
}

async function fullRead(subject: Subject, name: ResourceName, session: Session) {
  const pages = await read(subject, name, await session.open(), { signal: session.signal })
  assert.deepEqual(
    idsOf(pages).sort(),
    expectedOf(session, name),
    "a full read gives each of the platform's records exactly once"
  )
}

async function observedAt(subject: Subject, name: ResourceName, session: Session) {
  const client = await session.open()
  const started = Date.now()
  const before = session.traffic.sent.length
  for await (const page of resourceOf(subject, name).pull(client, null, session.signal)) {
    assert(page.observedAt instanceof Date && !Number.isNaN(page.observedAt.getTime()), 'observedAt must be a date')
    // Of a platform on a socket no single request is seen; the read's own bounds hold for it too.
    const latest = session.traffic.sent.slice(before).at(-1)?.at ?? Date.now()
    assert(
      page.observedAt.getTime() <= latest,
      'observedAt must be read before the request that produced the page: an answer is as old as its question'
    )
    assert(page.observedAt.getTime() >= started - 1, 'observedAt must be of this read')
  }
}

async function cutAndResume(subject: Subject, name: ResourceName, session: Session) {
  const { signal } = session
  const whole = await read(subject, name, await session.open(), { signal })
  for (let count = 1; count <= whole.length; count++) {
    const first = await read(subject, name, await session.open(), { count, signal })
    const rest = await read(subject, name, await session.open(), { from: first.at(-1)?.checkpoint ?? null, signal })
    assert.deepEqual(
      [...new Set(idsOf([...first, ...rest]))].sort(),
      expectedOf(session, name),
      `cut after page ${count} of ${whole.length}: both parts together must give every record`
    )
  }
}

async function aborted(subject: Subject, name: ResourceName, session: Session) {
  const client = await session.open()
  let mark = requestsOf(session)
  await rejection(
    read(subject, name, client, { signal: AbortSignal.abort() }),
    'a read under an aborted signal must throw: returning would mean "that was everything"'
  )
  assert(requestsSince(session, mark) <= 1, 'a read under an aborted signal must not go on')

  const stop = new AbortController()
  const pages: AnyPage[] = []
  const reading = (async () => {
    for await (const page of resourceOf(subject, name).pull(client, null, stop.signal)) {
      pages.push(page)
      if (pages.length > 1) continue
      mark = requestsOf(session)
      stop.abort()
    }
  })()
  const failed = await reading.then(
    () => false,
    () => true
  )
  assert(
    requestsSince(session, mark) <= 1,
    `after the abort ${requestsSince(session, mark)} more requests went out; at most one may`
  )
  // Where the first page was all there is, there was nothing left to stop.
  if (!failed)
    assert.deepEqual(
      idsOf(pages).sort(),
      expectedOf(session, name),
      'an aborted read must throw: returning would mean "that was everything"'
    )
}

/**
 * Counted on both sides, since either may see what the other cannot: a question on a socket, a request still on its
 * way.
 */
const requestsOf = ({ world, traffic }: Session): [number, number] => [world.requests(), traffic.sent.length]

function requestsSince(session: Session, [arrived, sent]: [number, number]): number {
  const now = requestsOf(session)
  return Math.max(now[0] - arrived, now[1] - sent)
}

/** Checkpoints outlive the version that wrote them. */
async function otherVersion(subject: Subject, name: ResourceName, session: Session) {
  for (const from of [{ contract: 'of another version' }, []] as Checkpoint[]) {
    try {
      const pages = await read(subject, name, await session.open(), { from, signal: session.signal })
      assert.deepEqual(
        idsOf(pages).sort(),
        expectedOf(session, name),
        'a checkpoint that is not understood must start over, or throw'
      )
    } catch (error) {
      if (error instanceof assert.AssertionError) throw error
      assert(
        error instanceof ProviderError,
        `a checkpoint that is not understood must throw a ProviderError or start over, got ${String(error)}`
      )
    }
  }
}

async function fetchOne(subject: Subject, name: ResourceName, session: Session) {
  const resource = resourceOf(subject, name)
  const client = await session.open()
  const known = expectedOf(session, name)[0]
  assert(known !== undefined, `the world must hold at least one of '${name}'`)
  assert.equal(
    String((await resource.fetchOne?.(client, known, session.signal))?.externalId),
    known,
    'fetchOne must give the record of that id'
  )
  assert.equal(
    await resource.fetchOne?.(client, session.world.unknownId ?? 'contract-unknown-id', session.signal),
    null,
    'fetchOne of an id the platform does not know must give null'
  )
}

/** How many records are compared: single reads take a request each. */
const compared = 3

/** One record, whichever way it was read: heartbeat values apart, which move by themselves. */
async function sameRecord(subject: Subject, name: ResourceName, session: Session) {
  const client = await session.open()
  const records = (await read(subject, name, client, { signal: session.signal })).flatMap(page => page.records)
  for (const record of records.slice(0, compared)) {
    const one = await resourceOf(subject, name).fetchOne!(client, String(record.externalId), session.signal)
    assert(one !== null, `fetchOne must find ${record.externalId}, which is in the list`)
    const [fields, others] = [steady(one), steady(record)]
    for (const field of new Set([...Object.keys(fields), ...Object.keys(others)]))
      assert(
        isDeepStrictEqual(fields[field], others[field]),
        `'${field}' of ${record.externalId} must be the same in fetchOne as in the list: ${show(fields[field])} and ${show(others[field])}`
      )
  }
}

function steady(record: object): Record<string, unknown> {
  const { online: _o, lastSeenAt: _l, uptimeSeconds: _u, volumes, ...rest } = record as DeviceRecord
  const whole = Array.isArray(volumes) ? { volumes: volumes.map(volume => ({ ...volume, freeBytes: null })) } : {}
  const { externalId, inventory, ...fields } = { ...rest, ...whole } as Record<string, unknown>
  const facts = (inventory as { facts?: object } | null | undefined)?.facts
  const told = Object.entries({ ...fields, ...(facts ? { facts: steady(facts) } : {}) })
  return { externalId: String(externalId), ...Object.fromEntries(told.filter(([, value]) => value !== undefined)) }
}
