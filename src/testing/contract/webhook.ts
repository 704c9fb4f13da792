import assert from 'node:assert/strict'
import type { Hint, ProviderWebhook, WebhookRequest } from '../../providers/define.ts'
import type { Subject } from './session.ts'
import { told } from './cases.ts'
import { AlertRecordSchema, HintSchema } from './record-schemas.ts'
import { faultOf } from './values.ts'
import type { ContractCase } from './world.ts'

const where = 'docs/writing-a-provider.md#webhooks'

const current = 'contract-secret-current-9f2c41'
const previous = 'contract-secret-previous-77ab03'
const stranger = 'contract-secret-of-a-stranger-1d'

/** The rules of inbound requests. No server is needed: a request is headers and bytes. */
export function webhookCases({ provider, world }: Subject): ContractCase[] {
  const { webhook } = provider
  const rule = (
    text: string,
    use: (webhook: ProviderWebhook, request: (secret: string) => WebhookRequest, way: string) => void
  ): ContractCase => {
    const name = `webhook: ${text}`
    if (!webhook) return { name, rule: where, skip: 'the provider has no webhook', run: async () => {} }
    return {
      name,
      rule: where,
      run: () =>
        told(where, async () => {
          const ways = Object.entries(world.webhooks ?? {})
          assert(ways.length > 0, 'the provider has a webhook, so the world must supply webhooks')
          for (const [way, request] of ways) use(webhook, request, way)
        })
    }
  }
  return [
    rule('bad signatures are refused alike', badSignatures),
    rule('no secret set refuses everything', (hook, request) => {
      for (const secret of [current, '']) {
        assert.equal(hook.verify(request(secret), []), false, 'without a stored secret nothing may pass')
        assert.equal(hook.verify(request(secret), ['']), false, 'an empty stored secret must not let anything pass')
      }
    }),
    rule('old and new secret both pass in a rotation', (hook, request) => {
      assert.equal(hook.verify(request(current), [current, previous]), true, 'the new secret must pass')
      assert.equal(
        hook.verify(request(previous), [current, previous]),
        true,
        'the old secret must pass while it is listed'
      )
      assert.equal(hook.verify(request(previous), [current]), false, 'the old secret must not pass once it is gone')
    }),
    rule('an event has one id, however often it is delivered', (hook, request) => {
      const sent = request(current)
      const first = hook.parse(sent)
      assert(first.id !== '', 'an event needs an id')
      assert.equal(hook.parse(copy(sent)).id, first.id, 'the same event must have the same id in every delivery')
      assert(Array.isArray(first.hints), 'hints must be a list')
    }),
    rule('hints can be followed, and are about what happened', (hook, request, way) => {
      const event = hook.parse(request(current))
      assert(typeof event.type === 'string', 'an event needs a type, a text')
      assert(
        event.occurredAt === null ||
          (event.occurredAt instanceof Date &&
            event.occurredAt.getTime() > Date.UTC(1980, 0) &&
            event.occurredAt.getTime() < Date.now() + 366 * 86_400_000),
        'occurredAt must be the Date at which the platform says that it happened, or null: mind the unit'
      )
      const schema = HintSchema(Object.keys(provider.resources))
      for (const hint of event.hints) {
        const fault = faultOf(schema, hint)
        assert(fault === null, `a hint names one of the provider's resources and an id: ${fault}`)
      }
      const fault = event.alert === undefined ? null : faultOf(AlertRecordSchema, event.alert)
      assert(fault === null, `of the alert in an event, ${fault}`)
      const wanted = world.hints?.[way]
      if (wanted === undefined) return
      const plain = (hints: readonly Hint[]) =>
        hints.map(({ resource, externalId, kind = 'changed' }) => `${kind} ${resource} ${externalId}`).sort()
      assert.deepEqual(
        plain(event.hints),
        plain(wanted),
        `the hints of '${way}' must be about what the request is about`
      )
    }),
    rule('a body that cannot be read throws', (hook, request) => {
      for (const body of ['{"event', '[]', 'null', '"text"', '']) {
        assert.throws(
          () => hook.parse({ ...request(current), rawBody: Buffer.from(body) }),
          `the body ${JSON.stringify(body)} must throw`
        )
      }
    })
  ]
}

function badSignatures(hook: ProviderWebhook, request: (secret: string) => WebhookRequest) {
  const good = request(current)
  assert.equal(hook.verify(copy(good), [current]), true, 'a good signature must pass')
  const bad: Array<[what: string, request: WebhookRequest]> = [
    ['another secret', request(stranger)],
    ['an empty secret', request('')]
  ]
  const proofs = [hook.setup.signatureHeader, hook.setup.secretHeader].flatMap(name =>
    name && good.headers[name.toLowerCase()] !== undefined ? [name.toLowerCase()] : []
  )
  assert(proofs.length > 0, 'the request must carry one of the headers that setup names, in lower case')
  for (const name of proofs) {
    const value = good.headers[name]!
    const altered: Array<[string, string | undefined]> = [
      ['no proof', undefined],
      ['an empty proof', ''],
      ['a longer proof', `${value}0`],
      ['a shorter proof', value.slice(0, -1)],
      ['another proof of the same length', flip(value)],
      ['a proof in another alphabet', 'é'.repeat(value.length)],
      ['only its prefix', value.replace(/=.*/, '=')]
    ]
    for (const [what, proof] of altered)
      if (proof !== value) bad.push([what, { ...good, headers: { ...good.headers, [name]: proof } }])
  }
  if (hook.setup.signatureHeader && proofs.includes(hook.setup.signatureHeader.toLowerCase())) {
    bad.push(['another body', { ...good, rawBody: Buffer.concat([good.rawBody, Buffer.from(' ')]) }])
  }
  for (const [what, request] of bad) {
    let verdict: unknown
    try {
      verdict = hook.verify(request, [current])
    } catch (error) {
      verdict = error
    }
    assert.equal(verdict, false, `${what} must be refused with false, like every other bad proof`)
  }
}

const flip = (value: string): string => value.slice(0, -1) + (value.endsWith('0') ? '1' : '0')

const copy = ({ headers, rawBody }: WebhookRequest): WebhookRequest => ({
  headers: { ...headers },
  rawBody: Buffer.from(rawBody)
})
