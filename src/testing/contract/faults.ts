import assert from 'node:assert/strict'
import { ProviderError } from '../../providers/define.ts'
import type { ResourceName } from '../../types.ts'
import { casesOf } from './cases.ts'
import { type AnyPage, expectedOf, idsOf, read, rejection, resourceOf, type Session, type Subject } from './session.ts'
import type { ContractCase, ContractFault, FaultPlace } from './world.ts'

type Play = (session: Session, start: () => Promise<unknown>) => Promise<void>

const places: readonly FaultPlace[] = ['first', 'later']
const words: Record<FaultPlace, string> = { first: 'from the first answer on', later: 'behind the first page' }

/** What a resource does when the platform fails it. */
export function faultCases(subject: Subject, name: ResourceName): ContractCase[] {
  const rule = casesOf(subject, 'failing', name)
  const cases = (fault: ContractFault, text: string, play: Play, at: readonly FaultPlace[] = places): ContractCase[] =>
    at.map(place => {
      const label = at.length === 1 ? text : `${text}, ${words[place]}`
      const plays = subject.world.plays(fault, name, place)
      if (plays !== true) return rule.skip(label, plays)
      return rule(label, session =>
        play(session, async () => {
          const client = await session.open()
          session.world.fail?.(fault, name, place)
          return client
        })
      )
    })
  const incomplete =
    (fault: ContractFault): Play =>
    (session, start) =>
      throwsOn(fault, subject, name, session, start)
  const list: Play = (session, start) => withoutList(subject, name, session, start)
  const single = resourceOf(subject, name).fetchOne !== undefined
  return [
    ...cases('server-error-mid-list', 'a server error in the list throws', incomplete('server-error-mid-list')),
    ...cases('empty-page', 'an empty page that promises more throws', incomplete('empty-page')),
    ...cases('repeated-cursor', 'a repeated cursor throws', incomplete('repeated-cursor'), ['later']),
    ...cases('html', 'HTML with status 200 throws', list),
    ...cases('rate-limited', '429 is honoured', (session, start) => rateLimited(subject, name, session, start)),
    ...cases('malformed-record', 'one record that cannot be read is told, and the others come', (session, start) =>
      malformed(subject, name, session, start)
    ),
    ...cases('unidentified-record', 'a record without an id is told, and the others come', (session, start) =>
      unidentified(subject, name, session, start)
    ),
    ...cases('expired-token', 'credentials that are refused meanwhile are renewed or told as auth', (session, start) =>
      expired(subject, name, session, start)
    ),
    ...cases('short-list', 'what a short list leaves out is not told as gone', (session, start) =>
      short(subject, name, session, start)
    ),
    ...cases(
      'cursor-gone',
      'a cursor whose record is gone loses no other record',
      (session, start) => cursorGone(subject, name, session, start),
      ['first']
    ),
    ...cases(
      'moving-list',
      'a record that the platform tells twice comes twice',
      (session, start) => moving(subject, name, session, start),
      ['later']
    ),
    ...(single
      ? cases(
          'fetchOne-500',
          'fetchOne that gets no answer throws, and never says null',
          (session, start) => noAnswer(subject, name, session, start),
          ['first']
        )
      : [])
  ]
}

/** A list that lies has no end: enough pages to be sure, and no more. */
const enough = (session: Session, name: ResourceName): number => expectedOf(session, name).length + 10

function isProviderError(error: unknown): asserts error is ProviderError {
  assert(
    error instanceof ProviderError,
    `a failure must be a ProviderError with a sentence for the operator, got ${String(error)}`
  )
  assert(error.message.trim() !== '', 'a ProviderError must have a sentence for the operator')
}

async function throwsOn(
  fault: string,
  subject: Subject,
  name: ResourceName,
  session: Session,
  start: () => Promise<unknown>
) {
  const error = await rejection(
    read(subject, name, await start(), { count: enough(session, name), signal: session.signal }),
    `the list was not complete (${fault}), so the read must throw: returning would mean "that was everything"`
  )
  isProviderError(error)
}

async function withoutList(
  subject: Subject,
  name: ResourceName,
  session: Session,
  start: () => Promise<unknown>
): Promise<void> {
  const client = await start()
  await throwsOn('no list came', subject, name, session, async () => client)
  const { fetchOne } = resourceOf(subject, name)
  if (fetchOne === undefined) return
  const id = expectedOf(session, name)[0]!
  const found = await fetchOne(client, id, session.signal).catch((error: unknown) => error)
  assert(found !== null, 'fetchOne that gets something else than an answer of the platform must throw, not say null')
}

/** The pages of a read that may fail with a `ProviderError`; null where it did. */
async function readOrFail(
  subject: Subject,
  name: ResourceName,
  session: Session,
  client: unknown
): Promise<AnyPage[] | null> {
  try {
    return await read(subject, name, client, { count: enough(session, name), signal: session.signal })
  } catch (error) {
    isProviderError(error)
    return null
  }
}

const rejectsOf = (pages: AnyPage[]) => pages.flatMap(page => page.rejected ?? [])

async function rateLimited(
  subject: Subject,
  name: ResourceName,
  session: Session,
  start: () => Promise<unknown>
): Promise<void> {
  try {
    const pages = await read(subject, name, await start(), { signal: session.signal })
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

async function malformed(subject: Subject, name: ResourceName, session: Session, start: () => Promise<unknown>) {
  const pages = await read(subject, name, await start(), { count: enough(session, name), signal: session.signal })
  const expected = expectedOf(session, name)
  const ids = new Set(idsOf(pages))
  const rejects = rejectsOf(pages)
  const rejected = new Set(rejects.map(reject => String(reject.externalId)))
  const lost = expected.filter(id => !ids.has(id) && !rejected.has(id))
  assert.deepEqual(lost, [], 'a record that cannot be read must be among the rejected with its id, never left out')
  assert(rejected.size <= 1, `one record could not be read, and ${rejected.size} were rejected: the others must come`)
  for (const { reason } of rejects)
    assert(typeof reason === 'string' && reason.trim() !== '', 'a rejected record needs a reason')
}

async function unidentified(subject: Subject, name: ResourceName, session: Session, start: () => Promise<unknown>) {
  const pages = await readOrFail(subject, name, session, await start())
  // To call the whole list unusable is honest, too.
  if (pages === null) return
  const ids = new Set(idsOf(pages))
  assert(
    rejectsOf(pages).some(({ externalId }) => externalId === null),
    'a record without an id must be rejected with externalId null, or nobody knows that the list is not whole'
  )
  const lost = expectedOf(session, name).filter(id => !ids.has(id))
  assert(lost.length <= 1, `one record had no id, and ${lost.length} did not come: the others must`)
}

async function expired(subject: Subject, name: ResourceName, session: Session, start: () => Promise<unknown>) {
  try {
    const pages = await read(subject, name, await start(), { count: enough(session, name), signal: session.signal })
    assert.deepEqual(
      idsOf(pages).sort(),
      expectedOf(session, name),
      'a read that renewed its credentials must still give every record once'
    )
  } catch (error) {
    if (error instanceof assert.AssertionError) throw error
    isProviderError(error)
    assert.equal(error.kind, 'auth', 'refused credentials must be of kind auth, also in the middle of a list')
  }
}

async function short(subject: Subject, name: ResourceName, session: Session, start: () => Promise<unknown>) {
  const client = await start()
  const pages = await readOrFail(subject, name, session, client)
  if (pages === null) return
  const ids = new Set(idsOf(pages))
  const missing = expectedOf(session, name).filter(id => !ids.has(id))
  assert(missing.length > 0, 'the world must have left out records of the list')
  const deleted = new Set(pages.flatMap(page => page.deletedIds ?? []).map(String))
  assert(
    !missing.some(id => deleted.has(id)),
    'deletedIds are what the platform itself calls gone, not what is missing'
  )
  const { fetchOne } = resourceOf(subject, name)
  if (fetchOne === undefined) return
  const found = await fetchOne(client, missing[0]!, session.signal)
  assert(found !== null, 'fetchOne must find a record that the list left out: its word decides whether it is gone')
}

async function cursorGone(subject: Subject, name: ResourceName, session: Session, start: () => Promise<unknown>) {
  const pages = await readOrFail(subject, name, session, await start())
  if (pages === null) return
  const ids = new Set(idsOf(pages))
  const lost = expectedOf(session, name).filter(id => !ids.has(id))
  assert(
    lost.length <= 1,
    `one record was deleted while the list was read, and ${lost.length} did not come: throw where the list breaks off`
  )
}

async function moving(subject: Subject, name: ResourceName, session: Session, start: () => Promise<unknown>) {
  const pages = await readOrFail(subject, name, session, await start())
  if (pages === null) return
  const ids = idsOf(pages)
  assert.deepEqual(
    [...new Set(ids)].sort(),
    expectedOf(session, name),
    'a list whose order moves must still give every record'
  )
  assert(
    ids.length > new Set(ids).size,
    'a record that comes on two pages must be handed over twice: it tells that the order moved, and something may be missing'
  )
}

async function noAnswer(subject: Subject, name: ResourceName, session: Session, start: () => Promise<unknown>) {
  const client = await start()
  const id = expectedOf(session, name)[0]!
  const error = await rejection(
    Promise.resolve(resourceOf(subject, name).fetchOne!(client, id, session.signal)),
    'fetchOne must throw where the platform does not answer: null means that the record is gone'
  )
  isProviderError(error)
}
