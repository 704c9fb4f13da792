import assert from 'node:assert/strict'
import { ProviderError, type RemoteSession } from '../../providers/define.ts'
import { casesOf } from './cases.ts'
import { AlertRecordSchema } from './record-schemas.ts'
import { rejection, type Session, type Subject } from './session.ts'
import { faultOf } from './values.ts'
import type { ContractCase } from './world.ts'

const unknown = ({ world }: Session): string => world.unknownId ?? 'contract-unknown-id'

/** The rules of what is done on the platform: alerts, sessions, links. */
export function actionCases(subject: Subject): ContractCase[] {
  const { resolveAlert, remoteSession, installLink } = subject.provider
  const rule = casesOf(subject, 'actions')
  return [
    ...(resolveAlert
      ? [
          rule('resolveAlert resolves on the platform, and again is fine', session => resolves(subject, session)),
          rule('resolveAlert of an unknown alert gives null', async session => {
            const client = await session.open()
            const answer = await resolveAlert(client, unknown(session), session.signal)
            assert.equal(answer, null, 'resolveAlert of an alert that the platform does not know must give null')
          }),
          failing(subject, 'resolveAlert that the platform refuses throws')
        ]
      : []),
    ...(remoteSession
      ? [
          rule('remoteSession gives a link that ends in time', session => opens(subject, session)),
          rule('remoteSession of an unknown device throws', async session => {
            const client = await session.open()
            const options = { minutes: 10, viewOnly: false, guestName: 'Contract' }
            await failure(
              async () => remoteSession(client, unknown(session), options, session.signal),
              'remoteSession of a device that the platform does not know must throw'
            )
          })
        ]
      : []),
    ...(installLink
      ? [
          rule('installLink gives a link that ends in time', session => installs(subject, session)),
          rule('installLink of an unknown group throws', async session => {
            const client = await session.open()
            const group = session.world.unknownGroupId ?? unknown(session)
            await failure(
              async () => installLink(client, group, { hours: 1 }, session.signal),
              'installLink of a group that the platform does not know must throw'
            )
          })
        ]
      : [])
  ]
}

/** What is promised to throw a `ProviderError` does. */
export async function failure(work: () => Promise<unknown>, sentence: string): Promise<void> {
  const error = await rejection(work(), sentence)
  assert(
    error instanceof ProviderError && error.message.trim() !== '',
    `${sentence} a ProviderError with a sentence for the operator, got ${String(error)}`
  )
}

/** What was done is seen with the same eyes that a sync has. */
async function statusOf({ provider }: Subject, client: unknown, id: string, session: Session): Promise<string | null> {
  const { alerts } = provider.resources
  if (alerts?.fetchOne) return (await alerts.fetchOne(client, id, session.signal))?.status ?? null
  if (!alerts) return null
  for await (const page of alerts.pull(client, null, session.signal))
    for (const record of page.records) if (String(record.externalId) === id) return record.status
  return null
}

async function resolves(subject: Subject, session: Session) {
  const id = session.world.activeAlert
  assert(id !== undefined, 'the world must name an activeAlert, as the provider has resolveAlert')
  const client = await session.open()
  assert.equal(await statusOf(subject, client, id, session), 'active', `the world's activeAlert ${id} must be active`)
  for (let times = 0; times < 2; times++) {
    const alert = await subject.provider.resolveAlert!(client, id, session.signal)
    // Null also where the platform says no more of it; what it did is looked at below.
    if (alert !== null) {
      const fault = faultOf(AlertRecordSchema, alert)
      assert(fault === null, `of the alert that resolveAlert gave, ${fault}`)
      assert.equal(String(alert.externalId), id, 'resolveAlert must give the alert of that id')
      assert.equal(alert.status, 'resolved', 'resolveAlert must give the alert as resolved')
    }
    const now = await statusOf(subject, await session.open(), id, session)
    assert(now === 'resolved' || now === null, 'resolveAlert must resolve on the platform, not only say so')
  }
}

function failing(subject: Subject, name: string): ContractCase {
  const rule = casesOf(subject, 'actions')
  const plays = subject.world.plays('expired-token', 'alerts', 'first')
  if (plays !== true) return rule.skip(name, plays)
  return rule(name, async session => {
    const id = session.world.activeAlert
    assert(id !== undefined, 'the world must name an activeAlert, as the provider has resolveAlert')
    const client = await session.open(session.world.badSecrets).catch((error: unknown) => {
      assert(error instanceof ProviderError, `bad credentials must throw a ProviderError, got ${String(error)}`)
      return null
    })
    if (client === null) return
    await failure(
      async () => subject.provider.resolveAlert!(client, id, session.signal),
      'resolveAlert that was refused must throw'
    )
  })
}

const graceMs = 90_000

function checkLink(link: RemoteSession, forMs: number, what: string) {
  assert(typeof link?.url === 'string' && URL.canParse(link.url), `${what} must give an absolute address as url`)
  assert(/^https?:$/.test(new URL(link.url).protocol), `the url of ${what} must be one for a browser`)
  assert(
    link.expiresAt instanceof Date && !Number.isNaN(link.expiresAt.getTime()),
    `${what} must tell as expiresAt when the link ends, a Date`
  )
  const left = link.expiresAt.getTime() - Date.now()
  assert(left > 0, `the link of ${what} must not have ended already (expiresAt)`)
  assert(left <= forMs + graceMs, `the link of ${what} must end in the time that was asked for (expiresAt)`)
}

async function opens({ provider }: Subject, session: Session) {
  const id = session.world.remoteDevice
  assert(id !== undefined, 'the world must name a remoteDevice, as the provider has remoteSession')
  const client = await session.open()
  const { viewOnly = false, consent = [] } = provider.remoteSessionOptions ?? {}
  const asked = [undefined, ...consent].flatMap(word => (viewOnly ? [false, true] : [false]).map(view => [word, view]))
  for (const minutes of [5, 30])
    for (const [word, view] of asked as Array<[(typeof consent)[number] | undefined, boolean]>) {
      const options = { minutes, viewOnly: view, guestName: 'Contract', ...(word ? { consent: word } : {}) }
      checkLink(
        await provider.remoteSession!(client, id, options, session.signal),
        session.world.linkMs ?? minutes * 60_000,
        `remoteSession (${minutes} minutes)`
      )
    }
}

async function installs({ provider }: Subject, session: Session) {
  const id = session.world.installGroup
  assert(id !== undefined, 'the world must name an installGroup, as the provider has installLink')
  const client = await session.open()
  for (const hours of [1, 24])
    checkLink(
      await provider.installLink!(client, id, { hours }, session.signal),
      hours * 3_600_000,
      `installLink (${hours} hours)`
    )
}
