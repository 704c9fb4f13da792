import assert from 'node:assert/strict'
import { setTimeout as delay } from 'node:timers/promises'
import type { Hint } from '../../providers/define.ts'
import { casesOf } from './cases.ts'
import { HintSchema } from './record-schemas.ts'
import type { Session, Subject } from './session.ts'
import { faultOf } from './values.ts'
import type { ContractCase } from './world.ts'

const limitMs = 10_000

/** The rules of pushed changes. */
export function listenCases(subject: Subject): ContractCase[] {
  if (subject.provider.listen === undefined) return []
  const rule = casesOf(subject, 'pushes', 'listen')
  return [
    rule('a change is pushed as a hint that can be followed', session => pushes(subject, session)),
    rule('an abort ends it', session => ends(subject, session)),
    rule('a lost socket ends it', session => loses(subject, session))
  ]
}

/** Listens until `stop`; resolves when it is over. */
async function listening(subject: Subject, session: Session) {
  const client = await session.open()
  const stop = new AbortController()
  // Whatever a case comes to, nothing goes on listening after it.
  const signal = AbortSignal.any([stop.signal, session.signal])
  const hints: Hint[] = []
  const subscribed = Promise.withResolvers<void>()
  let wake = (): void => {}
  const over = (async () => {
    for await (const hint of subject.provider.listen!(client, signal, () => subscribed.resolve())) {
      hints.push(hint)
      wake()
    }
  })().then(
    () => null,
    (error: unknown) => error
  )
  return {
    hints,
    stop,
    over,
    ready: () =>
      within(
        Promise.race([subscribed.promise, over]),
        'listen must call subscribed when pushes arrive, or what changed before is never read'
      ),
    async hint(wanted: (hint: Hint) => boolean): Promise<boolean> {
      const end = Date.now() + limitMs
      while (!hints.some(wanted) && Date.now() < end) {
        const more = new Promise<void>(resolve => {
          wake = resolve
        })
        await Promise.race([more, delay(50)])
      }
      return hints.some(wanted)
    }
  }
}

async function within<T>(work: Promise<T>, sentence: string): Promise<T> {
  const timer = new AbortController()
  try {
    return await Promise.race([
      work,
      delay(limitMs, undefined, { signal: timer.signal }).then(() => assert.fail(sentence))
    ])
  } finally {
    timer.abort()
  }
}

async function pushes(subject: Subject, session: Session) {
  const { world } = session
  if (world.push === undefined) assert.fail('the world must be able to push a change, as the provider has listen')
  const listener = await listening(subject, session)
  await listener.ready()
  const id = world.push()
  const came = await listener.hint(hint => hint?.resource === 'devices' && String(hint.externalId) === id)
  listener.stop.abort()
  await within(listener.over, 'listen must end when it is aborted')
  const schema = HintSchema(Object.keys(subject.provider.resources))
  for (const hint of listener.hints) {
    const fault = faultOf(schema, hint)
    assert(fault === null, `a hint names one of the provider's resources and an id: ${fault}`)
  }
  assert(came, `a change of the device ${id} must come as a hint about it`)
}

async function ends(subject: Subject, session: Session) {
  const listener = await listening(subject, session)
  await listener.ready()
  listener.stop.abort()
  await within(listener.over, 'listen must end when it is aborted')
}

async function loses(subject: Subject, session: Session) {
  const { world } = session
  if (world.drop === undefined) assert.fail('the world must be able to drop its sockets, as the provider has listen')
  const listener = await listening(subject, session)
  await listener.ready()
  world.drop()
  await within(listener.over, 'listen must end or throw when its socket is lost: the engine opens it again')
}
