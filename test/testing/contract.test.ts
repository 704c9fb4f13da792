import { readFileSync } from 'node:fs'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { AssertionError } from 'node:assert'
import t from 'tap'
import { providerContract } from '../../src/testing/index.ts'
import { levelWorld } from '../providers/worlds/level.ts'
import { miniSubject } from './mini.ts'
import { type Mistake, tinyProvider } from './tiny-provider.ts'

const quick = levelWorld(fault =>
  fault === 'rate-limited' ? 'it takes seconds; the cases that are about it play it' : true
)

/** Names of the cases that failed. Anything but a broken rule is a fault of the contract and gets out. */
async function failures(provider: ReturnType<typeof tinyProvider>, world = quick): Promise<string[]> {
  const failed: string[] = []
  for (const { name, skip, run } of providerContract({ provider, world })) {
    if (skip !== undefined) continue
    try {
      await run()
    } catch (error) {
      if (!(error instanceof AssertionError)) throw error
      failed.push(name)
    }
  }
  return failed
}

t.test('a provider that keeps the rules passes every case', async t => {
  const cases = providerContract({ provider: tinyProvider(), world: levelWorld() })
  t.same(
    cases.filter(each => each.skip !== undefined),
    []
  )
  for (const { name, run } of cases) await t.resolves(run(), name)
})

const caught: Record<Mistake, string> = {
  'record twice': 'devices: a full read gives every record once',
  'late clock': 'devices: observedAt is read before the request',
  'forgetful checkpoint': 'devices: a read cut after any page and resumed from its checkpoint gives the same records',
  'deaf to abort': 'devices: an abort stops the read within one request, and never as complete',
  'server error is the end': 'devices: a server error in the list throws, behind the first page',
  'empty page is the end': 'devices: an empty page that promises more throws, behind the first page',
  'repeated cursor is the end': 'devices: a repeated cursor throws',
  'endless on a repeated cursor': 'devices: a repeated cursor throws',
  impatient: 'devices: 429 is honoured, behind the first page',
  'unknown id throws': 'devices: fetchOne gives a known record, and null for an unknown id',
  'auth is unreachable': 'bad credentials are refused as auth',
  'phones home': "no request leaves the connection's hosts",
  'goes around the egress': "no request leaves the connection's hosts",
  'logs the key': 'no secret in a log line, an error or a reply',
  'prints the key': 'no secret in a log line, an error or a reply',
  'key in the error': 'no secret in a log line, an error or a reply',
  'nameless account': 'check names the account',
  'narrow schema': 'the schemas accept what connects',
  'closes once': 'close twice is fine',
  'leaves out the unknown': 'devices: inventory that is known may be left out, and nothing else',
  'known is known': 'devices: inventory that is known may be left out, and nothing else',
  'marks as it likes': 'devices: inventory that is known may be left out, and nothing else',
  'own fields with the inventory': 'devices: inventory that is known may be left out, and nothing else',
  'forgets the known': 'devices: inventory that is known may be left out, and nothing else',
  'no length check': 'webhook: bad signatures are refused alike',
  'open without a secret': 'webhook: no secret set refuses everything',
  'one secret': 'webhook: old and new secret both pass in a rotation',
  'new id per delivery': 'webhook: an event has one id, however often it is delivered',
  'parses anything': 'webhook: a body that cannot be read throws'
}

t.test('each mistake fails its case', async t => {
  const elsewhere = createServer((_request, response) => response.end('thanks')).listen(0, '127.0.0.1')
  await new Promise(resolve => elsewhere.once('listening', resolve))
  t.teardown(() => {
    elsewhere.close().closeAllConnections()
  })
  const url = `http://127.0.0.1:${(elsewhere.address() as AddressInfo).port}`
  for (const [mistake, name] of Object.entries(caught) as Array<[Mistake, string]>) {
    const failed = await failures(tinyProvider(mistake, url), mistake === 'impatient' ? levelWorld() : quick)
    t.ok(failed.includes(name), `${mistake}: ${failed.join(' · ')}`)
  }
})

t.test("a case that cannot be played is skipped with the world's reason", async t => {
  const cases = providerContract({ provider: tinyProvider(), world: levelWorld(() => 'this platform has no pages') })
  const skipped = cases.filter(each => each.skip !== undefined)
  t.ok(skipped.length > 10)
  t.strictSame([...new Set(skipped.map(each => each.skip))], ['this platform has no pages'])
})

t.test('every case says where its rule is written, and so does what it throws', async t => {
  const guide = readFileSync(new URL('../../docs/writing-a-provider.md', import.meta.url), 'utf8')
  const headings = [...guide.matchAll(/^## (.+)$/gm)].map(([, title]) => title!.toLowerCase().replaceAll(' ', '-'))
  const { provider, world } = miniSubject()
  const cases = [
    ...providerContract({ provider: tinyProvider(), world: quick }),
    ...providerContract({ provider, world })
  ]
  for (const { rule } of cases) {
    const [file, section] = rule.split('#')
    t.equal(file, 'docs/writing-a-provider.md')
    t.ok(headings.includes(section!), rule)
  }
  const broken = providerContract({ provider: tinyProvider('record twice'), world: quick })
  await t.rejects(broken.find(({ name }) => name === 'devices: a full read gives every record once')!.run(), {
    message:
      "a full read gives each of the platform's records exactly once (see docs/writing-a-provider.md#reading-a-resource)"
  })
})

t.test('a provider with a webhook fails while its world has no request to show', async t => {
  const { webhooks: _webhooks, ...world } = quick
  const failed = await failures(tinyProvider(), world)
  t.same(
    failed.filter(name => !name.startsWith('webhook: ')),
    []
  )
  t.equal(failed.length, 6)
})
