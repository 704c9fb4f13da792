import assert from 'node:assert/strict'
import { Value } from '@sinclair/typebox/value'
import { ProviderError } from '../../providers/define.ts'
import { resourceNames } from '../../types.ts'
import type { ResourceName } from '../../types.ts'
import { casesOf } from './cases.ts'
import { read, rejection, type Session, show, type Subject, texts } from './session.ts'
import { hostOf } from './traffic.ts'
import type { ContractCase, ContractFault } from './world.ts'

/** The rules that hold for the connection as a whole. */
export function safetyCases(subject: Subject): ContractCase[] {
  const rule = casesOf(subject, 'secrets')
  const cases = [
    rule('the schemas accept what connects', session => schemas(subject, session)),
    rule('check names the account', session => check(subject, session)),
    rule('bad credentials are refused as auth', session => badCredentials(subject, session)),
    rule("no request leaves the connection's hosts", session => staysHome(subject, session)),
    rule('no secret in a log line, an error or a reply', session => keepsSecrets(subject, session))
  ]
  const name = 'close twice is fine'
  if (subject.provider.close) cases.push(rule(name, session => closeTwice(subject, session)))
  else cases.push(rule.skip(name, 'the provider has no close'))
  return cases
}

const resourcesOf = ({ provider }: Subject): ResourceName[] => resourceNames.filter(name => provider.resources[name])

async function schemas({ provider }: Subject, { world }: Session) {
  for (const [schema, value] of [
    [provider.configSchema, world.config],
    [provider.secretSchema, world.secrets],
    [provider.secretSchema, world.badSecrets]
  ] as const) {
    // The formats are checked by the host's validator, which knows them; here only the shape.
    const wrong = [...Value.Errors(schema, value)].filter(error => !/format/i.test(error.message))
    assert.deepEqual(
      wrong.map(error => `${error.path}: ${error.message}`),
      [],
      "the schemas must accept the world's config and secrets"
    )
  }
}

async function check({ provider }: Subject, session: Session) {
  const { account, warnings } = await provider.check(await session.open(), session.signal)
  assert(typeof account === 'string' && account !== '', 'check must name the account')
  assert(
    Array.isArray(warnings) && warnings.every(warning => typeof warning === 'string'),
    'check must give its warnings as texts'
  )
}

/** Some platforms refuse at the first request, some already when the socket opens. */
async function openAndCheck({ provider }: Subject, session: Session, secrets: Record<string, unknown>) {
  const client = await session.open(secrets)
  return provider.check(client, session.signal)
}

async function badCredentials(subject: Subject, session: Session) {
  const error = await rejection(
    openAndCheck(subject, session, session.world.badSecrets),
    'the check must throw on bad credentials'
  )
  assert(error instanceof ProviderError, `bad credentials must throw a ProviderError, got ${String(error)}`)
  assert.equal(error.kind, 'auth', 'bad credentials must be of kind auth')
  assert.notEqual(error.message.trim(), '', 'the operator must be told what to do')
}

async function staysHome(subject: Subject, session: Session) {
  const client = await session.open()
  await subject.provider.check(client, session.signal)
  for (const name of resourcesOf(subject)) await read(subject, name, client, { signal: session.signal })
  const redirected = resourcesOf(subject).find(name => subject.world.plays('redirect', name, 'later') === true)
  if (redirected) {
    session.world.fail?.('redirect', redirected, 'later')
    await rejection(
      read(subject, redirected, await session.open(), { signal: session.signal }),
      'a redirect must throw, not be followed and not be taken for an end'
    )
  }
  const home = session.world.hosts().map(host => hostOf(`http://${host}`))
  const away = (hosts: string[]) => [...new Set(hosts)].filter(host => !home.includes(host))
  assert.deepEqual(
    away(session.traffic.sent.map(sent => sent.host)),
    [],
    "requests went to hosts that are not the connection's"
  )
  assert.deepEqual(away(session.asked), [], "the provider asked for hosts that are not the connection's")
}

async function keepsSecrets(subject: Subject, session: Session) {
  const { world, said } = session
  const heard: unknown[] = []
  const hear = async (work: () => Promise<unknown>) => {
    try {
      heard.push(await work())
    } catch (error) {
      heard.push(error)
    }
  }
  await hear(() => openAndCheck(subject, session, world.secrets))
  await hear(() => openAndCheck(subject, session, world.badSecrets))
  const failing: ContractFault[] = ['server-error-mid-list', 'redirect', 'html']
  for (const name of resourcesOf(subject)) {
    await hear(async () => read(subject, name, await session.open(), { signal: session.signal }))
    await hear(async () => read(subject, name, await session.open(world.badSecrets), { signal: session.signal }))
    for (const fault of failing.filter(fault => subject.world.plays(fault, name, 'later') === true)) {
      world.fail?.(fault, name, 'later')
      await hear(async () => read(subject, name, await session.open(), { signal: session.signal }))
    }
  }
  // The last, as a platform may let nobody in any more.
  const [last] = resourcesOf(subject).filter(name => subject.world.plays('expired-token', name, 'first') === true)
  if (last !== undefined)
    await hear(async () => {
      const client = await session.open()
      world.fail?.('expired-token', last, 'first')
      await read(subject, last, client, { signal: session.signal })
    })
  const sensitive = world.sensitive ?? texts([world.secrets, world.badSecrets])
  const pairs = texts(world.secrets).flatMap(a => texts(world.secrets).map(b => `${a}:${b}`))
  for (const form of [...sensitive, ...pairs].filter(value => value.length >= 4).flatMap(formsOf)) {
    for (const [where, lines] of [
      ['a log line', said],
      ['an error or a reply', heard.map(show)]
    ] as const) {
      const line = lines.find(text => text.includes(form))
      // The assertion must not be what gives the secret away.
      assert(line === undefined, `a secret is in ${where}: ${line?.replaceAll(form, '[secret]').slice(0, 300)}`)
    }
  }
}

const formsOf = (value: string): string[] => [
  ...new Set([
    value,
    encodeURIComponent(value),
    ...(['base64', 'base64url', 'hex'] as const).map(form => Buffer.from(value).toString(form))
  ])
]

async function closeTwice({ provider }: Subject, session: Session) {
  const client = await session.open()
  await provider.close?.(client)
  await provider.close?.(client)
}
