import assert from 'node:assert/strict'
import { ProviderError } from '../../providers/define.ts'
import type { ResourceName } from '../../types.ts'
import { knownInventory } from './inventory.ts'
import {
  type AnyPage,
  expectedOf,
  idsOf,
  read,
  rejection,
  resourceOf,
  type Session,
  type Subject,
  withSession
} from './session.ts'
import type { ContractCase, ContractFault } from './world.ts'

/** The rules of reading one resource. */
export function readingCases(subject: Subject, name: ResourceName): ContractCase[] {
  const rule = (text: string, use: (session: Session) => Promise<void>): ContractCase => ({
    name: `${name}: ${text}`,
    run: () => withSession(subject, use)
  })
  const faulty = (fault: ContractFault, text: string, use: (session: Session) => Promise<void>): ContractCase => {
    const plays = subject.world.plays(fault, name)
    return plays === true ? rule(text, use) : { name: `${name}: ${text}`, skip: plays, run: async () => {} }
  }
  const cases = [
    rule('a full read gives every record once', session => fullRead(subject, name, session)),
    rule('observedAt is read before the request', session => observedAt(subject, name, session)),
    rule('a read cut after any page and resumed from its checkpoint gives the same records', session =>
      cutAndResume(subject, name, session)
    ),
    rule('an abort stops the read within one request, and never as complete', session =>
      aborted(subject, name, session)
    ),
    faulty('server-error-mid-list', 'a server error in the middle of the list throws', session =>
      throwsOn('server-error-mid-list', subject, name, session)
    ),
    faulty('empty-page', 'an empty page that promises more throws', session =>
      throwsOn('empty-page', subject, name, session)
    ),
    faulty('repeated-cursor', 'a repeated cursor throws', session =>
      throwsOn('repeated-cursor', subject, name, session)
    ),
    faulty('rate-limited', '429 is honoured', session => rateLimited(subject, name, session))
  ]
  if (name === 'devices')
    cases.push(
      rule('inventory that is known may be left out, and nothing else', session => knownInventory(subject, session))
    )
  const known = 'fetchOne gives a known record, and null for an unknown id'
  if (resourceOf(subject, name).fetchOne) cases.push(rule(known, session => fetchOne(subject, name, session)))
  else cases.push({ name: `${name}: ${known}`, skip: `the resource has no fetchOne`, run: async () => {} })
  return cases
}

async function fullRead(subject: Subject, name: ResourceName, session: Session) {
  const pages = await read(subject, name, await session.open(), { signal: session.signal })
  assert.deepEqual(
    idsOf(pages).sort(),
    expectedOf(session, name),
    "a full read gives each of the platform's records exactly once"
  )
  for (const record of pages.flatMap(page => page.records))
    checkRecord(name, record as unknown as Record<string, unknown>)
}

/** Only what every record of the kind must have; the rest may be missing. */
function checkRecord(name: ResourceName, record: Record<string, unknown>) {
  const text = (field: string) =>
    assert(
      typeof record[field] === 'string' && record[field] !== '',
      `'${field}' of ${String(record['externalId'])} must be a text`
    )
  text('externalId')
  if (name === 'organizations') text('name')
  if (name === 'devices') text('displayName')
  if (name === 'updates') text('deviceExternalId')
  if (name !== 'alerts') return
  text('name')
  assert(
    ['critical', 'major', 'moderate', 'minor'].includes(String(record['severity'])),
    `unknown severity '${String(record['severity'])}'`
  )
  assert(['active', 'resolved'].includes(String(record['status'])), `unknown status '${String(record['status'])}'`)
  assert(
    record['startedAt'] instanceof Date && !Number.isNaN(record['startedAt'].getTime()),
    "'startedAt' must be a date"
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

async function throwsOn(fault: ContractFault, subject: Subject, name: ResourceName, session: Session) {
  const client = await session.open()
  session.world.fail?.(fault, name)
  // A list of this length that lies has no end: enough pages to be sure, and no more.
  const count = expectedOf(session, name).length + 10
  const error = await rejection(
    read(subject, name, client, { count, signal: session.signal }),
    `the list was not complete (${fault}), so the read must throw: returning would mean "that was everything"`
  )
  assert(
    error instanceof ProviderError,
    `the failure must be a ProviderError with a sentence for the operator, got ${String(error)}`
  )
}

async function rateLimited(subject: Subject, name: ResourceName, session: Session) {
  const client = await session.open()
  session.world.fail?.('rate-limited', name)
  try {
    const pages = await read(subject, name, client, { signal: session.signal })
    assert.deepEqual(
      idsOf(pages).sort(),
      expectedOf(session, name),
      'a read that waited must still give every record once'
    )
  } catch (error) {
    if (error instanceof assert.AssertionError) throw error
    assert(
      error instanceof ProviderError && error.kind === 'rate_limited' && (error.retryAfterMs ?? 0) > 0,
      `a read that does not wait must throw ProviderError('rate_limited') with retryAfterMs, got ${String(error)}`
    )
  }
  assert(session.traffic.throttled.length > 0, 'the world must have answered 429 with Retry-After in seconds')
  for (const { host, at, waitMs } of session.traffic.throttled) {
    // Timers may fire a millisecond early.
    const early = session.traffic.sent.find(sent => sent.host === host && sent.at > at && sent.at < at + waitMs - 5)
    assert(
      !early,
      `the platform asked to wait ${waitMs} ms and the next request came after ${early ? early.at - at : 0} ms`
    )
  }
}

async function fetchOne(subject: Subject, name: ResourceName, session: Session) {
  const resource = resourceOf(subject, name)
  const client = await session.open()
  const known = expectedOf(session, name)[0]
  assert(known !== undefined, `the world must hold at least one of '${name}'`)
  assert.equal(
    (await resource.fetchOne?.(client, known, session.signal))?.externalId,
    known,
    'fetchOne must give the record of that id'
  )
  assert.equal(
    await resource.fetchOne?.(client, session.world.unknownId ?? 'contract-unknown-id', session.signal),
    null,
    'fetchOne of an id the platform does not know must give null'
  )
}
