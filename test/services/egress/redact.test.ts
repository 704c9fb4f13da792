import fc from 'fast-check'
import t from 'tap'
import { createRedact } from '../../../src/services/egress/redact.ts'

/** What a key or a password may look like; long enough that no ordinary sentence has a piece of it. */
const secret = fc
  .array(fc.constantFrom(...'abcXYZ0189+/=_-.~ &<>"\'%#?ü€💾\\'), { minLength: 12, maxLength: 60 })
  .map(chars => `q7${chars.join('')}7q`)
  .filter(text => text.isWellFormed())

const writings: Record<string, (secret: string) => string> = {
  plain: text => text,
  'in an address': encodeURIComponent,
  'twice in an address': text => encodeURIComponent(encodeURIComponent(text)),
  'in a form': text => new URLSearchParams({ k: text }).toString(),
  'in lower-case percent': text => encodeURIComponent(text).replace(/%[0-9A-F]{2}/g, found => found.toLowerCase()),
  'in JSON': text => JSON.stringify(text),
  'in HTML': text =>
    text
      .replaceAll('&', '&amp;')
      .replaceAll('<', '&lt;')
      .replaceAll('>', '&gt;')
      .replaceAll('"', '&quot;')
      .replaceAll("'", '&#39;'),
  'in base64': text => Buffer.from(text).toString('base64'),
  'in base64url': text => Buffer.from(text).toString('base64url'),
  'in basic authentication': text => `Basic ${Buffer.from(`user:${text}`).toString('base64')}`,
  'in basic authentication of another length': text => Buffer.from(`users:${text}:x`).toString('base64url'),
  'in hex': text => Buffer.from(text).toString('hex'),
  'without blanks': text => text.replace(/\s+/g, '')
}

/** Every piece of `text` that is as long as a third of it. */
function pieces(text: string): string[] {
  const size = Math.max(8, Math.ceil(text.length / 3)) + 1
  return Array.from({ length: Math.max(1, text.length - size + 1) }, (_, at) => text.slice(at, at + size))
}

for (const [name, write] of Object.entries(writings)) {
  t.test(`a secret ${name} is taken out of any sentence`, async () => {
    fc.assert(
      fc.property(secret, fc.constantFrom('', 'x', '(', ': '), (secret, before) => {
        const written = write(secret)
        const redact = createRedact([secret])
        const text = redact(`The platform said${before}${written}; nothing else`)
        // The first characters of base64 belong to what stands in front of the secret.
        const own = name.includes('basic') ? Buffer.from(secret).toString('base64').slice(4, -4) : written
        return pieces(own).every(piece => piece.length < 9 || !text.includes(piece)) && text.endsWith('; nothing else')
      }),
      { numRuns: 60 }
    )
  })
}

t.test('a secret that was cut off is one still', async () => {
  fc.assert(
    fc.property(secret, fc.double({ min: 0.7, max: 1, noNaN: true }), (secret, share) => {
      const part = secret.slice(0, Math.max(12, Math.round(secret.length * share)))
      return !createRedact([secret])(`refused: ${part}`).includes(part.slice(0, -2))
    })
  )
})

t.test('short secrets are hidden as words of their own, and none inside of others', async t => {
  const redact = createRedact(['admin', '1234', 'abc', ''])
  t.equal(
    redact('An administrator refused admin (1234), not 12345 nor abc'),
    'An administrator refused [redacted] ([redacted]), not 12345 nor abc'
  )
})

t.test('a sentence without secrets stays as it is; addresses lose their queries', async t => {
  const redact = createRedact(['q7-some-long-secret-7q', 'hunter2'])
  const text = 'MeshCentral refused the user name or password (noauth). Use the bare user name'
  t.equal(redact(text), text)
  const wordy = createRedact(['mesh-test-password', 'administrator2', 'correct horse battery staple'])
  t.equal(wordy(text), text, 'nor does it show what a password is made of')
  t.equal(wordy('An administrator, a low battery'), 'An administrator, a low battery')
  t.equal(wordy('refused mesh-test-password'), 'refused [redacted]')
  t.equal(redact('GET https://h.example/p?key=1#x failed'), 'GET https://h.example/p failed')
})

t.test('what a session brought is hidden from then on', async t => {
  const redact = createRedact([])
  t.equal(redact('token q7-bearer-token-7q'), 'token q7-bearer-token-7q')
  redact.add(['q7-bearer-token-7q'])
  t.equal(redact('token q7-bearer-token-7q'), 'token [redacted]')
})
